from __future__ import annotations

import errno
import hashlib
import threading

import pytest

from gateway.blobs.memory import MemoryBlobs
from gateway.errors import SpoolFull, Unavailable
from gateway.spool import FRAME_SIZE, HEADER_SIZE, Run, SharedSegment, sealed_size, shared
from tests.unit.spool.support import World, new_id, noise


def segment_of(world: World) -> SharedSegment:
    return SharedSegment(world.blobs, new_id())


def add(world: World, segment: SharedSegment, content: bytes, base_offset: int = 0) -> Run:
    writer = world.shared_writer(base_offset)
    writer.take(segment)
    writer.append([content])
    (run,) = writer.runs
    writer.settled()
    return run


def test_files_lie_side_by_side_and_each_is_read_by_itself() -> None:
    world = World()
    other, segment = world.sibling(), segment_of(world)
    first = add(world, segment, noise(100_000, 1))
    between = add(other, segment, b"between")
    second = add(world, segment, b"second", 100_000)
    assert (first.entry_at, between.entry_at) == (0, HEADER_SIZE + sealed_size(100_000))
    assert second.entry_at == between.entry_at + between.sealed_bytes
    assert world.reader([first, second]).read_at(0, 1 << 20) == noise(100_000, 1) + b"second"
    assert other.reader([between]).read_at(0, 99) == b"between"


def test_an_append_is_an_entry_and_its_digests_see_it_once() -> None:
    world = World()
    segment, writer, digest = segment_of(world), world.shared_writer(), hashlib.sha256()
    for piece in (b"one", b"two"):
        writer.take(segment)
        assert writer.append([piece], [digest]) == 3
    assert [(run.start, run.length, run.first_frame) for run in writer.runs] == [(0, 3, 0), (3, 3, 0)]
    assert len({run.entry_id for run in writer.runs}) == 2
    assert world.reader(writer.runs).read_at(0, 9) == b"onetwo"
    assert digest.digest() == hashlib.sha256(b"onetwo").digest()


def test_a_segment_is_pinned_until_rows_name_what_was_written_or_never_will() -> None:
    world = World()
    segment, writer = segment_of(world), world.shared_writer()
    pinned = [segment.pinned]
    for end in (writer.settled, writer.close, writer.close):
        writer.take(segment)
        writer.append([b"x"])
        pinned.append(segment.pinned)
        end()
        pinned.append(segment.pinned)
        assert writer.runs == []
    assert pinned == [False, True, False, True, False, True, False]


def test_a_full_segment_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "FULL_AT_BYTES", 1000)
    world = World()
    segment = segment_of(world)
    assert segment.takes_more
    add(world, segment, bytes(1000))
    assert not segment.takes_more


@pytest.mark.parametrize(
    ("operation", "number"),
    [("create", errno.EIO), ("append", errno.EIO), ("sync", errno.EIO), ("sync", errno.ENOSPC)],
)
def test_a_fault_ends_a_segment_and_spares_what_rows_name(operation: str, number: int) -> None:
    world = World()
    segment = segment_of(world)
    kept = None
    if operation != "create":
        kept = add(world, segment, b"kept")
        segment.sync()
    world.blobs.faults[operation] = number
    writer = world.shared_writer()
    writer.take(segment)

    def write() -> None:
        writer.append([b"lost"])
        writer.sync()

    with pytest.raises((SpoolFull, Unavailable)):
        write()
    assert writer.broken
    assert not segment.takes_more
    world.blobs.faults.clear()
    with pytest.raises(Unavailable):
        segment.sync()
    if kept is not None:
        assert world.reader([kept]).read_at(0, 9) == b"kept"


def test_where_one_finds_no_room_another_may() -> None:
    world = World(MemoryBlobs(capacity_bytes=HEADER_SIZE + sealed_size(1000) + 200))
    segment = segment_of(world)
    add(world, segment, bytes(1000))
    with pytest.raises(SpoolFull):
        add(world, segment, bytes(1000))
    assert segment.takes_more
    world.blobs.capacity_bytes = None
    run = add(world, segment, b"later")
    segment.sync()
    assert world.reader([run]).read_at(0, 9) == b"later"


def test_a_large_append_is_a_mistake() -> None:
    world = World()
    writer = world.shared_writer()
    writer.take(segment_of(world))
    with pytest.raises(ValueError, match="small"):
        writer.append([bytes(3 << 20)])


def test_threads_write_beside_each_other() -> None:
    world = World()
    segment, worlds = segment_of(world), [world.sibling() for _ in range(8)]
    runs: dict[int, Run] = {}

    def write(number: int) -> None:
        runs[number] = add(worlds[number], segment, noise(3 * FRAME_SIZE + number, number))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, run in runs.items():
        expected = noise(3 * FRAME_SIZE + number, number)
        assert worlds[number].reader([run]).read_at(0, 1 << 20) == expected
