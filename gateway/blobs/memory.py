"""Blobs in memory, with the difference between written and durable that a disk has.

Keeps the same promises as any store, and can say what a power cut would leave. Must not know what is in a blob.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.blobs.base import BlobFacts, Bytes
from gateway.clock import Clock, SystemClock

_NAME = re.compile(r"[0-9a-f]{32}")
_UNBOUNDED_BYTES = 1 << 50


@dataclass(slots=True)
class _Blob:
    modified_at: float
    data: bytearray = field(default_factory=bytearray)
    synced_bytes: int = 0
    named: bool = False  #: synced at least once: a power cut leaves the name
    punched: dict[int, int] = field(default_factory=dict)  #: holes: position -> size

    @property
    def taken_bytes(self) -> int:
        """Without its holes."""
        return len(self.data) - sum(self.punched.values())


class MemoryBlobs:
    """A `BlobStore` in memory; safe in several threads.

    :param capacity_bytes: appends beyond it fail with ENOSPC; None: no limit.
    :param clock: stamps `modified_at`.
    :param holes: it gives room back; else it says each time that it can't.

    `faults` maps an operation (`create`, `append`, `sync`, `open`, `read`, `delete`, `punch`) to the errno with which
    it fails from now on, as a failing disk does; `append` is every writing.
    """

    def __init__(self, *, capacity_bytes: int | None = None, clock: Clock | None = None, holes: bool = True) -> None:
        self._holes = holes
        self.capacity_bytes = capacity_bytes
        self.faults: dict[str, int] = {}
        self._clock: Clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._blobs: dict[str, _Blob] = {}
        self._marks: list[str] = []

    def create(self, name: str) -> MemoryWriter:
        _check_name(name)
        self.fail("create")
        with self._lock:
            if name in self._blobs:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            self._blobs[name] = blob = _Blob(self._clock.now())
        return MemoryWriter(self, blob)

    def open(self, name: str) -> MemoryReader:
        _check_name(name)
        self.fail("open")
        with self._lock:
            if name not in self._blobs:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return MemoryReader(self, self._blobs[name])

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            _check_name(name)
        self.fail("delete")
        with self._lock:
            for name in names:
                self._blobs.pop(name, None)

    def punch(self, name: str, holes: Sequence[tuple[int, int]]) -> bool:
        _check_name(name)
        self.fail("punch")
        with self._lock:
            blob = self._blobs.get(name)
            if blob is None or not self._holes:
                return False
            for position, size in holes:
                end = min(position + size, len(blob.data))
                blob.data[position:end] = bytes(max(end - position, 0))
                inside = [at for at, length in blob.punched.items() if position <= at and at + length <= end]
                for at in inside:
                    del blob.punched[at]
                blob.punched[position] = max(end - position, 0)
        return True

    def taken_bytes(self, name: str) -> int:
        with self._lock:
            blob = self._blobs.get(name)
            return 0 if blob is None else blob.taken_bytes

    def list(self) -> Iterator[BlobFacts]:
        with self._lock:
            facts = [
                BlobFacts(name, len(blob.data), blob.taken_bytes, blob.modified_at)
                for name, blob in self._blobs.items()
            ]
        return iter(facts)

    def free_bytes(self) -> int:
        with self._lock:
            return self._free_bytes()

    def medium_bytes(self) -> int:
        return _UNBOUNDED_BYTES if self.capacity_bytes is None else self.capacity_bytes

    def marks(self) -> Sequence[str]:
        return list(self._marks)

    def mark(self, mark: str) -> None:
        _check_name(mark)
        self._marks.append(mark)

    def after_power_cut(self, *, keep_unsynced_bytes: int = 0) -> MemoryBlobs:
        """A store with what a power cut at this moment would leave; this one goes on as it was.

        :param keep_unsynced_bytes: how many bytes of each unsynced tail happened to reach the disk. With 0 a blob
            that was never synced is gone, name and all; with more its name happened to survive.
        """
        left = MemoryBlobs(capacity_bytes=self.capacity_bytes, clock=self._clock, holes=self._holes)
        with self._lock:
            for name, blob in self._blobs.items():
                if blob.named or keep_unsynced_bytes:
                    data = blob.data[: blob.synced_bytes + keep_unsynced_bytes]
                    left._blobs[name] = _Blob(blob.modified_at, data, len(data), named=True)
        left._marks = list(self._marks)
        return left

    def content(self, name: str) -> bytes:
        """All bytes of a blob, synced or not. :raises KeyError: no such blob."""
        with self._lock:
            return bytes(self._blobs[name].data)

    def put(self, name: str, content: Bytes) -> None:
        """A blob with exactly this content, durable: what a damaged or exchanged file looks like."""
        _check_name(name)
        with self._lock:
            self._blobs[name] = _Blob(self._clock.now(), bytearray(content), memoryview(content).nbytes, named=True)

    def fail(self, operation: str) -> None:
        """Raise what `faults` says of an operation. :raises OSError: it is to fail."""
        if (number := self.faults.get(operation)) is not None:
            raise OSError(number, os.strerror(number))

    def extend(self, blob: _Blob, pieces: Sequence[Bytes]) -> int:
        """Append to a blob; the number of bytes. :raises OSError: ENOSPC, what fits is kept (a short write)."""
        size_bytes = sum(memoryview(piece).nbytes for piece in pieces)
        with self._lock:
            room = self._free_bytes()
            blob.modified_at = self._clock.now()
            if size_bytes > room:
                blob.data += b"".join(pieces)[:room]
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            for piece in pieces:
                blob.data += piece
        return size_bytes

    def place(self, blob: _Blob, position: int, pieces: Sequence[Bytes]) -> None:
        """Write into a blob, beyond its end too. :raises OSError: ENOSPC."""
        data = b"".join(pieces)
        with self._lock:
            more = max(position + len(data) - len(blob.data), 0)
            blob.modified_at = self._clock.now()
            if more > self._free_bytes():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            blob.data += bytes(more)
            blob.data[position : position + len(data)] = data

    def _free_bytes(self) -> int:
        if self.capacity_bytes is None:
            return _UNBOUNDED_BYTES
        return max(0, self.capacity_bytes - sum(blob.taken_bytes for blob in self._blobs.values()))


class MemoryWriter:
    """A `BlobWriter` in memory."""

    def __init__(self, store: MemoryBlobs, blob: _Blob) -> None:
        self._store = store
        self._blob = blob
        self._size_bytes = 0
        self._broken = False
        self._closed = False

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def append(self, pieces: Sequence[Bytes]) -> None:
        self._check()
        try:
            self._store.fail("append")
            self._size_bytes += self._store.extend(self._blob, pieces)
        except OSError:
            self._broken = True
            raise

    def write_at(self, position: int, pieces: Sequence[Bytes]) -> None:
        self._check()
        try:
            self._store.fail("append")
            self._store.place(self._blob, position, pieces)
        except OSError as error:
            self._broken = self._broken or error.errno not in (errno.ENOSPC, errno.EDQUOT)
            raise

    def sync(self) -> None:
        self._check()
        try:
            self._store.fail("sync")
        except OSError:
            self._broken = True
            raise
        self._blob.synced_bytes = len(self._blob.data)
        self._blob.named = True

    def close(self) -> None:
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the blob's writer is closed")
        if self._broken:
            raise OSError(errno.EIO, "the blob's writer failed before")


class MemoryReader:
    """A `BlobReader` in memory. Like an open file it outlives the deletion of its name."""

    def __init__(self, store: MemoryBlobs, blob: _Blob) -> None:
        self._store = store
        self._blob = blob
        self._closed = False

    def read_at(self, position: int, size: int) -> bytes:
        if self._closed:
            raise ValueError("the blob's reader is closed")
        self._store.fail("read")
        return bytes(memoryview(self._blob.data)[position : position + size])

    def readinto(self, position: int, out: memoryview) -> int:
        data = self.read_at(position, len(out))
        out[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._closed = True


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ValueError("a blob's name is 32 hex digits")
