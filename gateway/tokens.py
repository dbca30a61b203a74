"""Bearer tokens: short signed ones that are checked without a look-up, and opaque ones that renew them.

Promises: one algorithm and one key per kind, fixed by us and never by the token; an expired token is told from a
bad one only after its signature has held; a lost answer never locks a client out; a refresh token that two parties
use ends its whole family. Knows nothing of HTTP, of passwords and of what an upload is.

Signed tokens are JWTs (RFC 7519) with HS256 (RFC 7518 3.2); `kid` names the key, so that `tokens.secret` can change. Refresh tokens are 256 random bits; only their SHA-256
is kept.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.clock import Clock
from gateway.errors import ConfigError, Forbidden, Unauthorized
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import RefreshTokenRow

ALGORITHM = "HS256"
ISSUER = "relaypacs"
ACCESS_TYPE = "relaypacs-access"
UPLOAD_TYPE = "relaypacs-upload"
SERVICE_TYPE = "relaypacs-service"
KINDS = (ACCESS_TYPE, UPLOAD_TYPE, SERVICE_TYPE)
#: Longer ones are refused unread; ours have about 400 bytes.
MAX_TOKEN_CHARS = 4096
#: Refresh tokens begin with it, so that one in the wrong place is told from rubbish without a look-up.
REFRESH_PREFIX = "rpr_"
#: Tokens whose signatures were checked: a client sends the same one with each of its requests.
REMEMBERED = 4096
#: A shorter secret could be guessed offline from one token.
MIN_SECRET_BYTES = 16
#: How long a refresh token of an account may lie unused; each rotation starts it anew.
ACCOUNT_REFRESH_TTL_S = 12 * 3600.0
#: What is written as the end of a refresh token that lives as long as its upload. An outage of the gateway moves the
#: uploads' deadlines, so the upload's own row decides, and deleting that row deletes the token.
_WITH_ITS_UPLOAD_S = 10 * 366 * 86400.0


@dataclass(frozen=True, slots=True)
class Minted:
    """A token and how long it lives."""

    token: str
    expires_in_s: int


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says: who, and in which role.

    :ivar session_id: family of refresh tokens that it came with, or a service token's own; it ends with that.
    """

    account_id: str
    role: str
    token_id: str
    expires_at: float
    session_id: str = ""


@dataclass(frozen=True, slots=True)
class UploadClaims:
    """What an upload token says: one upload, and the account that owns it."""

    upload_id: str
    account_id: str
    token_id: str
    expires_at: float


class TokenMint:
    """Makes and reads signed tokens.

    :param secret: `tokens.secret`; each kind gets a key of its own from it (HKDF, RFC 5869).
    :param access_ttl_s: life of an access token, seconds.
    :param upload_ttl_s: life of an upload token, seconds.
    :param former_secret: `tokens.previous_secret`: what it signed is still read.
    :raises ConfigError: the secret is too short.
    """

    def __init__(
        self,
        secret: bytes,
        clock: Clock,
        *,
        access_ttl_s: float,
        upload_ttl_s: float,
        former_secret: bytes | None = None,
    ) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ConfigError(f"tokens.secret is too short: give it at least {MIN_SECRET_BYTES} bytes, better 32")
        self._clock = clock
        self._ttl_s = {ACCESS_TYPE: int(access_ttl_s), UPLOAD_TYPE: int(upload_ttl_s)}
        self._keys = {kind: _derive(secret, kind) for kind in KINDS}
        self._known: dict[
            str, AccessClaims | UploadClaims
        ] = {}  #: by the whole token: nothing is found by a part of it
        secrets_read = [secret] if former_secret is None else [former_secret, secret]
        self._readable = {
            kind: {_kid(key): key for key in (_derive(one, kind) for one in secrets_read)} for kind in KINDS
        }

    def access(self, account_id: str, role: str, session_id: str = "") -> Minted:
        """A token for the API. :param session_id: see `AccessClaims`."""
        extra = {"role": role} | ({"sid": session_id} if session_id else {})
        return self._mint(ACCESS_TYPE, account_id, extra, self._ttl_s[ACCESS_TYPE])

    def service(self, account_id: str, role: str, session_id: str, ttl_s: float) -> Minted:
        """A long-lived token for a machine; it ends with its session."""
        return self._mint(SERVICE_TYPE, account_id, {"role": role, "sid": session_id}, int(ttl_s))

    def upload(self, upload_id: str, account_id: str) -> Minted:
        """A token that opens one upload and nothing else."""
        return self._mint(UPLOAD_TYPE, upload_id, {"acc": account_id}, self._ttl_s[UPLOAD_TYPE])

    def read(self, token: str) -> AccessClaims | UploadClaims:
        """What a token says, if it is ours and not over.

        :raises Unauthorized: `token_expired` for a true token past its time, `unauthorized` for everything else.
        """
        claims = self.signed(token)
        if claims.expires_at <= self._clock.now():
            raise Unauthorized("the token is past its time: renew it", code="token_expired")
        return claims

    def signed(self, token: str) -> AccessClaims | UploadClaims:
        """What a token of ours says, in its time or past it. :raises Unauthorized: it isn't ours."""
        claims = self._known.get(token)
        if claims is None:
            claims = self._read(token)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[token] = claims
        return claims

    def _read(self, token: str) -> AccessClaims | UploadClaims:
        """Checked in full, its end excepted."""
        kind, kid = _header(token)
        claims = self._verified(token, kind, kid)
        expires_at = claims["exp"]
        subject, token_id = _text(claims, "sub"), _text(claims, "jti")
        about = _text(claims, "acc" if kind == UPLOAD_TYPE else "role")
        session_id = _text(claims, "sid") if kind == SERVICE_TYPE or "sid" in claims else ""
        if type(expires_at) is not int:
            raise _not_ours()
        if kind == UPLOAD_TYPE:
            return UploadClaims(subject, about, token_id, float(expires_at))
        return AccessClaims(subject, about, token_id, float(expires_at), session_id)

    def _mint(self, kind: str, subject: str, extra: dict[str, str], ttl_s: int) -> Minted:
        issued_at, key = int(self._clock.now()), self._keys[kind]
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": kind,
            "sub": subject,
            "iat": issued_at,
            "exp": issued_at + ttl_s,
            "jti": secrets.token_urlsafe(16),
            **extra,
        }
        return Minted(jwt.encode(claims, key, ALGORITHM, headers={"typ": kind, "kid": _kid(key)}), ttl_s)

    def _verified(self, token: str, kind: str, kid: str) -> dict[str, Any]:
        key = self._readable[kind].get(kid)
        if key is None:
            raise _not_ours()
        # PyJWT would ask the machine's clock: times are compared by `read`, with ours.
        options: Any = {
            "require": ["iss", "aud", "sub", "iat", "exp", "jti"],
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
        }
        try:
            return jwt.decode(token, key, algorithms=[ALGORITHM], audience=kind, issuer=ISSUER, options=options)
        except (jwt.PyJWTError, ValueError, TypeError):
            # Its words may repeat the token: nothing of them goes on. ValueError, TypeError: JSON that isn't what
            # the library expects.
            raise _not_ours() from None


