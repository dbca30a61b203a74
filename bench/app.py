"""The app in Chromium: copying in beside plain IndexedDB, sending beside a bare fetch into a sink (app.mjs runs them)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.client import Refused
from bench.loads import Figures
from bench.payload import Payload, Series
from bench.servers import ACCOUNT, Gateway, Missing
from tools.node import node

LOADS = ("app-ingest", "app-upload", "app-many")


@dataclass(frozen=True, slots=True)
class Wish:
    """How many files of which size."""

    files: int
    size: int
    rounds: int


def runs(
    gateway: Gateway, payload: Payload, folder: Path, wish: Wish, loads: Sequence[str]
) -> Iterator[tuple[str, str, Figures]]:
    """Load, who, figures; interleaved.

    :raises Missing: no Chromium.
    :raises Refused: the browser's side broke.
    """
    if not loads:
        return
    if not Path(os.environ.get("RELAYPACS_CHROMIUM", "/usr/bin/chromium")).exists():
        raise Missing("the app's loads need Chromium: apt-get install --no-install-recommends chromium")
    _write_study(folder, payload, wish)
    script = str(Path(__file__).with_name("app.mjs"))
    about = [gateway.url, str(gateway.tree.pid), ACCOUNT, gateway.password]
    command = [node(), script, *about, str(folder), str(wish.rounds), ",".join(loads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            told = json.loads(line)
            yield told["load"], told["name"], told["figures"]
        errors = process.stderr.read() if process.stderr else ""
    if process.returncode:
        raise Refused(f"the app's loads ended with {process.returncode}:\n{errors[-2000:]}")


def _write_study(folder: Path, payload: Payload, wish: Wish) -> None:
    folder.mkdir(parents=True)
    series = Series(wish.size)
    for number in range(wish.files):
        part = series.instance(number)
        pixels = payload.bytes_at(part.size - len(part.head), part.at)
        (folder / f"{number:05}.dcm").write_bytes(part.head + pixels)
