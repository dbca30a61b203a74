"""What stores the next bytes of files, kept between their requests."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from gateway.spool import SegmentWriter, SharedWriter

#: What stores the bytes of a file.
Writer = SegmentWriter | SharedWriter


@dataclass(slots=True)
class Tail:
    """What stores the next bytes of a file, and the run that its last ones belong to."""

    writer: Writer
    run_id: int = 0  #: 0: no row yet
    sealed_bytes: int = 0  #: of that run, as its row has them


#: Segments of one file each that stay open between requests.
OPEN_SEGMENTS = 64


class Tails:
    """Writers kept between requests, the least recently used closed first. A closed segment never grows again."""

    def __init__(self, limit: int = 4096, segments: int = OPEN_SEGMENTS) -> None:
        self._limit = limit
        self._segments = segments
        self._open: OrderedDict[str, Tail] = OrderedDict()
        self._with_segment: OrderedDict[str, None] = OrderedDict()  #: those of `_open` that hold one open

    def knows(self, place: str) -> bool:
        """This process wrote the last bytes there, and they were synced."""
        return place in self._open

    def unused(self, place: str) -> bool:
        """A segment waits there that no byte was committed of."""
        return (tail := self._open.get(place)) is not None and tail.run_id == 0

    def take(self, place: str) -> Tail | None:
        """Take a tail out; whoever took it puts it back or closes it."""
        self._with_segment.pop(place, None)
        return self._open.pop(place, None)

    def put(self, place: str, tail: Tail) -> None:
        """Keep a tail for the next request."""
        self._open[place] = tail
        if isinstance(tail.writer, SegmentWriter):
            self._with_segment[place] = None
        if len(self._with_segment) > self._segments:
            self.close(next(iter(self._with_segment)))
        while len(self._open) > self._limit:
            self.close(next(iter(self._open)))

    def close(self, place: str) -> None:
        """No more bytes will come here."""
        if (tail := self.take(place)) is not None:
            tail.writer.close()

    def close_all(self) -> None:
        """At the end of the process."""
        while self._open:
            self.close(next(iter(self._open)))
