"""What every blob store promises (gateway/blobs/base.py), and what each one promises besides."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.blobs.base import BlobStore
from gateway.blobs.local import LocalBlobs
from gateway.blobs.memory import MemoryBlobs

A = "0a" * 16
B = "0b" * 16
C = "ff" * 16


@pytest.fixture(params=["local", "memory"])
def blobs(request, tmp_path: Path) -> BlobStore:
    return LocalBlobs(tmp_path / "spool") if request.param == "local" else MemoryBlobs()


def written(blobs: BlobStore, name: str, *pieces: bytes) -> None:
    writer = blobs.create(name)
    writer.append(pieces)
    writer.sync()
    writer.close()


class TestEveryStore:
    def test_bytes_come_back_as_they_were_appended(self, blobs: BlobStore) -> None:
        writer = blobs.create(A)
        writer.append([b"one ", memoryview(b"two "), bytearray(b"three ")])
        writer.append([])
        writer.append([b"", b"four"])
        writer.sync()
        assert writer.size_bytes == 18
        writer.close()
        reader = blobs.open(A)
        assert reader.read_at(0, 18) == b"one two three four"
        assert reader.read_at(4, 3) == b"two"
        reader.close()

    def test_a_read_is_short_only_at_the_end(self, blobs: BlobStore) -> None:
        written(blobs, A, b"0123456789")
        reader = blobs.open(A)
        assert reader.read_at(8, 100) == b"89"
        assert reader.read_at(10, 5) == b""
        assert reader.read_at(11, 5) == b""
        reader.close()

    def test_a_read_into_memory_gives_the_same(self, blobs: BlobStore) -> None:
        written(blobs, A, b"0123456789")
        reader, out = blobs.open(A), bytearray(b"......")
        assert reader.readinto(2, memoryview(out)) == 6
        assert out == b"234567"
        assert reader.readinto(8, memoryview(out)) == 2
        assert out == b"894567"
        assert reader.readinto(10, memoryview(out)) == 0
        assert reader.readinto(3, memoryview(bytearray())) == 0
        reader.close()
        with pytest.raises(ValueError, match="closed"):
            reader.readinto(0, memoryview(out))

    def test_bytes_can_be_read_while_more_are_appended(self, blobs: BlobStore) -> None:
        writer = blobs.create(A)
        writer.append([b"first"])
        reader = blobs.open(A)
        assert reader.read_at(0, 100) == b"first"
        writer.append([b" second"])
        assert reader.read_at(0, 100) == b"first second"
        reader.close()
        writer.close()

    def test_places_are_written_in_any_order_beside_each_other(self, blobs: BlobStore) -> None:
        writer = blobs.create(A)
        writer.write_at(10, [b"se", b"cond"])
        writer.write_at(0, [b"first one,"])
        writer.sync()
        writer.close()
        reader = blobs.open(A)
        assert reader.read_at(0, 100) == b"first one,second"
        reader.close()

    def test_a_hole_reads_as_zeros_and_what_lies_beside_it_as_before(self, blobs: BlobStore) -> None:
        content = bytes(range(1, 251)) * 1000
        written(blobs, A, content)
        before = blobs.taken_bytes(A)
        assert blobs.punch(A, [(100, 99_900), (200_000, 1 << 40)])
        reader = blobs.open(A)
        assert reader.read_at(0, 1 << 20) == content[:100] + bytes(99_900) + content[100_000:200_000] + bytes(50_000)
        reader.close()
        assert blobs.taken_bytes(A) <= before - 140_000
        assert sum(facts.taken_bytes for facts in blobs.list()) == blobs.taken_bytes(A)
        assert not blobs.punch(B, [(0, 1)])  # there is no such blob
        assert blobs.taken_bytes(B) == 0

    def test_marks_stay(self, blobs: BlobStore) -> None:
        assert list(blobs.marks()) == []
        blobs.mark(A)
        assert list(blobs.marks()) == [A]
        assert list(blobs.list()) == []

    def test_more_pieces_than_one_system_call_takes_are_all_written(self, blobs: BlobStore) -> None:
        pieces = [bytes([number % 251]) * 3 for number in range(5000)]
        written(blobs, A, *pieces)
        reader = blobs.open(A)
        assert reader.read_at(0, 20_000) == b"".join(pieces)
        reader.close()

    def test_pieces_that_are_not_bytes_wide_are_counted_in_bytes(self, blobs: BlobStore) -> None:
        writer = blobs.create(A)
        writer.append([memoryview(b"12345678").cast("I")])
        assert writer.size_bytes == 8
        writer.close()

    def test_a_name_is_given_once(self, blobs: BlobStore) -> None:
        written(blobs, A, b"x")
        with pytest.raises(FileExistsError):
            blobs.create(A)
        reader = blobs.open(A)
        assert reader.read_at(0, 2) == b"x"
        reader.close()

    def test_of_many_who_create_the_same_name_one_wins(self, blobs: BlobStore) -> None:
        outcomes: list[str] = []
        gate = threading.Barrier(8)

        def race() -> None:
            gate.wait()
            try:
                blobs.create(A).close()
                outcomes.append("won")
            except FileExistsError:
                outcomes.append("lost")

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["lost"] * 7 + ["won"]

    def test_what_was_never_made_is_not_found(self, blobs: BlobStore) -> None:
        with pytest.raises(FileNotFoundError):
            blobs.open(A)

    @pytest.mark.parametrize(
        "name", ["", "ab", "0A" * 16, "0a" * 17, "../" + "0a" * 16, "0a" * 15 + "/x", "0a" * 16 + "\n"]
    )
    def test_only_32_hex_digits_are_a_name(self, blobs: BlobStore, name: str) -> None:
        with pytest.raises(ValueError):
            blobs.create(name)
        with pytest.raises(ValueError):
            blobs.open(name)
        with pytest.raises(ValueError):
            blobs.delete([name])

    def test_deleting_removes_what_is_there_and_forgives_what_is_not(self, blobs: BlobStore) -> None:
        written(blobs, A, b"x")
        written(blobs, B, b"y")
        blobs.delete([A, C])
        blobs.delete([])
        assert {facts.name for facts in blobs.list()} == {B}
        with pytest.raises(FileNotFoundError):
            blobs.open(A)

    def test_a_reader_outlives_the_deletion_of_its_blob(self, blobs: BlobStore) -> None:
        written(blobs, A, b"still here")
        reader = blobs.open(A)
        blobs.delete([A])
        assert reader.read_at(0, 10) == b"still here"
        reader.close()

    def test_a_listing_tells_name_size_and_time(self, blobs: BlobStore) -> None:
        written(blobs, A, b"12345")
        written(blobs, C, b"")
        facts = {each.name: each for each in blobs.list()}
        assert {name: each.size_bytes for name, each in facts.items()} == {A: 5, C: 0}
        assert facts[A].modified_at == pytest.approx(time.time(), abs=60)

    def test_free_room_is_a_number_of_bytes(self, blobs: BlobStore) -> None:
        assert blobs.free_bytes() > 0

    def test_a_closed_writer_and_a_closed_reader_do_nothing_more(self, blobs: BlobStore) -> None:
        writer = blobs.create(A)
        writer.close()
        writer.close()
        with pytest.raises(ValueError):
            writer.append([b"x"])
        with pytest.raises(ValueError):
            writer.sync()
        reader = blobs.open(A)
        reader.close()
        reader.close()
        with pytest.raises(ValueError):
            reader.read_at(0, 1)


class TestLocal:
    def test_nobody_else_on_the_machine_can_read_the_spool(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            written(LocalBlobs(tmp_path / "spool"), A, b"x")
        finally:
            os.umask(before)
        root = tmp_path / "spool"
        assert {path.stat().st_mode & 0o777 for path in [root, *root.iterdir()]} == {0o700}
        assert (root / A[:2] / A).stat().st_mode & 0o777 == 0o600

    def test_a_second_start_finds_what_the_first_one_left(self, tmp_path: Path) -> None:
        written(LocalBlobs(tmp_path / "spool"), A, b"x")
        assert [facts.name for facts in LocalBlobs(tmp_path / "spool").list()] == [A]

    def test_foreign_files_are_neither_listed_nor_touched(self, tmp_path: Path) -> None:
        blobs = LocalBlobs(tmp_path / "spool")
        foreign = tmp_path / "spool" / "0a" / "lost+found.txt"
        foreign.write_text("x")
        (tmp_path / "spool" / "0a" / A).symlink_to(foreign)
        assert list(blobs.list()) == []
        with pytest.raises(OSError):
            blobs.open(A)

    def test_short_writes_are_gone_on_with(self, tmp_path: Path, monkeypatch) -> None:
        writev = os.writev
        monkeypatch.setattr(os, "writev", lambda fd, views: writev(fd, [memoryview(b"".join(views))[:7]]))
        pieces = [b"abc", b"", b"defghijklmnop", b"q" * 20, b"r"]
        writer = LocalBlobs(tmp_path / "spool").create(A)
        writer.append(pieces)
        writer.close()
        assert (tmp_path / "spool" / "0a" / A).read_bytes() == b"".join(pieces)
        assert writer.size_bytes == 37

    @pytest.mark.parametrize("hint", [None, lambda *_of: -1], ids=["none", "it fails"])
    def test_without_a_disk_that_begins_early_all_is_there_after_the_sync(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hint: Callable[..., int] | None
    ) -> None:
        monkeypatch.setattr("gateway.blobs.local._sync_file_range", lambda: hint)
        large = bytes(range(256)) * 8192
        written(LocalBlobs(tmp_path / "spool"), A, large, large)
        reader = LocalBlobs(tmp_path / "spool").open(A)
        assert reader.read_at(0, 4 * len(large)) == large * 2
        reader.close()

    def test_every_two_mebibytes_the_disk_is_told_to_begin(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun: list[int] = []
        writer = LocalBlobs(tmp_path / "spool").create(A)
        monkeypatch.setattr(
            "gateway.blobs.local._sync_file_range", lambda: lambda *_of: begun.append(writer.size_bytes)
        )
        mebibyte = bytes(1 << 20)
        for _ in range(5):
            writer.append([mebibyte])
        assert begun == [2 << 20, 4 << 20]
        writer.sync()  # the fifth is on the disk: the next ones count anew
        writer.append([mebibyte])
        assert len(begun) == 2
        writer.write_at(6 << 20, [mebibyte])
        assert len(begun) == 3
        writer.close()

    def test_a_failed_write_is_the_last(self, tmp_path: Path) -> None:
        writer = LocalBlobs(tmp_path / "spool").create(A)
        writer.append([b"kept"])
        writer.sync()
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, writer._fd)
        os.close(full)
        with pytest.raises(OSError) as caught:
            writer.append([b"lost"])
        assert caught.value.errno == errno.ENOSPC
        assert writer.size_bytes == 4
        for act in (lambda: writer.append([b"again"]), writer.sync):
            with pytest.raises(OSError) as caught:
                act()
            assert caught.value.errno == errno.EIO
        writer.close()
        assert (tmp_path / "spool" / "0a" / A).read_bytes() == b"kept"

    def test_first_sync_makes_the_name_durable_and_later_ones_only_the_bytes(self, tmp_path: Path, monkeypatch) -> None:
        blobs = LocalBlobs(tmp_path / "spool")
        calls = record_syncs(monkeypatch)
        writer = blobs.create(A)
        writer.append([b"x"])
        assert calls == []
        writer.sync()
        assert calls == [("fdatasync", A), ("fsync", "0a")]
        writer.append([b"y"])
        writer.sync()
        assert calls[2:] == [("fdatasync", A)]
        writer.close()

    def test_deleting_syncs_each_touched_directory_once(self, tmp_path: Path, monkeypatch) -> None:
        blobs = LocalBlobs(tmp_path / "spool")
        sibling = "0a" * 15 + "0c"
        for name in (A, sibling, C):
            written(blobs, name, b"x")
        calls = record_syncs(monkeypatch)
        blobs.delete([A, C, sibling, "1d" * 16])
        assert calls == [("fsync", "0a"), ("fsync", "1d"), ("fsync", "ff")]


def record_syncs(monkeypatch) -> list[tuple[str, str]]:
    """Calls the real thing, and remembers the order."""
    calls: list[tuple[str, str]] = []

    def record(kind: str, real: Callable[[int], None]) -> None:
        def recorded(fd: int) -> None:
            calls.append((kind, Path(f"/proc/self/fd/{fd}").readlink().name))
            real(fd)

        monkeypatch.setattr(os, kind, recorded)

    record("fsync", os.fsync)
    record("fdatasync", os.fdatasync)
    return calls


class TestMemory:
    def test_a_power_cut_leaves_what_was_synced(self) -> None:
        blobs = MemoryBlobs()
        writer = blobs.create(A)
        writer.append([b"synced"])
        writer.sync()
        writer.append([b" not synced"])
        blobs.create(B).append([b"never synced"])
        left = blobs.after_power_cut()
        assert {facts.name for facts in left.list()} == {A}
        assert left.content(A) == b"synced"
        assert blobs.content(A) == b"synced not synced"

    def test_a_power_cut_may_leave_more_than_was_synced(self) -> None:
        blobs = MemoryBlobs()
        blobs.create(A).append([b"never synced"])
        assert blobs.after_power_cut(keep_unsynced_bytes=5).content(A) == b"never"

    def test_a_full_store_says_so_and_breaks_the_writer(self) -> None:
        blobs = MemoryBlobs(capacity_bytes=10)
        writer = blobs.create(A)
        writer.append([b"123456"])
        assert blobs.free_bytes() == 4
        with pytest.raises(OSError) as caught:
            writer.append([b"7890", b"x"])
        assert caught.value.errno == errno.ENOSPC
        assert writer.size_bytes == 6
        with pytest.raises(OSError) as caught:
            writer.sync()
        assert caught.value.errno == errno.EIO
        blobs.delete([A])
        assert blobs.free_bytes() == 10

    @pytest.mark.parametrize("operation", ["create", "append", "sync", "open", "read", "delete"])
    def test_a_fault_fails_its_operation_until_it_is_taken_away(self, operation: str) -> None:
        blobs = MemoryBlobs()
        written(blobs, A, b"x")

        def act() -> None:
            written(blobs, B, b"y")
            blobs.open(A).read_at(0, 1)
            blobs.delete([B])

        blobs.faults[operation] = errno.EIO
        with pytest.raises(OSError):
            act()
        del blobs.faults[operation]
        blobs.delete([B])
        act()
