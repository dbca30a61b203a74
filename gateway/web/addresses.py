"""Our own address as this client sees it, and the client's as we see it; proxies count only if trusted."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urljoin, urlsplit

from aiohttp import hdrs, web

from gateway.errors import Malformed, NotFound
from gateway.identity.throttle import network_of
from gateway.web.services import PRINCIPAL, Services, services

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


#: Of a file, behind whatever path a proxy has in front of ours.
_FILE_PATH = re.compile(r"(?:/[^/]+)*/files/([0-9a-f]{32})")
_SIGNS_OF_A_PROXY = (hdrs.VIA, hdrs.FORWARDED, hdrs.X_FORWARDED_FOR)


def base_url(request: web.Request) -> str:
    """Our address as this client can use it, without a slash at the end: `server.public_url`, or where the client came
    to if we are known there by that name.

    :raises Malformed: the Host isn't one.
    """
    scheme, host = request.scheme, request.host
    if _by_trusted_proxy(request):
        scheme = _last(request, "X-Forwarded-Proto") or scheme
        host = _last(request, "X-Forwarded-Host") or host
    if scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise Malformed("Host can't be read", code="malformed_header")
    everything = services(request)
    if everything.hosts is None or not everything.public_url:
        return f"{scheme}://{host}"
    if _is_known(host, everything.hosts):
        return f"{scheme}://{host}{urlsplit(everything.public_url).path}"
    return everything.public_url


def file_at(request: web.Request, address: str) -> str:
    """The id of the file that an address is of, absolute or relative to `/files/`.

    :raises NotFound: it isn't one of ours: none that we gave, at whatever name the client asks for us.
    """
    base = base_url(request)
    try:
        parts = urlsplit(urljoin(f"{base}/files/", address))
    except ValueError:
        parts = urlsplit("")
    known = services(request)
    ours = known.hosts is None or parts.netloc in (
        request.host,
        urlsplit(base).netloc,
        urlsplit(known.public_url).netloc,
    )
    found = _FILE_PATH.fullmatch(parts.path)
    if found is None or parts.query or parts.fragment or parts.scheme not in ("http", "https"):
        raise NotFound("one of the parts isn't there")
    if not ours and not _is_known(parts.netloc, known.hosts or ()):
        raise NotFound("one of the parts isn't there")
    return found[1]


def public_path(everything: Services) -> str:
    """The path in front of ours where clients ask; a proxy strips it, or leaves it."""
    return "" if everything.hosts is None else urlsplit(everything.public_url).path


def _is_known(host: str, hosts: tuple[str, ...]) -> bool:
    """Clients may ask for us by that Host, beside `server.public_url`'s."""
    return _is_loopback(host) or host.lower() in hosts or _name(host).lower() in hosts


def _name(host: str) -> str:
    """A Host without its port."""
    return host[: host.index("]") + 1] if host.startswith("[") else host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    name = _name(host).strip("[]")
    address = _address(name)
    return name.lower() == "localhost" if address is None else address.is_loopback


def is_secure(request: web.Request) -> bool:
    """The client speaks TLS, to us or to a trusted proxy."""
    told = _last(request, "X-Forwarded-Proto") if _by_trusted_proxy(request) else ""
    return (told or request.scheme) == "https"


def client_address(request: web.Request) -> str:
    """The client's address, for rate limits."""
    if _by_trusted_proxy(request):
        told = _without_port(_last(request, "X-Forwarded-For"))
        if _address(told) is not None:
            return told
    return request.remote or ""


def client_of(request: web.Request) -> tuple[str, str]:
    """Whom something is counted for: the account, at the address that it comes from; else the address alone.

    Holders of QR codes act for the account that issued them: their addresses tell them apart.
    """
    who = request.get(PRINCIPAL)
    return ("" if who is None else who.account_id, network_of(client_address(request)))


def hears_interim(request: web.Request) -> bool:
    """An interim response would reach the client: it speaks to us, or through proxies that are known to pass them on."""
    if not any(name in request.headers for name in _SIGNS_OF_A_PROXY):
        return True
    return services(request).proxies_pass_interim and _by_trusted_proxy(request)


def _by_trusted_proxy(request: web.Request) -> bool:
    trusted = services(request).trusted_proxies
    peer = request.transport.get_extra_info("peername") if trusted and request.transport is not None else None
    if not peer:
        return False
    address = _address(peer[0])
    return address is not None and any(address in network for network in trusted)


def _without_port(told: str) -> str:
    """Some proxies tell the port with the address: each connection would be a client of its own."""
    if told.startswith("["):
        return told[1:].partition("]")[0]
    return told.partition(":")[0] if told.count(":") == 1 else told


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
