"""The threads that seal, write and sync."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.uploads.threads import Strand, Threads

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


async def test_acts_of_a_strand_run_in_their_order_one_at_a_time(threads):
    strand, lock = Strand(threads), threading.Lock()
    ran: list[int] = []

    def act(number: int) -> int:
        assert lock.acquire(blocking=False), "two at once"
        ran.append(number)
        lock.release()
        return -number

    assert await asyncio.gather(*(strand.run(act, number) for number in range(200))) == [-n for n in range(200)]
    assert ran == list(range(200))


async def test_the_next_act_of_a_strand_needs_no_turn_of_the_loop(threads):
    strand, second_ran = Strand(threads), threading.Event()
    acts: list[asyncio.Future[Any]] = [strand.run(int), strand.run(second_ran.set)]
    assert second_ran.wait(WAIT_S), "with the loop standing still"
    await asyncio.gather(*acts)


async def test_an_act_of_a_strand_that_raises_leaves_those_behind_it(threads):
    strand = Strand(threads)
    failing, kept = strand.run(lambda: 1 // 0), strand.run(int, "7")
    assert await kept == 7
    with pytest.raises(ZeroDivisionError):
        await failing


async def test_an_act_of_a_strand_that_is_given_up_before_its_turn_is_not_run(threads):
    strand, go = Strand(threads), threading.Event()
    ran: list[str] = []
    first, given_up, kept = (
        strand.run(go.wait, WAIT_S),
        strand.run(ran.append, "given up"),
        strand.run(ran.append, "kept"),
    )
    given_up.cancel()
    go.set()
    await asyncio.gather(first, kept)
    assert ran == ["kept"]


async def test_a_strand_that_always_has_acts_leaves_others_their_turn():
    threads, go = Threads(1), threading.Event()
    strand = Strand(threads)
    ran: list[str] = []
    acts: list[asyncio.Future[Any]] = [
        strand.run(go.wait, WAIT_S),
        *(strand.run(ran.append, "of the strand") for _ in range(10)),
    ]
    acts.append(threads.run(ran.append, "another"))
    go.set()
    await asyncio.gather(*acts)
    assert ran[:2].count("another") == 1
    assert ran.count("of the strand") == 10
    threads.close()


async def test_closing_waits_for_a_strand_that_has_acts_yet():
    threads, go = Threads(1), threading.Event()
    strand = Strand(threads)
    ran: list[int] = []
    acts: list[asyncio.Future[Any]] = [
        strand.run(go.wait, WAIT_S),
        *(strand.run(ran.append, number) for number in range(10)),
    ]
    acts.append(threads.run(ran.append, 10))
    closing = threading.Thread(target=threads.close)
    closing.start()
    go.set()
    await asyncio.to_thread(closing.join)
    assert sorted(ran) == list(range(11))
    await asyncio.gather(*acts)
