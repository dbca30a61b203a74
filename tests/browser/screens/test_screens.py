"""Every screen of the app, one after the other: looked at by axe, and in a language with longer words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.screens.patients import write

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that people pick from."""
    folder = tmp_path_factory.mktemp("patients")
    write(folder, ward=9)
    return folder


@pytest.mark.heavy  # a browser, a gateway and an archive at once
@pytest.mark.timeout(240)
@pytest.mark.parametrize("spec", sorted(path.name for path in HERE.glob("*.spec.mjs")))
def test_every_screen(spec: str, patients: Path) -> None:
    settings = {
        "RELAYPACS_PYTHON": sys.executable,
        "RELAYPACS_SERIES": str(patients / "one"),
        "RELAYPACS_PATIENTS": str(patients),
    }
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", spec],
        cwd=HERE,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