def _header(token: str) -> tuple[str, str]:
    """The kind and the key that the token's header claims, before anything is trusted."""
    if len(token) > MAX_TOKEN_CHARS or not token.isascii():
        raise _not_ours()
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise _not_ours() from None
    # Nothing else is ever in a header of ours: no key address, no `crit`, no compression.
    kind, kid = header.get("typ"), header.get("kid")
    if header.keys() != {"alg", "typ", "kid"} or header["alg"] != ALGORITHM or kind not in KINDS:
        raise _not_ours()
    if not isinstance(kid, str):
        raise _not_ours()
    return str(kind), kid


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise _not_ours()
    return value


def _derive(secret: bytes, kind: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"relaypacs|tokens|{kind}".encode()).derive(secret)


def _kid(key: bytes) -> str:
    """Names a key, and says nothing of it."""
    return hashlib.sha256(b"relaypacs|kid|" + key).hexdigest()[:16]


def _not_ours() -> Unauthorized:
    return Unauthorized("a valid token is needed")


@dataclass(frozen=True, slots=True)
class Rotated:
    """A refresh token was good; `token` is its successor."""

    row: RefreshTokenRow  #: of the token that was used
    token: str


@dataclass(frozen=True, slots=True)
class Reused:
    """A refresh token was used after its successor: the family is revoked.

    A value, not an error: an error would undo the transaction, and the revocation with it.
    """

    row: RefreshTokenRow


def new_session() -> str:
    """An id for a family of refresh tokens, for those who must know it before."""
    return secrets.token_hex(16)


def issue(
    tx: Transaction,
    *,
    account_id: str,
    now: float,
    upload_id: str | None = None,
    expires_at: float | None = None,
    session_id: str | None = None,
) -> str:
    """The first refresh token of a new family.

    :param upload_id: the upload whose tokens it renews; None: it renews access tokens.
    :param expires_at: unix seconds, for account tokens only; default `now` + ACCOUNT_REFRESH_TTL_S. A token of an
        upload lives as long as the upload, whatever is given.
    :param session_id: the family's id (`new_session`).
    """
    family_id = session_id or new_session()
    return _insert(tx, family_id, None, account_id, upload_id, now, _end(upload_id, now, expires_at))


