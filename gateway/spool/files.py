"""Reading a spooled file: its runs put together, opened frame by frame, checked to the last bit.

Gives only bytes that were sealed for this very place of this very file; anything else raises `Damaged`. Holds one
frame at most, and its thread one block of sealed bytes. Satisfies `hooks.contract.Source` without knowing it.
"""

from __future__ import annotations

import hmac
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.blobs.base import BlobReader, BlobStore
from gateway.errors import Damaged
from gateway.spool.frames import (
    FORMER_HEADER_SIZE,
    FRAME_HEADER_SIZE,
    FRAME_OVERHEAD,
    FRAME_SIZE,
    HEADER_SIZE,
    SEALED_FRAME_SIZE,
    EntryHeader,
    FormerHeader,
    frame_length,
    header_digest,
    open_frame,
)
from gateway.spool.keys import FileKey
from gateway.spool.moved import MovedEntries
from gateway.spool.segments import RunPlace, storage_errors

PIECE_SIZE = 1 << 20
_BLOCK_FRAMES = 8  #: read at once: what fits into a core's cache together with what comes of it
_MARK_FRAMES = 64  #: a place is remembered every so many frames: 4 MiB of full ones
_MAX_OPEN = 4
_scratch = threading.local()


class _FrameMark(NamedTuple):
    """Where a frame begins."""

    offset: int  #: in the file's plaintext
    position: int  #: in the blob
    frame: int  #: number in its entry


