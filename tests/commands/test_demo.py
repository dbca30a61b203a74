"""`relaypacs demo` as a process: what it prints is what one does next."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.dicom_samples import study
from tests.e2e.series import write_series

ROOT = Path(__file__).parents[2]
RELAYPACS = str(Path(sys.executable).with_name("relaypacs"))
BARE = {"PATH": "/usr/bin:/bin"}  #: a shell that knows nothing of the clone


@contextmanager
def running(command: list[str], cwd: Path, folder: Path) -> Iterator[str]:
    """Yields what it said."""
    with (
        (folder.parent / "log").open("wb") as log,
        subprocess.Popen(
            [*command, "demo", "--port", "0", "--dir", str(folder)],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            ready, _, _ = select.select([process.stdout], [], [], 60)
            said = ""
            while ready and "Ctrl-C" not in said and (line := process.stdout.readline()):
                said += line
            assert "Ctrl-C" in said, (folder.parent / "log").read_text()
            yield said
        finally:
            process.terminate()
            assert process.wait(30) == 0


def printed_command(said: str) -> str:
    found = re.search(r"^Send a study from another terminal:\n  (.+)$", said, re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_command_that_it_prints_sends_a_study_from_any_folder(tmp_path: Path) -> None:
    files = write_series(tmp_path / "a study", study(2, pixel_bytes=10_000)).folder
    start, elsewhere = ROOT, tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = os.path.relpath(RELAYPACS, start)
    with running([command if "/" in command else f"./{command}"], start, tmp_path / "demo data") as said:
        line = printed_command(said).replace("FOLDER", f"'{files}'")
        sent = subprocess.run(
            line,
            shell=True,
            cwd=elsewhere,
            env=BARE | {"HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert sent.returncode == 0, sent.stdout + sent.stderr


def test_started_as_a_module_it_names_the_module(tmp_path: Path) -> None:
    with running([sys.executable, "-m", "gateway"], ROOT, tmp_path / "demo") as said:
        assert f" {sys.executable} -m gateway send FOLDER --to http://127.0.0.1:" in printed_command(said)
