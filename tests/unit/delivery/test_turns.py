"""Uploads take turns by what their files cost."""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping

import pytest

from gateway.delivery.turns import LONG_S, Turn, Turns
from tests.clocks import ManualClock


def play(turns: Turns[str], clock: ManualClock, costs: Mapping[str, float], *, most: int = 16) -> dict[str, float]:
    """Deal with all that waits, each upload's files at its cost; when the last of each was done, from now on."""
    ends: list[tuple[float, int, Turn[str]]] = []
    done: dict[str, float] = {}
    number, start = 0, clock.monotonic()
    while True:
        while (turn := turns.take(most)) is not None:
            number += 1
            heapq.heappush(ends, (clock.monotonic() + costs[turn.upload_id] * len(turn.things), number, turn))
        if not ends:
            return done
        at, _, turn = heapq.heappop(ends)
        clock.advance(max(0.0, at - clock.monotonic()))
        turns.done(turn)
        done[turn.upload_id] = clock.monotonic() - start


def put(turns: Turns[str], upload_id: str, count: int, *, of: str | None = None) -> None:
    """Unless said otherwise every upload is somebody else's."""
    for number in range(count):
        turns.put(of or upload_id, upload_id, f"{upload_id}-{number}")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_files_of_an_upload_keep_their_order_and_none_is_lost(clock: ManualClock):
    turns: Turns[str] = Turns(1, clock.monotonic)
    put(turns, "a", 40)
    seen: list[str] = []
    while (turn := turns.take(16)) is not None:
        seen += turn.things[:5]
        turns.done(turn, turn.things[5:])
    assert seen == [f"a-{number}" for number in range(40)]


def test_an_upload_alone_uses_every_seat_once_its_first_file_is_done(clock: ManualClock):
    turns: Turns[str] = Turns(3, clock.monotonic)
    put(turns, "a", 50)
    first = turns.take(16)
    assert first is not None
    assert len(first.things) == 1
    assert turns.take(16) is None
    turns.done(first)
    assert [len(turn.things) for _ in range(3) if (turn := turns.take(16))] == [16, 16, 16]
    assert turns.take(16) is None, "no seat is left"


@pytest.mark.parametrize("seats", [1, 2, 4])
def test_a_neighbour_is_through_after_one_long_file_at_most(clock: ManualClock, seats: int):
    turns: Turns[str] = Turns(seats, clock.monotonic)
    for number in range(5):
        put(turns, f"hostile-{number}", 100)
    costs = {f"hostile-{number}": 20.0 for number in range(5)} | {"neighbour": 0.005}
    began = turns.take(16)
    assert began is not None
    clock.advance(1.0)
    put(turns, "neighbour", 300)
    clock.advance(19.0)
    turns.done(began)
    done = play(turns, clock, costs)
    # Each hostile upload has its first file looked at before it is known.
    assert done["neighbour"] < 5 * 20.0 / max(1, seats - 1) + 5.0
    assert min(end for name, end in done.items() if name != "neighbour") > done["neighbour"]


def test_one_seat_is_never_taken_by_uploads_that_take_long(clock: ManualClock):
    turns: Turns[str] = Turns(2, clock.monotonic)
    for name in ("a", "b"):
        put(turns, name, 10)
        turn = turns.take(1)
        assert turn is not None
        clock.advance(LONG_S * 2)
        turns.done(turn)
    assert turns.take(1) is not None
    assert turns.take(1) is None
    put(turns, "neighbour", 1)
    turn = turns.take(1)
    assert turn is not None
    assert turn.upload_id == "neighbour"


def test_time_is_shared_evenly_whatever_a_file_costs(clock: ManualClock):
    turns: Turns[str] = Turns(1, clock.monotonic)
    costs = {"small": 0.01, "large": 0.4}
    put(turns, "small", 10_000)
    put(turns, "large", 1000)
    spent = dict.fromkeys(costs, 0.0)
    for _ in range(300):
        turn = turns.take(16)
        assert turn is not None
        cost_s = costs[turn.upload_id] * len(turn.things)
        clock.advance(cost_s)
        spent[turn.upload_id] += cost_s
        turns.done(turn)
    assert abs(spent["small"] - spent["large"]) <= 16 * 0.4, "but for one turn"


def test_who_has_waited_for_nothing_has_saved_nothing_up(clock: ManualClock):
    turns: Turns[str] = Turns(1, clock.monotonic)
    put(turns, "idle", 1)
    play(turns, clock, {"idle": 0.01})
    put(turns, "busy", 1000)
    play(turns, clock, {"busy": 0.1})
    put(turns, "busy", 100)
    put(turns, "idle", 100)
    done = play(turns, clock, {"idle": 0.1, "busy": 0.1})
    assert abs(done["idle"] - done["busy"]) < 4.0


def test_whatever_comes_in_whatever_order_is_dealt_with_once(clock: ManualClock):
    chance = random.Random(7)
    turns: Turns[str] = Turns(3, clock.monotonic)
    wanted = [f"u{chance.randrange(300)}" for _ in range(3000)]
    seen: list[str] = []
    running: list[Turn[str]] = []
    while wanted or running:
        if wanted and chance.random() < 0.5:
            upload_id = wanted.pop()
            turns.put(upload_id[:2], upload_id, upload_id)
        if (turn := turns.take(4)) is not None:
            running.append(turn)
        clock.advance(chance.choice((0.001, 0.1, 0.7)))
        if running and chance.random() < 0.7:
            turn = running.pop(chance.randrange(len(running)))
            kept = chance.randint(1, len(turn.things))
            seen += turn.things[:kept]
            turns.done(turn, turn.things[kept:])
    while (turn := turns.take(4)) is not None:
        seen += turn.things
        turns.done(turn)
    assert len(seen) == 3000


@pytest.mark.parametrize("seats", [1, 2, 4])
def test_many_uploads_of_an_account_are_to_another_what_one_is(clock: ManualClock, seats: int):
    turns: Turns[str] = Turns(seats, clock.monotonic)
    many = [f"many-{number}" for number in range(300)]
    for upload_id in many:
        put(turns, upload_id, 2, of="many")
    began = turns.take(16)
    assert began is not None
    put(turns, "one", 10, of="one")
    turns.done(began)
    order: list[str] = []
    while (turn := turns.take(16)) is not None:
        order += [turn.upload_id] * len(turn.things)
        clock.advance(0.01 * len(turn.things))
        turns.done(turn)
    before = order[: len(order) - order[::-1].index("one")]
    assert len(before) - 10 <= 2 * 10, "as much of the others as of its own, but for a turn"
    assert len(order) == 300 * 2 + 10 - 1


def test_uploads_of_one_account_take_turns_among_themselves(clock: ManualClock):
    turns: Turns[str] = Turns(1, clock.monotonic)
    for name in ("a", "b"):
        put(turns, name, 100, of="one")
    done = play(turns, clock, {"a": 0.01, "b": 0.01})
    assert abs(done["a"] - done["b"]) <= 16 * 0.01 + 1e-9, "but for one turn"
