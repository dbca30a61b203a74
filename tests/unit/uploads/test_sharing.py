"""One sync for all that wait, and segments that end when nothing is under way in them any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from gateway.blobs.base import Bytes
from gateway.blobs.memory import MemoryBlobs, MemoryWriter
from gateway.clock import SystemClock
from gateway.ledger.memory.ledger import MemoryLedger
from gateway.ledger.rows import SharedState
from gateway.spool import Spool, shared
from gateway.uploads import sharing
from gateway.uploads.body import Buffered
from gateway.uploads.leases import Lease
from gateway.uploads.pipeline import Pipeline
from gateway.uploads.sharing import Sharing
from gateway.uploads.threads import Threads
from tests.unit.spool.support import World, noise
from tests.unit.uploads.test_pipeline import ScriptedBody


class SlowBlobs(MemoryBlobs):
    """A sync takes until it is let go, and so does the first write; each is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs = self.writes = 0
        self.may_sync, self.may_write_first = threading.Event(), threading.Event()
        self.may_sync.set()
        self.may_write_first.set()

    def create(self, name: str) -> MemoryWriter:
        writer = super().create(name)
        sync, write_at = writer.sync, writer.write_at

        def write_slowly(position: int, pieces: Sequence[Bytes]) -> None:
            self.writes += 1
            if self.writes == 1:
                assert self.may_write_first.wait(10)
            write_at(position, pieces)

        def slowly() -> None:
            self.syncs += 1
            assert self.may_sync.wait(10)
            sync()

        writer.sync = slowly  # type: ignore[method-assign]  # a slow disk
        writer.write_at = write_slowly  # type: ignore[method-assign]  # likewise
        return writer


class Place:
    """A pipeline over a slow disk."""

    def __init__(self) -> None:
        self.blobs = SlowBlobs()
        self.ledger = MemoryLedger()
        self.sharing = Sharing(self.ledger, Spool(self.blobs), "session")
        self.threads = Threads(16)
        self.pipeline = Pipeline(self.threads, Buffered(1 << 26), 5.0, self.sharing)
        self.durable: list[bool] = []

    async def small(self, number: int) -> None:
        body = ScriptedBody(noise(1000, number), size=1000)
        writer = World(self.blobs).shared_writer()

        async def commit(stored: int, cleanly: bool) -> None:
            (run,) = writer.runs
            content = self.blobs.after_power_cut().content(run.segment_id)
            self.durable.append(len(content) >= run.entry_at + run.sealed_bytes)
            writer.settled()

        await self.pipeline.pour(body, writer, 1000, Lease(SystemClock(), body.stop), commit)

    async def states(self, state: SharedState) -> int:
        return len(await self.ledger.read(lambda tx: tx.runs.shared(state)))


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place = Place()
    yield place
    place.threads.close()
    await place.sharing.close()
    await place.ledger.close()


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_what_comes_while_a_sync_runs_shares_the_next_one(place: Place) -> None:
    place.blobs.may_sync.clear()
    tasks = [asyncio.create_task(place.small(0))]
    await until(lambda: place.blobs.syncs == 1)
    tasks += [asyncio.create_task(place.small(number)) for number in range(1, 10)]
    await until(lambda: place.sharing._syncs._queue.qsize() == 9)
    assert place.durable == []
    place.blobs.may_sync.set()
    await asyncio.gather(*tasks)
    assert place.blobs.syncs == 2
    assert place.durable == [True] * 10


async def test_what_is_being_written_when_a_sync_is_about_to_begin_shares_it(place: Place, monkeypatch) -> None:
    monkeypatch.setattr(sharing, "HANGS_S", 10)
    place.blobs.may_write_first.clear()
    tasks = [asyncio.create_task(place.small(0))]
    await until(lambda: place.blobs.writes == 1)
    tasks += [asyncio.create_task(place.small(number)) for number in range(1, 10)]
    await until(lambda: place.blobs.writes == 10)
    place.blobs.may_write_first.set()
    await asyncio.gather(*tasks)
    assert place.blobs.syncs == 1
    assert place.durable == [True] * 10


async def test_what_hangs_while_it_is_written_is_waited_for_once(place: Place, monkeypatch) -> None:
    monkeypatch.setattr(sharing, "HANGS_S", 0.05)
    place.blobs.may_write_first.clear()
    hanging = asyncio.create_task(place.small(0))
    await until(lambda: place.blobs.writes == 1)
    await place.small(1)
    monkeypatch.setattr(sharing, "HANGS_S", 60)
    async with asyncio.timeout(10):
        await place.small(2)
    assert place.durable == [True] * 2
    place.blobs.may_write_first.set()
    await hanging
    assert place.blobs.syncs == 3
    assert place.durable == [True] * 3


async def test_who_comes_alone_has_a_sync_alone(place: Place) -> None:
    for number in range(3):
        await place.small(number)
    assert place.blobs.syncs == 3
    assert place.durable == [True] * 3


async def test_a_full_segment_is_closed_when_nothing_is_under_way_in_it(place: Place, monkeypatch) -> None:
    monkeypatch.setattr(shared, "FULL_AT_BYTES", 1500)
    slow = World(place.blobs).shared_writer()
    first = await place.sharing.segment()
    slow.take(first)
    slow.append([b"not committed yet"])
    for number in range(3):
        await place.small(number)
    assert await place.states(SharedState.OPEN) == 2
    slow.settled()
    for number in range(2):
        await place.small(number)
    assert await place.states(SharedState.CLOSED) == 2
    assert await place.states(SharedState.OPEN) == 1


async def test_a_segment_that_no_row_names_is_given_up_when_somebody_asks(place: Place) -> None:
    await place.sharing.retire_idle()  # there is none
    await place.small(1)
    before = await place.sharing.segment()
    await place.sharing.retire_idle()
    assert await place.states(SharedState.CLOSED) == 1
    assert await place.sharing.segment() is not before


async def test_what_a_process_leaves_is_closed_at_its_end(place: Place) -> None:
    await place.small(1)
    await place.sharing.close()
    assert await place.states(SharedState.CLOSED) == 1
