from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.blobs.local import LocalBlobs
from gateway.errors import Damaged, Unavailable
from gateway.spool import FRAME_SIZE, HEADER_SIZE, Run, SpooledFile
from tests.unit.spool.support import World, frame_places, new_id, noise

MIB = 1 << 20


@pytest.fixture
def world() -> World:
    return World()


def everything(file: SpooledFile) -> bytes:
    return b"".join(bytes(piece) for piece in file.iter_pieces())


class TestReading:
    def test_a_file_without_bytes_is_readable(self, world: World) -> None:
        file = world.reader([])
        assert file.size_bytes == 0
        assert file.read_at(0, 10) == b""
        assert everything(file) == b""
        file.probe()
        file.close()

    @pytest.mark.parametrize("append_size", [None, 1000, 65_536, 100_000, 3 * MIB])
    def test_any_part_can_be_read_in_any_order(self, world: World, append_size: int | None) -> None:
        plaintext = noise(5 * MIB + 17)
        file = world.reader([world.stored(plaintext, append_size=append_size)])
        assert file.size_bytes == len(plaintext)
        for offset, size in [
            (0, 1),
            (len(plaintext) - 1, 1),
            (len(plaintext) - 1, 100),
            (len(plaintext), 1),
            (len(plaintext) + 9, 1),
            (FRAME_SIZE - 1, 2),
            (FRAME_SIZE, FRAME_SIZE),
            (3 * MIB + 5, 2 * MIB),
            (132, 8),
            (0, len(plaintext) + 1),
        ]:
            assert file.read_at(offset, size) == plaintext[offset : offset + size]

    @pytest.mark.parametrize("size", [1, 100, 65_536, 70_000, MIB, 3 * MIB])
    def test_reading_on_and_on_gives_the_whole(self, world: World, size: int) -> None:
        plaintext = noise(2 * MIB + 5 if size > 1 else 3000)
        file = world.reader([world.stored(plaintext, append_size=900_001)])
        parts, offset = [], 0
        while part := file.read_at(offset, size):
            parts.append(part)
            offset += len(part)
        assert b"".join(parts) == plaintext

    @pytest.mark.parametrize("offset", [0, 1, FRAME_SIZE, 2 * MIB + 5, 2 * MIB + 6])
    def test_pieces_come_from_any_place_to_the_end(self, world: World, offset: int) -> None:
        plaintext = noise(2 * MIB + 6)
        file = world.reader([world.stored(plaintext)])
        assert b"".join(bytes(piece) for piece in file.iter_pieces(offset)) == plaintext[offset:]
        assert b"".join(bytes(piece) for piece in file.iter_pieces(offset, piece_size=100_000)) == plaintext[offset:]

    def test_bytes_are_read_into_a_buffer_of_the_caller(self, world: World) -> None:
        file = world.reader([world.stored(noise(100_000))])
        buffer = memoryview(bytearray(60_000))
        assert file.readinto(50_000, buffer) == 50_000
        assert buffer[:50_000] == noise(100_000)[50_000:]

    def test_runs_of_several_segments_are_put_together(self, world: World) -> None:
        plaintext = noise(10 * 50_000)
        writers = [world.writer(), world.writer()]
        runs = []
        for number in (7, 2, 9, 0, 1, 5, 8, 3, 6, 4):
            writer = writers[number % 2]
            writer.begin_run(number * 50_000)
            writer.append([plaintext[number * 50_000 : (number + 1) * 50_000]])
            runs.append(writer.run)
        file = world.reader(runs)
        assert everything(file) == plaintext
        assert file.read_at(149_999, 200_002) == plaintext[149_999:350_001]

    def test_runs_that_were_never_accepted_are_passed_over(self, world: World) -> None:
        writer = world.writer()
        writer.append([b"good "])
        first = writer.run
        writer.begin_run(5)
        writer.append([b"digest did not fit"])
        writer.begin_run(5)
        writer.append([b"bytes"])
        assert everything(world.reader([first, writer.run])) == b"good bytes"

    def test_bytes_beyond_what_a_row_says_are_never_read(self, world: World) -> None:
        writer = world.writer()
        writer.append([b"acknowledged"])
        acknowledged = writer.run
        writer.append([b" not acknowledged"])
        assert everything(world.reader([acknowledged])) == b"acknowledged"

    def test_a_negative_offset_is_a_mistake(self, world: World) -> None:
        with pytest.raises(ValueError):
            world.reader([world.stored(b"x")]).read_at(-1, 1)

    def test_a_closed_file_is_not_read(self, world: World) -> None:
        file = world.reader([world.stored(b"x")])
        file.close()
        file.close()
        with pytest.raises(ValueError):
            file.read_at(0, 1)

    def test_few_handles_are_open_however_many_segments_there_are(self, tmp_path: Path) -> None:
        world = World(LocalBlobs(tmp_path / "spool"))  # type: ignore[arg-type]  # a store is a store
        runs = []
        for number in range(30):
            writer = world.writer(base_offset=number)
            writer.append([bytes([number])])
            writer.close()
            runs.append(writer.run)

        def handles() -> int:
            links = Path("/proc/self/fd").iterdir()
            return sum(str(tmp_path) in str(link.readlink()) for link in links if link.is_symlink())

        file = world.reader(runs)
        assert handles() == 0
        assert file.read_at(0, 30) == bytes(range(30))
        assert 1 <= handles() <= 4
        file.close()
        assert handles() == 0


