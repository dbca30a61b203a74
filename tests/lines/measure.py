"""One study over one line by one client: a program in a network namespace of its own, so that many can run at once.

`measured` starts it from anywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.peers import Tusd
from tests.e2e.lab import ROOT, Pacs, running_lab
from tests.e2e.orthanc import Orthanc
from tests.e2e.test_send import held, on_disk, running_archive, write
from tests.lines.clients import CLIENTS, TO_GATEWAY, TO_PACS, TO_TUSD, NotDone, Study
from tests.lines.line import SERVER, Line, laid
from tests.lines.rows import LARGE, ROWS, SHORT, Row

_MAY_TAKE_S = 600
_POINTS = 120
_NOT_DONE = "not done: "
_TRY = "ip link add try type veth peer name yrt"
ALL = {**ROWS, LARGE.name: LARGE}


@dataclass(frozen=True, slots=True)
class Figures:
    """`seconds`: from the client's first packet to its end; None: it never ended. `sent_bytes`: TCP's payload upwards, what
    went again counted again.
    """

    seconds: float | None
    sent_bytes: int
    size_bytes: int
    acknowledged: list[tuple[float, int]]  #: seconds, bytes

    @property
    def sent_ratio(self) -> float:
        return self.sent_bytes / self.size_bytes


class FarOrthanc(Orthanc):
    """One that clients on other machines may speak to."""

    def _config(self) -> dict[str, Any]:
        return super()._config() | {"RemoteAccessAllowed": True}


def measured(row: str, client: str, *more: str, short: bool = False, seed: int = 0) -> Figures:
    """Send the row's study by this client.

    :param more: arguments for the client.
    """
    words = ["--seed", str(seed), *(["--short"] if short else []), row, client]
    return Figures(**run_apart("tests.lines.measure", *words, "--", *more))


def run_apart(module: str, *words: str) -> dict[str, Any]:
    """What a program of ours prints (JSON) in a network namespace of its own."""
    done = subprocess.run(
        [*_apart(), sys.executable, "-m", module, *words],
        cwd=ROOT, capture_output=True, text=True, timeout=_MAY_TAKE_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.fail(f"the line broke:\n{done.stderr[-3000:]}")
    for said in done.stderr.splitlines():
        if said.startswith(_NOT_DONE):
            print(said, file=sys.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


@functools.cache
def _apart() -> list[str]:
    """What runs a command in a network namespace of its own: within one of users, which needs no right, else as root (there
    are none of users in a chroot).
    """
    said = ""
    for users in (["--user", "--map-root-user"], []):
        command = ["unshare", *users, "--net"]
        tried = subprocess.run(
            [*command, "sh", "-ec", _TRY], capture_output=True, text=True, timeout=_MAY_TAKE_S, check=False
        )
        if tried.returncode == 0:
            return command
        said += f"\n{' '.join(command)}: {tried.stderr.strip()}"
    pytest.fail(f"no bad line can be had here: it needs network namespaces, veth and iproute2:{said}")


@contextlib.contextmanager
def _sending(client: str, folder: Path, study: Study, line: Line) -> Iterator[float]:
    """How long it took, while what it was sent to is still there."""
    if client in TO_PACS:
        orthanc = FarOrthanc(folder, dicom_server=True)
        orthanc.start()
        try:
            yield TO_PACS[client](orthanc, line, study)
            assert len(orthanc.instances()) == len(study.files)
        finally:
            orthanc.stop()
    elif client in TO_TUSD:
        tusd = Tusd(folder / "tusd")
        try:
            yield TO_TUSD[client](tusd, line, study)
        finally:
            tusd.stop()
    else:
        (folder / "archive").mkdir()
        behind = {"server": {"trusted_proxies": [SERVER]}}
        with (
            running_archive(folder / "archive") as archive,
            running_lab(folder / "gateway", Pacs(archive), settings=behind) as lab,
        ):
            yield TO_GATEWAY[client](lab, line, study)
            if client != "tus-js-client":  # whose end is when the gateway has it
                assert held(archive) == on_disk(study.folder)


def measure(row: Row, client: str, more: Sequence[str], seed: int) -> Figures:
    """In this network namespace."""
    with tempfile.TemporaryDirectory(prefix="relaypacs-line-") as place, laid(row.terms, seed) as line:
        folder = Path(place)
        (folder / "study").mkdir()
        (folder / "place").mkdir()
        write(folder / "study", row.files, row.file_bytes)
        study = Study(folder / "study", more)
        try:
            with _sending(client, folder / "place", study, line) as seconds:
                samples, sent_bytes = list(line.samples), line.traffic.sent_bytes
        except NotDone as why:
            print(f"{_NOT_DONE}{why!r}", file=sys.stderr)
            return Figures(None, line.traffic.sent_bytes, row.size_bytes, _few(line.samples))
        lasted_s = seconds - line.first_s
        shown = [(at_s, size) for at_s, size in samples if at_s <= lasted_s]
        return Figures(lasted_s, sent_bytes, row.size_bytes, _few(shown))


def _few(samples: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """As many as a picture shows."""
    return [*samples[:: max(1, len(samples) // _POINTS)], *samples[-1:]]


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("row", choices=ALL)
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("more", nargs="*")
    args = parser.parse_args()
    row = (SHORT if args.short else ALL)[args.row]
    with contextlib.redirect_stdout(sys.stderr):
        figures = measure(row, args.client, args.more, args.seed)
    print(json.dumps(asdict(figures)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
