"""Entries that are copied elsewhere are read there by whoever knows their former place; damage stays where it is."""

from __future__ import annotations

import errno

import pytest

from gateway.blobs.memory import MemoryBlobs
from gateway.errors import Damaged, SpoolFull
from gateway.spool import EntryPlace, Run, Spool, SpooledFile
from gateway.spool.moved import REMEMBERED_S, MovedEntries
from tests.unit.spool.support import World, new_id, noise

SIZE = 150_000


class Shelf:
    """Files side by side in one segment, and a spool that moves them."""

    def __init__(self, files: int = 3) -> None:
        self.blobs = MemoryBlobs()
        self.spool = Spool(self.blobs)
        self.worlds = [World(self.blobs) for _ in range(files)]
        self.segment_id = new_id()
        segment = self.spool.shared_segment(self.segment_id)
        self.runs: list[Run] = []
        for number, world in enumerate(self.worlds):
            writer = world.shared_writer()
            writer.take(segment)
            writer.append([noise(SIZE, number)])
            self.runs += writer.runs
            writer.settled()
        segment.sync()
        segment.close()

    def places(self, *numbers: int) -> dict[str, EntryPlace]:
        """Where the entries of these files are by their rows."""
        runs = [self.runs[number] for number in numbers]
        return {run.entry_id: EntryPlace(run.segment_id, run.entry_at, run.sealed_bytes) for run in runs}

    def source(self, number: int) -> SpooledFile:
        """By its rows as they were at first."""
        runs, world = [self.runs[number]], self.worlds[number]
        return self.spool.reader(runs, upload_id=world.upload_id, file_id=world.file_id, key=world.key, size_bytes=SIZE)

    def read(self, number: int) -> bytes:
        """All of it."""
        source = self.source(number)
        try:
            return source.read_at(0, SIZE)
        finally:
            source.close()


def test_an_entry_is_read_where_it_was_copied_to_when_its_former_segment_is_gone() -> None:
    shelf, to = Shelf(), new_id()
    places = shelf.spool.copy_entries(shelf.places(2, 1), to)
    assert [(place.segment_id, place.entry_at) for place in places.values()] == [
        (to, 0),
        (to, shelf.runs[2].sealed_bytes),
    ]
    shelf.spool.delete([shelf.segment_id])
    assert shelf.read(2) == noise(SIZE, 2)
    assert shelf.read(1) == noise(SIZE, 1)
    with pytest.raises(Damaged):
        shelf.read(0)


def test_one_that_is_moved_again_is_found_at_its_last_place() -> None:
    shelf, first, second = Shelf(), new_id(), new_id()
    places = shelf.spool.copy_entries(shelf.places(0, 2), first)
    del places[shelf.runs[0].entry_id]
    shelf.spool.copy_entries(places, second)
    shelf.spool.delete([shelf.segment_id, first])
    assert shelf.read(2) == noise(SIZE, 2)
    with pytest.raises(Damaged):
        shelf.read(0)


def test_a_reader_that_has_the_former_segment_open_goes_on_in_it() -> None:
    shelf = Shelf()
    source = shelf.source(1)
    assert source.read_at(0, 10) == noise(SIZE, 1)[:10]
    shelf.spool.copy_entries(shelf.places(1), new_id())
    shelf.spool.delete([shelf.segment_id])
    assert source.read_at(0, SIZE) == noise(SIZE, 1)
    source.close()


@pytest.mark.parametrize("damage", ["cut", "another entry", "missing"])
def test_what_is_damaged_stays_where_it_is(damage: str) -> None:
    shelf = Shelf()
    wished = shelf.places(0, 1, 2)
    content = shelf.blobs.content(shelf.segment_id)
    if damage == "cut":
        shelf.spool.delete([shelf.segment_id])
        shelf.blobs.put(shelf.segment_id, content[:-1])
    elif damage == "another entry":
        wished[new_id()] = wished.pop(shelf.runs[2].entry_id)
    else:
        shelf.spool.delete([shelf.segment_id])
    places = shelf.spool.copy_entries(wished, new_id())
    left = () if damage == "missing" else (0, 1)
    assert set(places) == {shelf.runs[number].entry_id for number in left}


def test_a_medium_without_room_says_so_and_nothing_is_moved() -> None:
    shelf = Shelf()
    shelf.blobs.faults["append"] = errno.ENOSPC
    with pytest.raises(SpoolFull):
        shelf.spool.copy_entries(shelf.places(0), new_id())
    assert shelf.read(0) == noise(SIZE, 0)


def test_moves_are_forgotten_after_a_day() -> None:
    now = 0.0
    moved = MovedEntries(lambda: now)
    moved.note({"a": EntryPlace("s", 0, 1)})
    now = REMEMBERED_S - 1
    moved.note({"b": EntryPlace("s", 1, 1)})
    assert moved.get("a")
    now = REMEMBERED_S + 1
    moved.note({"c": EntryPlace("s", 2, 1)})
    assert (moved.get("a"), moved.get("b"), moved.get("c")) == (None, EntryPlace("s", 1, 1), EntryPlace("s", 2, 1))
