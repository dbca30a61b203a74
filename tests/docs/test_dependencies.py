"""The linter's security rules, over everything that ships. Known flaws of what is locked: `make audit`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_security_rules_of_the_linter_find_nothing():
    """But for two that pyproject.toml gives the reason for: an assert tells mypy, a child's arguments are a list."""
    ruff = shutil.which("ruff", path=f"{Path(sys.executable).parent}") or shutil.which("ruff")
    assert ruff, "ruff is in requirements-dev.lock"
    done = subprocess.run(
        [ruff, "check", "--select", "S", "--ignore", "S101,S603", "gateway", "hooks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_exception_from_a_security_rule_has_its_reason():
    bare = []
    for package in ("gateway", "hooks"):
        for path in (ROOT / package).rglob("*.py"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if re.search(r"noqa: (?:[A-Z]+\d+, )*S\d{3}\s*$", line):
                    bare.append(f"{path.relative_to(ROOT)}:{number}")
    assert not bare
