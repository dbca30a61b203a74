"""Entries that lie elsewhere now: copied as they are, without a key, and found there by whoever knows their former place.

Who reads a file has read its rows before, and opens its segments when it comes to them. The ledger's new rows say where
an entry is; what this process remembers here says it to those who have the old ones.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gateway.blobs.base import BlobReader, BlobStore, BlobWriter
from gateway.errors import Damaged
from gateway.spool.frames import HEADER_SIZE, EntryHeader

#: How long a move is remembered. No reading takes so long that begins with the old rows.
REMEMBERED_S = 86_400.0
_PIECE_BYTES = 1 << 20


class EntryPlace(NamedTuple):
    """Where an entry is, and what it takes."""

    segment_id: str
    entry_at: int
    sealed_bytes: int


class MovedEntries:
    """Where this process has moved entries to, by their ids. For several threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._places: OrderedDict[str, tuple[EntryPlace, float]] = OrderedDict()

    def note(self, places: Mapping[str, EntryPlace]) -> None:
        """Before rows say so."""
        now = self._now()
        with self._lock:
            for entry_id, place in places.items():
                self._places[entry_id] = place, now
                self._places.move_to_end(entry_id)
            while self._places and next(iter(self._places.values()))[1] < now - REMEMBERED_S:
                self._places.popitem(last=False)

    def get(self, entry_id: str) -> EntryPlace | None:
        """None: it is where its rows have always said."""
        with self._lock:
            found = self._places.get(entry_id)
        return None if found is None else found[0]

    def open(self, blobs: BlobStore, entry_id: str, entry_at: int) -> BlobReader:
        """A reader in which the entry is where it was before.

        :param entry_at: where that was.
        :raises FileNotFoundError: it was never moved, or is gone.
        :raises OSError: as the system says.
        """
        tried: EntryPlace | None = None
        while (place := self.get(entry_id)) is not None and place != tried:
            try:
                return ShiftedReader(blobs.open(place.segment_id), place.entry_at - entry_at)
            except FileNotFoundError:
                tried = place  # it may have been moved once more
        raise FileNotFoundError(entry_id)


class ShiftedReader:
    """A `BlobReader` in which everything lies `shift` bytes before where it is."""

    def __init__(self, reader: BlobReader, shift: int) -> None:
        self._reader = reader
        self._shift = shift

    def read_at(self, position: int, size: int) -> bytes:
        """See `BlobReader`."""
        return self._reader.read_at(position + self._shift, size)

    def readinto(self, position: int, out: memoryview) -> int:
        """See `BlobReader`."""
        return self._reader.readinto(position + self._shift, out)

    def close(self) -> None:
        """See `BlobReader`."""
        self._reader.close()


def copied(blobs: BlobStore, entries: Mapping[str, EntryPlace], to_segment_id: str) -> dict[str, EntryPlace]:
    """Copy entries of one segment, or of several, into a new one; they are durable there when this returns.

    :returns: where each is now, but for those that aren't there in full, or are no such entry: damage stays where it is.
    :raises OSError: as the system says.
    """
    target, places, end = blobs.create(to_segment_id), dict[str, EntryPlace](), 0
    try:
        for entry_id, place in entries.items():
            written = _copy(blobs, entry_id, place, target)
            if written == place.sealed_bytes:
                places[entry_id] = EntryPlace(to_segment_id, end, written)
            end += written
        target.sync()
    finally:
        target.close()
    return places


def _copy(blobs: BlobStore, entry_id: str, place: EntryPlace, target: BlobWriter) -> int:
    """How many bytes of it were written."""
    try:
        source = blobs.open(place.segment_id)
    except FileNotFoundError:
        return 0
    try:
        if not _is_entry(source.read_at(place.entry_at, HEADER_SIZE), entry_id):
            return 0
        written = 0
        while written < place.sealed_bytes:
            piece = source.read_at(place.entry_at + written, min(_PIECE_BYTES, place.sealed_bytes - written))
            if not piece:
                break
            target.append([piece])
            written += len(piece)
        return written
    finally:
        source.close()


def _is_entry(raw: bytes, entry_id: str) -> bool:
    try:
        return EntryHeader.parse(raw).entry_id == entry_id
    except Damaged:
        return False
