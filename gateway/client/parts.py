"""How a large file is parted, so that it goes over several connections at once, and what has become of its parts.

One connection carries only what its losses allow. A study of many files fills its line by them; where there are few, it is
filled by their parts (tus Concatenation), to the end: a file that is left alone with one connection takes its time. Knows no HTTP.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.client.scan import LocalFile

#: A smaller part would be over before its connection has come up to speed.
LEAST_PART_BYTES = 128 * 1024
#: Of all that is sent together: enough for as many connections as there may be, and some rounds more, so that at the end none
#: is left alone with much. All of one file's have to be named in one header.
MOST_PARTS = 48


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


def spans_of(size_bytes: int, total_bytes: int) -> list[Span]:
    """The parts of a file; one: it goes as a whole. The same for the same numbers, so that a later run goes on with them.

    :param total_bytes: of all files that are sent with it: the file has parts as it has bytes.
    """
    count = max(1, min(size_bytes // LEAST_PART_BYTES, MOST_PARTS * size_bytes // max(1, total_bytes)))
    edges = [size_bytes * number // count for number in range(count + 1)]
    return [Span(start, end - start) for start, end in itertools.pairwise(edges)]
