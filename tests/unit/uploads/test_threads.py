"""The threads that seal, write and sync."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from gateway.uploads.threads import Threads

WAIT_S = 10.0


@pytest.fixture
def threads() -> Iterator[Threads]:
    found = Threads(3)
    yield found
    found.close()


async def test_what_an_act_returns_or_raises_is_told_in_the_loop(threads):
    assert await threads.run(lambda a, b: a + b, 1, 2) == 3
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)


async def test_acts_that_come_one_after_the_other_share_a_thread(threads):
    assert len({await threads.run(threading.get_ident) for _ in range(100)}) == 1


async def test_as_many_acts_run_at_once_as_there_are_threads_and_no_more(threads):
    together, lock, running, most = threading.Barrier(3), threading.Lock(), 0, 0

    def act() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(WAIT_S)
        with lock:
            running -= 1

    await asyncio.gather(*(threads.run(act) for _ in range(6)))
    assert most == 3


async def test_an_act_that_is_given_up_before_its_turn_is_not_run():
    threads, go = Threads(1), threading.Event()
    ran: list[str] = []
    first = threads.run(go.wait, WAIT_S)
    given_up = threads.run(ran.append, "given up")
    kept = threads.run(ran.append, "kept")
    given_up.cancel()
    go.set()
    await asyncio.gather(first, kept)
    assert ran == ["kept"]
    threads.close()


async def test_closing_waits_for_what_was_begun():
    threads = Threads(2)
    ran: list[int] = []
    for number in range(10):
        threads.begin(ran.append, number)
    threads.close()
    assert sorted(ran) == list(range(10))
    with pytest.raises(RuntimeError):
        threads.begin(ran.append, 10)
