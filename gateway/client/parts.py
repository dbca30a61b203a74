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

#: A smaller part would be over before its connection has come up to speed (a fresh one sends 43 KiB in two goes, RFC 6928),
#: and behind each a round trip is waited for its answer. Where there is much, smaller ones at its end save little; and all of
#: one file's can be named in one header.
LEAST_PART_BYTES, LEAST_PART_OF_ALL, LEAST_PART_OF_FILE = 64 * 1024, 1 / 400, 1 / 148
#: Of what is left a part is so much: about as many go at once.
PART_OF_LEFT = 1 / 12


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
        """A part has come as far as this, by one of those who send it."""
        with self._lock:
            if number not in self._locations:
                self._offsets[number] = offset
            gone = sum(self._offsets)
        self._on_offset(gone)

    def is_there(self, number: int) -> bool:
        """Whether somebody has brought this part."""
        with self._lock:
            return number in self._locations

    def arrived(self, number: int, location: str) -> list[str] | None:
        """A part is whole. :returns: where all of them are, in order, if it was the last; empty, if others are missing; None,
        if somebody else has brought it before.
        """
        with self._lock:
            if number in self._locations:
                return None
            self._locations[number] = location
            self._offsets[number] = self.spans[number].size_bytes
            if len(self._locations) < len(self.spans):
                return []
            return [self._locations[one] for one in range(len(self.spans))]


class BroughtByAnother(Exception):
    """A part goes twice, and the other one has brought it or is at it: nothing ends by this one."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one thread sends: a file, or a part of one. `parted`: None: it is the whole file. `again`: by a second one, beside
    the first: a part of its own.
    """

    file: LocalFile
    parted: PartedFile | None = None
    number: int = 0
    again: bool = False

    @property
    def size_bytes(self) -> int:
        """How large it is."""
        return self.file.size_bytes if self.parted is None else self.parted.spans[self.number].size_bytes


def spans_of(size_bytes: int, later_bytes: int, total_bytes: int) -> list[Span]:
    """The parts of a file; one: it goes as a whole. The same for the same numbers, so that a later run goes on with them.

    :param later_bytes: of the files that are sent after it.
    :param total_bytes: of all files that are sent with it, itself too.
    """
    least_bytes = max(LEAST_PART_BYTES, int(total_bytes * LEAST_PART_OF_ALL), int(size_bytes * LEAST_PART_OF_FILE))
    spans: list[Span] = []
    start = 0
    while start < size_bytes:
        left = size_bytes - start
        part = max(least_bytes, int((left + later_bytes) * PART_OF_LEFT))
        if left < part * 3 // 2:  # the last one is none that all wait for
            part = left if left <= part else (left + 1) // 2
        spans.append(Span(start, part))
        start += spans[-1].size_bytes
    return spans or [Span(0, size_bytes)]
