"""Our own address as this client sees it, and the client's as we see it; proxies count only if trusted."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp import web

from gateway.errors import Malformed
from gateway.web.services import services

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


def base_url(request: web.Request) -> str:
    """Scheme and host under which the client reached us, without a slash at the end.

    :raises Malformed: the Host isn't one.
    """
    scheme, host = request.scheme, request.host
    if _by_trusted_proxy(request):
        scheme = _last(request, "X-Forwarded-Proto") or scheme
        host = _last(request, "X-Forwarded-Host") or host
    if scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise Malformed("Host can't be read", code="malformed_header")
    return f"{scheme}://{host}"


def is_secure(request: web.Request) -> bool:
    """The client speaks TLS, to us or to a trusted proxy."""
    told = _last(request, "X-Forwarded-Proto") if _by_trusted_proxy(request) else ""
    return (told or request.scheme) == "https"


def client_address(request: web.Request) -> str:
    """The client's address, for rate limits."""
    if _by_trusted_proxy(request):
        return _last(request, "X-Forwarded-For") or request.remote or ""
    return request.remote or ""


def _by_trusted_proxy(request: web.Request) -> bool:
    trusted = services(request).trusted_proxies
    peer = request.transport.get_extra_info("peername") if trusted and request.transport is not None else None
    if not peer:
        return False
    address = _address(peer[0])
    return address is not None and any(address in network for network in trusted)


@lru_cache(maxsize=1024)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _last(request: web.Request, name: str) -> str:
    """What the nearest proxy said; whatever stands before it came from further away."""
    values = request.headers.getall(name, [])
    return values[-1].rpartition(",")[2].strip() if values else ""
