"""The way of the bytes: what is committed is on the disk, each byte once, and nothing waits that needn't."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from gateway.blobs.memory import MemoryBlobs
from gateway.clock import SystemClock
from gateway.errors import Conflict, SpoolFull, TooLarge, Unavailable
from gateway.ledger.memory.ledger import MemoryLedger
from gateway.spool import Run, SegmentWriter, Spool
from gateway.uploads.appends import COMMIT_EVERY_BYTES, Midway
from gateway.uploads.body import BodyBroken, BodyStopped, Buffered
from gateway.uploads.leases import Lease
from gateway.uploads.pipeline import Flow, Pipeline, raise_unless_clean
from gateway.uploads.sharing import Sharing
from gateway.uploads.storing import IntoOwn
from gateway.uploads.tails import Tail, Tails
from gateway.uploads.threads import Threads
from tests.unit.spool.support import World, noise

MIB = 1 << 20


class ScriptedBody:
    """Gives its pieces one by one; an exception among them is raised, an event is waited for."""

    def __init__(self, *script: bytes | Exception | asyncio.Event, size: int | None) -> None:
        self.size = size
        self.reads = 0
        self._script = list(script)

    async def read(self, wait_s: float) -> bytes | None:
        self.reads += 1
        while self._script:
            step = self._script.pop(0)
            if isinstance(step, bytes):
                return step
            if isinstance(step, Exception):
                raise step
            await step.wait()
        return b""

    def went_fast(self) -> None:
        pass

    def stop(self) -> None:
        pass


@pytest.fixture
async def sharing() -> AsyncIterator[Sharing]:
    ledger = MemoryLedger()
    sharing = Sharing(ledger, Spool(MemoryBlobs()), "session")
    yield sharing
    await sharing.close()
    await ledger.close()


@pytest.fixture
def pipeline(sharing: Sharing) -> Iterator[Pipeline]:
    threads = Threads(2)
    yield Pipeline(threads, Buffered(64 * MIB), 5.0, sharing)
    threads.close()


class Commits:
    """Remembers each commit, with how much of the blob was durable when it was asked for."""

    def __init__(self, world: World, writer: SegmentWriter) -> None:
        self._world = world
        self._writer = writer
        self.calls: list[tuple[int, bool]] = []

    async def __call__(self, stored: int, cleanly: bool) -> None:
        run = self._writer.run
        assert run.length == stored
        if stored:
            self._ensure_durable(run)
        self.calls.append((stored, cleanly))

    async def midway(self, stored: int, runs: Sequence[Run]) -> None:
        """More may have been appended since."""
        [run] = runs
        assert run.length == stored
        self._ensure_durable(run)
        self.calls.append((stored, False))

    def _ensure_durable(self, run: Run) -> None:
        kept = self._world.blobs.after_power_cut()
        assert len(kept.content(self._writer.segment_id)) >= run.entry_at + run.sealed_bytes


async def pour(
    pipeline: Pipeline,
    world: World,
    body: ScriptedBody,
    room: int,
    commit_every: int = COMMIT_EVERY_BYTES,
    pause_s: float = 0.0,
) -> tuple[Flow, Commits]:
    writer = world.writer()
    commits = Commits(world, writer)
    midway = Midway(pipeline.threads, writer, commits.midway, commit_every, pause_s)
    lease = Lease(SystemClock(), body.stop)
    return await pipeline.pour(body, writer, room, lease, commits, midway=midway), commits


@pytest.mark.parametrize("size", [1, 65_536, MIB, 8 * MIB])
async def test_a_body_of_known_length_is_committed_once_and_read_no_further(pipeline, size):
    world = World()
    pieces = [noise(min(256 << 10, size - at)) for at in range(0, size, 256 << 10)]
    body = ScriptedBody(*pieces, size=size)
    flow, commits = await pour(pipeline, world, body, size)
    assert flow == Flow(size, None, overrun=False)
    assert commits.calls == [(size, True)]
    assert body.reads == len(pieces)


async def test_a_body_of_unknown_length_is_committed_midway_and_at_its_end(pipeline):
    flow, commits = await pour(
        pipeline, World(), ScriptedBody(*[noise(MIB)] * 5, size=None), 64 * MIB, commit_every=2 * MIB
    )
    assert flow.stored == 5 * MIB
    assert commits.calls == [(2 * MIB, False), (4 * MIB, False), (5 * MIB, True)]


async def test_what_comes_fast_is_committed_by_four_times_as_much(pipeline):
    body = ScriptedBody(*[noise(MIB)] * 10, size=None)
    _, commits = await pour(pipeline, World(), body, 64 * MIB, commit_every=MIB, pause_s=3600.0)
    assert commits.calls == [(1 * MIB, False), (5 * MIB, False), (9 * MIB, False), (10 * MIB, True)]


async def test_a_batch_that_cannot_be_stored_ends_the_body_and_those_behind_it(pipeline):
    world = World()
    writer = world.writer()
    appended = []

    class Full(SegmentWriter):
        def append(self, pieces: Any, digests: Any = ()) -> int:
            appended.append(sum(map(len, pieces)))
            if len(appended) == 2:
                raise SpoolFull("the disk is full")
            return super().append(pieces, digests)

    writer.__class__ = Full
    commits = Commits(world, writer)
    body = ScriptedBody(*[noise(MIB)] * 8, size=8 * MIB)
    with pytest.raises(SpoolFull):
        await pipeline.pour(body, writer, 8 * MIB, Lease(SystemClock(), body.stop), commits)
    assert appended == [MIB, MIB]
    assert commits.calls == []


async def test_a_body_that_breaks_keeps_what_came(pipeline):
    body = ScriptedBody(noise(1000), BodyBroken("cut"), size=5000)
    flow, commits = await pour(pipeline, World(), body, 5000)
    assert isinstance(flow.error, BodyBroken)
    assert commits.calls == [(1000, False)]


async def test_a_body_that_breaks_before_its_first_byte_commits_nothing(pipeline):
    flow, commits = await pour(pipeline, World(), ScriptedBody(BodyBroken("cut"), size=5000), 5000)
    assert isinstance(flow.error, BodyBroken)
    assert commits.calls == []


async def test_an_empty_body_is_a_clean_end(pipeline):
    body = ScriptedBody(size=0)
    flow, commits = await pour(pipeline, World(), body, 10)
    assert flow == Flow(0, None, overrun=False)
    assert commits.calls == [(0, True)]


async def test_what_is_beyond_the_room_is_left_and_said(pipeline):
    flow, commits = await pour(pipeline, World(), ScriptedBody(noise(900), noise(900), size=None), 1000)
    assert flow.overrun
    assert commits.calls == [(1000, False)]


async def pour_with(pipeline: Pipeline, writer: SegmentWriter, mebibytes: int, midway: Any, commit: Any) -> Flow:
    """So many pieces of a mebibyte, with a commit after every two."""
    body = ScriptedBody(*[noise(MIB)] * mebibytes, size=mebibytes * MIB)
    lease = Lease(SystemClock(), body.stop)
    of_two = Midway(pipeline.threads, writer, midway, 2 * MIB, pause_s=0.0)
    async with asyncio.timeout(10):
        return await pipeline.pour(body, writer, mebibytes * MIB, lease, commit, midway=of_two)


async def test_bytes_are_read_and_appended_while_a_commit_in_mid_body_runs(pipeline):
    writer = World().writer()
    committed = []

    async def midway(stored: int, runs: Sequence[Run]) -> None:
        while stored == 2 * MIB and writer.offset < 4 * MIB:  # what came since is with the system, beside us
            await pipeline.threads.run(lambda: None)
        committed.append((stored, sum(run.length for run in runs)))

    async def commit(stored: int, cleanly: bool) -> None:
        committed.append((stored, cleanly))

    flow = await pour_with(pipeline, writer, 7, midway, commit)
    assert flow.stored == 7 * MIB
    assert committed == [(2 * MIB, 2 * MIB), (4 * MIB, 4 * MIB), (6 * MIB, 6 * MIB), (7 * MIB, True)]


async def test_no_more_than_twice_as_much_is_appended_as_a_commit_takes_while_one_hangs(pipeline):
    writer = World().writer()
    goes_on = asyncio.Event()

    async def midway(stored: int, runs: Sequence[Run]) -> None:
        await goes_on.wait()

    async def commit(stored: int, cleanly: bool) -> None:
        pass

    pouring = asyncio.ensure_future(pour_with(pipeline, writer, 12, midway, commit))
    for _ in range(100):  # with nothing that held it all would be appended by then
        await pipeline.threads.run(lambda: None)
    assert writer.offset == 4 * MIB
    goes_on.set()
    assert (await pouring).stored == 12 * MIB


async def test_a_commit_that_is_refused_in_mid_body_ends_the_body_with_its_reason(pipeline):
    asked = []

    async def refuse(stored: int, runs: Sequence[Run]) -> None:
        asked.append(stored)
        raise Conflict("the upload was stopped in between", code="conflict")

    async def never(stored: int, cleanly: bool) -> None:
        raise AssertionError("nothing is committed after a refusal")

    with pytest.raises(Conflict):
        await pour_with(pipeline, World().writer(), 12, refuse, never)
    assert asked == [2 * MIB], "none follows one that failed"


async def test_what_was_appended_is_not_held_while_the_next_bytes_are_waited_for(pipeline):
    gone, waits = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    class Piece(bytes):
        def __del__(self) -> None:
            loop.call_soon_threadsafe(gone.set)  # whoever held it last may be a thread

    body = ScriptedBody(Piece(noise(MIB)), waits, noise(1), size=MIB + 1)
    writer = World().writer()

    async def commit(stored: int, cleanly: bool) -> None:
        pass

    lease = Lease(SystemClock(), body.stop)
    pouring = asyncio.ensure_future(pipeline.pour(body, writer, MIB + 1, lease, commit))
    async with asyncio.timeout(10):
        await gone.wait()
        assert writer.offset == MIB
        waits.set()
        assert (await pouring).stored == MIB + 1


@pytest.mark.parametrize("failing", ["append", "sync"])
async def test_a_full_disk_commits_nothing(pipeline, failing):
    world = World()
    world.blobs.faults[failing] = errno.ENOSPC
    writer = world.writer()
    commits = Commits(world, writer)
    body = ScriptedBody(noise(1000), size=1000)
    with pytest.raises(SpoolFull):
        await pipeline.pour(body, writer, 1000, Lease(SystemClock(), body.stop), commits)
    assert commits.calls == []


async def test_a_broken_disk_is_told_from_a_full_one_and_its_segment_is_never_continued(pipeline):
    world = World()
    world.blobs.faults["sync"] = errno.EIO
    writer = world.writer()
    commits = Commits(world, writer)
    body = ScriptedBody(noise(1000), size=1000)
    with pytest.raises(Unavailable):
        await pipeline.pour(body, writer, 1000, Lease(SystemClock(), body.stop), commits)
    assert commits.calls == []
    assert writer.broken


async def test_digests_see_every_byte_that_is_stored_and_no_other(pipeline):
    writer, digest, again = World().writer(), hashlib.sha256(), hashlib.sha256()
    body = ScriptedBody(b"abc", b"defgh", size=None)
    lease = Lease(SystemClock(), body.stop)

    async def commit(stored: int, cleanly: bool) -> None:
        pass

    await pipeline.pour(body, writer, 5, lease, commit, (digest,))
    assert digest.digest() == hashlib.sha256(b"abcde").digest()
    flow = await pipeline.digest(ScriptedBody(b"abc", b"de", size=5), 5, lease, again)
    assert (flow.stored, again.digest()) == (5, digest.digest())


@pytest.mark.parametrize("cores", [1, 4])
async def test_many_batches_are_written_and_digested_in_their_order_however_many_cores_there_are(cores):
    threads, world, content = Threads(4), World(), noise(5 * MIB + 123)
    writer, digest = world.writer(), hashlib.sha256()
    store = IntoOwn(threads, writer, (digest,), cores)
    pieces = [content[at : at + 300_000] for at in range(0, len(content), 300_000)]
    begun = [store.begin([piece], sync=number == len(pieces) - 1) for number, piece in enumerate(pieces)]
    ends = [runs[-1].end for runs in await asyncio.gather(*begun)]
    assert ends == [min(len(content), (number + 1) * 300_000) for number in range(len(pieces))]
    assert digest.digest() == hashlib.sha256(content).digest()
    assert world.reader(writer.runs).read_at(0, len(content)) == content
    threads.close()


@pytest.mark.parametrize("cores", [1, 4])
async def test_behind_a_batch_that_failed_none_is_written(cores):
    threads, world = Threads(4), World()
    writer = world.writer()
    store = IntoOwn(threads, writer, (hashlib.sha256(),), cores)
    world.blobs.faults["append"] = errno.ENOSPC
    begun = [store.begin([noise(1000)], sync=False) for _ in range(3)]
    told = await asyncio.gather(*begun, return_exceptions=True)
    assert [type(one) for one in told] == [SpoolFull] * 3
    assert writer.offset == 0
    threads.close()


@pytest.mark.parametrize("error", [BodyBroken("cut"), BodyStopped()])
def test_the_end_of_a_flow_is_its_error(error):
    with pytest.raises(type(error)):
        raise_unless_clean(Flow(3, error, overrun=False))
    with pytest.raises(TooLarge) as caught:
        raise_unless_clean(Flow(3, None, overrun=True), "body_too_large")
    assert caught.value.code == "body_too_large"
    raise_unless_clean(Flow(3, None, overrun=False))


async def test_whatever_happens_the_memory_is_given_back(sharing: Sharing):
    threads, buffered = Threads(2), Buffered(64 * MIB)
    pipeline = Pipeline(threads, buffered, 5.0, sharing)
    for error in (None, Unavailable("no")):
        body = ScriptedBody(noise(2 * MIB), BodyBroken("cut"), size=3 * MIB)

        async def commit(stored: int, cleanly: bool, error: Exception | None = error) -> None:
            if error is not None:
                raise error

        try:
            await pipeline.pour(body, World().writer(), 3 * MIB, Lease(SystemClock(), body.stop), commit)
        except Unavailable:
            assert error is not None
        assert buffered.held_bytes == 0
    threads.close()


# --- tails ------------------------------------------------------------------------------------------------------------


def test_a_tail_is_taken_once():
    tails, tail = Tails(), Tail(World().writer())
    tails.put("f", tail)
    assert tails.knows("f")
    assert tails.take("f") is tail
    assert tails.take("f") is None


def test_the_least_recently_used_tail_is_closed_for_good():
    tails, writers = Tails(segments=2), [World().writer() for _ in range(3)]
    tails.put("small", Tail(World().shared_writer()))
    for number, writer in enumerate(writers):
        tails.put(f"f{number}", Tail(writer))
    assert tails.take("f0") is None
    with pytest.raises(ValueError, match="closed"):
        writers[0].append([b"x"])
    kept = tails.take("f2")
    assert kept is not None
    assert kept.writer is writers[2]
    assert tails.knows("small")  # it holds no segment open


def test_the_oldest_of_too_many_tails_is_given_up():
    tails = Tails(limit=2)
    for number in range(3):
        tails.put(f"f{number}", Tail(World().shared_writer()))
    assert [tails.knows(f"f{number}") for number in range(3)] == [False, True, True]


def test_closing_a_place_that_has_no_tail_is_no_error():
    tails = Tails()
    tails.close("f")
    tails.put("f", Tail(World().writer()))
    tails.close("f")
    assert tails.take("f") is None
    tails.put("g", Tail(World().writer()))
    tails.close_all()
    assert tails.take("g") is None
