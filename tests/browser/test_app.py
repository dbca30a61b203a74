"""The app in Debian's Chromium before a real gateway: each `*.spec.mjs` here, run by Node's own test runner."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.dicom_samples import study
from tests.e2e.series import make, write_series

HERE = Path(__file__).parent
SPECS = sorted(path.name for path in HERE.glob("*.spec.mjs"))
PATIENT = "BROWSER-TEST-PATIENT"
SMALL_BYTES, LARGE_BYTES = 40_000, 6 << 20


@dataclass(frozen=True)
class Load:
    """A folder of one patient's files, and a text of them that may not be found on the device."""

    folder: Path
    patient: str
    only: str = ""  #: the tests to run with it; empty: all


@pytest.fixture(params=["synthetic", *(["ct_ge_28"] if os.environ.get("RELAYPACS_TEST_DATA") else [])])
def load(request: pytest.FixtureRequest, tmp_path: Path) -> Load:
    """Made-up files for every test; a real series, where there is one, for the way from the code to the receipt."""
    if request.param == "synthetic":
        small = study(27, pixel_bytes=SMALL_BYTES, patient_name=PATIENT)
        files = small + study(1, pixel_bytes=LARGE_BYTES, patient_name=PATIENT)
        return Load(write_series(tmp_path / "series", files).folder, PATIENT)
    return Load(make(request.param, tmp_path).folder, "REMOVED", "QR code to the receipt")


@pytest.mark.heavy  # a browser, a gateway and an archive at once
@pytest.mark.timeout(240)
@pytest.mark.parametrize("spec", SPECS)
def test_the_app_does_what_its_screens_say(spec, load):
    settings = {
        "RELAYPACS_PYTHON": sys.executable,
        "RELAYPACS_SERIES": str(load.folder),
        "RELAYPACS_PATIENT": load.patient,
    }
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", *([f"--test-name-pattern={load.only}"] if load.only else []), spec],
        cwd=HERE,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
