"""The encrypted spool: sealed segments in a blob store, and the keys they are sealed under.

`Spool` is what the rest of the gateway uses. It deletes what it is told to and nothing else: who may say so, and
what a row must record before and after, is not its business.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence

from gateway.blobs.base import BlobStore
from gateway.spool.digests import KnownDigests, RunningDigest
from gateway.spool.files import SpooledFile
from gateway.spool.frames import FRAME_OVERHEAD, FRAME_SIZE, HEADER_SIZE, sealed_size
from gateway.spool.keys import (
    SERVICE_KEY_NAMES,
    FileKey,
    Fresh,
    KeyRing,
    Sealer,
    ServiceKeys,
    UploadKey,
    new_service_key,
    service_of,
    unwrap_service_key,
    upload_of,
)
from gateway.spool.moved import EntryPlace, MovedEntries, copied
from gateway.spool.own import OwnBlobs
from gateway.spool.segments import Digest, EntrySealer, Run, RunPlace, SegmentWriter, storage_errors
from gateway.spool.shared import SharedSegment, SharedWriter

__all__ = [
    "FRAME_OVERHEAD",
    "FRAME_SIZE",
    "HEADER_SIZE",
    "SERVICE_KEY_NAMES",
    "Digest",
    "EntryPlace",
    "FileKey",
    "Fresh",
    "KeyRing",
    "KnownDigests",
    "Run",
    "RunPlace",
    "RunningDigest",
    "Sealer",
    "SegmentWriter",
    "ServiceKeys",
    "SharedSegment",
    "SharedWriter",
    "Spool",
    "SpooledFile",
    "UploadKey",
    "new_service_key",
    "sealed_size",
    "service_of",
    "unwrap_service_key",
    "upload_of",
]


#: Bytes of the medium that no upload may take; of a small one this part of it.
RESERVE_BYTES = 64 << 20
RESERVE_SHARE = 16
#: How often is counted what the segments take.
COUNT_EVERY_S = 10.0


class Spool:
    """Segments in a blob store. Every call is synchronous and may take its time: for worker threads.

    :param max_bytes: of the medium that segments may take; None: as much as there is.
    :ivar digests: of files that came in order and weren't judged yet.
    """

    def __init__(self, blobs: BlobStore, max_bytes: int | None = None) -> None:
        self._blobs = OwnBlobs(blobs)
        self._max_bytes = max_bytes
        self._taken = (-math.inf, 0)  #: when it was counted, and the bytes
        self._moved = MovedEntries()
        self.digests = KnownDigests()

    def belongs_to(self, spool_id: str | None) -> str:
        """From now on only a store with the ledger's mark is used: any other one is `storage_error`.

        :param spool_id: what the ledger knows; None: nothing yet.
        :returns: what the ledger must know: the store's own mark, which is made if it has none.
        :raises Unavailable: the storage failed.
        """
        with storage_errors():
            if spool_id is None:
                marks = self._blobs.marks()
                if not marks:
                    self._blobs.mark(spool_id := os.urandom(16).hex())
                else:
                    spool_id = marks[0]
            self._blobs.belong_to(spool_id)
        return spool_id

    def is_ours(self) -> bool:
        """It has the mark that `belongs_to` said. :raises Unavailable: the storage failed."""
        with storage_errors():
            return self._blobs.is_ours

    def writer(self, *, segment_id: str, file_id: str, key: FileKey, base_offset: int, fence: int = 0) -> SegmentWriter:
        """A writer of a new segment that one file has for itself; nothing is made before its first bytes.

        :param fence: of the file, as its writer found it.
        """
        sealer = EntrySealer(file_id, key, fence)
        return SegmentWriter(self._blobs, sealer, segment_id=segment_id, base_offset=base_offset)

    def shared_segment(self, segment_id: str) -> SharedSegment:
        """A new segment for small appends; nothing is made before its first bytes."""
        return SharedSegment(self._blobs, segment_id)

    def shared_writer(self, *, file_id: str, key: FileKey, base_offset: int, fence: int = 0) -> SharedWriter:
        """A writer of small appends of one file."""
        return SharedWriter(EntrySealer(file_id, key, fence), base_offset=base_offset)

    def reader(
        self,
        runs: Sequence[RunPlace],
        *,
        upload_id: str,
        file_id: str,
        key: FileKey,
        size_bytes: int,
        sources: Mapping[str, FileKey] | None = None,
    ) -> SpooledFile:
        """The plaintext of a file.

        :param sources: keys of other files whose entries the runs name, by their ids.
        :raises Damaged: the runs don't cover it.
        """
        return SpooledFile(
            self._blobs,
            runs,
            upload_id=upload_id,
            file_id=file_id,
            key=key,
            size_bytes=size_bytes,
            sources=sources,
            moved=self._moved,
        )

    def delete(self, segment_ids: Sequence[str]) -> None:
        """Remove segments for good; a missing one is no error. :raises Unavailable: the storage failed."""
        with storage_errors():
            self._blobs.delete(segment_ids)

    def punch(self, segment_id: str, holes: Sequence[tuple[int, int]]) -> bool:
        """Give the room of so many bytes from each position on back: nobody can read them any more.

        :returns: False: the storage has no holes, or there is no such segment.
        :raises Unavailable: the storage failed.
        """
        with storage_errors():
            return self._blobs.punch(segment_id, holes)

    def taken_bytes(self, segment_id: str) -> int:
        """What a segment takes of the medium; 0: there is none. :raises Unavailable: the storage failed."""
        with storage_errors():
            return self._blobs.taken_bytes(segment_id)

    def copy_entries(self, entries: Mapping[str, EntryPlace], to_segment_id: str) -> dict[str, EntryPlace]:
        """Copy entries as they are into a new segment, durably. Readers of this process find them there from now on if
        their former segment goes.

        :param entries: by entry id.
        :returns: where each is now, but for those that aren't there in full.
        :raises SpoolFull, Unavailable: the storage failed.
        """
        with storage_errors():
            places = copied(self._blobs, entries, to_segment_id)
        self._moved.note(places)
        return places

    def sweep_candidates(self, before: float) -> Iterator[str]:
        """Segments last written before `before` (unix seconds): those that no row names may go.

        :raises Unavailable: the storage failed.
        """
        with storage_errors():
            for facts in self._blobs.list():
                if facts.modified_at < before:
                    yield facts.name

    def size_bytes(self) -> int:
        """What the segments take of the medium, by listing them: for start-up and checks, not for each request."""
        with storage_errors():
            return sum(facts.taken_bytes for facts in self._blobs.list())

    def free_bytes(self) -> int:
        """Room left in the medium. :raises Unavailable: the storage failed."""
        with storage_errors():
            return self._blobs.free_bytes()

    def room_bytes(self) -> int:
        """What uploads may fill of the room left in the medium, and of `max_bytes`: whatever lies there counts, refused
        bytes too.

        :raises Unavailable: the storage failed.
        """
        with storage_errors():
            reserve_bytes = min(RESERVE_BYTES, self._blobs.medium_bytes() // RESERVE_SHARE)
            room_bytes = self._blobs.free_bytes() - reserve_bytes
        if self._max_bytes is not None:
            now = time.monotonic()
            if now - self._taken[0] > COUNT_EVERY_S:
                self._taken = (now, self.size_bytes())
            room_bytes = min(room_bytes, self._max_bytes - self._taken[1])
        return max(room_bytes, 0)
