from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Sequence

import pytest

from gateway.blobs.base import Bytes
from gateway.blobs.memory import MemoryBlobs
from gateway.errors import GatewayError, SpoolFull, Unavailable
from gateway.spool import FRAME_SIZE, HEADER_SIZE, Run, sealed_size
from gateway.spool.frames import EntryHeader
from tests.unit.spool.support import World, frame_places, new_id, noise, nonces

MIB = 1 << 20


class CountingBlobs(MemoryBlobs):
    """Remembers how many bytes each append brought."""

    def __init__(self) -> None:
        super().__init__()
        self.appends: list[int] = []

    def extend(self, blob, pieces: Sequence[Bytes]) -> int:
        size_bytes = super().extend(blob, pieces)
        self.appends.append(size_bytes)
        return size_bytes


def test_no_blob_is_made_before_the_first_byte() -> None:
    world = World()
    writer = world.writer()
    assert writer.append([]) == 0
    assert writer.append([b"", b""]) == 0
    writer.sync()
    writer.close()
    assert list(world.blobs.list()) == []
    assert writer.run.length == 0


def test_an_entry_begins_with_a_header_that_says_whose_it_is() -> None:
    world = World()
    writer = world.writer(base_offset=12345, fence=7)
    writer.append([b"x"])
    header = EntryHeader.parse(world.blobs.content(writer.segment_id)[:HEADER_SIZE])
    assert header == EntryHeader(
        world.file_id, writer.run.entry_id, base_offset=12345, fence=7, commitment=world.key.commitment
    )


def test_counters_tell_what_a_row_must_know() -> None:
    world = World()
    writer = world.writer(base_offset=100)
    assert writer.append([b"a" * 10, b"b" * FRAME_SIZE]) == FRAME_SIZE + 10
    assert writer.offset == 100 + FRAME_SIZE + 10
    assert writer.position == HEADER_SIZE + sealed_size(FRAME_SIZE + 10) == len(world.blobs.content(writer.segment_id))
    entry_id = writer.run.entry_id
    assert writer.run == Run(
        writer.segment_id, 100, FRAME_SIZE + 10, HEADER_SIZE, 0, 0, entry_id, sealed_bytes=writer.position
    )
    writer.append([b"c"])
    assert writer.run == Run(
        writer.segment_id, 100, FRAME_SIZE + 11, HEADER_SIZE, 0, 0, entry_id, sealed_bytes=writer.position
    )


def test_entries_follow_each_other_in_one_segment() -> None:
    world = World()
    writer = world.writer()
    writer.begin_run(500)
    writer.append([b"a" * 10])
    first = writer.run
    end = writer.position
    writer.begin_run(0)
    assert writer.run.length == 0
    writer.begin_run(20)
    writer.append([b"b" * 5])
    writer.append([b"c" * 5])
    assert first == Run(writer.segment_id, 500, 10, HEADER_SIZE, 0, 0, first.entry_id, sealed_bytes=end)
    second = writer.run
    assert second == Run(
        writer.segment_id, 20, 10, end + HEADER_SIZE, 0, end, second.entry_id, sealed_bytes=writer.position - end
    )
    assert first.entry_id != second.entry_id
    header = EntryHeader.parse(world.blobs.content(writer.segment_id)[end : end + HEADER_SIZE])
    assert header.base_offset == 20


def test_a_negative_offset_is_a_mistake() -> None:
    with pytest.raises(ValueError):
        World().writer().begin_run(-1)


