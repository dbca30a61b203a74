"""How long and how often to try again. Knows time and chance; must not know HTTP."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from gateway.client.errors import GaveUp, TryAgain, UserStopped
from gateway.clock import Clock

T = TypeVar("T")

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
#: While nobody answers: the first byte after an outage is to come soon after it, unless it has lasted for long.
_SILENT_PAUSE_S, _SILENT_FOR_S = 1.0, 300.0
_FIRST_WORD_S = 5.0
_NEXT_WORD_S = 60.0


class RetryPolicy:
    """Shared by all threads of a run: while bytes move anywhere, nobody gives up.

    :param limit_s: how long nothing may move.
    :param stop: set when the user wants out; pauses end at once.
    :param tell: is told now and then what is waited for.
    """

    def __init__(
        self,
        limit_s: float,
        clock: Clock,
        stop: threading.Event,
        chance: Callable[[], float] = random.random,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._chance = chance
        self._tell = tell
        self._moved_at = clock.monotonic()
        self._tell_at = self._moved_at + _FIRST_WORD_S
        self._telling = threading.Lock()
        self.stop = stop

    def moved(self) -> None:
        """Something was achieved."""
        self._moved_at = self._clock.monotonic()
        self._tell_at = self._moved_at + _FIRST_WORD_S

    def check(self) -> None:
        """:raises UserStopped: the user wants out."""
        if self.stop.is_set():
            raise UserStopped("stopped")

    def persist(self, attempt: Callable[[], T]) -> T:
        """Do it, again and again while it raises `TryAgain`.

        :raises GaveUp: nothing moved for too long.
        :raises UserStopped: the user wants out.
        """
        tries = 0
        while True:
            self.check()
            try:
                result = attempt()
            except TryAgain as trouble:
                self.pause(trouble, tries)
                tries += 1
            else:
                self.moved()
                return result

    def pause(self, trouble: TryAgain, tries: int) -> None:
        """Wait before the next attempt, longer each time, each waiter a little differently.

        :raises GaveUp: patience is at its end.
        :raises UserStopped: the user wants out.
        """
        now = self._clock.monotonic()
        with self._telling:
            if now >= self._tell_at:
                self._tell_at = now + _NEXT_WORD_S
                self._tell(f"waiting: {trouble.why}")
        left_s = self._moved_at + self._limit_s - now
        if left_s <= 0:
            raise GaveUp(f"{trouble.why}, and nothing moved for {self._limit_s:.0f} s: run it again later, it goes on")
        soon = trouble.silent and now < self._moved_at + _SILENT_FOR_S
        longest_s = _SILENT_PAUSE_S if soon else _LONGEST_PAUSE_S
        own_s = min(longest_s, _FIRST_PAUSE_S * 2 ** min(tries, 10)) * (0.5 + self._chance() / 2)
        wanted_s = own_s if trouble.after_s is None else max(own_s, trouble.after_s)
        if self.stop.wait(min(wanted_s, left_s)):
            raise UserStopped("stopped")
