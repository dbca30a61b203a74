"""Access tokens of an OpenID Connect issuer, taken beside our own (RFC 7519, RFC 9068, OpenID Connect Discovery 1.0).

Promises: RS256 and ES256 and nothing else, by keys that the issuer itself publishes; `iss`, `aud`, `exp`, `nbf` are
checked by the gateway's own clock, and `typ`, so that no ID token and no logout token passes; a flood of tokens with
unknown keys asks the issuer twice a minute at most; keys are refreshed beside the requests, so that an issuer that
trickles or is silent makes nobody wait who has a token under a known key, and others for seconds only. No word of a token
is in an error.
Knows nothing of accounts: it says who the issuer means, and in which of our roles.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import IO, Any
from urllib.parse import urlsplit

import jwt

from gateway.clock import Clock
from gateway.errors import Forbidden, Unauthorized, Unavailable

log = logging.getLogger("relaypacs.oidc")

#: Algorithm -> key type (RFC 7518).
ALGORITHMS: Mapping[str, str] = {"RS256": "RSA", "ES256": "EC"}
MAX_TOKEN_CHARS = 16 * 1024
MAX_ANSWER_BYTES = 1 << 20
MIN_RSA_BITS = 2048
#: A token may be so much older than its `nbf` says: clocks differ.
LEEWAY_S = 60.0
#: The issuer is asked again after so long at the earliest, whatever comes.
ASK_AGAIN_S = 30.0
#: Of an issuer that doesn't answer, keys are believed for so long at least.
STALE_S = 3600.0
#: Highest first: who has several roles has the highest.
ROLES = ("admin", "issuer", "uploader")
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Terms:
    """What the configuration says of the issuer (`[auth.oidc]`)."""

    issuer: str
    audience: str
    roles_claim: str
    roles: Mapping[str, str]  #: theirs -> ours
    jwks_cache_s: float = 600.0
    timeout_s: float = 5.0
    token_typ: tuple[str, ...] = ("at+jwt",)


@dataclass(frozen=True, slots=True)
class ForeignClaims:
    """Whom a token means. `name`: what the issuer calls them, for an administrator's list; sealed where it is kept."""

    subject: str
    name: str
    role: str
    expires_at: float


#: Gets a document of the issuer; blocks. :raises OSError, ValueError: it can't be had.
Fetch = Callable[[str, float], Any]


