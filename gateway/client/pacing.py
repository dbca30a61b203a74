"""How fast each connection may send, once the line is known to be full.

TCP finds out what a line carries by sending more and more until packets are lost, each connection for itself, and again after
each of the line's returns. Many that do so at once fill the line's queue and as much again is lost. So what all of them carry
is measured, and none may send much more than its part of that (SO_MAX_PACING_RATE, which Linux has since 4.13 wherever TCP is).
It never holds a connection below what it gets; while nothing waits in the queue more and more is allowed.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections import deque
from collections.abc import Mapping

from gateway.client.wires import WireState, are_queued

#: <asm-generic/socket.h>; the module `socket` doesn't have it.
_SO_MAX_PACING_RATE = 47
_UNLIMITED = 0xFFFFFFFF
#: Of what the line carries: what may be sent into it.
ROOM = 1.25
#: While the queue stays empty for so long, more may be sent after each span.
EMPTY_S, GROWTH, GROW_EVERY_S = 0.5, 1.5, 0.25
#: What is carried is looked at over so long; at first over less, before the queue overflows, but over a round trip: bytes are
#: acknowledged by the flight.
SPAN_S, FIRST_SPAN_S = 1.0, 0.15
#: Of what it carried, what is believed a second later while it carries less: a loss that is mended looks like that.
_FADING = 0.8
_SILENT_S = 0.5


class Pacing:
    """For the connections of one line."""

    def __init__(self) -> None:
        self.each_bps = 0  #: bytes per second that each may send; 0: as fast as it will
        self._carried_bps = 0.0
        self._boost = 1.0
        self._full_at_s = self._grown_at_s = self._moved_at_s = 0.0
        self._seen: deque[tuple[float, int]] = deque()

    def looked(self, at_s: float, acknowledged_bytes: int, states: Mapping[socket.socket, WireState]) -> None:
        """What is seen several times a second; holds the connections to it."""
        owed = [one for one in states.values() if one.is_owed]
        if not owed:
            return
        if self._seen and acknowledged_bytes > self._seen[-1][1]:
            if at_s - self._moved_at_s > _SILENT_S:  # it was away: what was known of it is still the best guess
                self._seen.clear()
                self._boost, self._full_at_s = 1.0, at_s
            self._moved_at_s = at_s
        self._seen.append((at_s, acknowledged_bytes))
        while len(self._seen) > 1 and self._seen[1][0] <= at_s - SPAN_S:
            self._seen.popleft()
        if at_s - self._moved_at_s <= _SILENT_S:
            trip_s = min(one.least_round_trip_s for one in owed)
            self._decide(at_s, trip_s, queued=are_queued(states.values()), count=len(owed))
        for wire in states:
            hold(wire, self.each_bps)

    def _decide(self, at_s: float, trip_s: float, *, queued: bool, count: int) -> None:
        if not (queued or self._carried_bps):  # nobody knows what it carries before it is full
            self._seen = deque([self._seen[-1]])
            return
        then_s, before = self._seen[0]
        span_s = at_s - then_s
        if span_s >= (SPAN_S if self._carried_bps else max(FIRST_SPAN_S, min(SPAN_S, trip_s))):
            now_bps = (self._seen[-1][1] - before) / span_s
            self._carried_bps = max(now_bps, self._carried_bps * _FADING ** (at_s - self._seen[-2][0]))
        if queued:
            self._boost, self._full_at_s = 1.0, at_s
        elif at_s - self._full_at_s > EMPTY_S and at_s - self._grown_at_s >= GROW_EVERY_S:
            self._boost, self._grown_at_s = min(1e3, self._boost * GROWTH), at_s
        self.each_bps = int(self._carried_bps * ROOM * self._boost / count)


def hold(wire: socket.socket, each_bps: int) -> None:
    """It sends no faster. :param each_bps: bytes per second; 0: as it was."""
    if each_bps and sys.platform == "linux":
        with contextlib.suppress(OSError):
            wire.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, min(each_bps, _UNLIMITED))
