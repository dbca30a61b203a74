"""Threads that send the pieces of one upload, as many at once as help.

Daemon threads: an interrupted user doesn't wait for a gateway that hangs. One that isn't wanted just now rests between two
pieces, and keeps its connection.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gateway.client.parts import Piece
from gateway.client.scan import LeftOut
from gateway.client.width import Width
from gateway.clock import Clock

_PARTING_S = 1.0
_LOOK_EVERY_S = 0.25

Reason = LeftOut | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What has gone since the beginning, and how often the gateway had too much to do. `full`: the line is, just now."""

    acknowledged_bytes: int
    refused: int
    full: bool = False


class Crew:
    """It works from when it is entered until it is left.

    :param send: sends one piece; says why its file is left out, if it has to be.
    :param width: says how many work at once.
    :param traffic: what has become of all requests so far.
    :param stop: set when it has to end; clear again once nobody works any more.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        send: Callable[[Piece], Reason],
        width: Width,
        traffic: Callable[[], Traffic],
        stop: threading.Event,
        clock: Clock,
    ) -> None:
        self._send = send
        self._width = width
        self._traffic = traffic
        self._stop = stop
        self._clock = clock
        self._turn = threading.Condition()
        self._left = len(pieces)
        self._waiting = deque(pieces)
        self._busy = 0
        self._threads: list[threading.Thread] = []
        self._ended: queue.SimpleQueue[tuple[Piece, Reason] | Exception] = queue.SimpleQueue()
        self._look_at_s = 0.0

    def __enter__(self) -> Iterator[tuple[Piece, Reason]]:
        """Each piece once it has ended; the first fault ends it."""
        self._man()
        return self._outcomes()

    def __exit__(self, *_fault: object) -> None:
        with self._turn:
            self._stop.set()
            self._turn.notify_all()
        until = self._clock.monotonic() + _PARTING_S
        for thread in self._threads:
            thread.join(max(0.0, until - self._clock.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            self._stop.clear()

    def _outcomes(self) -> Iterator[tuple[Piece, Reason]]:
        while self._left:
            self._look()
            try:
                ended = self._ended.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                continue
            if isinstance(ended, Exception):
                raise ended
            self._left -= 1
            yield ended

    def _look(self) -> None:
        """How many there are to be, by what the line carries."""
        now_s = self._clock.monotonic()
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_EVERY_S
        seen = self._traffic()
        with self._turn:
            self._width.sampled(now_s, seen.acknowledged_bytes, self._busy, seen.refused, full=seen.full)
            self._turn.notify_all()
        self._man()

    def _man(self) -> None:
        """A thread for each that may be busy at once."""
        with self._turn:
            missing = min(self._width.count, self._busy + len(self._waiting)) - len(self._threads)
        for _ in range(missing):
            thread = threading.Thread(target=self._work, name=f"send-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        piece = self._next()
        while piece is not None:
            try:
                self._ended.put((piece, self._send(piece)))
            except Exception as fault:  # noqa: BLE001  a thread's edge: the run's own thread raises it again
                self._ended.put(fault)
            piece = self._next(after=piece)

    def _next(self, after: Piece | None = None) -> Piece | None:
        """The next piece, once one more may be busy; None: there is none, or it has to end."""
        with self._turn:
            if after is not None:
                self._busy -= 1
            while self._waiting and self._busy >= self._width.count and not self._stop.is_set():
                self._turn.wait()
            if self._stop.is_set() or not self._waiting:
                self._turn.notify_all()  # those that rest have nothing to wait for, either
                return None
            self._busy += 1
            return self._waiting.popleft()
