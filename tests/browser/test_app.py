"""The app in Debian's Chromium before a real gateway: each `*.spec.mjs` here, run by Node's own test runner."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.browser import picks
from tests.dicom_samples import study
from tests.e2e.lab import PASSWORD as LAB_PASSWORD
from tests.e2e.lab import Lab, Pacs, running_lab
from tests.e2e.orthanc import PASSWORD, USER, Orthanc, orthanc_of_session
from tests.e2e.series import make, write_series
from tools.node import node

__all__ = ["orthanc_of_session"]

HERE = Path(__file__).parent
PATIENT = "BROWSER-TEST-PATIENT"
SMALL_BYTES, LARGE_BYTES = 40_000, 6 << 20
BEFORE_ORTHANC = {"below.spec.mjs", "cuts.spec.mjs", "refusals.spec.mjs", "tasks.spec.mjs"}
BARE = {"RELAYPACS_BARE": "1"}  #: a browser without service workers and what else not every browser has


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
        return synthetic(tmp_path)
    return Load(make(request.param, tmp_path).folder, "REMOVED", "QR code")


def synthetic(folder: Path) -> Load:
    """Many small files and a large one."""
    small = study(27, pixel_bytes=SMALL_BYTES, patient_name=PATIENT)
    files = small + study(1, pixel_bytes=LARGE_BYTES, patient_name=PATIENT)
    return Load(write_series(folder / "series", files).folder, PATIENT)


def large(folder: Path) -> Path:
    """What is still on its way when the last tab is closed."""
    files = study(32, pixel_bytes=1 << 20, patient_name="LARGE^ONE", patient_id="TEST-2")
    return write_series(folder / "large", files).folder


@dataclass(frozen=True)
class Stage:
    """What the specs are told of the gateway that they start and stop."""

    settings: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def serve(tmp_path: Path, orthanc_of_session: Orthanc) -> Iterator[Stage]:
    """A configuration for `relaypacs serve` before a real Orthanc."""
    pacs = Pacs(orthanc_of_session.dicomweb_url, USER, PASSWORD)
    about = {"display_name": "St. Elsewhere, Radiology", "contact": "+00 000 0000"}
    with running_lab(tmp_path / "lab", pacs, serving=False, settings={"endpoints.main": about}) as lab:
        furnish(lab)
        yield Stage(
            {
                "RELAYPACS_SERVE_CONFIG": str(lab.config),
                "RELAYPACS_PASSWORD": LAB_PASSWORD,
                "RELAYPACS_ORTHANC_URL": orthanc_of_session.url,
                "RELAYPACS_ORTHANC_ACCOUNT": f"{USER}:{PASSWORD}",
            }
        )


def furnish(lab: Lab) -> None:
    """Accounts, and a second endpoint before the same Orthanc."""
    lab.add_user("admin", "admin")
    lab.add_user("colleague", "uploader")
    more = f'[endpoints.trauma]\nurl = "{lab.pacs.url}"\nauth = {lab.pacs.auth()}\ndisplay_name = "Trauma centre"\n'
    lab.config.write_text(lab.config.read_text().replace("[endpoints.main]", "[endpoints.main]\ndefault = true") + more)


def run(spec: str, load: Load, **settings: str) -> None:
    """Run a spec; its output is the failure."""
    told = {"RELAYPACS_PYTHON": sys.executable, "RELAYPACS_SERIES": str(load.folder), "RELAYPACS_PATIENT": load.patient}
    try:
        done = subprocess.run(
            [
                node(),
                "--test",
                "--test-reporter=spec",
                *([f"--test-name-pattern={load.only}"] if load.only else []),
                spec,
            ],
            cwd=HERE,
            env=os.environ | told | settings,
            capture_output=True,
            text=True,
            timeout=220,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"it didn't end: {(late.stdout or b'').decode()[-8000:]}")
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.mark.parametrize("spec", sorted({path.name for path in HERE.glob("*.spec.mjs")} - BEFORE_ORTHANC))
def test_the_app_does_what_its_screens_say(spec: str, tmp_path: Path) -> None:
    run(spec, synthetic(tmp_path), RELAYPACS_PICKS=str(picks.make(tmp_path / "picks")))


@pytest.mark.parametrize("browser", [{}, BARE], ids=["whole", "bare"])
def test_an_upload_survives_what_happens_to_it(browser: dict[str, str], serve: Stage, tmp_path: Path) -> None:
    one = study(1, pixel_bytes=LARGE_BYTES, patient_name="ONE^LARGE", patient_id="TEST-3")
    more = {
        "RELAYPACS_LARGE_SERIES": str(large(tmp_path)),
        "RELAYPACS_ONE_LARGE": str(write_series(tmp_path / "one", one).folder),
    }
    run("cuts.spec.mjs", synthetic(tmp_path), **serve.settings, **browser, **more)


def test_what_people_come_for_takes_few_taps(serve: Stage, load: Load) -> None:
    """With the real series every byte of it is in Orthanc, by the way from the code to the receipt."""
    run("tasks.spec.mjs", load, **serve.settings)


def test_the_app_lives_below_a_path_that_a_proxy_strips(serve: Stage, tmp_path: Path) -> None:
    run("below.spec.mjs", synthetic(tmp_path), **serve.settings)


def test_what_goes_wrong_is_said_with_what_to_do_and_loses_nothing(serve: Stage, tmp_path: Path) -> None:
    run("refusals.spec.mjs", synthetic(tmp_path), **serve.settings)
