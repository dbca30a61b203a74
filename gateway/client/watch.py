"""Whether the line is there, found out by trying when everything that is under way has fallen silent.

TCP repeats what nobody acknowledges less and less often (RFC 6298 5.5): it notices seconds late that a line is back, and by
its time-out alone that the device is on another network, where none of its connections can ever go on. So while none of
them hears anything, new ones are tried, several a second. Once one stands, or an old one hears something, those that are still
silent are ended: their requests go on over new ones at once. One whose bytes move is left alone, and so is one that merely
waits while others move.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import sys
import threading
from collections import deque
from collections.abc import Collection, Iterable
from typing import Any

from gateway.client.pacing import Pacing, hold
from gateway.client.wires import Wires, WireState, end
from gateway.clock import Clock

#: All is silent for so long beside two round trips: longer than one lost packet costs.
SILENT_BESIDE_TRIPS_S = 1.0
LOOK_EVERY_S = 0.03
#: While it isn't known what the line carries: its queue overflows within a few looks.
FIRST_LOOK_EVERY_S = 0.015
TRY_EVERY_S = 0.5
#: A try that has had no answer for so long gets none. More round trips than a line has.
_TRY_FOR_S = 3.0
#: What can't be reached by trying may be by its name: those who wait go on by themselves.
LONGEST_S = 15.0
#: What has arrived since the last end shows that it came to something.
_PROGRESS_BYTES = 64 * 1024
_WAIT_MS = 100
_UNDER_WAY = {errno.EINPROGRESS, errno.EWOULDBLOCK}


class LineWatch:
    """Looks at the connections in a thread of its own. Where the system doesn't tell of them the line is always there."""

    def __init__(self, wires: Wires, clock: Clock) -> None:
        self._wires = wires
        self._clock = clock
        self._over = threading.Event()
        self._there = threading.Event()
        self._there.set()
        self._doubted = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended_at_bytes = 0
        self._pacing = Pacing()
        wires.on_new = lambda wire: hold(wire, self._pacing.each_bps)
        self._patience = 1.0  # times what it would be: longer where ending them came to nothing

    def close(self) -> None:
        """Look no more."""
        self._over.set()

    def doubt(self) -> None:
        """Somebody got no answer to a connection that was to be made."""
        self._doubted.set()

    def wait(self, within_s: float) -> bool:
        """Until the line is there, as far as is known; whether it is."""
        with self._lock:
            if self._thread is None and sys.platform == "linux":
                self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
                self._thread.start()
        return self._there.wait(within_s)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_S if self._pacing.each_bps else FIRST_LOOK_EVERY_S):
            states = self._wires.states()
            found = states.values()
            self._pacing.looked(self._clock.monotonic(), states)
            doubted = self._doubted.is_set() and not any(one.heard_s < SILENT_BESIDE_TRIPS_S for one in found)
            self._doubted.clear()
            if self._wires.address is not None and (doubted or is_silent(found, self._patience)):
                self._find()

    def _find(self) -> None:
        """Try until one gets through, or an old one hears something."""
        self._there.clear()
        began_s = self._clock.monotonic()
        silent = list(self._wires.states())
        try:
            with contextlib.closing(_Tries(self._wires.address)) as tries:
                while not self._over.is_set() and self._clock.monotonic() - began_s < LONGEST_S:
                    gone_s = self._clock.monotonic() - began_s
                    now = self._wires.states()
                    if tries.stands(gone_s) or any(now[wire].heard_s < gone_s for wire in silent if wire in now):
                        self._end(silent, gone_s)
                        return
        finally:
            self._there.set()

    def _end(self, silent: Iterable[socket.socket], for_s: float) -> None:
        """Those that have heard nothing yet."""
        arrived = self._wires.acknowledged_bytes() or 0
        self._patience = 1.0 if arrived - self._ended_at_bytes > _PROGRESS_BYTES else min(8.0, self._patience * 2)
        self._ended_at_bytes = arrived
        now = self._wires.states()
        for wire in silent:
            if wire in now and now[wire].heard_s >= for_s:
                end(wire)


def is_silent(states: Collection[WireState], patience: float = 1.0) -> bool:
    """Bytes are under way, and no connection hears anything. :param patience: times the usual."""
    owed = [one for one in states if one.is_owed]
    if not owed:
        return False
    silent_s = SILENT_BESIDE_TRIPS_S + 2 * max(one.round_trip_s for one in owed)
    return min(one.heard_s for one in states) > silent_s * patience


class _Tries:
    """Connections that are to be made to an address, and are for nothing else."""

    def __init__(self, address: tuple[Any, ...] | None) -> None:
        self._address = address
        self._waiting: deque[tuple[float, socket.socket]] = deque()
        self._next_s = 0.0

    def stands(self, at_s: float) -> bool:
        """Whether one does, or the other end says that it takes none; waits a little for that."""
        if at_s >= self._next_s:
            self._next_s = at_s + TRY_EVERY_S
            self._begin(at_s)
        while self._waiting and at_s - self._waiting[0][0] > _TRY_FOR_S:
            self._waiting.popleft()[1].close()
        poll = select.poll()
        for _, one in self._waiting:
            poll.register(one, select.POLLOUT)
        ready = {number for number, _ in poll.poll(_WAIT_MS)}
        told = [one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for _, one in self._waiting if one.fileno() in ready]
        for at in [at for at in self._waiting if at[1].fileno() in ready]:
            self._waiting.remove(at)
            at[1].close()
        return any(code in {0, errno.ECONNREFUSED} for code in told)

    def _begin(self, at_s: float) -> None:
        if self._address is None:
            return
        one = socket.socket(socket.AF_INET6 if len(self._address) == 4 else socket.AF_INET)
        one.setblocking(False)
        code = one.connect_ex(self._address)
        if code in {0, *_UNDER_WAY}:
            self._waiting.append((at_s, one))
        else:  # no network at all just now
            one.close()

    def close(self) -> None:
        """None is wanted any more."""
        while self._waiting:
            self._waiting.popleft()[1].close()