def rotate(tx: Transaction, token: str, *, now: float, expires_at: float | None = None) -> Rotated | Reused:
    """Exchange a refresh token for its successor (CONTRACT 2.2).

    It may be repeated, each time for another successor, until one of them is first used. Who may use it, and whether
    its upload still lives, is the caller's question: see `refresh`.

    :param expires_at: unix seconds, end of the successor, as for `issue`.
    :raises Unauthorized: unknown (`unauthorized`) or past its time (`token_expired`); nothing is written.
    """
    row = _live_row(tx, token, now)
    if row.spent:
        tx.tokens.revoke_family(row.family_id)
        _note(tx, "token.reused", row, now)
        return Reused(row)
    tx.tokens.spend_kin(row)
    ends_at = _end(row.upload_id, now, expires_at)
    _note(tx, "token.refreshed", row, now)
    return Rotated(row, _insert(tx, row.family_id, row.token_hash, row.account_id, row.upload_id, now, ends_at))


#: Looks at a refresh token's row before it is rotated; refuses by raising.
Check = Callable[[Transaction, RefreshTokenRow], None]


async def refresh(ledger: Ledger, token: str, *, now: float, check: Check, expires_at: float | None = None) -> Rotated:
    """Rotate a refresh token in a transaction of its own.

    :param check: who may use it: `for_account()`, `for_upload(upload_id)` or both with the caller's own questions
        (is the account active, does the upload live). What it raises is raised; then nothing is rotated.
    :raises Unauthorized: `unauthorized`, `token_expired`, or `token_reused`: the family is revoked and stays so.
    """

    def act(tx: Transaction) -> Rotated | Reused:
        row = _live_row(tx, token, now)
        if not row.spent:
            check(tx, row)
        return rotate(tx, token, now=now, expires_at=expires_at)

    match await ledger.write(act):
        case Rotated() as rotated:
            return rotated
        case Reused():
            raise Unauthorized("this refresh token was renewed before: log in again", code="token_reused")


def for_account() -> Check:
    """Only refresh tokens of an account, whose account is active."""

    def check(tx: Transaction, row: RefreshTokenRow) -> None:
        if row.upload_id is not None:
            raise Forbidden("this refresh token belongs to an upload", code="wrong_token_kind")
        _active(tx, row)

    return check


def for_upload(upload_id: str) -> Check:
    """Only refresh tokens of that upload, whose account is active."""

    def check(tx: Transaction, row: RefreshTokenRow) -> None:
        if row.upload_id is None:
            raise Forbidden("this refresh token belongs to an account", code="wrong_token_kind")
        if row.upload_id != upload_id:
            raise Forbidden("this refresh token belongs to another upload")
        _active(tx, row)

    return check


async def revoke(ledger: Ledger, token: str, *, now: float) -> None:
    """End the family of a refresh token (logging out). An unknown one is no error: it is over either way."""

    def act(tx: Transaction) -> None:
        if (row := tx.tokens.get(_hash(token))) is not None:
            tx.tokens.revoke_family(row.family_id)
            _note(tx, "logout", row, now)

    await ledger.write(act)


async def end_session(ledger: Ledger, session_id: str, *, now: float, actor: str) -> None:
    """End one family by its id (logging out with an access token). Without one, whoever vouched for it ends it."""

    def act(tx: Transaction) -> None:
        if session_id:
            tx.tokens.revoke_family(session_id)
        tx.audit.append("logout", at=now, actor=actor)

    await ledger.write(act)


def _note(tx: Transaction, event: str, row: RefreshTokenRow, now: float) -> None:
    tx.audit.append(event, at=now, actor=f"account:{row.account_id}", upload_id=row.upload_id)


def _active(tx: Transaction, row: RefreshTokenRow) -> None:
    account = tx.accounts.get(row.account_id)
    if account is None or account.disabled_at is not None:
        raise Unauthorized("the account is not active")


def _live_row(tx: Transaction, token: str, now: float) -> RefreshTokenRow:
    row = tx.tokens.get(_hash(token)) if len(token) <= MAX_TOKEN_CHARS else None
    if row is None:
        raise _not_ours()
    if row.upload_id is None and row.expires_at <= now:
        raise Unauthorized("the refresh token is past its time: log in again", code="token_expired")
    return row


def _end(upload_id: str | None, now: float, expires_at: float | None) -> float:
    if upload_id is not None:
        return now + _WITH_ITS_UPLOAD_S
    return now + ACCOUNT_REFRESH_TTL_S if expires_at is None else expires_at


def _insert(
    tx: Transaction,
    family_id: str,
    parent_hash: bytes | None,
    account_id: str,
    upload_id: str | None,
    now: float,
    expires_at: float,
) -> str:
    token = REFRESH_PREFIX + secrets.token_urlsafe(32)
    row = RefreshTokenRow(
        token_hash=_hash(token),
        family_id=family_id,
        parent_hash=parent_hash,
        account_id=account_id,
        upload_id=upload_id,
        spent=False,
        issued_at=now,
        expires_at=expires_at,
    )
    tx.tokens.insert(row)
    return token


def _hash(token: str) -> bytes:
    # A token has 256 random bits: it needs no salt and no slow hash.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