class OidcIssuer:
    """One issuer.

    :param fetch: for tests of faults.
    """

    def __init__(self, terms: Terms, clock: Clock, fetch: Fetch | None = None) -> None:
        self._terms = terms
        self._clock = clock
        self._fetch = fetch or fetch_json
        self._keys: dict[str | None, list[tuple[str, Any]]] = {}  # kid -> algorithm, key
        self._got_at: float | None = None  # monotonic: when the keys came
        self._asked_at: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self._known: OrderedDict[bytes, ForeignClaims] = OrderedDict()

    @property
    def issuer(self) -> str:
        """As its tokens say it."""
        return self._terms.issuer

    @staticmethod
    def may_be(token: str) -> bool:
        """Whether a token looks like an issuer's and not like one of ours; nothing is believed yet."""
        try:
            return len(token) <= MAX_TOKEN_CHARS and jwt.get_unverified_header(token).get("alg") in ALGORITHMS
        except (jwt.PyJWTError, ValueError, TypeError):
            return False

    async def read(self, token: str) -> ForeignClaims:
        """Whom the token means.

        :raises Unauthorized: it isn't the issuer's, isn't for us, or is over.
        :raises Forbidden: it gives none of our roles.
        :raises Unavailable: the issuer was never reached.
        """
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if self._is_stale():
            self._refresh()
        if known is None or self._too_old():
            known = self._believed(await self._verified(token))
            self._remember(digest, known)
        if known.expires_at <= self._clock.now():
            self._known.pop(digest, None)
            raise Unauthorized("the token is past its time: renew it", code="token_expired")
        return known

    def _remember(self, digest: bytes, claims: ForeignClaims) -> None:
        self._known[digest] = claims
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    async def _verified(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, TypeError):
            raise _refused() from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS or "crit" in header or not isinstance(kid, str | None):
            raise _refused()
        if _typ(header) not in map(str.lower, self._terms.token_typ):
            raise _refused()
        key = await self._key(kid, str(algorithm))
        options: Any = {
            "require": ["iss", "aud", "sub", "exp"],
            "verify_exp": False,  # PyJWT would ask the machine's clock
            "verify_iat": False,
            "verify_nbf": False,
        }
        terms = self._terms
        try:
            return jwt.decode(
                token, key, algorithms=[str(algorithm)], audience=terms.audience, issuer=terms.issuer, options=options
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            raise _refused() from None

    def _believed(self, claims: dict[str, Any]) -> ForeignClaims:
        subject, expires_at, not_before = claims["sub"], claims["exp"], claims.get("nbf", 0)
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise _refused()
        if not all(isinstance(at, int | float) and not isinstance(at, bool) for at in (expires_at, not_before)):
            raise _refused()
        if not_before > self._clock.now() + LEEWAY_S:
            raise _refused()
        name = claims.get("preferred_username")
        return ForeignClaims(
            subject, name if isinstance(name, str) and name else subject, self._role(claims), float(expires_at)
        )

    def _role(self, claims: Mapping[str, Any]) -> str:
        found: Any = claims
        for part in self._terms.roles_claim.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        theirs = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
        ours = {self._terms.roles.get(one) for one in theirs if isinstance(one, str)}
        role = next((role for role in ROLES if role in ours), None)
        if role is None:
            raise Forbidden("the issuer gives this account no role here: ask your administrator")
        return role

    # --- keys -------------------------------------------------------------------------------------------------------

    async def _key(self, kid: str | None, algorithm: str) -> Any:
        found = self._find(kid, algorithm)
        if found is None:
            self._refresh()
            if self._asking is not None:  # only whoever has nothing to go by waits, and not for long
                await asyncio.wait({self._asking}, timeout=2 * self._terms.timeout_s)
            found = self._find(kid, algorithm)
        if found is None:
            if self._got_at is None or self._too_old():
                raise Unavailable("the issuer of this token can't be asked just now", retry_after_s=ASK_AGAIN_S)
            raise _refused()
        return found

    def _find(self, kid: str | None, algorithm: str) -> Any:
        if self._too_old():
            return None
        fitting = [key for name, key in self._keys.get(kid, []) if name == algorithm]
        if kid is None:  # RFC 7515 leaves `kid` optional: good where there is no choice
            fitting = [key for keys in self._keys.values() for name, key in keys if name == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _age_s(self) -> float:
        return float("inf") if self._got_at is None else self._clock.monotonic() - self._got_at

    def _is_stale(self) -> bool:
        return self._age_s() >= self._terms.jwks_cache_s

    def _too_old(self) -> bool:
        return self._age_s() >= max(STALE_S, self._terms.jwks_cache_s)

    def _may_ask(self) -> bool:
        return self._asked_at is None or self._clock.monotonic() - self._asked_at >= ASK_AGAIN_S

    def _refresh(self) -> None:
        """Get the keys anew, beside whatever goes on; not more often than `ASK_AGAIN_S`, and not twice at once."""
        if self._asking is None and self._may_ask():
            self._asked_at = self._clock.monotonic()
            self._asking = asyncio.create_task(self._ask(self._asked_at), name="oidc-keys")
            self._asking.add_done_callback(self._asked)

    def _asked(self, _task: asyncio.Task[None]) -> None:
        self._asking = None

    async def _ask(self, asked_at: float) -> None:
        try:
            keys = await asyncio.to_thread(self._fetched)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("the OIDC issuer's keys can't be had error=%s", type(error).__name__)  # noqa: TRY400 # its words may quote
            return
        if keys != self._keys:
            self._known.clear()
        self._keys, self._got_at = keys, asked_at

    def _fetched(self) -> dict[str | None, list[tuple[str, Any]]]:
        """The issuer's keys, by way of its discovery document. :raises OSError, ValueError: they can't be had."""
        terms = self._terms
        told = self._fetch(f"{terms.issuer}/.well-known/openid-configuration", terms.timeout_s)
        if told["issuer"].rstrip("/") != terms.issuer or not _is_safe(told["jwks_uri"]):
            raise ValueError("another issuer's document")
        found: dict[str | None, list[tuple[str, Any]]] = {}
        for jwk in self._fetch(told["jwks_uri"], terms.timeout_s)["keys"]:
            if (usable := _usable(jwk)) is not None:
                found.setdefault(jwk.get("kid"), []).append(usable)
        return found


def _usable(jwk: Any) -> tuple[str, Any] | None:
    """Algorithm and key of a public key that signs; None: not for us."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
        return None
    algorithm = next((name for name, kty in ALGORITHMS.items() if jwk.get("kty") == kty), None)
    if algorithm is None or jwk.get("alg", algorithm) != algorithm or jwk.get("crv", "P-256") != "P-256":
        return None
    try:
        key = jwt.PyJWK(jwk, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if algorithm == "RS256" and key.key_size < MIN_RSA_BITS:
        return None
    return algorithm, key


def fetch_json(url: str, timeout_s: float) -> Any:
    """A JSON document by HTTP, without redirects, bounded; blocks. :raises OSError, ValueError: it can't be had."""
    if not _is_safe(url):
        raise ValueError("not an address to believe")
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 # looked at above
    ends_at, raw = time.monotonic() + timeout_s, bytearray()
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s) as answer:
        while piece := answer.read1(1 << 16):
            raw += piece
            if len(raw) > MAX_ANSWER_BYTES:
                raise ValueError("too long an answer")
            if time.monotonic() > ends_at:  # the timeout is of each read: a trickle would pass it
                raise TimeoutError
    return json.loads(raw)


def _typ(header: Mapping[str, Any]) -> str:
    """`typ` of a token as RFC 7515 4.1.9 compares it: without case, and without `application/`."""
    typ = header.get("typ")
    return typ.lower().removeprefix("application/") if isinstance(typ, str) else ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # urllib's
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """None: the redirect is an error."""


def _is_safe(url: object) -> bool:
    """HTTPS, or plain HTTP that doesn't leave this machine."""
    parts = urlsplit(str(url))
    if parts.scheme == "https":
        return bool(parts.hostname)
    try:
        return parts.scheme == "http" and ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.scheme == "http" and parts.hostname == "localhost"


def _refused() -> Unauthorized:
    return Unauthorized("a valid token is needed")
