"""`SO_RCVLOWAT` (socket(7)): the system tells of what came when there is so much of it, and not of each segment."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: What TLS may hold of bytes that have left the socket, and are no whole record yet (RFC 8446 5.1), with room to spare.
HELD_BY_TLS_BYTES = 20 << 10


@contextmanager
def told_from(transport: asyncio.BaseTransport | None, size_bytes: int) -> Iterator[None]:
    """Within it the loop hears of this connection when so many bytes of a body are there, or when it ends. Whoever waits so
    must look after a moment without it: they may come more slowly, or never.
    """
    if transport is None:
        yield
        return
    if transport.get_extra_info("sslcontext") is not None:
        size_bytes -= HELD_BY_TLS_BYTES
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is None or size_bytes <= 1 or not _set(sock, size_bytes):
        yield
        return
    try:
        yield
    finally:
        if not transport.is_closing():  # its number may be another one's by then
            _set(sock, 1)


def _set(sock: socket.socket, size_bytes: int) -> bool:
    with suppress(OSError):  # not every system can; then it tells of each segment
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size_bytes)
        return True
    return False
