"""The app in Debian's Firefox and WebKitGTK, and in every browser that lacks what it needs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.browser.picks import zipped
from tests.browser.test_app import Stage, orthanc_of_session, run, serve, synthetic
from tests.dicom_samples import DEFLATED, instance, study
from tests.e2e.series import write_series

__all__ = ["orthanc_of_session", "serve"]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

OTHERS = ("firefox", "webkit")


@pytest.mark.parametrize("browser", OTHERS)
def test_what_people_come_for_works_in_other_browsers(browser: str, serve: Stage, tmp_path: Path) -> None:
    """By a code and signed in, with a reload in the middle: every byte is in Orthanc."""
    run("others/task.spec.mjs", synthetic(tmp_path), RELAYPACS_BROWSER=browser, **packed(tmp_path), **serve.settings)


@pytest.mark.parametrize("browser", ["chromium", *OTHERS])
def test_no_page_stays_white(browser: str, tmp_path: Path) -> None:
    """Where something is missing, forbidden, broken or lost, a screen says so and what helps."""
    run("others/start.spec.mjs", synthetic(tmp_path), RELAYPACS_BROWSER=browser)


def packed(folder: Path) -> dict[str, str]:
    """Files to pick, some of them in a ZIP and some deflated, and all of them as they are to arrive."""
    zipped_ones = study(2, patient_name="PACKED")
    more_than_a_window: dict[str, Any] = {
        "rows": 400,
        "columns": 256,
        "pixel_data": random.Random(0).randbytes(400 * 256),
    }
    deflated = [
        instance(patient_name="PACKED", transfer_syntax_uid=DEFLATED),
        instance(patient_name="PACKED", transfer_syntax_uid=DEFLATED, **more_than_a_window),
    ]
    unpacked = write_series(folder / "unpacked", zipped_ones + deflated).folder
    picked = write_series(folder / "packed", deflated).folder
    (picked / "images.zip").write_bytes(zipped({str(number): data for number, data in enumerate(zipped_ones)}))
    return {"RELAYPACS_PACKED": str(picked), "RELAYPACS_UNPACKED": str(unpacked)}
