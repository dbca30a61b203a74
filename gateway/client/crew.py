"""Threads that send the pieces of one upload, several at once.

Daemon threads: an interrupted user doesn't wait for a gateway that hangs.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence

from gateway.client.parts import Piece
from gateway.client.scan import LeftOut
from gateway.clock import Clock

_PARTING_S = 1.0

Reason = LeftOut | None


class Crew:
    """It works from when it is entered until it is left.

    :param send: sends one piece; says why its file is left out, if it has to be.
    :param stop: set when it has to end; clear again once nobody works any more.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        send: Callable[[Piece], Reason],
        at_once: int,
        stop: threading.Event,
        clock: Clock,
    ) -> None:
        self._pieces = pieces
        self._send = send
        self._stop = stop
        self._clock = clock
        self._waiting: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[tuple[Piece, Reason] | Exception] = queue.SimpleQueue()
        for piece in pieces:
            self._waiting.put(piece)
        count = min(at_once, len(pieces))
        self._threads = [
            threading.Thread(target=self._work, name=f"send-{number}", daemon=True) for number in range(count)
        ]

    def __enter__(self) -> Iterator[tuple[Piece, Reason]]:
        """Each piece once it has ended; the first fault ends it."""
        for thread in self._threads:
            thread.start()
        return self._outcomes()

    def __exit__(self, *_fault: object) -> None:
        self._stop.set()
        until = self._clock.monotonic() + _PARTING_S
        for thread in self._threads:
            thread.join(max(0.0, until - self._clock.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            self._stop.clear()

    def _outcomes(self) -> Iterator[tuple[Piece, Reason]]:
        for _ in self._pieces:
            ended = self._ended.get()
            if isinstance(ended, Exception):
                raise ended
            yield ended

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                piece = self._waiting.get_nowait()
            except queue.Empty:
                return
            try:
                self._ended.put((piece, self._send(piece)))
            except Exception as fault:  # noqa: BLE001  a thread's edge: the run's own thread raises it again
                self._ended.put(fault)
