"""A connection that PDUs go over (PS3.8 section 9.1), with a time limit on every wait. Every error becomes a code."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from hooks.contract import TargetDown

CONNECT_TIMEOUT_S = 5.0
#: How long the peer may take to accept one piece.
SEND_TIMEOUT_S = 60.0
#: Of a PDU that is read.
MAX_PDU_BYTES = 1 << 20

#: Kinds of PDU (PS3.8 section 9.3).
RQ, AC, RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom an association is with.

    :param answer_timeout_s: least time for an answer; grows by a second per MiB sent.
    :param tls: None: in the clear.
    """

    host: str
    port: int
    called_aet: str
    calling_aet: str
    answer_timeout_s: float = 60.0
    tls: ssl.SSLContext | None = field(default=None, repr=False)


class Wire:
    """A connection that PDUs go over. Every error becomes a `TargetDown`."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket: Final = sock

    def send(self, *pieces: bytes | memoryview) -> None:
        """All of it, within `SEND_TIMEOUT_S`."""
        with _codes_for_errors():
            self._socket.settimeout(SEND_TIMEOUT_S)
            self._socket.sendall(b"".join(pieces))

    def receive(self, until: float) -> tuple[int, bytes]:
        """Kind and body of the next PDU. :param until: monotonic seconds."""
        kind, length = struct.unpack(">BxI", self._exactly(6, until))
        if length > MAX_PDU_BYTES:
            raise TargetDown("not_dimse")
        return kind, self._exactly(length, until)

    def _exactly(self, size: int, until: float) -> bytes:
        got = bytearray()
        with _codes_for_errors():
            while len(got) < size:
                left_s = until - time.monotonic()
                if left_s <= 0:
                    raise TargetDown("timed_out")
                self._socket.settimeout(left_s)
                piece = self._socket.recv(min(size - len(got), 1 << 16))
                if not piece:
                    raise TargetDown("connection_lost")
                got += piece
        return bytes(got)

    def is_silent(self, for_s: float) -> bool:
        """Nothing came within that time."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return False
        with _codes_for_errors():
            return not select.select([self._socket], [], [], for_s)[0]

    def close(self) -> None:
        """At once."""
        with contextlib.suppress(OSError):
            self._socket.close()


@contextlib.contextmanager
def _codes_for_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise TargetDown("timed_out") from None
    except ssl.SSLError:
        raise TargetDown("tls_failed") from None
    except OSError:
        raise TargetDown("connection_lost") from None


def connected(peer: Peer) -> Wire:
    """:raises TargetDown: connect_failed, tls_failed, timed_out."""
    try:
        sock = socket.create_connection((peer.host, peer.port), CONNECT_TIMEOUT_S)
    except OSError:
        raise TargetDown("connect_failed") from None
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if peer.tls is not None:
            sock = peer.tls.wrap_socket(sock, server_hostname=peer.host)
    except TimeoutError:
        sock.close()
        raise TargetDown("timed_out") from None
    except OSError:
        sock.close()
        raise TargetDown("tls_failed") from None
    return Wire(sock)
