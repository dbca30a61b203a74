"""How files are parted, so that they go over several connections at once, and what has become of a file's parts.

One connection carries only what its losses allow. A study of many files fills its line by them; where there are few, it is
filled by their parts (tus Concatenation). What comes late in a study has smaller parts than what comes early, so that at the
end none is left alone with much, and at the beginning no connection waits for many answers. Knows no HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.client.scan import LocalFile

#: A smaller part would be over before its connection has come up to speed; of much there are larger ones, so that all of one
#: file's can be named in one header.
LEAST_PART_BYTES, LEAST_PART_OF_ALL = 64 * 1024, 1 / 148
#: Of what is left a part is so much: about as many go at once.
PART_OF_LEFT = 1 / 16


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a file."""

    start: int
    size_bytes: int


class PartedFile:
    """A file as several parts. For all threads.

    :param on_offset: is told how many bytes of the whole file have gone.
    """

    def __init__(self, file: LocalFile, spans: Sequence[Span], on_offset: Callable[[int], None]) -> None:
        self.file = file
        self.spans = spans
        self.left_out = False  #: it can't be sent: none of its parts need be any more
        self._on_offset = on_offset
        self._lock = threading.Lock()
        self._offsets = [0] * len(spans)
        self._locations: dict[int, str] = {}

    def leave_out(self) -> bool:
        """It can't be sent. :returns: whether nobody has said so before."""
        with self._lock:
            first = not self.left_out
            self.left_out = True
        return first

    def at(self, number: int, offset: int) -> None:
        """A part has come as far as this."""
        with self._lock:
            self._offsets[number] = offset
            gone = sum(self._offsets)
        self._on_offset(gone)

    def arrived(self, number: int, location: str) -> list[str] | None:
        """A part is whole. :returns: where all of them are, in order, if it was the last."""
        with self._lock:
            self._locations[number] = location
            if len(self._locations) < len(self.spans):
                return None
            return [self._locations[one] for one in range(len(self.spans))]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one thread sends: a file, or a part of one. `parted`: None: it is the whole file."""

    file: LocalFile
    parted: PartedFile | None = None
    number: int = 0


def spans_of(size_bytes: int, later_bytes: int, total_bytes: int) -> list[Span]:
    """The parts of a file; one: it goes as a whole. The same for the same numbers, so that a later run goes on with them.

    :param later_bytes: of the files that are sent after it.
    :param total_bytes: of all files that are sent with it, itself too.
    """
    least_bytes = max(LEAST_PART_BYTES, int(total_bytes * LEAST_PART_OF_ALL))
    spans: list[Span] = []
    start = 0
    while start < size_bytes:
        left = size_bytes - start
        part = max(least_bytes, int((left + later_bytes) * PART_OF_LEFT))
        spans.append(Span(start, left if left < part * 3 // 2 else part))
        start += spans[-1].size_bytes
    return spans or [Span(0, size_bytes)]
