"""Once a line is full its connections send little more than it carries; before, and where it isn't, as fast as they will."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gateway.client.pacing import GROW_EVERY_S, ROOM, Pacing
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

    def goes(self, seconds: float, bps: float, queued_s: float) -> int:
        """For so long; what each may send then."""
        for _ in range(round(seconds / LOOK_S)):
            self.at_s += LOOK_S
            self.arrived += bps * LOOK_S
            state = WireState(0, TRIP_S + queued_s, 0.0, is_owed=True, least_round_trip_s=TRIP_S)
            self.pacing.looked(self.at_s, int(self.arrived), dict.fromkeys(self._wires, state))
        return self.pacing.each_bps


def test_nobody_is_held_back_before_the_line_is_full(wires: list[socket.socket]) -> None:
    assert Watched(wires).goes(5, 400e3, queued_s=0) == 0


def test_on_a_full_line_all_together_send_little_more_than_it_carries(wires: list[socket.socket]) -> None:
    line = Watched(wires)
    each = line.goes(0.5, 400e3, queued_s=0.2)
    assert each * COUNT == pytest.approx(400e3 * ROOM, rel=0.05)
    assert {one.getsockopt(socket.SOL_SOCKET, 47) for one in wires} == {each}


def test_what_a_moment_of_losses_takes_is_not_taken_for_the_lines(wires: list[socket.socket]) -> None:
    line = Watched(wires)
    line.goes(5, 400e3, queued_s=0.2)
    assert line.goes(0.4, 100e3, queued_s=0.2) * COUNT > 400e3


def test_a_line_that_carries_less_is_believed_by_and_by(wires: list[socket.socket]) -> None:
    line = Watched(wires)
    line.goes(5, 400e3, queued_s=0.2)
    assert line.goes(10, 100e3, queued_s=0.2) * COUNT == pytest.approx(100e3 * ROOM, rel=0.05)


def test_while_nothing_waits_in_the_queue_more_and_more_is_allowed(wires: list[socket.socket]) -> None:
    line = Watched(wires)
    first = line.goes(5, 400e3, queued_s=0.2)
    later = line.goes(0.5 + 8 * GROW_EVERY_S, 400e3, queued_s=0)
    assert later > 3 * first
    assert line.goes(0.1, 400e3, queued_s=0.2) < 2 * first


def test_what_was_known_of_a_line_holds_when_it_is_back(wires: list[socket.socket]) -> None:
    line = Watched(wires)
    before = line.goes(5, 400e3, queued_s=0.2)
    line.goes(6, 0, queued_s=0.2)
    after = line.goes(0.1, 400e3, queued_s=0)  # half a second had to pass before it was known to be away
    assert 0.85 * before <= after <= before
