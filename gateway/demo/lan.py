"""Under which addresses and names the local network knows this machine. Asks the kernel; sends nothing."""

from __future__ import annotations

import contextlib
import fcntl
import re
import socket
import struct
from ipaddress import IPv4Address

_SIOCGIFADDR, _SIOCGIFFLAGS = 0x8915, 0x8913  # linux/sockios.h
_UP = 0x1  # linux/if.h
#: An address of nobody's (RFC 5737): which way leads there is the way out of this network.
_ELSEWHERE = ("198.51.100.1", 9)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def lan_addresses() -> tuple[IPv4Address, ...]:
    """IPv4 addresses that others could reach, the one towards the default route first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        found = [one for _, name in socket.if_nameindex() if (one := _address(asking, name)) is not None]
        with contextlib.suppress(OSError):  # there is no way out
            asking.connect(_ELSEWHERE)  # a datagram socket only looks for the route
            towards = IPv4Address(asking.getsockname()[0])
            found.sort(key=lambda one: one != towards)
    return tuple(dict.fromkeys(found))


def _address(asking: socket.socket, interface: str) -> IPv4Address | None:
    question = struct.pack("256s", interface.encode())
    try:
        flags = struct.unpack_from("16xH", fcntl.ioctl(asking, _SIOCGIFFLAGS, question))[0]
        address = IPv4Address(fcntl.ioctl(asking, _SIOCGIFADDR, question)[20:24])
    except OSError:
        return None  # it has none, or is gone
    return address if flags & _UP and not (address.is_loopback or address.is_link_local) else None


def hostnames(told: str) -> tuple[str, ...]:
    """Names of this machine. :param told: what `gethostname` says; it may be no name for a certificate."""
    host = told.lower()
    own = (host, f"{host.partition('.')[0]}.local") if len(host) <= 253 and _HOSTNAME.fullmatch(host) else ()
    return tuple(dict.fromkeys((*own, "localhost")))
