"""How many requests are under way at once: as many as help.

One connection carries what its losses allow, several carry more, until the line is full. So now and then a larger number is
tried, and a smaller one. More is kept if it brings nearly half of what it would if every connection carried the same, fewer
if it takes less than that: so the line is shared by two senders, because who has more of it gains less by a connection, and
loses less without it.

Pure: samples in, a number out; `tests/vectors/widths.json` holds it to the rule.
"""

from __future__ import annotations

import math
from collections import deque

#: Of what a change of the number would bring, or take, if every connection carried the same.
WORTH_OF_MORE, WORTH_OF_FEWER = 0.45, 0.4
#: After a change: new connections have to be made, and come up to speed.
SETTLE_S = 1.0
#: What is carried in so long decides for more; what isn't by the end of the trial, against it.
LOOK_S, TRIAL_S = 1.5, 5.0
#: What is carried in so long decides for fewer: what seems to be no loss for a moment may be one. So does what is known of
#: a number that is kept.
LONG_LOOK_S = 4.0
#: Between trials; longer each time when they come to nothing. More costs nothing to try, fewer does.
FIRST_REST_S, LONGEST_REST_S, LONGEST_REST_OF_FEWER_S = 3.0, 6.0, 30.0
#: Nothing came for so long: the line was away, and what was seen before says nothing.
SILENT_S = 2.0
#: A line that carries so much more, or less, than before is another one.
CHANGE = 1.35
#: Of the number: what is tried beyond it at first is all of it, and less each time when that comes to nothing. On a line that
#: is full it is little: more of them can only take from others there, and what overflows is sent in vain.
LEAST_STEP, STEP_WHEN_FULL = 0.125, 0.25
#: After the gateway has said that it has too much to do.
SPARE_S = 10.0
#: What a cut costs: of each connection what is under way, and no more than the line carries in so long.
CUT_BYTES, CUT_S = 16 * 1024, 4.0


