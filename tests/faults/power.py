"""A folder whose power can be cut: see `forgetful.py`."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HOW_TO_GET_IT = "a power cut needs FUSE: root, /dev/fuse, and libfuse2 (apt-get install libfuse2)"
MOUNT_WITHIN_S = 20.0


class Disk:
    """A mounted forgetful file system."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self._process = process
        self._says("mounted")

    def sync(self) -> None:
        """Everything that is there now is durable."""
        self._order("sync")
        self._says("synced")

    def cut(self, seed: int) -> None:
        """The power goes and comes back. Whoever had files open there must be dead.

        :param seed: 0: everything un-synced is gone; else a part of it, page by page.
        """
        self._order(f"cut {seed}")
        self._says("mounted")

    def _order(self, words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()

    def _says(self, word: str) -> None:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], MOUNT_WITHIN_S)
        if not ready or self._process.stdout.readline().strip() != word:
            pytest.fail(HOW_TO_GET_IT)


@contextmanager
def forgetful_disk(folder: Path) -> Iterator[Disk]:
    """A disk of its own, empty, at `folder`."""
    if not Path("/dev/fuse").exists() or os.geteuid() != 0:
        pytest.fail(HOW_TO_GET_IT)
    folder.mkdir(parents=True)
    program = [sys.executable, str(Path(__file__).with_name("forgetful.py")), str(folder)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Disk(folder, process)
        finally:
            try:
                process.communicate("end\n", timeout=MOUNT_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                subprocess.run(["umount", "-f", "-l", str(folder)], check=False)
                raise
