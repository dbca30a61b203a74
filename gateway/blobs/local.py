"""Blobs as files under one directory: `root/ab/abcd…`, sharded by the first two hex digits.

The shard directories are made, and made durable, at start-up: a new blob then needs an fsync of its own shard
directory and of nothing above it. Must not know what is in a blob.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

from gateway.blobs.base import BlobFacts, Bytes
from gateway.owners import leave_to_owner

_NAME = re.compile(r"[0-9a-f]{32}")
#: A folder with a folder for each mark: what is no file can't be taken for bytes of a patient.
_MARKS = "spool_id"
_SHARDS = tuple(f"{number:02x}" for number in range(256))
#: fallocate(2): free the pages, keep the size.
_PUNCH_HOLE = 0x02 | 0x01
#: sync_file_range(2): begin to write what is dirty, and wait for nothing.
_WRITE = 0x02
#: After so many bytes the disk is told to begin with them.
BEGIN_EVERY_BYTES = 2 << 20
_BLOCK_BYTES = 512  #: what `st_blocks` counts in
_IOV_MAX = min(os.sysconf("SC_IOV_MAX"), 1024) if "SC_IOV_MAX" in os.sysconf_names else 16


class LocalBlobs:
    """A `BlobStore` on a local file system.

    :param root: made if it isn't there, with mode 0700.
    :raises OSError: the directories can't be made.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        if not root.is_dir():
            root.mkdir(mode=0o700, parents=True)
            _sync_directory(root.parent)
        present = {entry.name for entry in os.scandir(root)}
        for shard in _SHARDS:
            if shard not in present:
                (root / shard).mkdir(mode=0o700, exist_ok=True)  # another process may be starting too
                leave_to_owner(root / shard)
        _sync_directory(root)  # also when none was made: a start before this one may have been cut short here

    def create(self, name: str) -> LocalWriter:
        return LocalWriter(self._path(name))

    def open(self, name: str) -> LocalReader:
        return LocalReader(self._path(name))

    def delete(self, names: Sequence[str]) -> None:
        shards = set()
        for name in names:
            path = self._path(name)
            # A shard is synced for a missing blob too: a crash may have come between its unlink and the fsync.
            shards.add(path.parent)
            path.unlink(missing_ok=True)
        for shard in sorted(shards):
            _sync_directory(shard)

    def punch(self, name: str, holes: Sequence[tuple[int, int]]) -> bool:
        try:
            fd = os.open(self._path(name), os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            done = all(_punch(fd, position, size) for position, size in holes)
            os.fdatasync(fd)
        finally:
            os.close(fd)
        return done

    def taken_bytes(self, name: str) -> int:
        try:
            return self._path(name).stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
        except FileNotFoundError:
            return 0

    def list(self) -> Iterator[BlobFacts]:
        for shard in _SHARDS:
            with os.scandir(self._root / shard) as entries:
                for entry in entries:
                    if _NAME.fullmatch(entry.name) is None:
                        continue
                    try:
                        facts = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:  # deleted since the directory was read
                        continue
                    if stat.S_ISREG(facts.st_mode):
                        taken_bytes = facts.st_blocks * _BLOCK_BYTES
                        yield BlobFacts(entry.name, facts.st_size, taken_bytes, facts.st_mtime)

    def free_bytes(self) -> int:
        facts = os.statvfs(self._root)
        return facts.f_bavail * facts.f_frsize

    def medium_bytes(self) -> int:
        facts = os.statvfs(self._root)
        return facts.f_blocks * facts.f_frsize

    def marks(self) -> Sequence[str]:
        try:
            return [entry.name for entry in os.scandir(self._root / _MARKS)]
        except FileNotFoundError:
            return []

    def mark(self, mark: str) -> None:
        _check_name(mark)
        marks = self._root / _MARKS
        for folder in (marks, marks / mark):
            folder.mkdir(mode=0o700, exist_ok=True)
            leave_to_owner(folder)
            _sync_directory(folder.parent)

    def _path(self, name: str) -> Path:
        _check_name(name)
        return self._root / name[:2] / name


class LocalWriter:
    """A `BlobWriter` on a file."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
        self._directory = path.parent
        self._size_bytes = 0
        self._unbegun_bytes = 0  #: written since the disk was told to begin
        self._named = False  #: the directory entry is durable
        self._broken = False

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def append(self, pieces: Sequence[Bytes]) -> None:
        self._check()
        try:
            written = _write_all(lambda views: os.writev(self._fd, views), pieces)
            self._size_bytes += written
            self._wrote(written)
        except OSError:
            self._broken = True
            raise

    def write_at(self, position: int, pieces: Sequence[Bytes]) -> None:
        self._check()
        at = position

        def write(views: list[memoryview]) -> int:
            nonlocal at
            written = os.pwritev(self._fd, views, at)
            at += written
            return written

        try:
            self._wrote(_write_all(write, pieces))
        except OSError as error:
            self._broken = self._broken or error.errno not in (errno.ENOSPC, errno.EDQUOT)
            raise

    def sync(self) -> None:
        self._check()
        self._unbegun_bytes = 0
        try:
            os.fdatasync(self._fd)
            if not self._named:
                _sync_directory(self._directory)
                self._named = True
        except OSError:
            self._broken = True
            raise

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _wrote(self, size: int) -> None:
        """So many bytes more: the sync that follows waits for less if the disk has begun."""
        self._unbegun_bytes += size
        if self._unbegun_bytes >= BEGIN_EVERY_BYTES:
            self._unbegun_bytes = 0
            _begin_writing(self._fd)

    def _check(self) -> None:
        if self._fd < 0:
            raise ValueError("the blob's writer is closed")
        if self._broken:
            raise OSError(errno.EIO, "the blob's writer failed before")


class LocalReader:
    """A `BlobReader` on a file; safe in several threads (pread)."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def read_at(self, position: int, size: int) -> bytes:
        if self._fd < 0:
            raise ValueError("the blob's reader is closed")
        data = os.pread(self._fd, size, position)
        if len(data) == size or not data:
            return data
        parts = [data]
        missing = size - len(data)
        while missing and (data := os.pread(self._fd, missing, position + size - missing)):
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def readinto(self, position: int, out: memoryview) -> int:
        if self._fd < 0:
            raise ValueError("the blob's reader is closed")
        read = 0
        while read < len(out) and (more := os.preadv(self._fd, [out[read:]], position + read)):
            read += more
        return read

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _write_all(write: Callable[[list[memoryview]], int], pieces: Sequence[Bytes]) -> int:
    """Write every byte, however the system cuts it; the number of bytes."""
    views = [view for piece in pieces if (view := memoryview(piece).cast("B"))]
    total = 0
    while views:
        written = write(views[:_IOV_MAX])
        total += written
        done = 0
        while done < len(views) and written >= len(views[done]):
            written -= len(views[done])
            done += 1
        del views[:done]
        if written:
            views[0] = views[0][written:]
    return total


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ValueError("a blob's name is 32 hex digits")


def _begin_writing(fd: int) -> None:
    """Let the disk begin with what is dirty.

    A hint, and no sync: it waits for nothing, is left out where the system has none, and takes no error from the sync that
    follows, which hears of whatever goes wrong.
    """
    if (begin := _sync_file_range()) is not None:
        begin(fd, ctypes.c_int64(0), ctypes.c_int64(0), _WRITE)


@cache
def _sync_file_range() -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), "sync_file_range", None)


def _punch(fd: int, position: int, size: int) -> bool:
    """False: this file system has no holes."""
    try:
        fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    except (AttributeError, OSError):
        return False
    if fallocate(fd, _PUNCH_HOLE, ctypes.c_int64(position), ctypes.c_int64(size)) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number))


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
