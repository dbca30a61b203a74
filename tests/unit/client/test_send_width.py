"""A run finds how many requests at once help, and the next one begins there."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from gateway.client.http import GatewayHttp
from gateway.client.run import Options, first_at_once
from gateway.client.wires import options
from gateway.clock import SystemClock
from tests.unit.client.conftest import MakeFile
from tests.unit.client.test_send_command import Send, on_disk, run, sent, state
from tests.unit.client.toy_gateway import ToyGateway

__all__ = ["run", "state"]  # fixtures


class Far(GatewayHttp):
    """A gateway whose packets take so long."""

    def __init__(self, trip_s: float) -> None:
        super().__init__("http://127.0.0.1:1", SystemClock())
        self._trip_s = trip_s

    def round_trip_s(self) -> float:
        return self._trip_s


@pytest.mark.parametrize(("trip_s", "count"), [(0.0, 8), (0.06, 8), (0.25, 8), (0.4, 10), (0.6, 16), (2.0, 16)])
def test_the_farther_the_gateway_the_more_there_are_at_first(trip_s: float, count: int) -> None:
    assert first_at_once(Options(), None, Far(trip_s)) == count
    assert first_at_once(Options(), 5, Far(trip_s)) == 5
    assert first_at_once(Options(at_once=3), 5, Far(trip_s)) == 3


@pytest.mark.timing
def test_where_each_connection_carries_little_there_are_more_of_them(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path, state: Path
) -> None:
    for number in range(24):
        make_file(f"{number}.dcm", 600_000)
    gateway.each_bytes_per_s = 150_000
    assert run() == 0
    assert sent(gateway) == on_disk(folder)
    assert gateway.most_bodies == 16
    (kept,) = json.loads(state.read_text())["widths"].values()
    assert kept > 8


def test_the_next_run_with_this_gateway_begins_with_what_was_right(
    run: Send, gateway: ToyGateway, make_file: MakeFile, state: Path
) -> None:
    make_file("first.dcm")
    assert run() == 0
    content = json.loads(state.read_text())
    assert list(content["widths"].values()) == [8]  # too little was sent to learn anything
    content["widths"] = dict.fromkeys(content["widths"], 13)
    state.write_text(json.dumps(content))
    for number in range(25):
        make_file(f"{number}.dcm", 1000 + number)
    gateway.meeting = asyncio.Barrier(13)
    gateway.troubles = [lambda request: "meet" if request.path == "/files/" and request.method == "POST" else None]
    assert run() == 0  # they wait for each other, until so many are there


def test_a_number_that_is_pinned_stays(run: Send, gateway: ToyGateway, make_file: MakeFile, state: Path) -> None:
    for number in range(9):
        make_file(f"{number}.dcm", 30_000)
    gateway.each_bytes_per_s = 150_000
    assert run("--at-once", "3") == 0
    assert gateway.most_bodies == 3
    assert "widths" not in json.loads(state.read_text()) or not json.loads(state.read_text())["widths"]


@pytest.mark.timing
def test_a_body_may_take_longer_than_the_time_for_connecting(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes move: nobody ends it."""
    make_file("slow.dcm", 600_000)
    gateway.each_bytes_per_s = 200_000
    monkeypatch.setattr("gateway.client.http.CONNECT_TIMEOUTS_S", (0.2,))
    small = (socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)  # else the system takes all of it at once
    monkeypatch.setattr("gateway.client.wires.options", lambda: [*options(), small])
    assert run("--at-once", "1") == 0
    assert sent(gateway) == on_disk(folder)
    assert gateway.count("POST", "/files/") == 1
    assert gateway.count("PATCH", "/files/") == 0
