"""Short signed bearer tokens, checked without a look-up; `refresh_tokens` renews them.

Promises: one algorithm and one key per kind, fixed by us and never by the token; an expired token is told from a bad
one only after its signature has held. Knows nothing of HTTP, of passwords and of what an upload is.

They are JWTs (RFC 7519) with HS256 (RFC 7518 3.2); `kid` names the key, so that `tokens.secret` can change.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.clock import Clock
from gateway.errors import ConfigError, Unauthorized

ALGORITHM = "HS256"
ISSUER = "relaypacs"
ACCESS_TYPE = "relaypacs-access"
UPLOAD_TYPE = "relaypacs-upload"
SERVICE_TYPE = "relaypacs-service"
PASSWORD_TYPE = "relaypacs-password"  # noqa: S105 - the name of a kind
KINDS = (ACCESS_TYPE, UPLOAD_TYPE, SERVICE_TYPE, PASSWORD_TYPE)
#: How long a token lives that is good for setting another password and nothing else.
PASSWORD_TTL_S = 600
#: Longer ones are refused unread; ours have about 400 bytes.
MAX_TOKEN_CHARS = 4096
#: Tokens whose signatures were checked: a client sends the same one with each of its requests.
REMEMBERED = 4096
#: A shorter secret could be guessed offline from one token.
MIN_SECRET_BYTES = 16


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


@dataclass(frozen=True, slots=True)
class PasswordClaims:
    """What a password token says: this account may set another password, if it knows the present one."""

    account_id: str
    token_id: str
    expires_at: float


Claims = AccessClaims | UploadClaims | PasswordClaims


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
        self._known: dict[str, Claims] = {}  #: by the whole token: nothing is found by a part of it
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

    def password(self, account_id: str) -> Minted:
        """A token for setting another password, and nothing else."""
        return self._mint(PASSWORD_TYPE, account_id, {}, PASSWORD_TTL_S)

    def read(self, token: str) -> Claims:
        """What a token says, if it is ours and not over.

        :raises Unauthorized: `token_expired` for a true token past its time, `unauthorized` for everything else.
        """
        claims = self.signed(token)
        if claims.expires_at <= self._clock.now():
            raise Unauthorized("the token is past its time: renew it", code="token_expired")
        return claims

    def signed(self, token: str) -> Claims:
        """What a token of ours says, in its time or past it. :raises Unauthorized: it isn't ours."""
        claims = self._known.get(token)
        if claims is None:
            claims = self._read(token)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[token] = claims
        return claims

    def _read(self, token: str) -> Claims:
        """Checked in full, its end excepted."""
        kind, kid = _header(token)
        claims = self._verified(token, kind, kid)
        expires_at = claims["exp"]
        subject, token_id = _text(claims, "sub"), _text(claims, "jti")
        session_id = _text(claims, "sid") if kind == SERVICE_TYPE or "sid" in claims else ""
        if type(expires_at) is not int:
            raise _not_ours()
        if kind == PASSWORD_TYPE:
            return PasswordClaims(subject, token_id, float(expires_at))
        about = _text(claims, "acc" if kind == UPLOAD_TYPE else "role")
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