class TestRuns:
    @pytest.mark.parametrize(
        "change",
        [
            lambda runs: runs[:-1],
            lambda runs: runs[1:],
            lambda runs: [*runs, runs[0]],
            lambda runs: [replace(runs[0], length=9), runs[1]],
            lambda runs: [replace(runs[0], length=11), runs[1]],
            lambda runs: [replace(runs[0], position=0), runs[1]],
        ],
    )
    def test_runs_with_holes_overlaps_or_wild_places_are_damage(self, world: World, change: Callable) -> None:
        writer = world.writer()
        writer.append([b"a" * 10])
        first = writer.run
        writer.begin_run(10)
        writer.append([b"b" * 10])
        world.reader([first, writer.run], 20)
        with pytest.raises(Damaged):
            world.reader(change([first, writer.run]), 20)

    @pytest.mark.parametrize(
        "change",
        [
            {"first_frame": 1},
            {"position": HEADER_SIZE + 1},
            {"position": HEADER_SIZE + 46, "first_frame": 1},
            {"position": HEADER_SIZE + 46},
            {"length": 15},
            {"length": 21},
            {"length": 30},
            {"segment_id": "00" * 16},
        ],
    )
    def test_a_run_that_does_not_fit_its_segment_is_damage(self, world: World, change: dict) -> None:
        writer = world.writer()
        writer.append([b"a" * 10])
        writer.append([b"b" * 10])
        with pytest.raises(Damaged):
            everything(world.reader([replace(writer.run, **change)]))

    def test_a_run_may_end_with_any_frame(self, world: World) -> None:
        writer = world.writer()
        writer.append([b"a" * 10])
        writer.append([b"b" * 10])
        assert everything(world.reader([replace(writer.run, length=10)])) == b"a" * 10


