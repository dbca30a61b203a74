"""Memory for bodies that are held whole: who stalls waits for itself."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from gateway.errors import TooMany
from gateway.web import shares as module
from gateway.web.shares import Shares


async def test_bodies_of_one_client_have_a_quarter_and_the_others_get_in_at_once(monkeypatch):
    monkeypatch.setattr(module, "WAIT_S", 0.05)
    shares = Shares(1000)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(shares.hold("mallory", 120))
        with pytest.raises(TooMany) as caught:
            await stack.enter_async_context(shares.hold("mallory", 120))
        assert (caught.value.code, caught.value.extra["limit"]) == ("quota_exceeded", "server.max_buffered_bytes")
        async with shares.hold("ada", 120), shares.hold("bob", 120):
            assert shares.held_bytes == 480
    assert shares.held_bytes == 0


async def test_who_waits_goes_on_as_soon_as_there_is_room():
    shares = Shares(400)
    begun = asyncio.Event()

    async def next_one() -> None:
        async with shares.hold("ada", 80):
            begun.set()

    async with shares.hold("ada", 80):
        waiting = asyncio.create_task(next_one())
        await asyncio.sleep(0)
        assert not begun.is_set()
    await asyncio.wait_for(waiting, 5)


async def test_a_body_larger_than_the_share_is_taken_alone():
    shares = Shares(100)
    async with shares.hold("ada", 500):
        assert shares.held_bytes == 500
