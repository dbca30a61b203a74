"""Known flaws in what is locked, and in how the code is written.

The databases of advisories are on the network. Where they can't be reached nothing was looked at, and the test says
so: it is skipped with that reason, it does not pass.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Findings that were looked at stand there with their reason.
EXPLAINED = set(re.findall(r"\b(?:CVE|GHSA|PYSEC)-[\w-]+", (ROOT / "docs" / "security.md").read_text(encoding="utf-8")))
NOTHING = "no database of advisories can be reached from here: nothing was looked at"


def test_no_python_package_has_a_known_flaw():
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "-r", "requirements.lock", "--require-hashes", "--disable-pip",
         "--progress-spinner", "off", "--format", "json", "--timeout", "10"],
        cwd=ROOT, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    if not done.stdout.strip().startswith("{"):
        assert "No module named" not in done.stderr, "pip-audit is in requirements-dev.lock: `make install`"
        pytest.skip(NOTHING)
    packages = json.loads(done.stdout)["dependencies"]
    looked_at = [one for one in packages if "vulns" in one]
    if not looked_at:
        pytest.skip(NOTHING)
    unknown = [one["name"] for one in packages if "vulns" not in one]
    assert not unknown, f"these could not be looked at: {unknown}"
    flaws = {(one["name"], flaw["id"], *flaw.get("aliases", [])) for one in looked_at for flaw in one["vulns"]}
    assert not [flaw for flaw in flaws if not EXPLAINED & set(flaw)]


@pytest.mark.parametrize("folder", ["tests/node", "pwa"])
def test_no_npm_package_has_a_known_flaw(folder):
    if not (ROOT / folder / "package-lock.json").is_file():
        pytest.skip("there is no such part yet")
    npm = shutil.which("npm")
    assert npm, "npm is needed: see the Makefile"
    done = subprocess.run(
        [npm, "audit", "--omit=dev", "--json"],
        cwd=ROOT / folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    try:
        told = json.loads(done.stdout)
    except ValueError:
        told = {"error": {}}
    if "error" in told or "vulnerabilities" not in told:
        pytest.skip(NOTHING)
    found = {name: flaw["severity"] for name, flaw in told["vulnerabilities"].items()}
    assert not {name for name in found if name not in (ROOT / "docs" / "security.md").read_text(encoding="utf-8")}


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
