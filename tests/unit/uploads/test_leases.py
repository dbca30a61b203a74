from __future__ import annotations

import asyncio

import pytest

from gateway.errors import Locked
from gateway.uploads import leases as leases_module
from gateway.uploads.leases import Claim, Lease, Leases
from tests.clocks import ManualClock


class Holder:
    """A request that lets go when it is told to."""

    def __init__(self, leases: Leases, place: str, *, stubborn: bool = False) -> None:
        self._leases, self._place, self._stubborn = leases, place, stubborn
        self.stopped = asyncio.Event()
        self.holds = asyncio.Event()
        self.lease: Lease | None = None

    async def run(self) -> None:
        async with self._leases.hold(self._place, Claim.POLITE, self.stopped.set) as self.lease:
            self.holds.set()
            await self.stopped.wait()
            if self._stubborn:
                await asyncio.sleep(3600)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def leases(clock):
    return Leases(clock)


@pytest.fixture
async def holding(leases):
    """Starts a holder of a place."""
    tasks = []

    async def begin(place: str = "f", *, stubborn: bool = False) -> Holder:
        holder = Holder(leases, place, stubborn=stubborn)
        tasks.append(asyncio.create_task(holder.run()))
        await holder.holds.wait()
        return holder

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def enter(leases: Leases, place: str, claim: Claim) -> None:
    async with leases.hold(place, claim, lambda: None):
        pass


async def test_a_free_place_is_anybodys(leases):
    async with leases.hold("f", Claim.POLITE, lambda: None) as lease:
        assert leases.holder("f") is lease
    assert leases.holder("f") is None


async def test_a_live_holder_keeps_its_place_from_the_polite(leases, holding, clock):
    holder = await holding()
    clock.advance(0.99)
    with pytest.raises(Locked) as caught:
        await enter(leases, "f", Claim.POLITE)
    assert caught.value.extra["retry_after_s"] == 1
    assert not holder.stopped.is_set()


async def test_a_silent_holder_makes_room_for_the_polite(leases, holding, clock):
    holder = await holding()
    clock.advance(1)
    await enter(leases, "f", Claim.POLITE)
    assert holder.stopped.is_set()


async def test_a_byte_makes_a_holder_live_again(leases, holding, clock):
    holder = await holding()
    clock.advance(5)
    assert holder.lease.silent_s() == 5
    holder.lease.heard()
    with pytest.raises(Locked):
        await enter(leases, "f", Claim.POLITE)


async def test_whoever_cuts_gets_the_place_from_a_live_holder(leases, holding):
    holder = await holding()
    await enter(leases, "f", Claim.CUT)
    assert holder.stopped.is_set()


async def test_the_place_is_taken_over_only_after_the_holder_let_go(leases):
    order = []
    stop, go_on = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with leases.hold("f", Claim.POLITE, stop.set):
            await stop.wait()
            await go_on.wait()  # writing down what it has
            order.append("first")

    async def second() -> None:
        async with leases.hold("f", Claim.CUT, lambda: None):
            order.append("second")

    tasks = [asyncio.create_task(first())]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(second()))
    await stop.wait()
    go_on.set()
    await asyncio.gather(*tasks)
    assert order == ["first", "second"]


async def test_of_many_newcomers_one_at_a_time_holds(leases, holding):
    await holding()
    inside = 0
    most = 0

    async def newcomer() -> None:
        nonlocal inside, most
        stop = asyncio.Event()
        async with leases.hold("f", Claim.CUT, stop.set):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(newcomer() for _ in range(20)))
    assert most == 1
    assert leases.holder("f") is None


async def test_a_holder_that_doesnt_let_go_locks_the_newcomer_out_after_a_while(leases, holding, monkeypatch):
    monkeypatch.setattr(leases_module, "LET_GO_TIMEOUT_S", 0.01)
    await holding(stubborn=True)
    with pytest.raises(Locked):
        await enter(leases, "f", Claim.CUT)


async def test_one_that_doesnt_let_go_is_fenced_off_where_that_can_be_done(clock, monkeypatch):
    monkeypatch.setattr(leases_module, "LET_GO_TIMEOUT_S", 0.01)
    fenced = []

    async def fence(file_id: str) -> None:
        fenced.append(file_id)

    leases = Leases(clock, fence)
    stubborn = Holder(leases, "f#3#1", stubborn=True)
    task = asyncio.ensure_future(stubborn.run())
    await stubborn.holds.wait()
    async with leases.hold("f#3#1", Claim.CUT, lambda: None) as mine:
        assert fenced == ["f"]
        task.cancel()
        await asyncio.wait([task])
        assert leases.holder("f#3#1") is mine, "whoever was fenced off takes nobody's place away when it ends"
    assert leases.holder("f#3#1") is None


async def test_who_asks_politely_fences_nobody_off(clock, monkeypatch):
    monkeypatch.setattr(leases_module, "LET_GO_TIMEOUT_S", 0.01)
    leases = Leases(clock, lambda _file_id: pytest.fail("it was"))
    stubborn = Holder(leases, "f", stubborn=True)
    task = asyncio.ensure_future(stubborn.run())
    await stubborn.holds.wait()
    clock.advance(5)
    with pytest.raises(Locked):
        await enter(leases, "f", Claim.POLITE)
    task.cancel()
    await asyncio.wait([task])


async def test_cutting_files_reaches_every_place_of_theirs_and_no_other(leases, holding):
    tail, chunk, other = await holding("f"), await holding("f#3#1"), await holding("g")
    assert sorted(leases.under(["f"])) == ["f", "f#3#1"]
    await leases.cut(["f"])
    assert tail.stopped.is_set()
    assert chunk.stopped.is_set()
    assert not other.stopped.is_set()
    assert leases.under(["f"]) == []


async def test_at_the_end_everyone_is_told_to_let_go(leases, holding):
    holders = [await holding(place) for place in ("f", "g", "h#1#1")]
    await leases.cut_all()
    assert all(holder.stopped.is_set() for holder in holders)
    assert leases.under(["f", "g", "h"]) == []
    await leases.cut_all()


async def test_an_error_gives_the_place_back(leases):
    with pytest.raises(KeyError):
        async with leases.hold("f", Claim.POLITE, lambda: None):
            raise KeyError
    assert leases.holder("f") is None


async def test_the_patient_wait_for_a_live_holder_and_cut_a_silent_one(leases, holding, clock):
    holder = await holding()
    waiting = asyncio.create_task(enter(leases, "f", Claim.PATIENT))
    await asyncio.sleep(0)  # it comes as far as to wait
    assert not holder.stopped.is_set()
    holder.stopped.set()  # it ends by itself
    await waiting
    silent = await holding()
    clock.advance(1)
    await enter(leases, "f", Claim.PATIENT)
    assert silent.stopped.is_set()


async def test_even_the_patient_wait_for_nobody_for_ever(leases, holding, monkeypatch):
    monkeypatch.setattr(leases_module, "LET_GO_TIMEOUT_S", 0.01)
    holder = await holding()
    with pytest.raises(Locked):
        await enter(leases, "f", Claim.PATIENT)
    assert not holder.stopped.is_set()
