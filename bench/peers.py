"""Servers of others that are compared, and the floor of our own. None of them encrypts but the floor.

`TUSD` and `RUSTUS` name their programs. Where they aren't set and Go, or Cargo, is there, the program is built once, into a
folder of the user's cache; elsewhere its column is left out, and the run says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.machine import give_room_back
from bench.measure import Tree
from bench.servers import START_WITHIN_S, Missing, Process
from tools.ports import free_port

#: The releases that are compared.
TUSD, RUSTUS = "github.com/tus/tusd/v2/cmd/tusd@v2.9.1", "0.5.10"
#: What was built for the comparison.
_BUILT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "relaypacs-bench"


class Peer:
    """A tus server's process over a folder of its own.

    :ivar durable: its answers come after its bytes are on the disk.
    """

    name = ""
    durable = False

    def __init__(self, folder: Path, under: Sequence[str] = ()) -> None:
        self.folder = folder
        self._store = folder / "store"
        self._store.mkdir(parents=True)
        port = free_port()
        self._url = f"http://127.0.0.1:{port}/files/"
        self._process = Process(folder, self._command(port), under=under)
        self._await_answers()

    @property
    def tree(self) -> Tree:
        return self._process.tree

    def open(self, _files: int, _size_bytes: int) -> tuple[str, str | None]:
        """Creation URL; no token is needed."""
        return self._url, None

    def clear(self) -> None:
        """The bytes of all that it stored go."""
        give_room_back(self._store)

    def stop(self) -> None:
        self._process.stop()

    def _command(self, port: int) -> Sequence[str]:
        raise NotImplementedError

    def _await_answers(self) -> None:
        end = time.monotonic() + START_WITHIN_S
        request = urllib.request.Request(self._url, method="OPTIONS")
        while time.monotonic() < end and not self._process.ended():
            try:
                with urllib.request.urlopen(request, timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.05)
        self.stop()
        raise Missing(f"{self.name} did not start:\n{self._process.last_words()}")


class Tusd(Peer):
    """tusd, as it comes: nothing is synced."""

    name = "tusd"

    def _command(self, port: int) -> Sequence[str]:
        where = ["-host", "127.0.0.1", "-port", str(port), "-upload-dir", str(self._store), "-base-path", "/files/"]
        return [tusd(), *where]


class Rustus(Peer):
    """rustus, told to sync the data of each file."""

    name = "rustus"
    durable = True

    def _command(self, port: int) -> Sequence[str]:
        return [
            rustus(), "--host", "127.0.0.1", "--port", str(port), "--url", "/files/", "--force-fsync", "true",
            "--data-dir", str(self._store), "--info-dir", str(self._store), "--max-body-size", str(4 << 30),
        ]  # fmt: skip


class Floor(Peer):
    """`bench/floor.py`."""

    name = "floor"
    durable = True

    def __init__(self, folder: Path, under: Sequence[str] = ()) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        program = str(Path(__file__).with_name("floor.py"))
        self._process = Process(folder, [sys.executable, program, str(folder)], told="listening on", under=under)
        self._url = f"{self._process.url}/files/"

    def clear(self) -> None:
        """Its segment only grows: the place of what came is given back, and its end stays."""
        segment = self.folder / "segment"
        if size := segment.stat().st_size:
            subprocess.run(["fallocate", "-p", "-o", "0", "-l", str(size), str(segment)], check=False)


KINDS = (Tusd, Rustus, Floor)


def found(folder: Path) -> tuple[list[Peer], list[str]]:
    """Those that can be run here, running; and what is missing for the others."""
    peers: list[Peer] = []
    missing: list[str] = []
    for kind in KINDS:
        try:
            peers.append(kind(folder / kind.name))
        except Missing as why:
            missing.append(str(why))
    return peers, missing


def tusd() -> str:
    """The program. :raises Missing: it isn't there, and can't be built."""
    return _program("TUSD", "tusd", ["go", "install", TUSD], {"GOBIN": str(_BUILT)})


def rustus() -> str:
    """The program. :raises Missing: it isn't there, and can't be built."""
    build = ["cargo", "install", "rustus", "--version", RUSTUS, "--root", str(_BUILT)]
    return _program("RUSTUS", "bin/rustus", build, {})


def _program(variable: str, name: str, build: Sequence[str], environment: Mapping[str, str]) -> str:
    """What the variable names; else what was built, now or before."""
    if named := os.environ.get(variable):
        return named
    built = _BUILT / name
    if built.exists():
        return str(built)
    if shutil.which(build[0]) is None:
        raise Missing(f"{variable} isn't set and {build[0]} isn't here: {variable.lower()} is left out")
    _BUILT.mkdir(parents=True, exist_ok=True)
    ran = subprocess.run(build, env=os.environ | environment, capture_output=True, text=True, check=False)
    if ran.returncode or not built.exists():
        raise Missing(f"{variable.lower()} could not be built and is left out:\n{ran.stderr[-1000:]}")
    return str(built)