class Width:
    """The number for one line to one gateway.

    :param least, most: it stays between them; where they are one, it is pinned.
    :param first: what was right for this gateway when it was last asked.
    """

    def __init__(self, least: int, most: int, first: int) -> None:
        self._least = least
        self.most = most
        self.kept = min(most, max(least, first))  #: what has proved right
        self.count = self.kept  #: how many there are to be now
        self._rate = 0.0  # bytes per second that `kept` carries; 0: not known yet
        self._step = 1.0  # of `kept`: what is tried next beyond it
        self._rest_s = self._rest_of_fewer_s = FIRST_REST_S
        self._more_at_s = self._fewer_at_s = 0.0
        self._busy = 0
        self._refused = 0
        self._full: bool | None = None
        self._spare_until_s = -math.inf
        self._moved_s = 0.0
        self._began_s = 0.0
        self._seen: deque[tuple[float, int]] = deque()  # since it has settled: seconds, acknowledged bytes

    @property
    def is_pinned(self) -> bool:
        """The user has said how many."""
        return self._least == self.most

    def sampled(
        self, at_s: float, acknowledged_bytes: int, busy: int, refused: int, *, full: bool | None = None
    ) -> int:
        """What is seen a few times a second.

        :param at_s: of a clock that only goes forward.
        :param acknowledged_bytes: by the other end, since the beginning.
        :param busy: how many requests are under way.
        :param refused: how often the gateway has said 429 or 503 since the beginning.
        :param full: packets wait for each other on the line; None: TCP doesn't tell (the app's never does).
        :returns: `count`.
        """
        self._full = full
        if refused > self._refused:
            self._spare(at_s)
        self._refused = refused
        if self._flows(at_s, acknowledged_bytes, busy):
            self._decide(at_s)
        return self.count

    def _spare(self, at_s: float) -> None:
        """One fewer, but not for each of many that were refused in one moment."""
        if at_s < self._spare_until_s - SPARE_S + SETTLE_S:
            return
        self._spare_until_s = at_s + SPARE_S
        self._keep(max(self._least, min(self.kept, self.count) - 1))
        self._rate = self._step = 0.0

    def _flows(self, at_s: float, acknowledged_bytes: int, busy: int) -> bool:
        """Whether what has been seen since the last change says something."""
        last = self._seen[-1][1] if self._seen else -1
        if busy != self._busy or not self._seen:
            self._busy = busy
            self._moved_s = at_s
            self._begin(at_s, acknowledged_bytes)
            return False
        if acknowledged_bytes > last:
            if at_s - self._moved_s > SILENT_S:
                self._begin(at_s, acknowledged_bytes)
            self._moved_s = at_s
        self._seen.append((at_s, acknowledged_bytes))
        while self._seen[1][0] <= at_s - TRIAL_S:
            self._seen.popleft()
        return at_s - self._moved_s <= SILENT_S

    def _begin(self, at_s: float, acknowledged_bytes: int) -> None:
        self._began_s = at_s
        self._seen.clear()
        self._seen.append((at_s, acknowledged_bytes))

    def _carried(self, at_s: float, span_s: float) -> float | None:
        """Bytes per second in the last `span_s`; None: it isn't so long ago that it settled."""
        since_s = at_s - span_s
        if since_s < self._began_s + SETTLE_S:
            return None
        then_s, before = next(one for one in reversed(self._seen) if one[0] <= since_s)
        return (self._seen[-1][1] - before) / (at_s - then_s)

    def _decide(self, at_s: float) -> None:
        if self._busy == self.kept:
            self._at_rest(at_s)
        elif self.kept < self._busy <= self.count:
            self._of_more(at_s)
        elif self._busy == self.count < self.kept:
            self._of_fewer(at_s)
        # else there is less to do than could be done, or what ends has not ended yet

    def _at_rest(self, at_s: float) -> None:
        now = self._carried(at_s, LOOK_S)
        if now is None:
            return
        if not self._rate / CHANGE <= now <= self._rate * CHANGE:
            if self._rate:
                self._found(at_s, 1.0)
            self._rate = now
            self._try_more(at_s)
            return
        rate = self._carried(at_s, LONG_LOOK_S)
        if rate is None:
            return
        self._rate = rate
        if at_s >= self._fewer_at_s and self.kept > self._least:
            self.count = max(self._least, self.kept - max(1, self.kept // 4))
        elif at_s >= self._more_at_s:
            self._try_more(at_s)

    def _try_more(self, at_s: float) -> None:
        most = min(self.most, max(self._least, int(self._rate * CUT_S / CUT_BYTES)))
        if most < self.kept:
            self._keep(most)
            self._rate = 0.0
        elif at_s >= self._spare_until_s:
            step = min(self._step, STEP_WHEN_FULL) if self._full else self._step
            self.count = min(most, self.kept + max(1, math.floor(self.kept * step)))

    def _of_more(self, at_s: float) -> None:
        now = self._carried(at_s, LOOK_S)
        if now is None or self._rate == 0.0:
            return
        growth = now / self._rate
        if growth >= 1 + (self._busy / self.kept - 1) * WORTH_OF_MORE:
            self._keep(self._busy)
            self._rate = now
            self._found(at_s, min(1.0, 2 * max(LEAST_STEP, self._step)))
            self._try_more(at_s)
        elif self._full or at_s - self._began_s >= TRIAL_S:
            enough = math.ceil(self.kept * growth)
            if self.kept < enough < self._busy and growth > 1.1:
                self.count = enough
            else:
                self._step = max(LEAST_STEP, self._step / 2)
                self._rest_s = min(LONGEST_REST_S, self._rest_s * 1.5)
                self._more_at_s = at_s + self._rest_s
                self.count = self.kept

    def _of_fewer(self, at_s: float) -> None:
        soon, now = self._carried(at_s, LOOK_S), self._carried(at_s, LONG_LOOK_S)
        part = self._busy / self.kept
        if soon is None or self._rate == 0.0:
            return
        if self._full is not False and now is not None and now >= self._rate * (1 - (1 - part) * WORTH_OF_FEWER):
            self._keep(self._busy)
            self._rate = now
            self._found(at_s, self._step)
            self._more_at_s = at_s + self._rest_s
        elif self._full is False or now is not None or soon < self._rate * part:
            self._rest_of_fewer_s = min(LONGEST_REST_OF_FEWER_S, self._rest_of_fewer_s * 2)
            self._fewer_at_s = at_s + self._rest_of_fewer_s
            self.count = self.kept

    def _found(self, at_s: float, step: float) -> None:
        """It is another line, or another number: all may be tried anew."""
        self._step = step
        self._rest_s = self._rest_of_fewer_s = FIRST_REST_S
        self._more_at_s = at_s
        self._fewer_at_s = at_s + FIRST_REST_S

    def _keep(self, count: int) -> None:
        self.kept = count
        self.count = count
