"""The packages that the tests need: what is missing is known, installed, or named in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import debian_packages


def test_a_package_is_there_when_one_of_its_signs_is(tmp_path: Path) -> None:
    (tmp_path / "libfound.so.2").touch()
    lines = (
        f"# a comment\n\nshell  sh\nboth  no-such-command {tmp_path}/lib*.so.2\nnone  no-such-command {tmp_path}/x*\n"
    )
    assert debian_packages.missing(lines) == ["none"]


def test_every_package_of_the_list_has_a_sign() -> None:
    lines = debian_packages.LIST.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and line[0] != "#" and len(line.split()) < 2] == []


@pytest.fixture
def somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who isn't root, on a machine that has none of two packages; returns the only folder of PATH."""
    (tmp_path / "list").write_text("first  no-such-command\nsecond  no-such-either\n")
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(debian_packages, "LIST", tmp_path / "list")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def command(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_who_may_not_install_is_told_how_in_one_line(somebody: Path) -> None:
    command(somebody, "apt-get", "exit 1")
    command(somebody, "sudo", "exit 1")  # it would ask for a password
    wanted = "(on Debian and Ubuntu: sudo apt-get install --no-install-recommends first second)"
    assert debian_packages.main() == f"the tests need: first second {wanted}"


def test_another_system_is_told_what_is_needed(somebody: Path) -> None:
    assert debian_packages.main() == "the tests need: first second (these are Debian's names)"


def test_what_apt_did_not_bring_is_told(somebody: Path) -> None:
    command(somebody, "apt-get", "exit 1")
    command(somebody, "sudo", "exit 0")
    told = debian_packages.main()
    assert told is not None and told.startswith("the tests need: first second (`apt-get install")
