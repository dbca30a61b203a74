"""Threads for calls that may block for long."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.delivery import threads
from gateway.delivery.threads import in_thread


async def test_a_call_comes_back_with_what_it_returned_or_raised():
    def refuses() -> None:
        raise LookupError("there is none")

    assert await in_thread(lambda: 7) == 7
    with pytest.raises(LookupError, match="there is none"):
        await in_thread(refuses)


async def test_one_call_after_the_other_goes_by_one_thread():
    used = {await in_thread(threading.get_ident) for _ in range(50)}
    assert len(used) == 1


async def test_calls_that_hang_keep_no_other_one_waiting():
    go_on = threading.Event()
    hanging = [asyncio.ensure_future(in_thread(go_on.wait)) for _ in range(40)]
    async with asyncio.timeout(10):
        assert await in_thread(lambda: "answered") == "answered"
    assert not any(one.done() for one in hanging)
    go_on.set()
    assert await asyncio.gather(*hanging) == [True] * 40


async def test_a_call_that_nobody_waits_for_any_more_leaves_its_thread_to_others():
    go_on, began = threading.Event(), threading.Event()

    def hangs() -> None:
        began.set()
        go_on.wait()

    abandoned = asyncio.ensure_future(in_thread(hangs))
    await in_thread(began.wait)
    abandoned.cancel()
    with pytest.raises(asyncio.CancelledError):
        await abandoned
    go_on.set()
    assert await in_thread(lambda: 7) == 7


async def test_a_thread_that_nobody_needs_ends(monkeypatch):
    monkeypatch.setattr(threads, "_idle", [])
    monkeypatch.setattr(threads, "IDLE_S", 0.01)
    thread = await in_thread(threading.current_thread)
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
    assert await in_thread(lambda: 7) == 7
