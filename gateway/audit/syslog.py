"""Audit messages over syslog-TLS: RFC 5424 messages in RFC 5425 frames, as DICOM PS3.15 A.6 and IHE ATNA (ITI-20) want it.

Syslog has no acknowledgement. A batch has a connection of its own, which is closed by both sides of TLS: the receiver's
answer to our close_notify comes after everything before it was read. Blocking.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.errors import Unavailable

#: Facility 10 (security and authorization), severity 5 (notice).
_PRIORITY = 10 * 8 + 5
#: PS3.15 A.6: what MSG is written in.
_MSGID = "DICOM+RFC3881"
_BOM = b"\xef\xbb\xbf"  # RFC 5424 6.4: MSG is UTF-8


@dataclass(frozen=True, slots=True)
class SyslogReceiver:
    """An audit record repository.

    :param ca: certificates (PEM) that its own is checked with; None: the system's.
    :param cert, key: ours, for a repository that wants to know who sends.
    :param timeout_s: for each step.
    """

    host: str
    port: int
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    timeout_s: float = 10.0

    def send(self, messages: Iterable[bytes]) -> bool:
        """Send frames. :returns: whether the receiver has closed as TLS wants it, having read them all.

        :raises Unavailable: they may not have been read: send all of them again.
        """
        try:
            with socket.create_connection((self.host, self.port), self.timeout_s) as plain:
                line = _ClosingTls(plain, self._context(), self.host)
                line.send(b"".join(messages))
                return line.closes_with_us()
        except OSError as error:
            raise Unavailable(f"the audit repository doesn't take messages ({_why(error)})") from None

    def probe(self) -> str:
        """Connect. :raises Unavailable: it can't be had."""
        self.send(())
        return "can be reached; nothing was sent"

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key)
        return context


class _ClosingTls:
    """TLS over a socket, step by step.

    `SSLSocket.unwrap` takes a fatal alert for the other side's close: who wasn't let in (in TLS 1.3 that is told after
    the handshake) would think that everything was read.
    """

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._plain = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while not self._done(self._tls.do_handshake):
            self._receive()

    def send(self, data: bytes) -> None:
        """:raises OSError: the connection broke."""
        if data:
            self._tls.write(data)
            self._flush()

    def closes_with_us(self) -> bool:
        """Close our side, and wait for the other's. False: it hung up, or closed before. :raises OSError: it refused."""
        if self._done(self._read_to_end):  # what has come already: nothing of it is left to be overlooked
            return False
        self._done(self._tls.unwrap)
        try:
            while not self._done(self._read_to_end):
                self._receive()
        except ssl.SSLEOFError:
            return False
        return True

    def _read_to_end(self) -> None:
        """:raises SSLError: there was no end, but an alert."""
        with suppress(ssl.SSLZeroReturnError):
            while self._tls.read(4096):
                pass

    def _done(self, step: Callable[[], object]) -> bool:
        """Whether it could be done with what has come."""
        try:
            step()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._flush()
        return True

    def _flush(self) -> None:
        if made := self._outgoing.read():
            self._plain.sendall(made)

    def _receive(self) -> None:
        """:raises SSLEOFError: the other side hung up. OpenSSL would take that for its close."""
        data = self._plain.recv(1 << 16)
        if not data:
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the other side hung up")
        self._incoming.write(data)


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'no agreement'}"
    return "no answer in time" if isinstance(error, TimeoutError) else error.strerror or "no such host"


def frame(xml: bytes, *, at: float, hostname: str, number: int) -> bytes:
    """One SYSLOG-MSG with its length before it.

    :param at: of the event, unix seconds.
    :param number: of the event in the trail: PROCID, so that repeats can be told without reading the XML.
    """
    time = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    head = f"<{_PRIORITY}>1 {time} {hostname} RelayPACS {number} {_MSGID} - "
    message = head.encode() + _BOM + xml
    return str(len(message)).encode() + b" " + message
