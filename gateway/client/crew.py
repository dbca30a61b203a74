"""Threads that send the pieces of one upload, as many at once as help.

Daemon threads: an interrupted user doesn't wait for a gateway that hangs. One that isn't wanted just now rests between two
pieces, and keeps its connection.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.client.parts import BroughtByAnother, Piece
from gateway.client.scan import LeftOut
from gateway.client.width import Width
from gateway.clock import Clock

_PARTING_S = 1.0
#: So many begin at once: what a fresh connection sends in one go (RFC 6928), so many times, fits into the queue of most lines.
_AT_FIRST = 8
#: Pieces for each that works already: where fewer wait, one more would still be connecting when they are gone.
_WORTH_ONE_MORE = 2
_LOOK_EVERY_S = 0.25
#: Of its time a connection may spend with waiting before others fill it; what the last piece says of the next ones.
_MOST_WAITING, _LATELY = 0.4, 0.3
#: Of what connections carry of late: one that carries less is slow, and is so for a while: losses have made its window small.
_SLOW = 0.6
#: After so many round trips the last pieces are late, and so often it is looked.
_LATE_TRIPS, _LEAST_TRIP_S, _LATE_LOOK_S = 3, 0.1, 0.05
#: Of all bytes so many may go twice, and no larger part: that would cost more than to wait for it.
_MOST_TWICE, _MOST_TWICE_BYTES = 1 / 48, 128 * 1024

Reason = LeftOut | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What has gone since the beginning, and how often the gateway had too much to do. `full`, `empty`: the line is, just
    now.
    """

    acknowledged_bytes: int
    refused: int
    full: bool = False
    empty: bool = False