class TestDamage:
    def test_what_is_skipped_is_not_opened_and_what_is_read_is(self, world: World) -> None:
        plaintext = noise(40 * FRAME_SIZE)
        run = world.stored(plaintext)
        blob = bytearray(world.blobs.content(run.segment_id))
        blob[HEADER_SIZE + 1000] ^= 1
        world.blobs.put(run.segment_id, blob)
        file = world.reader([run])
        assert file.read_at(20 * FRAME_SIZE, 10) == plaintext[20 * FRAME_SIZE : 20 * FRAME_SIZE + 10]
        file.probe()
        with pytest.raises(Damaged):
            file.read_at(0, 1)
        with pytest.raises(Damaged):
            everything(file)

    def test_a_header_that_lies_leads_nowhere(self, world: World) -> None:
        writer = world.writer()
        for letter in b"abcd":
            writer.append([bytes([letter]) * 100])
        blob = bytearray(world.blobs.content(writer.segment_id))
        places = [at for at, _ in frame_places(bytes(blob))]
        blob[places[1] + 3] = 136 + 100  # the second frame swallows the third
        world.blobs.put(writer.segment_id, blob)
        file = world.reader([writer.run])
        for offset in (100, 250, 350):
            with pytest.raises(Damaged):
                file.read_at(offset, 1)
        assert file.read_at(0, 100) == b"a" * 100

    @pytest.mark.parametrize("missing", [1, 16, 17, 100, 10_000])
    def test_a_cut_segment_is_noticed_by_a_probe(self, world: World, missing: int) -> None:
        run = world.stored(noise(300_000), append_size=70_000)
        world.blobs.put(run.segment_id, world.blobs.content(run.segment_id)[:-missing])
        with pytest.raises(Damaged):
            world.reader([run]).probe()

    def test_a_missing_segment_is_damage(self, world: World) -> None:
        run = world.stored(b"x")
        world.blobs.delete([run.segment_id])
        with pytest.raises(Damaged):
            world.reader([run]).probe()

    @pytest.mark.parametrize("operation", ["open", "read"])
    def test_a_failing_disk_is_not_called_damage(self, world: World, operation: str) -> None:
        run = world.stored(b"x")
        world.blobs.faults[operation] = errno.EIO
        file = world.reader([run])
        with pytest.raises(Unavailable) as caught:
            file.read_at(0, 1)
        assert caught.value.code == "storage_error"
        world.blobs.faults.clear()
        assert file.read_at(0, 1) == b"x"

    def test_an_error_does_not_leave_bytes_to_be_read_again(self, world: World) -> None:
        run = world.stored(b"a" * 100)
        blob = bytearray(world.blobs.content(run.segment_id))
        blob[-1] ^= 1
        world.blobs.put(run.segment_id, blob)
        file = world.reader([run])
        for _ in range(3):
            with pytest.raises(Damaged):
                file.read_at(50, 10)


class TestExchange:
    """Everything an attacker with the disk may put elsewhere. Frames all have the same length here."""

    SIZE = 3 * FRAME_SIZE

    def refused(self, world: World, run: Run, blob: bytes) -> None:
        world.blobs.put(run.segment_id, blob)
        with pytest.raises(Damaged):
            everything(world.reader([run]))

    def test_frames_swapped_doubled_or_left_out(self, world: World) -> None:
        run = world.stored(noise(self.SIZE))
        blob = world.blobs.content(run.segment_id)
        header = blob[:HEADER_SIZE]
        one, two, three = (blob[at:end] for at, end in frame_places(blob))
        for frames in ([two, one, three], [one, three, two], [one, one, three], [one, three], [one, two, two]):
            self.refused(world, run, header + b"".join(frames))
        world.blobs.put(run.segment_id, blob)
        assert everything(world.reader([run])) == noise(self.SIZE)

    def test_frames_of_another_file_of_the_upload(self, world: World) -> None:
        self.splice(world, world.sibling())

    def test_frames_of_another_upload(self, world: World) -> None:
        self.splice(world, World(world.blobs))

    def test_frames_of_another_segment_of_the_same_file(self, world: World) -> None:
        self.splice(world, world)

    def splice(self, world: World, other: World) -> None:
        run, foreign_run = world.stored(noise(self.SIZE, 1)), other.stored(noise(self.SIZE, 2))
        own, foreign = world.blobs.content(run.segment_id), world.blobs.content(foreign_run.segment_id)
        for at, end in frame_places(own):
            self.refused(world, run, own[:at] + foreign[at:end] + own[end:])
        self.refused(world, run, foreign)
        self.refused(world, run, own[:HEADER_SIZE] + foreign[HEADER_SIZE:])
        self.refused(world, run, foreign[:HEADER_SIZE] + own[HEADER_SIZE:])

    def test_a_segment_under_the_key_of_another_file(self, world: World) -> None:
        run = world.stored(b"x")
        world.key = world.sibling().key
        with pytest.raises(Damaged, match="another key"):
            world.reader([run]).probe()

    def test_an_entry_shown_as_another_file_s(self, world: World) -> None:
        run = world.stored(b"x")
        world.file_id = new_id()
        with pytest.raises(Damaged, match="another file"):
            world.reader([run]).probe()
