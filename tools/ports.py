"""Ports for servers of tests and of the bench.

One that the system gives for port 0 is of those that it also gives to outgoing connections: between the moment it was
looked for and the moment it is listened on, or while its server is started anew, any client of the machine may get it.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

_FIRST = 10_000
#: ip-sysctl: what outgoing connections get.
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_OUTGOING = 32_768
_random = random.SystemRandom()


def free_port() -> int:
    """One that nobody listens on just now, and that no outgoing connection gets."""
    below = _first_outgoing()
    while True:
        port = _random.randrange(_FIRST, below)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def _first_outgoing() -> int:
    try:
        first = int(_OUTGOING.read_text().split()[0])
    except OSError:
        first = _USUAL_OUTGOING  # a system without /proc
    return first if first > _FIRST + 1000 else _USUAL_OUTGOING


if __name__ == "__main__":
    print(free_port())