class Crew:
    """It works from when it is entered until it is left.

    :param send: sends one piece; says why its file is left out, if it has to be.
    :param width: says how many work at once.
    :param traffic: what has become of all requests so far.
    :param stop: set when they have to end.
    :param trip_s: a round trip: over so long the first ones begin, and so long each waits for the end of a piece.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        send: Callable[[Piece], Reason],
        width: Width,
        traffic: Callable[[], Traffic],
        stop: threading.Event,
        clock: Clock,
        trip_s: float = 0.0,
    ) -> None:
        self._pieces = pieces
        self._send = send
        self._width = width
        self._traffic = traffic
        self._stop = stop
        self._clock = clock
        self._trip_s = trip_s
        self._turn = threading.Condition()
        self._waiting = deque(range(len(pieces)))  # by number, like all that follows
        self._all_bytes = sum(piece.size_bytes for piece in pieces)
        self._began_s: dict[int, float] = {}  # those that are under way
        self._twice: set[int] = set()
        self._ended: set[int] = set()
        self._busy = 0
        self._empty = False
        self._threads: list[threading.Thread] = []
        self._outcomes: queue.SimpleQueue[tuple[Piece, Reason] | Exception] = queue.SimpleQueue()
        self._look_at_s = 0.0
        self._took_s = self._each_bps = (
            0.0  # what a piece took of late, and a connection carried; 0: none has ended yet
        )

    def __enter__(self) -> Iterator[tuple[Piece, Reason]]:
        """Each piece once it has ended; the first fault ends it."""
        self._man()
        return self._each()

    def __exit__(self, *_fault: object) -> None:
        with self._turn:
            self._stop.set()
            self._turn.notify_all()
        until = self._clock.monotonic() + (_PARTING_S if len(self._ended) < len(self._pieces) else 0.0)
        for thread in self._threads:
            thread.join(max(0.0, until - self._clock.monotonic()))

    def _each(self) -> Iterator[tuple[Piece, Reason]]:
        for _ in self._pieces:
            while (outcome := self._outcome()) is None:
                pass
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome

    def _outcome(self) -> tuple[Piece, Reason] | Exception | None:
        self._look()
        try:
            return self._outcomes.get(timeout=_LOOK_EVERY_S)
        except queue.Empty:
            return None

    def _look(self) -> None:
        """How many there are to be, by what the line carries."""
        now_s = self._clock.monotonic()
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_EVERY_S
        seen = self._traffic()
        with self._turn:
            self._empty = seen.empty
            busy = min(self._busy, self._width.count)
            self._width.sampled(now_s, seen.acknowledged_bytes, busy, seen.refused, full=seen.full)
            self._turn.notify_all()
        self._man()

    def _man(self) -> None:
        """A thread for each that may be busy at once."""
        with self._turn:
            missing = min(self._most(), self._busy + len(self._waiting)) - len(self._threads)
            if self._threads and len(self._waiting) < _WORTH_ONE_MORE * len(self._threads):
                return
        later = max(1, missing - _AT_FIRST)
        for number in range(missing):
            after_s = max(0, number + 1 - _AT_FIRST) / later * self._trip_s
            thread = threading.Thread(
                target=self._work, args=(after_s,), name=f"send-{len(self._threads)}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _most(self) -> int:
        """As many as help, and some for those that wait for their piece's end: of small pieces that is much of the time."""
        count = self._width.count
        if self._took_s <= self._trip_s:
            return count
        waiting = min(_MOST_WAITING, self._trip_s / self._took_s)
        return max(count, min(self._width.most, round(count / (1 - waiting))))

    def _work(self, after_s: float) -> None:
        self._stop.wait(after_s)
        own_bps = 0.0
        number = self._next(own_bps)
        while number is not None:
            piece = self._pieces[number]
            with self._turn:
                again = number in self._twice
            began_s = self._clock.monotonic()
            outcome: tuple[Piece, Reason] | Exception | None
            try:
                outcome = piece, self._send(replace(piece, again=again))
            except BroughtByAnother:
                outcome = None
            except Exception as fault:  # noqa: BLE001  a thread's edge: the run's own thread raises it again
                outcome = fault
            took_s = self._clock.monotonic() - began_s
            own_bps = piece.size_bytes / max(took_s, 0.001)
            self._end(number, outcome, took_s, own_bps)
            number = self._next(own_bps, after=True)

    def _end(
        self, number: int, outcome: tuple[Piece, Reason] | Exception | None, took_s: float, carried_bps: float
    ) -> None:
        """A thread has done with it; None: another one ends it."""
        with self._turn:
            self._took_s += (took_s - self._took_s) * (_LATELY if self._took_s else 1.0)
            self._each_bps += (carried_bps - self._each_bps) * (_LATELY if self._each_bps else 1.0)
            if outcome is None or number in self._ended:
                return
            self._ended.add(number)
            self._began_s.pop(number, None)
            self._turn.notify_all()
        self._outcomes.put(outcome)

    def _next(self, own_bps: float, *, after: bool = False) -> int | None:
        """The next piece, once one more may be busy; where none waits, one that is late; None: it has to end.

        :param after: its thread has been busy until now: whoever counts them in between sees no fewer.
        :param own_bps: what its thread's connection has carried of late; 0: not known. A slow one gets a small piece.
        """
        with self._turn:
            self._busy -= after
            while not self._stop.is_set() and len(self._ended) < len(self._pieces):
                number: int | None = None
                if self._waiting:
                    if self._busy < self._most():
                        is_slow = 0 < own_bps < _SLOW * self._each_bps
                        number = self._waiting.pop() if is_slow else self._waiting.popleft()
                        self._began_s[number] = self._clock.monotonic()
                elif (number := self._late()) is not None:
                    self._twice.add(number)
                if number is not None:
                    self._busy += 1
                    return number
                self._turn.wait(None if self._waiting else _LATE_LOOK_S)
            return None

    def _late(self) -> int | None:
        """A part that has been under way for long while the line has room for it twice: its connection mends a loss. The last
        ones would keep a whole study waiting for that.
        """
        if not self._empty or self._width.is_pinned:
            return None
        before_s = self._clock.monotonic() - _LATE_TRIPS * max(self._trip_s, _LEAST_TRIP_S)
        spare_bytes = self._all_bytes * _MOST_TWICE - sum(self._pieces[number].size_bytes for number in self._twice)
        late = [
            number
            for number, began_s in self._began_s.items()
            if began_s < before_s
            and number not in self._twice
            and (parted := self._pieces[number].parted) is not None
            and not parted.is_there(self._pieces[number].number)  # it is being joined
            and self._pieces[number].size_bytes <= min(_MOST_TWICE_BYTES, spare_bytes)
        ]
        return min(late, key=lambda number: self._began_s[number], default=None)
