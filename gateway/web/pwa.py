"""The app at `/`: files that the build left beside this module, served from memory.

Promises: what has its digest in its name may be kept for ever, everything else is asked for again; nothing inline may
run; no file outside the build can be reached, for names are looked up and never joined to a path. Knows nothing of
uploads.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aiohttp import hdrs, web

from gateway.errors import NotBuilt, NotFound
from gateway.web.addresses import public_path
from gateway.web.services import services

#: Where `make install` leaves the built app.
BUILT = Path(__file__).parent / "static"

_SHELL = "index.html"
_HASHED = "assets/"
_ENCODINGS = (("br", ".br"), ("gzip", ".gz"))  # in the order of preference
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the app, as it is and compressed."""

    name: str
    media_type: str
    etag: str
    plain: bytes
    compressed: dict[str, bytes]  #: coding -> bytes


@cache
def built(folder: Path = BUILT) -> dict[str, Asset]:
    """Every file of the build by its path below `/`; empty where nothing was built."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix not in _TYPES or not path.is_file():
            continue
        name, plain = path.relative_to(folder).as_posix(), path.read_bytes()
        others = {coding: path.with_name(path.name + suffix) for coding, suffix in _ENCODINGS}
        found[name] = Asset(
            name,
            _TYPES[path.suffix],
            hashlib.sha256(plain).hexdigest()[:32],
            plain,
            {coding: other.read_bytes() for coding, other in others.items() if other.is_file()},
        )
    return found


async def shell(request: web.Request) -> web.StreamResponse:
    """`GET /`: the app's page. :raises NotBuilt: the gateway was installed without it."""
    return await _answer(request, _SHELL)


async def asset(request: web.Request) -> web.StreamResponse:
    """`GET /assets/..`, `/icons/..`, `/sw.js`, `/manifest.webmanifest`. :raises NotFound: the build has no such file."""
    path = request.path.removeprefix(public_path(services(request)))  # a proxy may leave it where it is
    return await _answer(request, path.removeprefix("/"))


async def _answer(request: web.Request, name: str) -> web.StreamResponse:
    files = await asyncio.to_thread(built)
    if _SHELL not in files:
        raise NotBuilt("the app isn't in this installation: `make install` builds it, and needs Node.js 20 or newer")
    if name not in files:
        raise NotFound("there is no such resource")
    found = files[name]
    headers = {
        hdrs.ETAG: f'"{found.etag}"',
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
        hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable" if name.startswith(_HASHED) else "no-cache",
        "Content-Security-Policy": _POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    }
    if any(known.value == found.etag for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    coding, body = _coded(found, request.headers.get(hdrs.ACCEPT_ENCODING, ""))
    if coding:
        headers[hdrs.CONTENT_ENCODING] = coding
    return web.Response(body=body, headers=headers | {hdrs.CONTENT_TYPE: found.media_type})


def _coded(found: Asset, accepted: str) -> tuple[str, bytes]:
    """The smallest form that the client takes (RFC 9110 12.5.3)."""
    taken = set()
    for one in accepted.lower().split(","):
        coding, _, weight = one.strip().partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            taken.add(coding.strip())
    for coding, _ in _ENCODINGS:
        if coding in taken and coding in found.compressed:
            return coding, found.compressed[coding]
    return "", found.plain
