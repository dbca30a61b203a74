"""Logging in and out, and where one may send to (CONTRACT 2.1)."""

from __future__ import annotations

from aiohttp import web

from gateway.errors import Forbidden
from gateway.identity import refresh_tokens
from gateway.ledger.rows import AccountRow
from gateway.protocol import rest
from gateway.web.addresses import client_address
from gateway.web.bearer import principal
from gateway.web.json_body import read_body
from gateway.web.services import CLAIMED, PRINCIPAL, RAW_TOKEN, SESSION_ID, services


async def login(request: web.Request) -> web.StreamResponse:
    """`POST /auth/login`."""
    wish = await read_body(request, rest.CREDENTIALS)
    accounts = services(request).accounts
    request[CLAIMED] = accounts.keyed(wish.username)
    account = await accounts.login(wish.username, wish.password, client_address(request))
    if account.must_change:
        minted = services(request).mint.password(account.account_id)
        raise Forbidden(
            "this password has to be changed first",
            code="password_change_required",
            access_token=minted.token,
            token_type="Bearer",  # noqa: S106 - the name of a scheme
            expires_in=minted.expires_in_s,
        )
    now, session_id = services(request).clock.now(), refresh_tokens.new_session()
    refresh_token = await services(request).ledger.write(
        lambda tx: refresh_tokens.issue(tx, account_id=account.account_id, now=now, session_id=session_id)
    )
    return _tokens(request, account, refresh_token, session_id)


async def refresh(request: web.Request) -> web.StreamResponse:
    """`POST /auth/refresh`."""
    now = services(request).clock.now()
    rotated = await refresh_tokens.refresh(
        services(request).ledger, request[RAW_TOKEN], now=now, check=refresh_tokens.for_account()
    )
    account = await services(request).accounts.active(rotated.row.account_id)
    return _tokens(request, account, rotated.token, rotated.row.family_id)


async def logout(request: web.Request) -> web.StreamResponse:
    """`POST /auth/logout`: the session of that token ends, and no other of the account."""
    ledger, now = services(request).ledger, services(request).clock.now()
    if request.get(PRINCIPAL) is None:
        await refresh_tokens.revoke(ledger, request[RAW_TOKEN], now=now)
    else:
        who = principal(request)
        await refresh_tokens.end_session(ledger, request.get(SESSION_ID, ""), now=now, actor=who.actor)
    services(request).accounts.forget_bearers()
    return web.Response(status=204)


async def change_password(request: web.Request) -> web.StreamResponse:
    """`POST /auth/password`: another password for the account of that token; its other logins end."""
    wish = await read_body(request, rest.PASSWORDS)
    await services(request).accounts.change_password(
        principal(request).account_id,
        wish.password,
        wish.new_password,
        client_address(request),
        session_id=request.get(SESSION_ID, ""),
    )
    return web.Response(status=204)


async def endpoints(request: web.Request) -> web.StreamResponse:
    """`GET /endpoints`: those that the caller may send to."""
    allowed = await services(request).destinations.allowed(principal(request))
    return web.json_response({"endpoints": [services(request).endpoints[name] for name in allowed]})


def _tokens(request: web.Request, account: AccountRow, refresh_token: str, session_id: str) -> web.StreamResponse:
    minted = services(request).mint.access(account.account_id, account.role, session_id)
    return web.json_response(
        {
            "access_token": minted.token,
            "token_type": "Bearer",
            "expires_in": minted.expires_in_s,
            "refresh_token": refresh_token,
        }
    )
