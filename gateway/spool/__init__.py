"""The encrypted spool: sealed segments in a blob store, and the keys they are sealed under.

`Spool` is what the rest of the gateway uses. It deletes what it is told to and nothing else: who may say so, and
what a row must record before and after, is not its business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.blobs.base import BlobStore
from gateway.spool.digests import KnownDigests, RunningDigest
from gateway.spool.files import SpooledFile
from gateway.spool.frames import FRAME_OVERHEAD, FRAME_SIZE, HEADER_SIZE, sealed_size
from gateway.spool.keys import (
    SERVICE_KEY_NAMES,
    FileKey,
    KeyRing,
    Sealer,
    ServiceKeys,
    UploadKey,
    new_service_key,
    service_of,
    unwrap_service_key,
    upload_of,
)
from gateway.spool.segments import Digest, Run, RunPlace, SegmentWriter, storage_errors

__all__ = [
    "FRAME_OVERHEAD",
    "FRAME_SIZE",
    "HEADER_SIZE",
    "SERVICE_KEY_NAMES",
    "Digest",
    "FileKey",
    "KeyRing",
    "KnownDigests",
    "Run",
    "RunPlace",
    "RunningDigest",
    "Sealer",
    "SegmentWriter",
    "ServiceKeys",
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


class Spool:
    """Segments in a blob store. Every call is synchronous and may take its time: for worker threads.

    :ivar digests: of files that came in order and weren't judged yet.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.digests = KnownDigests()

    def writer(
        self, *, segment_id: str, upload_id: str, file_id: str, key: FileKey, base_offset: int, epoch: int
    ) -> SegmentWriter:
        """A writer of a new segment; nothing is made before its first bytes."""
        return SegmentWriter(
            self._blobs,
            segment_id=segment_id,
            upload_id=upload_id,
            file_id=file_id,
            key=key,
            base_offset=base_offset,
            epoch=epoch,
        )

    def reader(
        self, runs: Sequence[RunPlace], *, upload_id: str, file_id: str, key: FileKey, size_bytes: int
    ) -> SpooledFile:
        """The plaintext of a file. :raises Damaged: the runs don't cover it."""
        return SpooledFile(self._blobs, runs, upload_id=upload_id, file_id=file_id, key=key, size_bytes=size_bytes)

    def delete(self, segment_ids: Sequence[str]) -> None:
        """Remove segments for good; a missing one is no error. :raises Unavailable: the storage failed."""
        with storage_errors():
            self._blobs.delete(segment_ids)

    def sweep_candidates(self, before: float) -> Iterator[str]:
        """Segments last written before `before` (unix seconds): those that no row names may go.

        :raises Unavailable: the storage failed.
        """
        with storage_errors():
            for facts in self._blobs.list():
                if facts.modified_at < before:
                    yield facts.name

    def size_bytes(self) -> int:
        """Sealed bytes in the store, by listing it: for start-up and checks, not for each request."""
        with storage_errors():
            return sum(facts.size_bytes for facts in self._blobs.list())

    def free_bytes(self) -> int:
        """Room left in the medium. :raises Unavailable: the storage failed."""
        with storage_errors():
            return self._blobs.free_bytes()

    def room_bytes(self) -> int:
        """What uploads may fill of the room left in the medium. :raises Unavailable: the storage failed."""
        with storage_errors():
            reserve_bytes = min(RESERVE_BYTES, self._blobs.medium_bytes() // RESERVE_SHARE)
            return max(self._blobs.free_bytes() - reserve_bytes, 0)
