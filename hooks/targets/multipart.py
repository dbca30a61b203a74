"""The only part of a multipart/related answer (RFC 2387), as its bytes pass by. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.message import Message

MAX_HEAD_BYTES = 16 * 1024


class NotOnePart(Exception):
    """The answer isn't multipart with one part, and not a bare application/dicom either."""


def only_part(content_type: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The part's bytes, in pieces.

    :param content_type: of the whole answer; `application/dicom` alone is a body without parts.
    :raises NotOnePart: when the first piece is asked for, or a later one: it didn't end, or another came after it.
    """
    message = Message()
    message["Content-Type"] = content_type
    if message.get_content_type() == "application/dicom":
        yield from pieces
        return
    boundary = message.get_boundary()
    if message.get_content_maintype() != "multipart" or not boundary or not boundary.isascii():
        raise NotOnePart
    yield from _MultipartBody(b"\r\n--" + boundary.encode(), iter(pieces)).only()


class _MultipartBody:
    def __init__(self, delimiter: bytes, pieces: Iterator[bytes]) -> None:
        self._delimiter = delimiter
        self._pieces = pieces
        self._held = b"\r\n"  # the first delimiter may stand without the line break that belongs to it

    def only(self) -> Iterator[bytes]:
        """See `only_part`."""
        self._pass_head()
        while (end := self._held.find(self._delimiter)) < 0:
            # A delimiter may begin in these last bytes.
            keep = len(self._delimiter) - 1
            if len(self._held) > keep:
                yield self._held[:-keep]
                self._held = self._held[-keep:]
            self._more()
        if end:
            yield self._held[:end]
        self._held = self._held[end + len(self._delimiter) :]
        while len(self._held) < 2:
            self._more()
        if not self._held.startswith(b"--"):
            raise NotOnePart

    def _pass_head(self) -> None:
        while True:
            start = self._held.find(self._delimiter)
            end = self._held.find(b"\r\n\r\n", start + len(self._delimiter)) if start >= 0 else -1
            if end >= 0:
                self._held = self._held[end + 4 :]
                return
            if len(self._held) > MAX_HEAD_BYTES:
                raise NotOnePart
            self._more()

    def _more(self) -> None:
        piece = next(self._pieces, b"")
        if not piece:
            raise NotOnePart
        self._held += piece
