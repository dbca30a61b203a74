"""Digest of the only part of a multipart/related answer (RFC 2387), as its bytes pass by. Pure."""

from __future__ import annotations

from email.message import Message
from typing import Protocol

MAX_HEAD_BYTES = 16 * 1024


class NotOnePart(Exception):
    """The answer isn't multipart with one part, and not a bare application/dicom either."""


class Hasher(Protocol):
    """What hashlib's objects do."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """The digest of all bytes taken."""


class DigestOfOnlyPart:
    """Takes a body in pieces of any size.

    :param content_type: of the whole answer; `application/dicom` alone is a body without parts.
    :raises NotOnePart: at once, or in `take` or `hexdigest`.
    """

    def __init__(self, content_type: str, digest: Hasher) -> None:
        message = Message()
        message["Content-Type"] = content_type
        self._digest = digest
        self._held = b""
        self._state = "head"
        self._delimiter = b""
        if message.get_content_type() == "application/dicom":
            self._state = "bare"
            return
        boundary = message.get_boundary()
        if message.get_content_maintype() != "multipart" or not boundary or not boundary.isascii():
            raise NotOnePart
        self._delimiter = b"\r\n--" + boundary.encode()
        self._held = b"\r\n"  # the first delimiter may stand without the line break that belongs to it

    def take(self, piece: bytes) -> None:
        """The next bytes of the body."""
        if self._state == "bare":
            self._digest.update(piece)
            return
        self._held += piece
        if self._state == "head":
            self._find_end_of_head()
        if self._state == "part":
            self._pass_on()
        elif self._state == "tail":
            self._look_for_another()

    def hexdigest(self) -> str:
        """Of the part. :raises NotOnePart: it didn't end, or another came after it."""
        if self._state != "bare" and not (self._state == "tail" and self._held.startswith(b"--")):
            raise NotOnePart
        return self._digest.hexdigest()

    def _find_end_of_head(self) -> None:
        start = self._held.find(self._delimiter)
        end = self._held.find(b"\r\n\r\n", start + len(self._delimiter)) if start >= 0 else -1
        if end >= 0:
            self._held = self._held[end + 4 :]
            self._state = "part"
        elif len(self._held) > MAX_HEAD_BYTES:
            raise NotOnePart

    def _pass_on(self) -> None:
        end = self._held.find(self._delimiter)
        if end >= 0:
            self._digest.update(self._held[:end])
            self._held = self._held[end + len(self._delimiter) :]
            self._state = "tail"
            self._look_for_another()
            return
        # A delimiter may begin in these last bytes.
        keep = len(self._delimiter) - 1
        self._digest.update(self._held[:-keep])
        self._held = self._held[-keep:]

    def _look_for_another(self) -> None:
        self._held = self._held[:MAX_HEAD_BYTES]
        if len(self._held) >= 2 and not self._held.startswith(b"--"):
            raise NotOnePart
