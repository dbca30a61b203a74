"""How fast each connection may send, once the line is known to be full.

TCP finds out what a line carries by sending more and more until packets are lost, each connection for itself, and again after
each of the line's returns. Many that do so at once fill the line's queue and as much again is lost. So what all of them carry
is measured, and none may send much more than its part of that (SO_MAX_PACING_RATE, which Linux has since 4.13 wherever TCP is).
What a connection leaves of its part, because its losses hold it back, is the others'. While nothing waits in the queue more and
more is allowed.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections import deque
from collections.abc import Collection, Mapping
from itertools import pairwise

from gateway.client.wires import QUEUED_S, WireState, are_queued

#: <asm-generic/socket.h>; the module `socket` doesn't have it.
SO_MAX_PACING_RATE = 47
_UNLIMITED = 0xFFFFFFFF
_RATE = struct.Struct("=I")
#: Of what the line carries: what may be sent into it; and while packets wait there for so long.
ROOM, ROOM_WHEN_LONG, LONG_S = 1.25, 0.8, 0.15
#: A queue that is as long after all this is filled by others. Who gave way to them would get nothing, so for a while nobody does.
GIVE_WAY_S, INSIST_S = 3.0, 15.0
#: While the queue stays empty for so long, more may be sent after each span.
EMPTY_S, GROWTH, GROW_EVERY_S = 0.5, 1.5, 0.25
#: What is carried is looked at over so long.
SPAN_S = 1.0
#: At first over less, before the queue overflows: packets that were sent in one go arrive as fast as the line carries them, if
#: there are enough of them.
TRAIN_S, TRAIN_BYTES = 0.045, 20 * 1024
#: Of what it carried, what is believed a second later while it carries less: a loss that is mended looks like that.
_FADING = 0.8
_SILENT_S = 0.5


class Pacing:
    """For the connections of one line."""

    def __init__(self) -> None:
        self.each_bps = 0  #: bytes per second that each may send; 0: as fast as it will
        self._carried_bps = self._train_bps = 0.0
        self._boost = 1.0
        self._full_at_s = self._grown_at_s = self._moved_at_s = self._long_since_s = 0.0
        self._arrived: dict[socket.socket, int] = {}
        self._all_arrived = 0
        self._seen: deque[tuple[float, int]] = deque()  # seconds, bytes that have arrived

    def looked(self, at_s: float, states: Mapping[socket.socket, WireState]) -> None:
        """What is seen several times a second; holds the connections to it."""
        for wire, one in states.items():
            self._all_arrived += max(0, one.delivered_bytes - self._arrived.get(wire, 0))
        self._arrived = {wire: one.delivered_bytes for wire, one in states.items()}
        owed = [one for one in states.values() if one.is_owed]
        if not owed:
            return
        if self._seen and self._all_arrived > self._seen[-1][1]:
            if at_s - self._moved_at_s > _SILENT_S:  # it was away: what was known of it is still the best guess
                self._seen.clear()
                self._boost, self._full_at_s = 1.0, at_s
            self._moved_at_s = at_s
        self._seen.append((at_s, self._all_arrived))
        while len(self._seen) > 1 and self._seen[1][0] <= at_s - SPAN_S:
            self._seen.popleft()
        if at_s - self._moved_at_s <= _SILENT_S:
            if self._carried_bps:
                self._look_again(at_s)
            else:
                self._look_first(owed)
        if self._carried_bps:
            self._allow(at_s, owed)
        for wire in states:
            hold(wire, self.each_bps)

    def _look_first(self, owed: Collection[WireState]) -> None:
        """Nobody knows what it carries before it is full."""
        self._train_bps = max(self._train_bps, self._last_train_bps())
        if self._train_bps and are_queued(owed, QUEUED_S / 2) and _waits_s(owed, self._train_bps) > QUEUED_S:
            self._carried_bps = self._train_bps

    def _last_train_bps(self) -> float:
        """As fast as packets that arrive without a gap have arrived; 0: there were too few of them."""
        now_s, now = self._seen[-1]
        for (then_s, before), (_, earlier) in pairwise(reversed(self._seen)):
            if before == earlier:  # it began in this moment, or there was a gap
                break
            if now_s - then_s >= TRAIN_S and now - before >= TRAIN_BYTES:
                return (now - before) / (now_s - then_s)
        return 0.0

    def _look_again(self, at_s: float) -> None:
        then_s, before = self._seen[0]
        if at_s - then_s >= SPAN_S:
            now_bps = (self._seen[-1][1] - before) / (at_s - then_s)
            self._carried_bps = max(now_bps, self._carried_bps * _FADING ** (at_s - self._seen[-2][0]))

    def _allow(self, at_s: float, owed: Collection[WireState]) -> None:
        waits_s = _waits_s(owed, self._carried_bps)
        if waits_s < LONG_S or at_s - self._long_since_s > GIVE_WAY_S + INSIST_S:
            self._long_since_s = at_s
        room = ROOM
        if waits_s > QUEUED_S and are_queued(owed, QUEUED_S / 2):
            self._boost, self._full_at_s = 1.0, at_s
            if waits_s > LONG_S and at_s - self._long_since_s < GIVE_WAY_S:
                room = ROOM_WHEN_LONG
        elif at_s - self._full_at_s > EMPTY_S and at_s - self._grown_at_s >= GROW_EVERY_S:
            self._boost, self._grown_at_s = min(1e3, self._boost * GROWTH), at_s
        self.each_bps = _share_bps(owed, int(self._carried_bps * room * self._boost))


def _waits_s(owed: Collection[WireState], carried_bps: float) -> float:
    """How long the last packet waits on the line for those before it, if it carries so much (Little's law)."""
    trip_s = min(one.least_round_trip_s for one in owed)
    return sum(one.under_way_bytes for one in owed) / carried_bps - trip_s


def _share_bps(owed: Collection[WireState], all_bps: int) -> int:
    """What each may send at most, so that all together send `all_bps` if they can."""
    left_bps = all_bps
    wanted = sorted(int(one.window_bytes / max(one.round_trip_s, 0.001)) for one in owed)
    for number, wants_bps in enumerate(wanted):
        share_bps = left_bps // (len(wanted) - number)
        if wants_bps >= share_bps:
            return max(1, share_bps)
        left_bps -= wants_bps
    return max(1, all_bps)  # what they want is less


def hold(wire: socket.socket, each_bps: int) -> None:
    """It sends no faster. :param each_bps: bytes per second; 0: as it was."""
    if each_bps and sys.platform == "linux":
        with contextlib.suppress(OSError):
            # As bytes: of a number Python takes no more than 2^31 - 1.
            wire.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, _RATE.pack(min(each_bps, _UNLIMITED)))