@pytest.mark.parametrize(
    "cuts", [[1], [FRAME_SIZE - 1, 2], [FRAME_SIZE, FRAME_SIZE], [40_000] * 11, [3, 200_000, 5, 7]]
)
def test_frames_of_an_append_are_full_however_its_pieces_are_cut(cuts: list[int]) -> None:
    world = World()
    writer = world.writer()
    writer.append([noise(size, seed) for seed, size in enumerate(cuts)])
    sizes = [end - at - 36 for at, end in frame_places(world.blobs.content(writer.segment_id))]
    total = sum(cuts)
    assert sizes == [FRAME_SIZE] * (total // FRAME_SIZE) + ([total % FRAME_SIZE] if total % FRAME_SIZE else [])


@pytest.mark.parametrize("size", [1, MIB - 1, MIB, MIB + 1, 4 * MIB])
def test_an_append_of_up_to_4_mib_is_one_write(size: int) -> None:
    world = World(CountingBlobs())
    writer = world.writer()
    writer.append([noise(size)])
    writer.append([noise(size)])
    assert isinstance(world.blobs, CountingBlobs)
    assert world.blobs.appends == [HEADER_SIZE + sealed_size(size), sealed_size(size)]


def test_a_huge_append_is_cut_into_writes_of_bounded_scratch() -> None:
    world = World(CountingBlobs())
    writer = world.writer()
    plaintext = noise(11 * MIB + 3)
    writer.append([plaintext[:MIB], plaintext[MIB:]])
    assert isinstance(world.blobs, CountingBlobs)
    assert max(world.blobs.appends) == HEADER_SIZE + sealed_size(4 * MIB)
    assert world.reader([writer.run]).read_at(0, 12 * MIB) == plaintext


def test_digests_are_of_the_plaintext_in_order() -> None:
    writer = World().writer()
    pieces = [noise(size, size) for size in (1, 70_000, 3, MIB)]
    digests = [hashlib.sha256(), hashlib.md5()]
    writer.append(pieces[:2], digests)
    writer.append(pieces[2:], digests)
    whole = b"".join(pieces)
    assert [digest.digest() for digest in digests] == [hashlib.sha256(whole).digest(), hashlib.md5(whole).digest()]


def test_all_kinds_of_buffers_are_taken() -> None:
    world = World()
    writer = world.writer()
    writer.append([b"ab", bytearray(b"cd"), memoryview(b"efgh").cast("H"), memoryview(b"-ij-")[1:3]])
    assert world.reader([writer.run]).read_at(0, 99) == b"abcdefghij"


def test_bytes_are_the_callers_again_when_append_returns() -> None:
    world = World()
    writer = world.writer()
    buffer = bytearray(b"first")
    writer.append([buffer])
    buffer[:] = b"other"
    writer.append([buffer])
    assert world.reader([writer.run]).read_at(0, 99) == b"firstother"


def test_nonces_are_unique_and_a_written_prefix_never_changes() -> None:
    world = World()
    seen: list[bytes] = []
    for attempt in range(20):
        writer = world.writer(fence=attempt)
        prefix = b""
        for _ in range(10):
            writer.append([b"the same bytes at the same place"])
            writer.begin_run(0)
            content = world.blobs.content(writer.segment_id)
            assert content.startswith(prefix)
            prefix = content
        seen += nonces(prefix)
    assert len(set(seen)) == len(seen) == 200


def test_only_what_was_synced_is_promised() -> None:
    world = World()
    writer = world.writer()
    writer.append([b"one"])
    writer.sync()
    synced = writer.run
    writer.append([b"two"])
    world.blobs = world.blobs.after_power_cut()
    assert world.reader([synced]).read_at(0, 99) == b"one"


@pytest.mark.parametrize(
    ("number", "error", "code"),
    [
        (errno.ENOSPC, SpoolFull, "spool_full"),
        (errno.EDQUOT, SpoolFull, "spool_full"),
        (errno.EIO, Unavailable, "storage_error"),
        (errno.EROFS, Unavailable, "storage_error"),
    ],
)
@pytest.mark.parametrize("operation", ["create", "append", "sync"])
def test_a_storage_fault_breaks_the_writer_for_good(
    operation: str, number: int, error: type[GatewayError], code: str
) -> None:
    world = World()
    writer = world.writer()
    if operation != "create":
        writer.append([b"kept"])
        writer.sync()
    kept = writer.run
    world.blobs.faults[operation] = number

    def write() -> None:
        writer.append([b"lost"])
        writer.sync()

    with pytest.raises(error) as caught:
        write()
    assert caught.value.code == code
    assert writer.broken
    world.blobs.faults.clear()
    for act in (lambda: writer.append([b"again"]), writer.sync):
        with pytest.raises(Unavailable) as again:
            act()
        assert again.value.code == "storage_error"
    writer.close()
    assert world.reader([kept]).read_at(0, 99) == (b"" if operation == "create" else b"kept")


def test_after_a_full_disk_a_new_segment_goes_on() -> None:
    world = World(MemoryBlobs(capacity_bytes=HEADER_SIZE + sealed_size(100) + 50))
    writer = world.writer()
    writer.append([b"a" * 100])
    writer.sync()
    first = writer.run
    with pytest.raises(SpoolFull):
        writer.append([b"b" * 100])
    world.blobs.capacity_bytes = None
    second = world.writer(base_offset=100)
    second.append([b"c" * 100])
    assert world.reader([first, second.run]).read_at(0, 300) == b"a" * 100 + b"c" * 100


def test_a_segment_id_is_used_once() -> None:
    world = World()
    world.writer(segment_id="ab" * 16).append([b"x"])
    again = world.writer(segment_id="ab" * 16)
    with pytest.raises(Unavailable):
        again.append([b"y"])
    assert again.broken
    assert len(nonces(world.blobs.content("ab" * 16))) == 1


def test_what_is_not_bytes_is_refused_before_anything_is_sealed() -> None:
    writer = World().writer()
    writer.append([b"x"])
    with pytest.raises(TypeError):
        writer.append([b"x", "not bytes"])  # type: ignore[list-item]  # the mistake under test
    assert not writer.broken  # nothing was sealed yet
    assert writer.append([b"x"]) == 1


def test_a_closed_writer_takes_nothing_more() -> None:
    writer = World().writer()
    writer.append([b"x"])
    writer.close()
    writer.close()
    with pytest.raises(ValueError):
        writer.append([b"x"])


def test_threads_write_beside_each_other() -> None:
    world = World()
    worlds = [world.sibling() for _ in range(4)]
    runs: list[Run | None] = [None] * 4

    def write(number: int) -> None:
        writer = worlds[number].writer(segment_id=new_id())
        for step in range(8):
            writer.append([noise(300_000, number * 100 + step)])
        runs[number] = writer.run

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, run in enumerate(runs):
        assert run is not None
        expected = b"".join(noise(300_000, number * 100 + step) for step in range(8))
        assert worlds[number].reader([run]).read_at(0, 8 * 300_000) == expected
