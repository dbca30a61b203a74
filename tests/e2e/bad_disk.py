"""A file system over a folder, some of whose places can't be read (FUSE).

    python tests/e2e/bad_disk.py MOUNTPOINT FOLDER

Prints `mounted`. A file whose name begins with `sector` gives its first 256 KiB, then EIO; a folder whose name begins with
`closed` can't be listed (EACCES). A line on standard input unmounts.
"""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
import time
from pathlib import Path

from fuse import FUSE, FuseOSError, Operations

GOOD_BYTES = 256 * 1024


class BadDisk(Operations):  # type: ignore[misc] # fusepy ships no types
    """Reads through to a folder, where it can."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _real(self, path: str) -> Path:
        return self._folder / path.lstrip("/")

    def getattr(self, path: str, fh: int | None = None) -> dict[str, object]:
        del fh
        try:
            facts = self._real(path).lstat()
        except FileNotFoundError:
            raise FuseOSError(errno.ENOENT) from None
        names = ("st_mode", "st_size", "st_uid", "st_gid", "st_nlink", "st_mtime", "st_ctime", "st_atime")
        return {name: getattr(facts, name) for name in names}

    def readdir(self, path: str, fh: int) -> list[str]:
        del fh
        if Path(path).name.startswith("closed"):
            raise FuseOSError(errno.EACCES)
        return [".", "..", *(one.name for one in self._real(path).iterdir())]

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        del fh
        if Path(path).name.startswith("sector") and offset + size > GOOD_BYTES:
            raise FuseOSError(errno.EIO)
        with self._real(path).open("rb") as file:
            file.seek(offset)
            return file.read(size)


def main() -> None:
    mountpoint, folder = Path(sys.argv[1]), Path(sys.argv[2])

    def wait() -> None:
        while not mountpoint.is_mount():
            time.sleep(0.02)
        print("mounted", flush=True)
        sys.stdin.readline()
        subprocess.run(["umount", "-l", str(mountpoint)], check=False)

    threading.Thread(target=wait, daemon=True).start()
    FUSE(BadDisk(folder), str(mountpoint), foreground=True, nothreads=True, ro=True, max_read=65536, attr_timeout=3600)


if __name__ == "__main__":
    main()
