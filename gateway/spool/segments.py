"""Writing a segment: what one writer adds to a file, append-only, never continued by another.

The order of its promises: bytes given to `append` are with the system when it returns; they are durable when
`sync` returns; only then may a row of the ledger name them, and only what a row names was ever acknowledged.
Synchronous: called from worker threads. Knows keys and blobs, no ledger and no HTTP.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from gateway.blobs.base import BlobStore, BlobWriter, Bytes
from gateway.errors import SpoolFull, Unavailable
from gateway.spool.frames import FRAME_SIZE, HEADER_SIZE, SEALED_FRAME_SIZE, SegmentHeader, header_digest, seal_frames
from gateway.spool.keys import FileKey

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
    def end(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive bytes of a file inside one segment."""

    segment_id: str
    start: int  #: offset in the file's plaintext
    length: int  #: bytes of plaintext
    position: int  #: of its first frame in the blob
    first_frame: int  #: number of that frame in the segment

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


class SegmentWriter:
    """Seals what it is given into one new blob. One thread at a time; the blob is made by the first append.

    :param segment_id: of the segment and its blob; a row for it exists before the first append.
    :param base_offset: where in the file's plaintext the first bytes go, unless `begin_run` says otherwise.
    :param epoch: of the lease under which it writes.
    """

    def __init__(
        self,
        blobs: BlobStore,
        *,
        segment_id: str,
        upload_id: str,
        file_id: str,
        key: FileKey,
        base_offset: int,
        epoch: int,
    ) -> None:
        self.segment_id = segment_id
        self._blobs = blobs
        self._upload_id = upload_id
        self._file_id = file_id
        self._key = key
        self._epoch = epoch
        self._blob: BlobWriter | None = None
        self._digest = b""
        self._position = 0
        self._frames = 0
        self._offset = base_offset
        self._run_start = base_offset
        self._run_position = HEADER_SIZE
        self._run_frame = 0
        self._broken = False
        self._closed = False

    @property
    def position(self) -> int:
        """Bytes in the blob."""
        return self._position

    @property
    def frames(self) -> int:
        """Frames in the blob."""
        return self._frames

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
        """The present run, as far as it was appended."""
        length = self._offset - self._run_start
        return Run(self.segment_id, self._run_start, length, self._run_position, self._run_frame)

    def begin_run(self, offset: int) -> None:
        """Say where in the file's plaintext the next bytes go. A run without bytes leaves no trace."""
        if offset < 0:
            raise ValueError("an offset is not negative")
        self._offset = self._run_start = offset
        self._run_position = self._position or HEADER_SIZE
        self._run_frame = self._frames

    def append(self, pieces: Sequence[Bytes], digests: Sequence[Digest] = ()) -> int:
        """Seal all pieces and write them, up to 4 MiB by one write; the number of plaintext bytes.

        :param digests: updated with the plaintext.
        :raises SpoolFull: no room; the writer is broken.
        :raises Unavailable: the storage failed, now or before (`storage_error`); the writer is broken.
        """
        self._check()
        views = [view for piece in pieces if (view := memoryview(piece).cast("B"))]
        for digest in digests:
            for view in views:
                digest.update(view)
        if not views:
            return 0
        begin = self._offset
        with self._breaking():
            pending: list[memoryview] = [] if self._blob else [memoryview(self._begin())]
            scratch = _SCRATCH
            for span in _spans(views, scratch.bounce):
                rest = span
                while rest:
                    rest = self._seal(scratch, rest)
                    if scratch.full:
                        self._write(pending + scratch.take())
                        pending = []
            self._write(pending + scratch.take())
        return self._offset - begin

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
        header = SegmentHeader(
            upload_id=self._upload_id,
            file_id=self._file_id,
            segment_id=self.segment_id,
            base_offset=self._offset,
            epoch=self._epoch,
            commitment=self._key.commitment,
        ).pack()
        self._digest = header_digest(header)
        self._blob = self._blobs.create(self.segment_id)
        return header

    def _seal(self, scratch: _Scratch, plaintext: memoryview) -> memoryview:
        """Seal what fits into the present slab; what is left."""
        taken = min(len(plaintext), scratch.room_frames * FRAME_SIZE)
        frames, size = seal_frames(
            self._key.frames, self._digest, self._frames, self._offset, plaintext[:taken], scratch.target
        )
        scratch.advance(frames, size)
        self._frames += frames
        self._offset += taken
        return plaintext[taken:]

    def _write(self, pieces: list[memoryview]) -> None:
        if pieces and self._blob is not None:
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
            _SCRATCH.reset()
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
