"""Every screen of the app, one after the other: looked at by axe, and in a language with longer words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.screens.patients import write
from tools.node import node

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that people pick from."""
    folder = tmp_path_factory.mktemp("patients")
    write(folder, ward=9)
    return folder


#: It measures how long the page takes: with nothing beside it.
ALONE = "lighthouse.spec.mjs"
#: The walk in longer words takes as long as axe's, and finds what changes with words and layout alone.
LONGER_WORDS = "pseudo.spec.mjs"
MARKS = {ALONE: [pytest.mark.heavy], LONGER_WORDS: [pytest.mark.browser, pytest.mark.soak]}
SPECS = [
    pytest.param(path.name, marks=MARKS.get(path.name, [pytest.mark.browser]))
    for path in sorted(HERE.glob("*.spec.mjs"))
]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("spec", SPECS)
def test_every_screen(spec: str, patients: Path) -> None:
    settings = {
        "RELAYPACS_PYTHON": sys.executable,
        "RELAYPACS_SERIES": str(patients / "one"),
        "RELAYPACS_PATIENTS": str(patients),
    }
    done = subprocess.run(
        [node(), "--test", "--test-reporter=spec", spec],
        cwd=HERE,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
