"""One circuit breaker for each endpoint: a PACS that is down is one event and one question at a time.

A PACS that answers queries and stores nothing (a full disk, an account without the right to) does not work: what
failed at storing is mended by a success at storing.

Pure but for the clock it is given. Used from the event loop only.
"""

from __future__ import annotations

from enum import Enum, auto

from gateway.clock import Clock
from gateway.jobs.backoff import Backoff

#: A question on behalf of all that got no result after so long was lost with its job.
PROBE_LOST_AFTER_S = 120.0
#: How long others wait while one asks.
PROBE_WAIT_S = 1.0


class Condition(Enum):
    """How an endpoint is."""

    UP = auto()
    DOWN = auto()  #: it doesn't answer: asked again with back-off
    MISCONFIGURED = auto()  #: it refuses us as such: asked again every now and then, until a person mended it


class Breaker:
    """Counts failures; says who may ask.

    :param threshold: failures in a row after which the endpoint counts as down.
    :param probe_s: how often a misconfigured endpoint is asked.
    """

    def __init__(self, clock: Clock, backoff: Backoff, *, threshold: int = 3, probe_s: float = 60.0) -> None:
        self._clock = clock
        self._backoff = backoff
        self._threshold = threshold
        self._probe_s = probe_s
        self._failures = 0
        self._closed_until = 0.0
        self._probing_since: float | None = None
        self._stores_nothing = False
        self.condition = Condition.UP
        self.code = ""  #: why it is not up
        self.recoveries = 0  #: how often it came up again

    def wait_s(self) -> float:
        """0: go on and tell how it went; else how long to wait before asking again."""
        if self.condition is Condition.UP:
            return 0.0
        now = self._clock.monotonic()
        if now < self._closed_until:
            return self._closed_until - now
        if self._probing_since is not None and now - self._probing_since < PROBE_LOST_AFTER_S:
            return PROBE_WAIT_S
        self._probing_since = now
        return 0.0

    def answered(self, *, storing: bool = True) -> bool:
        """It answered sensibly. True: it did not before."""
        if self._stores_nothing and not storing:
            return False
        recovered = self.condition is not Condition.UP
        self.recoveries += recovered
        self._stores_nothing = False
        self.condition, self.code = Condition.UP, ""
        self._failures = 0
        self._probing_since = None
        return recovered

    def failed(self, code: str, retry_after_s: float | None = None, *, storing: bool = False) -> bool:
        """It didn't. True: from now on it counts as down."""
        self._failures += 1
        self._stores_nothing = storing
        self._probing_since = None
        self._closed_until = self._clock.monotonic() + self._backoff.wait_s(self._failures, retry_after_s)
        if self.condition is Condition.DOWN or self._failures < self._threshold:
            return False
        self.condition, self.code = Condition.DOWN, code
        return True

    def refused(self, code: str, *, storing: bool = False) -> bool:
        """It refuses us as such. True: it did not before."""
        self._stores_nothing = storing
        first = self.condition is not Condition.MISCONFIGURED
        self._probing_since = None
        self._closed_until = self._clock.monotonic() + self._probe_s
        self.condition, self.code = Condition.MISCONFIGURED, code
        return first

    def withdrew(self) -> None:
        """Who was to ask did not: somebody else may."""
        self._probing_since = None