class SpooledFile:
    """The plaintext of one file. One thread at a time.

    :param runs: they cover 0 to `size_bytes` without holes.
    :param key: the file's key.
    :param sources: keys of other files whose entries the runs name, by their ids.
    :param moved: where entries are that lie elsewhere now than the runs say.
    :raises Damaged: the runs leave a hole or overlap.
    """

    def __init__(
        self,
        blobs: BlobStore,
        runs: Sequence[RunPlace],
        *,
        upload_id: str,
        file_id: str,
        key: FileKey,
        size_bytes: int,
        sources: Mapping[str, FileKey] | None = None,
        moved: MovedEntries | None = None,
    ) -> None:
        self._blobs = blobs
        self._moved = moved or MovedEntries()
        self._runs = sorted((run for run in runs if run.length), key=lambda run: run.start)
        self._starts = [run.start for run in self._runs]
        self._upload_id = upload_id
        self._file_id = file_id
        self._keys = {"": key, **(sources or {})}
        self._size_bytes = size_bytes
        end = 0
        for run in self._runs:
            if run.source_id not in self._keys:
                raise Damaged("a run names a source that the file doesn't have")
            if run.start != end or run.length < 0 or run.entry_at < 0 or run.position < run.entry_at + HEADER_SIZE:
                raise Damaged("the runs of a file don't fit together")
            end = run.end
        if end != size_bytes:
            raise Damaged("the runs of a file don't make up its length")
        self._open: OrderedDict[str, BlobReader] = OrderedDict()  #: by segment id; by entry id where it was moved
        self._digests: dict[str, bytes] = {}  #: of the headers of entries that were looked at, by entry id
        self._marks: list[list[_FrameMark]] = [
            [_FrameMark(run.start, run.position, run.first_frame)] for run in self._runs
        ]
        self._cursor = (-1, _FrameMark(0, 0, 0))  #: run and place at which the last read ended
        self._frame = memoryview(b"")  #: scratch for a frame that is wanted in part, made when needed
        self._cached = (0, 0)  #: plaintext offsets that `_frame` holds
        self._closed = False

    @property
    def size_bytes(self) -> int:
        """Length of the whole."""
        return self._size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`, fewer only at the end.

        :raises Damaged: they aren't there as they were sealed.
        :raises Unavailable: the storage failed (`storage_error`).
        """
        out = bytearray(max(0, min(size, self._size_bytes - offset)))
        self.readinto(offset, memoryview(out))
        return bytes(out)

    def readinto(self, offset: int, out: memoryview) -> int:
        """As `read_at`, into the beginning of `out`; how many bytes. After an error `out` is of no use."""
        if self._closed:
            raise ValueError("the file is closed")
        if offset < 0:
            raise ValueError("an offset is not negative")
        size = max(0, min(len(out), self._size_bytes - offset))
        done = 0
        while done < size:
            done += self._read_some(offset + done, out[done:size])
        return size

    def iter_pieces(self, offset: int = 0, *, piece_size: int = PIECE_SIZE) -> Iterator[memoryview]:
        """Everything from `offset` on, in order. A piece is good until the next is asked for.

        :raises Damaged, Unavailable: see `read_at`.
        """
        buffer = memoryview(bytearray(min(piece_size, max(1, self._size_bytes - offset))))
        while offset < self._size_bytes:
            size = self.readinto(offset, buffer)
            yield buffer[:size]
            offset += size

    def probe(self) -> None:
        """Open the last frame of each run: nothing that the runs promise is cut off.

        :raises Damaged: something is. Frames before the last one of a run aren't opened.
        :raises Unavailable: the storage failed (`storage_error`).
        """
        for run in self._runs:
            self.read_at(run.end - 1, 1)

    def close(self) -> None:
        """Give the handles back."""
        self._closed = True
        self._frame, self._cached = memoryview(b""), (0, 0)
        while self._open:
            self._open.popitem()[1].close()

    def _read_some(self, offset: int, out: memoryview) -> int:
        """At least one byte from `offset`, from the remembered frame or from one run."""
        begin, end = self._cached
        if begin <= offset < end:
            size = min(len(out), end - offset)
            out[:size] = self._frame[offset - begin : offset - begin + size]
            return size
        number = bisect_right(self._starts, offset) - 1
        run = self._runs[number]
        with storage_errors():
            reader = self._segment(run)
            digest = self._entry(reader, run)
            place = self._find(number, reader, offset)
            return self._open_frames(number, reader, digest, place, offset, out[: run.end - offset])

    def _open_frames(
        self, number: int, reader: BlobReader, digest: bytes, place: _FrameMark, offset: int, out: memoryview
    ) -> int:
        """Fill `out` from `offset`; the frame at `place` holds the first byte."""
        run = self._runs[number]
        cipher, moved = self._keys[run.source_id].frames, _moved(run)
        done, at, block = 0, 0, memoryview(b"")
        while done < len(out):
            left = len(block) - at
            if left < SEALED_FRAME_SIZE and left < _claimed_size(block, at):
                wanted = offset + len(out) - place.offset
                frames = min(_BLOCK_FRAMES, -(-wanted // FRAME_SIZE))
                block, at = _sealed_block(reader, place.position, frames), 0
            length = frame_length(block, at)
            if place.offset + length > run.end:
                raise Damaged("a frame reaches beyond its run")
            skipped = offset + done - place.offset
            if skipped == 0 and length <= len(out) - done:
                sealed_for = place.offset - moved
                open_frame(cipher, digest, place.frame, sealed_for, block[at:], out[done : done + length])
                done += length
            else:
                self._remember(run, digest, place, block[at:], length)
                taken = min(length - skipped, len(out) - done)
                out[done : done + taken] = self._frame[skipped : skipped + taken]
                done += taken
            at += length + FRAME_OVERHEAD
            place = self._next(number, place, length)
        self._cursor = (number, place)
        return done

    def _remember(self, run: RunPlace, digest: bytes, place: _FrameMark, sealed: memoryview, length: int) -> None:
        if not self._frame:
            self._frame = memoryview(bytearray(FRAME_SIZE))
        self._cached = (0, 0)
        cipher = self._keys[run.source_id].frames
        open_frame(cipher, digest, place.frame, place.offset - _moved(run), sealed, self._frame)
        self._cached = (place.offset, place.offset + length)

    def _find(self, number: int, reader: BlobReader, offset: int) -> _FrameMark:
        """The frame of a run that holds `offset`, by the headers of those before it: they aren't opened.

        A header that lies leads to a place whose frame doesn't open, for its number and offset are sealed with it.
        """
        run, marks = self._runs[number], self._marks[number]
        place = marks[bisect_right(marks, offset, key=lambda mark: mark.offset) - 1]
        if self._cursor[0] == number and place.offset < self._cursor[1].offset <= offset:
            place = self._cursor[1]
        while place.offset < offset:
            length = frame_length(reader.read_at(place.position, FRAME_HEADER_SIZE))
            if place.offset + length > offset:
                break
            place = self._next(number, place, length)
            if place.offset >= run.end:
                raise Damaged("a run is shorter than its frames say")
        return place

    def _next(self, number: int, place: _FrameMark, length: int) -> _FrameMark:
        following = _FrameMark(place.offset + length, place.position + length + FRAME_OVERHEAD, place.frame + 1)
        marks = self._marks[number]
        if following.frame == marks[-1].frame + _MARK_FRAMES:
            marks.append(following)
        return following

    def _segment(self, run: RunPlace) -> BlobReader:
        name = run.segment_id if run.segment_id in self._open else run.entry_id
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        try:
            name, reader = run.segment_id, self._blobs.open(run.segment_id)
        except FileNotFoundError:
            try:
                name, reader = run.entry_id, self._moved.open(self._blobs, run.entry_id, run.entry_at)
            except FileNotFoundError:
                raise Damaged("a segment is missing") from None
        self._open[name] = reader
        if len(self._open) > _MAX_OPEN:
            self._open.popitem(last=False)[1].close()
        return reader

    def _entry(self, reader: BlobReader, run: RunPlace) -> bytes:
        """The digest of the header of a run's entry, which fits this file. :raises Damaged: it doesn't."""
        digest = self._digests.get(run.entry_id)
        if digest is None:
            check = self._check_former if run.entry_id == run.segment_id else self._check
            digest = self._digests[run.entry_id] = check(reader, run)
        return digest

    def _check(self, reader: BlobReader, run: RunPlace) -> bytes:
        raw = reader.read_at(run.entry_at, HEADER_SIZE)
        header = EntryHeader.parse(raw)
        if (header.source_id, header.entry_id) != (run.source_id or self._file_id, run.entry_id):
            raise Damaged("an entry belongs to another file, or is another one of it")
        self._check_key(run.source_id, header.commitment)
        begins = run.start - _moved(run)
        if (run.position, run.first_frame, begins) != (run.entry_at + HEADER_SIZE, 0, header.base_offset):
            raise Damaged("a run doesn't fit its entry")
        return header_digest(raw)

    def _check_former(self, reader: BlobReader, run: RunPlace) -> bytes:
        raw = reader.read_at(0, FORMER_HEADER_SIZE)
        header = FormerHeader.parse(raw)
        if (header.upload_id, header.file_id, header.segment_id) != (self._upload_id, self._file_id, run.segment_id):
            raise Damaged("a segment belongs to another file")
        self._check_key("", header.commitment)
        for one in self._runs:
            if one.segment_id != run.segment_id:
                continue
            at_begin = one.position == FORMER_HEADER_SIZE
            if one.position < FORMER_HEADER_SIZE or at_begin != (one.first_frame == 0):
                raise Damaged("a run doesn't fit its segment")
            if at_begin and one.start != header.base_offset:
                raise Damaged("a run doesn't fit its segment")
        return header_digest(raw)

    def _check_key(self, source_id: str, commitment: bytes) -> None:
        if not hmac.compare_digest(commitment, self._keys[source_id].commitment):
            raise Damaged("an entry was sealed under another key")


def _moved(run: RunPlace) -> int:
    """How far a run's bytes lie behind the place that they were sealed for."""
    return run.start - run.source_start if run.source_id else 0


def _sealed_block(reader: BlobReader, position: int, frames: int) -> memoryview:
    """As many sealed frames, fewer only at the end; good until this thread reads the next ones.

    A fresh block for each would be pages that the system has to give and to take back, for every piece of every file.
    """
    block: memoryview | None = getattr(_scratch, "block", None)
    if block is None:
        block = _scratch.block = memoryview(bytearray(_BLOCK_FRAMES * SEALED_FRAME_SIZE))
    return block[: reader.readinto(position, block[: frames * SEALED_FRAME_SIZE])]


def _claimed_size(block: memoryview, at: int) -> int:
    """Bytes that the frame at `at` takes by its header; a full frame's where the header isn't there in full."""
    if len(block) - at < FRAME_HEADER_SIZE:
        return SEALED_FRAME_SIZE
    return frame_length(block, at) + FRAME_OVERHEAD
