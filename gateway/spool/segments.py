"""Writing entries: what one writer adds to a file, append-only, never continued by another.

A `SegmentWriter` has a segment for itself; small appends share one (`shared.py`).

The order of its promises: bytes given to `append` are with the system when it returns; they are durable when
`sync` returns; only then may a row of the ledger name them, and only what a row names was ever acknowledged.
Synchronous: called from worker threads. Knows keys and blobs, no ledger and no HTTP.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from gateway.blobs.base import BlobStore, BlobWriter, Bytes
from gateway.errors import SpoolFull, Unavailable
from gateway.spool.frames import FRAME_SIZE, HEADER_SIZE, SEALED_FRAME_SIZE, EntryHeader, header_digest, seal_frames
from gateway.spool.keys import FileKey, Fresh

_SLAB_FRAMES = 16  #: 1 MiB of plaintext: larger pieces of scratch lose to cache misses
_MAX_SLABS = 4  #: scratch of a thread; a larger append takes several writes


class Digest(Protocol):
    """What `hashlib` gives."""

    def update(self, data: Bytes, /) -> None:
        """Take more bytes."""


class RunPlace(Protocol):
    """Where a run is: a `Run`, or the ledger's row of one."""

    @property
    def segment_id(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def first_frame(self) -> int: ...
    @property
    def entry_at(self) -> int: ...
    @property
    def entry_id(self) -> str: ...
    @property
    def end(self) -> int: ...
    @property
    def source_id(self) -> str: ...
    @property
    def source_start(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive bytes of a file inside one entry."""

    segment_id: str
    start: int  #: offset in the file's plaintext
    length: int  #: bytes of plaintext
    position: int  #: of its first frame in the blob
    first_frame: int  #: number of that frame in the entry
    entry_at: int  #: position of the entry's header in the blob
    entry_id: str
    sealed_bytes: int  #: of the entry up to the run's end, header included
    source_id: str = ""  #: the file that the entry was sealed for; empty: the run's own
    source_start: int = 0  #: offset in the source's plaintext, where it is another one's

    @property
    def end(self) -> int:
        """Offset in the file's plaintext just after it."""
        return self.start + self.length


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn `OSError` of a store into errors of the gateway.

    :raises SpoolFull: ENOSPC, EDQUOT.
    :raises Unavailable: every other one (`storage_error`).
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SpoolFull("the spool has no room left") from error
        raise Unavailable("the spool's storage failed", code="storage_error") from error


class EntrySealer:
    """Seals bytes of one file as entries. One thread at a time; writes nothing itself.

    :param fence: of the file, when its writer began.
    """

    def __init__(self, file_id: str, key: FileKey, fence: int) -> None:
        self._file_id = file_id
        self._key = key
        self._fence = fence
        self._digest = b""
        self._frames = 0

    def begin(self, offset: int, fresh: Fresh | None = None) -> tuple[str, bytes]:
        """A new entry for bytes from `offset` on: its id, and its header. :param fresh: of the append."""
        entry_id = (os.urandom(16) if fresh is None else fresh.take(16)).hex()
        header = EntryHeader(self._file_id, entry_id, offset, self._fence, self._key.commitment).pack()
        self._digest, self._frames = header_digest(header), 0
        return entry_id, header

    def seal(
        self,
        offset: int,
        views: list[memoryview],
        write: Callable[[list[memoryview]], None],
        nonces: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Seal `views` as the next frames of the entry; `write` gets them by up to 4 MiB. :param nonces: see `seal_frames`."""
        cipher = self._key.frames
        for span in _spans(views, _SCRATCH.bounce):
            rest = span
            while rest:
                taken = min(len(rest), _SCRATCH.room_frames * FRAME_SIZE)
                frames, size = seal_frames(
                    cipher, self._digest, self._frames, offset, rest[:taken], _SCRATCH.target, nonces
                )
                _SCRATCH.advance(frames, size)
                self._frames += frames
                offset += taken
                rest = rest[taken:]
                if _SCRATCH.full:
                    write(_SCRATCH.take())
        if left := _SCRATCH.take():
            write(left)


def take_views(pieces: Sequence[Bytes], digests: Sequence[Digest]) -> list[memoryview]:
    """The pieces that hold anything, after the digests took them."""
    views = [view for piece in pieces if (view := memoryview(piece).cast("B"))]
    for digest in digests:
        for view in views:
            digest.update(view)
    return views


class SegmentWriter:
    """Seals what it is given into a segment of its own. One thread at a time; the blob is made by the first append.

    :param segment_id: of the segment and its blob; a row for it exists before the first append.
    :param base_offset: where in the file's plaintext the first bytes go, unless `begin_run` says otherwise.
    """

    def __init__(self, blobs: BlobStore, sealer: EntrySealer, *, segment_id: str, base_offset: int) -> None:
        self.segment_id = segment_id
        self._blobs = blobs
        self._sealer = sealer
        self._blob: BlobWriter | None = None
        self._position = 0
        self._offset = self._run_start = base_offset
        self._entry_at = 0
        self._entry_id = ""  #: empty: the next append begins one
        self._broken = False
        self._closed = False

    @property
    def position(self) -> int:
        """Bytes in the blob."""
        return self._position

    @property
    def offset(self) -> int:
        """Offset in the file's plaintext at which the next bytes go."""
        return self._offset

    @property
    def broken(self) -> bool:
        """An operation failed: nothing more can be written; what a row names is still good."""
        return self._broken

    @property
    def run(self) -> Run:
        """The present entry as a run, as far as it was appended."""
        at, length = self._entry_at, self._offset - self._run_start
        sealed_bytes = self._position - at
        return Run(self.segment_id, self._run_start, length, at + HEADER_SIZE, 0, at, self._entry_id, sealed_bytes)

    @property
    def runs(self) -> list[Run]:
        """What rows must name: `run`, if it has bytes."""
        return [run] if (run := self.run).length else []

    def begin_run(self, offset: int) -> None:
        """Say where in the file's plaintext the next bytes go. A run without bytes leaves no trace."""
        if offset < 0:
            raise ValueError("an offset is not negative")
        self._offset = self._run_start = offset
        self._entry_at, self._entry_id = self._position, ""

    def append(self, pieces: Sequence[Bytes], digests: Sequence[Digest] = ()) -> int:
        """Seal all pieces and write them, up to 4 MiB by one write; the number of plaintext bytes.

        :param digests: updated with the plaintext.
        :raises SpoolFull: no room; the writer is broken.
        :raises Unavailable: the storage failed, now or before (`storage_error`); the writer is broken.
        """
        self._check()
        views = take_views(pieces, digests)
        if not views:
            return 0
        size = sum(map(len, views))
        with self._breaking():
            pending = [memoryview(self._begin())] if not self._entry_id else []

            def write(sealed: list[memoryview]) -> None:
                self._write(pending + sealed)
                pending.clear()

            self._sealer.seal(self._offset, views, write)
        self._offset += size
        return size

    def sync(self) -> None:
        """Return when all that was appended, and the blob's name, would survive a power cut.

        :raises Unavailable: the storage failed, now or before; the writer is broken, and it must not be tried again.
        """
        self._check()
        if self._blob is not None:
            with self._breaking():
                self._blob.sync()

    def close(self) -> None:
        """Give the blob's handle back. Not a sync. May be called twice."""
        self._closed = True
        if self._blob is not None:
            with storage_errors():
                self._blob.close()

    def _begin(self) -> bytes:
        if self._blob is None:
            self._blob = self._blobs.create(self.segment_id)
        self._entry_id, header = self._sealer.begin(self._offset)
        return header

    def _write(self, pieces: list[memoryview]) -> None:
        assert self._blob is not None
        self._blob.append(pieces)
        self._position += sum(map(len, pieces))

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the segment is closed")
        if self._broken:
            raise Unavailable("the segment's storage failed before", code="storage_error")

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        """Whatever goes wrong inside leaves frames half written: the writer is broken."""
        try:
            with storage_errors():
                yield
        except BaseException:
            self._broken = True
            reset_scratch()
            raise


class _Scratch(threading.local):
    """Sealed bytes on their way out; belongs to the thread, never to a body. Grows by slabs of 1 MiB."""

    def __init__(self) -> None:
        self._slabs = [memoryview(bytearray(_SLAB_FRAMES * SEALED_FRAME_SIZE))]
        self.bounce = memoryview(bytearray(FRAME_SIZE))
        self.reset()

    def reset(self) -> None:
        """Forget what was sealed."""
        self._filled: list[memoryview] = []
        self._used_frames = 0
        self._used_bytes = 0

    @property
    def room_frames(self) -> int:
        """Frames that fit into the present slab; never 0."""
        return _SLAB_FRAMES - self._used_frames

    @property
    def target(self) -> memoryview:
        """Where the next frames go."""
        if len(self._filled) == len(self._slabs):
            self._slabs.append(memoryview(bytearray(_SLAB_FRAMES * SEALED_FRAME_SIZE)))
        return self._slabs[len(self._filled)][self._used_bytes :]

    @property
    def full(self) -> bool:
        """No slab is left: `take` is due."""
        return len(self._filled) == _MAX_SLABS

    def advance(self, frames: int, size: int) -> None:
        """So many frames were sealed into `target`."""
        self._used_frames += frames
        self._used_bytes += size
        if self._used_frames == _SLAB_FRAMES:
            self._filled.append(self._slabs[len(self._filled)][: self._used_bytes])
            self._used_frames = self._used_bytes = 0

    def take(self) -> list[memoryview]:
        """All that was sealed since the last time, to be written before the next frame is sealed."""
        filled = self._filled
        if self._used_bytes:
            filled.append(self._slabs[len(filled)][: self._used_bytes])
        self.reset()
        return filled


_SCRATCH = _Scratch()


def reset_scratch() -> None:
    """After a failure in the midst of an append: what this thread has sealed is of no use."""
    _SCRATCH.reset()


def _spans(views: list[memoryview], bounce: memoryview) -> Iterator[memoryview]:
    """Cut views into spans of whole frames, the last one shorter.

    Only a frame that lies across two views is copied, into `bounce`: it must be used before the next is asked for.
    """
    held = 0  # bytes in bounce
    for view in views:
        rest = view
        if held:
            taken = min(FRAME_SIZE - held, len(rest))
            bounce[held : held + taken] = rest[:taken]
            held += taken
            rest = rest[taken:]
            if held < FRAME_SIZE:
                continue
            yield bounce
            held = 0
        whole = len(rest) - len(rest) % FRAME_SIZE
        if whole:
            yield rest[:whole]
            rest = rest[whole:]
        if rest:
            held = len(rest)
            bounce[:held] = rest
    if held:
        yield bounce[:held]
