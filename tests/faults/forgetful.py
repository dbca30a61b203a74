"""A file system that forgets what wasn't synced when its power is cut (FUSE).

    python tests/faults/forgetful.py MOUNTPOINT

Prints `mounted`. Lines on its standard input: `cut SEED` takes the power away and gives it back (prints `mounted`
again), `sync` makes everything durable (prints `synced`), `end` unmounts for good.

What is durable: a file's bytes after an fsync or fdatasync of it; a name, or its absence, after an fsync of the
directory that holds it. At a cut every file and every directory falls back to that; a SEED other than 0 lets a part of
the un-synced writes reach the disk, page by page, in no order, as real disks do. Held in memory: it is for small things.
"""

from __future__ import annotations

import errno
import os
import random
import stat
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from fuse import FUSE, FuseOSError, Operations

PAGE = 4096
#: What the file system says of itself: a gigabyte, nearly empty.
BLOCKS, FREE_BLOCKS = 1 << 18, 1 << 18
#: Nobody but the kernel changes anything here: it may keep names and sizes for as long as it likes.
TRUST_THE_KERNEL = {"attr_timeout": 3600, "entry_timeout": 3600}


@dataclass
class Node:
    """A file or a directory: as it is, and as the disk has it."""

    mode: int
    content: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    names: dict[str, Node] = field(default_factory=dict)
    durable_names: dict[str, Node] = field(default_factory=dict)
    dirty: set[int] = field(default_factory=set)  #: pages written since the last sync
    changed_at: float = field(default_factory=time.time)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    def touch_pages(self, begin: int, end: int) -> None:
        self.dirty.update(range(begin // PAGE, -(-end // PAGE)))
        self.changed_at = time.time()

    def sync(self) -> None:
        for page in self.dirty:
            self._flush(page)
        del self.durable[len(self.content) :]
        self.dirty.clear()

    def _flush(self, page: int) -> None:
        begin = page * PAGE
        data = self.content[begin : begin + PAGE]
        if len(self.durable) < begin:
            self.durable.extend(bytes(begin - len(self.durable)))
        self.durable[begin : begin + len(data)] = data

    def sync_all(self) -> None:
        """This and all below it."""
        self.sync()
        self.durable_names = dict(self.names)
        for node in self.names.values():
            node.sync_all()

    def fall_back(self, dice: random.Random | None) -> None:
        """The power is gone."""
        if dice is not None:
            for page in sorted(self.dirty):
                if dice.random() < 0.5:
                    self._flush(page)
            entries = self.names.keys() | self.durable_names.keys()
            for name in sorted(entries):
                if self.names.get(name) is not self.durable_names.get(name) and dice.random() < 0.5:
                    self._settle(name)
        self.content, self.names = bytearray(self.durable), dict(self.durable_names)
        self.dirty.clear()
        for node in self.names.values():
            node.fall_back(dice)

    def _settle(self, name: str) -> None:
        if name in self.names:
            self.durable_names[name] = self.names[name]
        else:
            del self.durable_names[name]


class Forgetful(Operations):  # type: ignore[misc] # fusepy ships no types
    """The operations that a gateway and SQLite need."""

    def __init__(self) -> None:
        self.root = Node(stat.S_IFDIR | 0o755)
        self.handles: dict[int, Node] = {}
        self.next_handle = 1
        self.guard = threading.Lock()  #: orders come in a thread of their own (not `lock`: that is an operation)

    def __call__(self, op: str, *args: Any) -> Any:
        with self.guard:
            return super().__call__(op, *args)

    def sync_all(self) -> None:
        with self.guard:
            self.root.sync_all()

    def cut(self, seed: int) -> None:
        with self.guard:
            self.handles.clear()
            self.root.fall_back(random.Random(seed) if seed else None)

    # names

    def _find(self, path: str) -> Node:
        node = self.root
        for name in PurePosixPath(path).parts[1:]:
            if name not in node.names:
                raise FuseOSError(errno.ENOENT)
            node = node.names[name]
        return node

    def _holder(self, path: str) -> tuple[Node, str]:
        pure = PurePosixPath(path)
        return self._find(str(pure.parent)), pure.name

    def _node(self, path: str | None, handle: int | None) -> Node:
        if handle in self.handles:
            return self.handles[handle]
        if path is None:
            raise FuseOSError(errno.ENOENT)
        return self._find(path)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        node = self._node(path, fh)
        size, at = len(node.content), node.changed_at
        links = 2 if node.is_directory else 1
        times = {"st_mtime": at, "st_atime": at, "st_ctime": at}
        room = {"st_size": size, "st_blocks": -(-size // PAGE) * (PAGE // 512)}
        return {"st_mode": node.mode, "st_nlink": links, "st_uid": os.getuid(), **room, **times}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *self._find(path).names]

    def mkdir(self, path: str, mode: int) -> None:
        holder, name = self._holder(path)
        if name in holder.names:
            raise FuseOSError(errno.EEXIST)
        holder.names[name] = Node(stat.S_IFDIR | mode)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        holder, name = self._holder(path)
        holder.names[name] = Node(stat.S_IFREG | mode)
        return self._open(holder.names[name])

    def unlink(self, path: str) -> None:
        holder, name = self._holder(path)
        if holder.names.pop(name, None) is None:
            raise FuseOSError(errno.ENOENT)

    rmdir = unlink

    def rename(self, old: str, new: str) -> None:
        holder, name = self._holder(old)
        target, to = self._holder(new)
        target.names[to] = holder.names.pop(name)

    def chmod(self, path: str, mode: int) -> None:
        node = self._find(path)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)

    def chown(self, path: str, uid: int, gid: int) -> None: ...

    def utimens(self, path: str, times: tuple[float, float] | None = None) -> None:
        self._find(path).changed_at = times[1] if times else time.time()

    # bytes

    def _open(self, node: Node) -> int:
        self.next_handle += 1
        self.handles[self.next_handle] = node
        return self.next_handle

    def open(self, path: str, flags: int) -> int:
        return self._open(self._find(path))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._node(path, fh).content[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        node = self._node(path, fh)
        if len(node.content) < offset:
            node.touch_pages(len(node.content), offset)
            node.content.extend(bytes(offset - len(node.content)))
        node.content[offset : offset + len(data)] = data
        node.touch_pages(offset, offset + len(data))
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        node = self._node(path, fh)
        before = len(node.content)
        del node.content[length:]
        node.content.extend(bytes(length - len(node.content)))
        node.touch_pages(min(before, length), max(before, length))

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        self._node(path, fh).sync()

    def fsyncdir(self, path: str, datasync: int, fh: int) -> None:
        node = self._find(path)
        node.durable_names = dict(node.names)

    def flush(self, path: str, fh: int) -> None: ...

    def release(self, path: str, fh: int) -> None:
        self.handles.pop(fh, None)

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": PAGE, "f_frsize": PAGE, "f_blocks": BLOCKS, "f_bfree": FREE_BLOCKS, "f_bavail": FREE_BLOCKS}


def main(mountpoint: Path) -> None:
    """Serve until `end`."""
    system, orders, ended = Forgetful(), iter(sys.stdin), threading.Event()

    def obey() -> None:
        mounted(mountpoint)
        while (order := next(orders, "end").split()) == ["sync"]:
            system.sync_all()
            print("synced", flush=True)
        if order[0] != "cut":
            ended.set()
        subprocess.run(["umount", "-f", "-l", str(mountpoint)], check=True)
        if order[0] == "cut":
            system.cut(int(order[1]))

    while not ended.is_set():
        reader = threading.Thread(target=obey)
        reader.start()
        FUSE(system, str(mountpoint), foreground=True, nothreads=True, hard_remove=True, **TRUST_THE_KERNEL)
        reader.join()


def mounted(mountpoint: Path) -> None:
    """Wait for the mount, and say it."""
    device = mountpoint.parent.stat().st_dev
    while mountpoint.stat().st_dev == device:
        time.sleep(0.01)
    print("mounted", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
