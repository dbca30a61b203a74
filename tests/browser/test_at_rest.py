"""What lies on a device: nothing of a patient, in no file of the browser's profile and in no store, at no time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.profile_scan import unpack
from tests.browser.test_app import HERE
from tests.dicom_samples import element, study
from tests.e2e.plaintext import Hit, Scanner
from tools.node import node

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(240)]

PATIENT = {
    "name": "BRUNNHUBER",
    "given name": "WALBURGA",
    "id": "PAT-7741-K",
    "birth date": "19530817",
    "accession number": "ACC-99182-Q",
    "description": "SCHAEDEL-NATIV-XQ",
    "file name": "aufnahme-brunnhuber",
    "notes": "Kellertreppe",
}
#: What is typed into the review, by its label.
TYPED = {
    "Notes for the radiologist": f"Sturz auf der {PATIENT['notes']}",
    "Your name": "Dr. Sender",
    "Phone for questions": "+00 000 1111",
}
#: Where a careless app would leave something, and what it leaves there.
CONTROL = {
    "history": "CTLHISTORYQX",
    "autofill": "CTLAUTOFILLQX",
    "open tab": "CTLOPENTABQX",
    "HTTP cache": "CTLHTTPCACHEQX",
    "local storage": "CTLLOCALSTOREQX",
    "cache storage": "CTLCACHESTOREQX",
    "small value": "CTLSMALLVALUEQX",
    "packed value": "CTLPACKVALUEWORDQX",
    "packed table": "CTLPACKTABLEWORDQX",
}
PHASES = ("in the middle", "after SIGKILL", "after the receipt", "after the browser's end")


@dataclass(frozen=True)
class Profiles:
    """What was kept of a profile in each phase."""

    folder: Path
    unpacked: Path
    tables: int  #: LevelDB's, at the end
    found: dict[str, list[Hit]]  #: by phase, of the patient and of the control


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Profiles:
    """A patient's study, sent by a browser that was killed in the middle."""
    folder = tmp_path_factory.mktemp("at-rest")
    series = folder / "series"
    series.mkdir()
    about = {
        "patient_name": f"{PATIENT['name']}^{PATIENT['given name']}",
        "patient_id": PATIENT["id"],
        "patient_birth_date": PATIENT["birth date"],
        "accession_number": PATIENT["accession number"],
        "extra": element(0x00181030, "LO", PATIENT["description"]),
    }
    for number, data in enumerate(study(27, pixel_bytes=40_000, **about) + study(1, pixel_bytes=6 << 20, **about)):
        (series / f"{PATIENT['file name']}-{number:02}.dcm").write_bytes(data)
    told = {
        "RELAYPACS_PYTHON": sys.executable,
        "RELAYPACS_SERIES": str(series),
        "RELAYPACS_OUT": str(folder / "kept"),
        "RELAYPACS_CONTROL": json.dumps(CONTROL),
        "RELAYPACS_TYPED": json.dumps(TYPED),
    }
    done = subprocess.run(
        [node(), "at_rest.mjs"],
        cwd=HERE,
        env=os.environ | told,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    tables = [unpack(folder / "kept" / phase, folder / "unpacked" / phase) for phase in PHASES]
    scanner = Scanner(PATIENT | CONTROL)
    found = {phase: scanner.hits([folder / "kept" / phase, folder / "unpacked" / phase]) for phase in PHASES}
    return Profiles(folder / "kept", folder / "unpacked", tables[-1], found)


@pytest.mark.parametrize("phase", PHASES)
def test_nothing_of_the_patient_is_readable(profiles: Profiles, phase: str) -> None:
    assert [hit for hit in profiles.found[phase] if hit.marker in PATIENT] == []


@pytest.mark.parametrize("phase", PHASES)
def test_the_search_finds_what_a_careless_app_leaves(profiles: Profiles, phase: str) -> None:
    assert {hit.marker for hit in profiles.found[phase]} >= set(CONTROL)


def test_what_is_packed_is_found_by_unpacking_alone(profiles: Profiles) -> None:
    packed = {name: word for name, word in CONTROL.items() if name.startswith("packed")}
    assert profiles.tables > 0
    assert Scanner(packed).hits([profiles.folder / PHASES[-1]]) == []
    assert {hit.marker for hit in Scanner(packed).hits([profiles.unpacked / PHASES[-1]])} == set(packed)


@pytest.mark.parametrize("phase", ["in the middle", "after the receipt"])
def test_the_stores_were_read(profiles: Profiles, phase: str) -> None:
    """What the page itself can read of its stores was looked into as well."""
    stores = profiles.folder / phase / "stores.bin"
    assert {hit.marker for hit in Scanner(CONTROL).hits([stores])} == {"small value", "packed value", "packed table"}
    assert stores.stat().st_size > (6 << 20 if phase == "in the middle" else 1 << 20)
