from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from gateway.blobs.memory import MemoryBlobs
from gateway.errors import Unavailable
from gateway.spool import HEADER_SIZE, Spool, sealed_size
from tests.unit.spool.support import World, new_id, noise


class HandClock:
    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def write(spool: Spool, world: World, segment_id: str, content: bytes):
    writer = spool.writer(
        segment_id=segment_id,
        file_id=world.file_id,
        key=world.key,
        base_offset=0,
        fence=1,
    )
    writer.append([content])
    writer.sync()
    writer.close()
    return writer.run


def test_what_is_written_is_read_until_it_is_deleted() -> None:
    world = World()
    spool = Spool(world.blobs)
    run = write(spool, world, new_id(), noise(1000))
    reader = spool.reader([run], upload_id=world.upload_id, file_id=world.file_id, key=world.key, size_bytes=1000)
    assert reader.read_at(0, 1000) == noise(1000)
    assert spool.size_bytes() == HEADER_SIZE + sealed_size(1000)
    spool.delete([run.segment_id, new_id()])
    assert spool.size_bytes() == 0


def test_only_segments_older_than_asked_for_may_be_swept() -> None:
    clock = HandClock()
    world = World(MemoryBlobs(clock=clock))
    spool = Spool(world.blobs)
    old, young = new_id(), new_id()
    write(spool, world, old, b"x")
    clock.at = 5000.0
    write(spool, world, young, b"x")
    assert set(spool.sweep_candidates(before=1000.0)) == set()
    assert set(spool.sweep_candidates(before=1000.1)) == {old}
    assert set(spool.sweep_candidates(before=6000.0)) == {old, young}


def test_room_is_what_the_medium_has() -> None:
    assert Spool(MemoryBlobs(capacity_bytes=77)).free_bytes() == 77


@pytest.mark.parametrize("act", [lambda spool: spool.delete(["ab" * 16]), lambda spool: spool.delete([])])
def test_a_failing_disk_is_a_storage_error(act: Callable[[Spool], None]) -> None:
    blobs = MemoryBlobs()
    blobs.faults["delete"] = errno.EIO
    with pytest.raises(Unavailable) as caught:
        act(Spool(blobs))
    assert caught.value.code == "storage_error"
