"""Once a line is full its connections send little more than it carries; before, and where it isn't, as fast as they will."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator, Sequence

import pytest

from gateway.client.pacing import (
    GIVE_WAY_S,
    GROW_EVERY_S,
    INSIST_S,
    LONG_S,
    ROOM,
    ROOM_WHEN_LONG,
    SO_MAX_PACING_RATE,
    Pacing,
    hold,
)
from gateway.client.wires import WireState

LOOK_S, TRIP_S = 0.05, 0.1
COUNT = 4


@pytest.fixture
def wires() -> Iterator[list[socket.socket]]:
    made = [socket.socket() for _ in range(COUNT)]
    yield made
    for one in made:
        one.close()


class Watched:
    """A line that carries so much, seen as `Pacing` sees it."""

    def __init__(self, wires: list[socket.socket]) -> None:
        self.pacing = Pacing()
        self.at_s = self.arrived = 0.0
        self._wires = wires

    def goes(self, seconds: float, bps: float, queued_s: float, windows: Sequence[float] = (1e6,) * COUNT) -> int:
        """For so long; what each may send then. :param windows: of the connections, bytes."""
        for _ in range(round(seconds / LOOK_S)):
            self.at_s += LOOK_S
            self.arrived += bps * LOOK_S
            states = {
                wire: WireState(
                    0,
                    TRIP_S + queued_s,
                    0.0,
                    is_owed=True,
                    least_round_trip_s=TRIP_S,
                    delivered_bytes=int(self.arrived / COUNT),
                    under_way_bytes=int(bps * (TRIP_S + queued_s) / COUNT),
                    window_bytes=int(window),
                )
                for wire, window in zip(self._wires, windows, strict=True)
            }
            self.pacing.looked(self.at_s, states)
        return self.pacing.each_bps


def test_nobody_is_held_back_before_the_line_is_full(wires: list[socket.socket]) -> None:
    assert Watched(wires).goes(5, 400e3, queued_s=0) == 0


def test_on_a_full_line_all_together_send_little_more_than_it_carries(wires: list[socket.socket]) -> None:
    line = Watched(wires)
    each = line.goes(0.5, 400e3, queued_s=0.1)
    assert each * COUNT == pytest.approx(400e3 * ROOM, rel=0.05)
    assert {one.getsockopt(socket.SOL_SOCKET, 47) for one in wires} == {each}


def test_a_long_queue_is_let_run_empty_before_it_overflows(wires: list[socket.socket]) -> None:
    line = Watched(wires)
    assert line.goes(0.5, 400e3, queued_s=2 * LONG_S) * COUNT == pytest.approx(400e3 * ROOM_WHEN_LONG, rel=0.05)
    assert line.goes(0.5, 400e3, queued_s=LONG_S / 2) * COUNT == pytest.approx(400e3 * ROOM, rel=0.05)


def test_who_shares_a_line_with_one_that_fills_its_queue_does_not_give_way_for_ever(wires: list[socket.socket]) -> None:
    line = Watched(wires)
    line.goes(GIVE_WAY_S + 1, 400e3, queued_s=2 * LONG_S)
    assert line.goes(INSIST_S - 2, 400e3, queued_s=2 * LONG_S) * COUNT == pytest.approx(400e3 * ROOM, rel=0.05)
    assert line.goes(2, 400e3, queued_s=2 * LONG_S) * COUNT == pytest.approx(400e3 * ROOM_WHEN_LONG, rel=0.05)


def test_what_a_connection_cannot_use_of_its_part_is_the_others(wires: list[socket.socket]) -> None:
    small = 10e3 * (TRIP_S + 0.1)  # its losses let it send 10 kB a second
    each = Watched(wires).goes(0.5, 400e3, queued_s=0.1, windows=(small, small, 1e6, 1e6))
    assert each == pytest.approx((400e3 * ROOM - 2 * 10e3) / 2, rel=0.05)


def test_where_windows_hold_all_of_them_back_nobody_is_held_further(wires: list[socket.socket]) -> None:
    small = 10e3 * (TRIP_S + 0.1)
    assert Watched(wires).goes(0.5, 400e3, queued_s=0.1, windows=(small,) * COUNT) > 400e3


def test_what_a_moment_of_losses_takes_is_not_taken_for_the_lines(wires: list[socket.socket]) -> None:
    line = Watched(wires)
    line.goes(5, 400e3, queued_s=0.1)
    assert line.goes(0.4, 100e3, queued_s=0.1) * COUNT > 400e3


def test_a_line_that_carries_less_is_believed_by_and_by(wires: list[socket.socket]) -> None:
    line = Watched(wires)
    line.goes(5, 400e3, queued_s=0.1)
    assert line.goes(10, 100e3, queued_s=0.1) * COUNT == pytest.approx(100e3 * ROOM, rel=0.05)


def test_while_nothing_waits_in_the_queue_more_and_more_is_allowed(wires: list[socket.socket]) -> None:
    line = Watched(wires)
    first = line.goes(5, 400e3, queued_s=0.1)
    later = line.goes(0.5 + 8 * GROW_EVERY_S, 400e3, queued_s=0)
    assert later > 3 * first
    assert line.goes(0.1, 400e3, queued_s=0.1) < 2 * first


def test_what_was_known_of_a_line_holds_when_it_is_back(wires: list[socket.socket]) -> None:
    line = Watched(wires)
    before = line.goes(5, 400e3, queued_s=0.1)
    line.goes(6, 0, queued_s=0.1)
    after = line.goes(0.1, 400e3, queued_s=0)  # half a second had to pass before it was known to be away
    assert 0.85 * before <= after <= before


@pytest.mark.skipif(sys.platform != "linux", reason="another system holds no connection back")
@pytest.mark.parametrize(
    ("wanted_bps", "held_bps"),
    [(1, 1), (2**31 - 1, 2**31 - 1), (2**31, 2**31), (10**12, 2**32 - 1)],
)
def test_a_connection_is_held_to_any_rate(wires: list[socket.socket], wanted_bps: int, held_bps: int) -> None:
    hold(wires[0], wanted_bps)
    assert struct.unpack("=I", wires[0].getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, 4)) == (held_bps,)
