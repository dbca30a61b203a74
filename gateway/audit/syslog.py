"""Audit messages over syslog-TLS: RFC 5424 messages in RFC 5425 frames, as DICOM PS3.15 A.6 and IHE ATNA (ITI-20) want it.

Syslog has no acknowledgement. A batch has a connection of its own, which is closed by both sides of TLS: the receiver's
answer to our close_notify comes after everything before it was read. Blocking.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
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
            with (
                socket.create_connection((self.host, self.port), self.timeout_s) as plain,
                self._context().wrap_socket(plain, server_hostname=self.host) as line,
            ):
                line.sendall(b"".join(messages))
                return _closes_with_us(line)
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


def _closes_with_us(line: ssl.SSLSocket) -> bool:
    """Close our side, and wait for the other's. False: it hung up. :raises OSError: it did neither."""
    try:
        line.unwrap()
    except ssl.SSLEOFError:
        return False
    return True


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
