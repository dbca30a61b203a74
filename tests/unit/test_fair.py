"""Turns at what is shared: whoever asks for much waits for itself."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import TooMany
from gateway.fair import FairTurns


class Site:
    """Turns that end when they are told to, and the order in which they began."""

    def __init__(self, turns: FairTurns) -> None:
        self.turns = turns
        self.began: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    async def ask(self, client: str, thing: str, name: str) -> asyncio.Task[None]:
        self.ends[name] = asyncio.Event()

        async def sit() -> None:
            async with self.turns.turn(client, thing):
                self.began.append(name)
                await self.ends[name].wait()

        task = asyncio.create_task(sit())
        await settled()
        return task

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_asks_for_one_thing_over_and_over_leaves_a_seat():
    site = Site(FairTurns(2, waiting=50))
    for number in range(40):
        await site.ask("mallory", "her name", f"m{number}")
    assert site.began == ["m0"]
    await site.ask("mallory", "ada's name", "ada")
    assert site.began == ["m0", "ada"], "from one address, too"


async def test_clients_take_turns_and_the_things_of_one_client_do():
    site = Site(FairTurns(1, waiting=50))
    await site.ask("x", "", "first")
    for name in ("m1", "m2", "m3"):
        await site.ask("mallory", f"thing of {name}", name)
    await site.ask("mallory", "thing of m1", "m1 again")
    await site.ask("ada", "hers", "ada")
    order = ["first", "m1", "ada", "m2", "m3", "m1 again"]
    for name in order:
        await site.end(name)
    assert site.began == order


async def test_only_who_has_too_many_waiting_is_refused():
    site = Site(FairTurns(1, waiting=2, waiting_of_client=4))
    await site.ask("x", "", "first")
    for number in range(2):
        await site.ask("mallory", "a", f"a{number}")
    with pytest.raises(TooMany):
        await (await site.ask("mallory", "a", "a2"))
    for number in range(2):
        await site.ask("mallory", f"b{number}", f"b{number}")
    with pytest.raises(TooMany):
        await (await site.ask("mallory", "c", "c"))
    ada = await site.ask("ada", "hers", "ada")
    assert not ada.done()


async def test_who_goes_away_while_it_waits_or_sits_leaves_nothing_behind():
    site = Site(FairTurns(1, waiting=2))
    sitting = await site.ask("x", "", "first")
    gone = await site.ask("mallory", "a", "gone")
    gone.cancel()
    await settled()
    granted = await site.ask("mallory", "a", "granted")
    sitting.cancel()
    granted.cancel()  # it may have been given the seat in the same breath
    await settled()
    await site.ask("ada", "hers", "ada")
    assert site.began == ["first", "ada"]
    await site.end("ada")
    assert not site.turns._queues
