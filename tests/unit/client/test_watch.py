"""While every connection is silent new ones are tried; once one gets through, the silent ones are given up."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from gateway.client.watch import LineWatch, is_silent
from gateway.client.wires import Wires, WireState
from gateway.clock import SystemClock

WITHIN_S = 10.0


class Scripted(Wires):
    """Its connections are real; what their TCP tells is the test's: no loopback loses a packet."""

    def __init__(self) -> None:
        super().__init__()
        self.heard_at: dict[socket.socket, float] = {}
        self.looked = threading.Event()
        self.arrived_bytes = 0

    def states(self) -> dict[socket.socket, WireState]:
        self.looked.set()
        now = time.monotonic()
        return {wire: WireState(0, 0.05, now - at, is_owed=True) for wire, at in list(self.heard_at.items())}

    def acknowledged_bytes(self) -> int:
        return self.arrived_bytes


@pytest.fixture
def wires() -> Iterator[Scripted]:
    made = Scripted()
    yield made
    for wire in made.heard_at:
        wire.close()


@contextlib.contextmanager
def watching(wires: Wires) -> Iterator[LineWatch]:
    watch = LineWatch(wires, SystemClock())
    assert watch.wait(0)  # nothing is known against it
    yield watch
    watch.close()


def connected(wires: Scripted, door: socket.socket) -> socket.socket:
    """A connection that has been silent for long."""
    wire = socket.create_connection(door.getsockname())
    wires.add(wire)
    wires.heard_at[wire] = time.monotonic() - 60
    return wire


def is_ended(wire: socket.socket, within_s: float = 0.0) -> bool:
    return bool(select.select([wire], [], [], within_s)[0])


def test_the_silent_ones_are_given_up_once_a_new_one_stands(wires: Scripted) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        silent = [connected(wires, door) for _ in range(3)]
        with watching(wires):
            assert all(is_ended(wire, WITHIN_S) for wire in silent)


def test_where_a_new_one_does_not_stand_nobody_is_given_up_until_one_hears_something(wires: Scripted) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as door:
        silent = [connected(wires, door)]  # and there is no place for another
        heard = socket.socket()
        wires.heard_at[heard] = time.monotonic() - 60
        with watching(wires) as watch:
            deadline = time.monotonic() + WITHIN_S
            while watch.wait(0):
                assert time.monotonic() < deadline
            assert not watch.wait(0.8)
            assert not is_ended(silent[0])
            wires.heard_at[heard] = time.monotonic() + 60
            assert is_ended(silent[0], WITHIN_S)
            assert watch.wait(WITHIN_S)


def test_one_that_hears_something_is_left_alone(wires: Scripted) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        moving, silent = connected(wires, door), connected(wires, door)
        wires.heard_at[moving] = time.monotonic() + 60
        with watching(wires):
            wires.looked.clear()
            assert wires.looked.wait(WITHIN_S)
            assert not is_ended(silent)
            assert not is_ended(moving)


def test_where_giving_up_comes_to_nothing_it_is_done_less_and_less_often(wires: Scripted) -> None:
    """Small packets get through and large ones don't, say."""
    ended_at = []
    with socket.create_server(("127.0.0.1", 0)) as door, watching(wires):
        for _ in range(2):
            wire = connected(wires, door)
            began = wires.heard_at[wire] = time.monotonic()
            assert is_ended(wire, WITHIN_S)
            ended_at.append(time.monotonic() - began)
            del wires.heard_at[wire]
            wire.close()
    assert ended_at[0] >= 1
    assert ended_at[1] >= 2


@pytest.mark.parametrize(
    ("states", "silent"),
    [
        ([], False),
        ([WireState(0, 0.1, 50, is_owed=False)], False),  # nobody waits for anything
        ([WireState(0, 0.1, 1.3, is_owed=True)], True),
        ([WireState(0, 0.1, 1.1, is_owed=True)], False),
        ([WireState(0, 0.6, 1.3, is_owed=True)], False),  # a satellite's
        ([WireState(0, 0.6, 2.3, is_owed=True)], True),
        ([WireState(0, 0.1, 9, is_owed=True), WireState(0, 0.1, 0.1, is_owed=True)], False),  # the line is there
        ([WireState(0, 0.1, 9, is_owed=True), WireState(0, 0.1, 0.1, is_owed=False)], False),
    ],
)
def test_silence_is_that_bytes_are_under_way_and_no_connection_hears_anything(
    states: list[WireState], silent: bool
) -> None:
    assert is_silent(states) is silent
