"""Segments that small appends share, so that many of them cost one sync.

A place in the segment is taken first and then written to, by several threads at once; what is written at a place that no
row comes to name counts for nothing. A segment that failed, or is full, takes no more; what rows name in it is still good.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gateway.blobs.base import BlobStore, BlobWriter, Bytes
from gateway.errors import Unavailable
from gateway.spool.frames import FRAME_SIZE, HEADER_SIZE, NONCE_SIZE
from gateway.spool.keys import Fresh
from gateway.spool.segments import Digest, EntrySealer, Run, reset_scratch, storage_errors, take_views

#: From so many bytes on a segment takes no more entries.
FULL_AT_BYTES = 64 << 20
#: An entry is sealed whole before it is written.
MOST_BYTES = 2 << 20


class SharedSegment:
    """One such segment. For several threads.

    :param segment_id: a row for it exists before its first entry.
    """

    def __init__(self, blobs: BlobStore, segment_id: str) -> None:
        self.segment_id = segment_id
        self._blobs = blobs
        self._lock = threading.Lock()
        self._blob: BlobWriter | None = None
        self._end = 0
        self._pins = 0
        self._broken = self._closed = False

    @property
    def takes_more(self) -> bool:
        """Entries may still come."""
        return not self._broken and not self._closed and self._end < FULL_AT_BYTES

    @property
    def begun(self) -> bool:
        """An entry was written, or tried."""
        return self._blob is not None

    @property
    def pinned(self) -> bool:
        """Somebody has written an entry that no row names yet."""
        return self._pins > 0

    def pin(self) -> None:
        """An entry is about to be written."""
        with self._lock:
            self._pins += 1

    def unpin(self) -> None:
        """A row names it now, or none ever will."""
        with self._lock:
            self._pins -= 1

    def write(self, pieces: Sequence[Bytes]) -> int:
        """Write an entry; its position.

        :raises SpoolFull: no room; others may find some still.
        :raises Unavailable: the storage failed, now or before; the segment takes no more.
        """
        self._check()
        with self._breaking(unless_full=True):
            with self._lock:
                if self._blob is None:
                    self._blob = self._blobs.create(self.segment_id)
                blob, position = self._blob, self._end
                self._end += sum(map(len, pieces))
            blob.write_at(position, pieces)
        return position

    def sync(self) -> None:
        """Return when every entry that was written before, and the blob's name, would survive a power cut.

        :raises Unavailable: the storage failed, now or before; the segment takes no more.
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

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the segment is closed")
        if self._broken:
            raise Unavailable("the segment's storage failed before", code="storage_error")

    @contextmanager
    def _breaking(self, *, unless_full: bool = False) -> Iterator[None]:
        """:param unless_full: a write that found no room left nothing behind; after a failed sync nobody knows."""
        try:
            with storage_errors():
                yield
        except BaseException as error:
            cause = error.__cause__
            full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
            self._broken = self._broken or not (full and unless_full)
            raise


class SharedWriter:
    """Adds entries of one file to whatever segment is shared just now. One thread at a time.

    :param base_offset: where in the file's plaintext the first bytes go, unless `begin_run` says otherwise.
    :ivar runs: entries that no row names yet.
    """

    def __init__(self, sealer: EntrySealer, *, base_offset: int) -> None:
        self.runs: list[Run] = []
        self._sealer = sealer
        self._offset = base_offset
        self._segments: list[SharedSegment] = []  #: of `runs`, in order, each pinned
        self._broken = False

    @property
    def offset(self) -> int:
        """Offset in the file's plaintext at which the next bytes go."""
        return self._offset

    @property
    def broken(self) -> bool:
        """An operation failed: what was appended since the last row counts for nothing."""
        return self._broken

    def begin_run(self, offset: int) -> None:
        """Say where in the file's plaintext the next bytes go; what no row names yet counts for nothing."""
        if offset < 0:
            raise ValueError("an offset is not negative")
        self.settled()
        self._offset = offset

    def take(self, segment: SharedSegment) -> None:
        """The next entry goes there: it stays open until rows are settled."""
        segment.pin()
        self._segments.append(segment)

    def append(self, pieces: Sequence[Bytes], digests: Sequence[Digest] = ()) -> int:
        """Seal all pieces as one entry and write it where `take` said; the number of plaintext bytes.

        :raises SpoolFull, Unavailable: see `SharedSegment.write`; the writer is broken.
        """
        views = take_views(pieces, digests)
        size, start = sum(map(len, views)), self._offset
        if size > MOST_BYTES:
            raise ValueError("an entry of a shared segment is small")
        if not size:
            return 0
        segment = self._segments[-1]
        try:
            fresh = Fresh(16 + -(-size // FRAME_SIZE) * NONCE_SIZE)
            entry_id, header = self._sealer.begin(start, fresh)
            entry: list[Bytes] = [header]
            self._sealer.seal(start, views, entry.extend, fresh.take)
            at = segment.write(entry)
        except BaseException:
            self._broken = True
            reset_scratch()
            raise
        sealed_bytes = sum(map(len, entry))
        self.runs.append(Run(segment.segment_id, start, size, at + HEADER_SIZE, 0, at, entry_id, sealed_bytes))
        self._offset += size
        return size

    def sync(self, *, but: SharedSegment | None = None) -> None:
        """Return when all that was appended would survive a power cut.

        :param but: a segment that somebody else syncs.
        :raises Unavailable: the storage failed; the writer is broken.
        """
        try:
            for segment in dict.fromkeys(self._segments):
                if segment is not but:
                    segment.sync()
        except BaseException:
            self._broken = True
            raise

    def settled(self) -> None:
        """Rows name `runs` now, or never will."""
        for segment in self._segments:
            segment.unpin()
        self._segments, self.runs = [], []

    def close(self) -> None:
        """No more bytes come from here. May be called twice."""
        self.settled()
