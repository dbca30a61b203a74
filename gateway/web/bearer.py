"""Who asks: bearer tokens, read once per request, before a byte of the body (CONTRACT 2, 401 to 410)."""

from __future__ import annotations

import hmac
from enum import Enum, auto

from aiohttp import hdrs, web

from gateway.errors import Forbidden, Unauthorized
from gateway.identity.principal import Principal
from gateway.identity.refresh_tokens import REFRESH_PREFIX
from gateway.identity.tokens import AccessClaims, PasswordClaims, UploadClaims
from gateway.uploads.qr import QR_PREFIX
from gateway.web.connections import mark_proven
from gateway.web.services import EXPIRES_AT, PRINCIPAL, RAW_TOKEN, SESSION_ID, services


class Opens(Enum):
    """Kinds of tokens that a route may take."""

    NONE = auto()
    ACCESS = auto()
    UPLOAD = auto()
    REFRESH = auto()
    ISSUER = auto()  #: an access token with the role issuer or admin
    ADMIN = auto()  #: an access token with the role admin
    QR = auto()  #: the token of a QR code
    PASSWORD = auto()  #: the token of a login whose password has to be changed first
    METRICS = auto()  #: the configuration's token for Prometheus


def token_of(request: web.Request) -> str | None:
    """The bearer token, None where there is none. :raises Unauthorized: another scheme, or more than one header."""
    values = request.headers.getall(hdrs.AUTHORIZATION, [])
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("a bearer token is needed")
    return token.strip()


async def admitted(request: web.Request, opens: frozenset[Opens]) -> None:
    """Let a request in, with its principal: by comparing first, then by asking whether that one is still welcome.

    :raises Unauthorized, Forbidden: as `admit`; also a disabled account, and a session that was ended.
    """
    if Opens.METRICS in opens and _is_for_metrics(request):
        mark_proven(request)
        return
    oidc = services(request).oidc
    token = token_of(request) if oidc is not None and Opens.NONE not in opens else None
    if oidc is not None and token is not None and oidc.may_be(token):
        claims = await oidc.read(token)
        request[EXPIRES_AT] = claims.expires_at
        request[PRINCIPAL] = _with_access(claims, opens)
    else:
        await _admitted_by_ours(request, opens)
    who = request.get(PRINCIPAL)
    if who is None:  # a refresh token or a QR code's is looked up by whoever acts on it
        return
    session_id = request.get(SESSION_ID, "")
    try:
        await services(request).accounts.check_bearer(who.account_id, session_id, who.upload_id)
    except Unauthorized:
        await services(request).wiping.check(who.account_id, session_id, who.upload_id)
        raise
    mark_proven(request)


def _is_for_metrics(request: web.Request) -> bool:
    wanted, token = services(request).metrics_token, token_of(request)
    return wanted is not None and token is not None and hmac.compare_digest(token.encode(), wanted)


async def _admitted_by_ours(request: web.Request, opens: frozenset[Opens]) -> None:
    """As `admit`; whoever comes late with a true token hears of a wipe too: a device may have been off for long."""
    try:
        admit(request, opens)
    except Unauthorized as refusal:
        token = token_of(request) if refusal.code == "token_expired" else None
        if token is not None:
            late = services(request).mint.signed(token)
            session_id = late.session_id if isinstance(late, AccessClaims) else ""
            whose = (session_id, late.upload_id if isinstance(late, UploadClaims) else None)
            await services(request).wiping.check(late.account_id, *whose)
        raise


def admit(request: web.Request, opens: frozenset[Opens]) -> None:
    """Let a request in, with its principal, or refuse it by comparing alone.

    :raises Unauthorized: no token, a bad or expired one.
    :raises Forbidden: a token of the wrong kind, or for another upload than the path's.
    """
    if Opens.NONE in opens:
        return
    token = token_of(request)
    if token is None:
        raise Unauthorized("a bearer token is needed")
    if token.startswith(REFRESH_PREFIX):
        if Opens.REFRESH not in opens:
            raise Forbidden("a refresh token only renews", code="wrong_token_kind")
        request[RAW_TOKEN] = token
        return
    if token.startswith(QR_PREFIX):
        if Opens.QR not in opens:
            raise Forbidden("a QR code only opens its upload", code="wrong_token_kind")
        request[RAW_TOKEN] = token
        return
    claims = services(request).mint.read(token)
    request[EXPIRES_AT] = claims.expires_at
    if isinstance(claims, AccessClaims):
        request[PRINCIPAL] = _with_access(claims, opens)
        request[SESSION_ID] = claims.session_id
        return
    if isinstance(claims, PasswordClaims):
        if Opens.PASSWORD not in opens:
            raise Forbidden("this token is good for setting another password", code="wrong_token_kind")
        request[PRINCIPAL] = Principal(claims.account_id)
        return
    if Opens.UPLOAD not in opens:
        raise Forbidden("an upload token doesn't open this", code="wrong_token_kind")
    if request.match_info.get("upload_id", claims.upload_id) != claims.upload_id:
        raise Forbidden("this upload token belongs to another upload")
    request[PRINCIPAL] = Principal(claims.account_id, upload_id=claims.upload_id)


def _with_access(claims: AccessClaims, opens: frozenset[Opens]) -> Principal:
    if Opens.ADMIN in opens:
        if claims.role != "admin":
            raise Forbidden("this is for admins")
    elif Opens.ISSUER in opens:
        if claims.role not in ("issuer", "admin"):
            raise Forbidden("this is for issuers and admins")
    elif Opens.ACCESS not in opens:
        raise Forbidden("an access token doesn't open this", code="wrong_token_kind")
    return Principal(claims.account_id, claims.role)


def principal(request: web.Request) -> Principal:
    """Who asks."""
    return request[PRINCIPAL]
