"""`SO_RCVLOWAT` (socket(7)): the system tells of what came when there is so much of it, and not of each segment."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AbstractContextManager, suppress

#: What TLS may hold of bytes that have left the socket, and are no whole record yet (RFC 8446 5.1), with room to spare.
HELD_BY_TLS_BYTES = 20 << 10


class told_from(AbstractContextManager[None]):  # noqa: N801 # used as a statement, like contextlib.suppress
    """Within it the loop hears of this connection when so many bytes of a body are there, or when it ends. Whoever waits so
    must look after a moment without it: they may come more slowly, or never.
    """

    __slots__ = ("_sock", "_transport")

    def __init__(self, transport: asyncio.BaseTransport | None, size_bytes: int) -> None:
        self._transport = transport
        self._sock: socket.socket | None = None
        if transport is None:
            return
        if transport.get_extra_info("sslcontext") is not None:
            size_bytes -= HELD_BY_TLS_BYTES
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None and size_bytes > 1 and _set(sock, size_bytes):
            self._sock = sock

    def __exit__(self, *_error: object) -> None:
        if self._sock is not None and self._transport is not None and not self._transport.is_closing():
            _set(self._sock, 1)  # (once it is closed its number may be another one's)


def _set(sock: socket.socket, size_bytes: int) -> bool:
    with suppress(OSError):  # not every system can; then it tells of each segment
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size_bytes)
        return True
    return False
