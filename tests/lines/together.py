"""Two phones and a `send` on one line at once: a program in a network namespace of its own, as `measure.py` is.

Phone one has a study under way when it gets another one that is STAT.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.e2e.lab import PASSWORD, UPLOADER, Lab, Pacs, running_lab
from tests.e2e.test_send import held, on_disk, running_archive, write
from tests.lines.line import SERVER, Line, Terms, laid
from tests.lines.measure import run_apart
from tests.lines.rows import SLICE_BYTES
from tools.node import node

TERMS = Terms(up_kbit=4000, round_trip_s=0.06, loss=0.002)
#: Slices of each study: by their number the gateway's ledger tells whose it is.
SLICES = {"phone one": 12, "its STAT one": 3, "phone two": 13, "send": 14}
_LONGEST_S = 300.0


@dataclass(frozen=True, slots=True)
class Together:
    """`shares`: of what had arrived of each sender when the first of them had sent all, of all that had; `seconds`: of each
    study, from its Send to the PACS.
    """

    shares: Mapping[str, float]
    seconds: Mapping[str, float]


def together(seed: int = 0) -> Together:
    """From anywhere."""
    return Together(**run_apart("tests.lines.together", str(seed)))


def _phone(lab: Lab, line: Line, *folders: Path) -> subprocess.Popen[str]:
    """With its study chosen."""
    script = str(Path(__file__).with_name("app.mjs"))
    started = subprocess.Popen(
        line.at_client(node(), script, lab.url, UPLOADER, PASSWORD, *map(str, folders)),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


def _send(lab: Lab, line: Line, folder: Path) -> subprocess.Popen[str]:
    words = ["send", str(folder), "--to", lab.url, "--user", UPLOADER, "-q", "--state", str(lab.folder / "state")]
    environment = lab.environ() | {"RELAYPACS_PASSWORD": PASSWORD}
    return subprocess.Popen(
        line.at_client(sys.executable, "-m", "gateway", *words), env=environment, cwd=lab.folder, text=True
    )


def _arrived(lab: Lab) -> dict[str, int]:
    """Bytes of each study at the gateway."""
    with contextlib.closing(sqlite3.connect(f"file:{lab.database}?mode=ro", uri=True)) as ledger:
        rows = dict(ledger.execute("SELECT total_files, received_bytes FROM uploads"))
    return {name: rows.get(count, 0) for name, count in SLICES.items()}


def _shares(lab: Lab) -> dict[str, float]:
    """Once the first sender has sent all; phone one's studies are one sender's."""
    until = time.monotonic() + _LONGEST_S
    while time.monotonic() < until:
        arrived = _arrived(lab)
        of_each = {"phone one": arrived["phone one"] + arrived["its STAT one"]}
        of_each |= {name: arrived[name] for name in ("phone two", "send")}
        if any(arrived[name] >= SLICES[name] * SLICE_BYTES for name in of_each):
            return {name: size / sum(of_each.values()) for name, size in of_each.items()}
        time.sleep(0.2)  # a sample: another process's ledger tells nobody
    raise TimeoutError("nobody had sent all")


def measure(seed: int) -> Together:
    """In this network namespace."""
    with tempfile.TemporaryDirectory(prefix="relaypacs-line-") as place, laid(TERMS, seed) as line:
        folder = Path(place)
        (folder / "archive").mkdir()
        folders = {name: folder / name.replace(" ", "_") for name in SLICES}
        for name, count in SLICES.items():
            folders[name].mkdir()
            write(folders[name], count, SLICE_BYTES, patient=f"PAT-{count}")
        behind = {"server": {"trusted_proxies": [SERVER]}}
        with (
            running_archive(folder / "archive") as archive,
            running_lab(folder / "gateway", Pacs(archive), settings=behind) as lab,
            _phone(lab, line, folders["phone one"], folders["its STAT one"]) as one,
            _phone(lab, line, folders["phone two"]) as two,
        ):
            assert one.stdout is not None and two.stdout is not None
            line.begin()
            for phone in (one, two):
                assert phone.stdin is not None
                phone.stdin.write("go\n")
                phone.stdin.flush()
            began = time.monotonic()
            with _send(lab, line, folders["send"]) as send:
                shares = _shares(lab)
                assert send.wait(_LONGEST_S) == 0
                seconds = {"send": time.monotonic() - began}
            seconds["phone two"] = float(two.stdout.readline())
            seconds["phone one"], seconds["its STAT one"] = map(float, one.stdout.readline().split())
            assert held(archive) == sorted(one for folder in folders.values() for one in on_disk(folder))
    return Together(shares, seconds)


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        found = measure(int(sys.argv[1]))
    print(json.dumps(asdict(found)))
    sys.exit(os.EX_OK)
