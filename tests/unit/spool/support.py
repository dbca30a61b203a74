"""A small world for tests of the spool: one key ring, one upload, files with plaintext that is easy to make."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.blobs.memory import MemoryBlobs
from gateway.spool import FileKey, KeyRing, Run, SegmentWriter, SharedWriter, SpooledFile, UploadKey
from gateway.spool.frames import FRAME_OVERHEAD, HEADER_SIZE, MAGIC, NONCE_SIZE, frame_length
from gateway.spool.segments import EntrySealer


def new_id() -> str:
    return os.urandom(16).hex()


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@dataclass
class World:
    """One file of one upload, in memory."""

    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    upload_id: str = field(default_factory=new_id)
    file_id: str = field(default_factory=new_id)
    key: FileKey = field(init=False)

    def __post_init__(self) -> None:
        ring = KeyRing({"k1": os.urandom(32)}, "k1")
        self.upload_key = UploadKey.create(ring, self.upload_id)[0]
        self.key = self.upload_key.new_file_key(self.file_id)[0]

    def sibling(self) -> World:
        """Another file of the same upload, in the same store."""
        other = World(self.blobs, self.upload_id)
        other.upload_key = self.upload_key
        other.key = self.upload_key.new_file_key(other.file_id)[0]
        return other

    def writer(self, base_offset: int = 0, *, fence: int = 1, segment_id: str | None = None) -> SegmentWriter:
        sealer = EntrySealer(self.file_id, self.key, fence)
        return SegmentWriter(self.blobs, sealer, segment_id=segment_id or new_id(), base_offset=base_offset)

    def shared_writer(self, base_offset: int = 0) -> SharedWriter:
        return SharedWriter(EntrySealer(self.file_id, self.key, 0), base_offset=base_offset)

    def reader(self, runs: Sequence[Run], size_bytes: int | None = None) -> SpooledFile:
        return SpooledFile(
            self.blobs,
            runs,
            upload_id=self.upload_id,
            file_id=self.file_id,
            key=self.key,
            size_bytes=sum(run.length for run in runs) if size_bytes is None else size_bytes,
        )

    def stored(self, plaintext: bytes, *, append_size: int | None = None) -> Run:
        """Plaintext written as one segment of one run, cut into appends."""
        writer = self.writer()
        step = append_size or max(1, len(plaintext))
        for begin in range(0, len(plaintext), step):
            writer.append([plaintext[begin : begin + step]])
        writer.sync()
        writer.close()
        return writer.run


def frame_places(segment: bytes) -> Iterator[tuple[int, int]]:
    """Where each frame of a segment begins and ends."""
    at = 0
    while at < len(segment):
        if segment[at : at + 4] == MAGIC:
            at += HEADER_SIZE
            continue
        end = at + frame_length(segment, at) + FRAME_OVERHEAD
        yield at, end
        at = end


def nonces(segment: bytes) -> list[bytes]:
    """The nonce of each frame of a segment."""
    return [segment[at + 8 : at + 8 + NONCE_SIZE] for at, _ in frame_places(segment)]
