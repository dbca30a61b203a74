"""Notes typed by a clinician lie beside the images in a real PACS: once, readable, whatever happens to the gateway."""

from __future__ import annotations

import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from gateway.receipts.document import verify
from hooks.note_sr import BASIC_TEXT_SR
from tests.dicom_samples import element, study
from tests.e2e.lab import Http, Lab
from tests.e2e.orthanc import Orthanc
from tests.e2e.series import sha256

pytestmark = pytest.mark.root

SAID: dict[str, Any] = {
    "clinical_notes": "Sturz von der Leiter, GCS 14.\nBlutung? 頭痛",
    "study_metadata": {"priority": "stat"},
    "uploader": {"name": "Dr. Ada Ö.", "organisation": "Outpost", "phone": "+00 1"},
}


def images() -> list[bytes]:
    """A study in Latin-1, as many devices write it."""
    told = (
        (0x00080005, "CS", "ISO_IR 100"),
        (0x00080030, "TM", "101112"),
        (0x00080090, "PN", "ÜBER^WEISER".encode("latin-1")),
        (0x00081030, "LO", "Schädel".encode("latin-1")),
        (0x00100010, "PN", "MÜLLER^JÜRGEN".encode("latin-1")),
        (0x00100040, "CS", "M"),
        (0x00200010, "SH", "S9"),
    )
    extra = b"".join(element(tag, vr, value) for tag, vr, value in told)
    return study(3, accession_number="A77", without=[0x00100010], extra=extra)


def begin(lab: Lab, files: list[bytes], **said: object) -> tuple[str, Http]:
    """Everything is there but the word `complete`."""
    upload_id, client = lab.open_upload(lab.login(), files, **(SAID | said))
    for data in files:
        client.create(len(data), None, data).expect(201)
    return upload_id, client


def documents(orthanc: Orthanc) -> list[tuple[Dataset, bytes]]:
    """What the gateway made, as it is in the PACS."""
    found = [(dcmread(BytesIO(content)), content) for content in orthanc.stored_bytes()]
    return [(dataset, content) for dataset, content in found if dataset.SOPClassUID == BASIC_TEXT_SR]


def test_the_notes_arrive_in_the_study_of_the_same_patient(lab: Lab, orthanc: Orthanc, tmp_path: Path) -> None:
    files = images()
    upload_id, client = begin(lab, files)
    told = client.complete(upload_id).expect(200).json
    assert (told["status"], told["warnings"]) == ("success", [])
    assert [(one["stored"], one["notes"]) for one in told["studies"]] == [(3, "stored")]

    [(document, content)] = documents(orthanc)
    path = tmp_path / "note.dcm"
    path.write_bytes(content)
    shown = subprocess.run(["dsrdump", "+Pl", str(path)], capture_output=True, check=True).stdout.decode()
    for words in (
        "Sturz von der Leiter, GCS 14.", "Blutung? 頭痛", "STAT", "Dr. Ada Ö.", "Outpost", "+00 1",
        "3 of 3 files received", "Made by the gateway",
    ):  # fmt: skip
        assert words in shown

    # For the archive it is one study of one patient, images and notes.
    [found] = orthanc.json("/studies?expand")
    assert len(found["Series"]) == 2
    image = dcmread(BytesIO(files[0]))
    for keyword in (
        "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
        "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
    ):  # fmt: skip
        assert str(document[keyword].value) == str(image[keyword].value), keyword

    # The client's counts are the client's; the receipt tells both, and which is whose.
    assert client.status(upload_id)["files"] == {"stored": 3}
    assert len(client.call("GET", f"/upload/{upload_id}/files").expect(200).json["files"]) == 3
    jwks = client.call("GET", "/.well-known/jwks.json").json
    receipt = verify(client.call("GET", f"/upload/{upload_id}/receipt").expect(200).body.decode(), jwks)
    [made] = [one for one in receipt["instances"] if one.get("made_by") == "gateway"]
    assert (made["sop_instance_uid"], made["sha256"]) == (document.SOPInstanceUID, sha256(content))
    assert [one["instances"] for one in receipt["studies"]] == [3]
    lab.spool_empties()


def test_killing_the_gateway_again_and_again_brings_the_notes_once(own_lab: Lab, orthanc: Orthanc) -> None:
    files = images()
    upload_id, client = begin(own_lab, files)
    client.complete(upload_id, wait_s=0)
    for _ in range(3):
        own_lab.kill()
        own_lab.start()
    assert own_lab.login().outcome(upload_id)["state"] == "success"
    assert len(documents(orthanc)) == 1
    assert len(orthanc.instances()) == 4


def test_other_notes_on_the_same_study_are_another_document(lab: Lab, orthanc: Orthanc) -> None:
    files = images()
    for notes in ("first", "second"):
        upload_id, client = begin(lab, files, clinical_notes=notes)
        assert client.complete(upload_id).expect(200).json["status"] == "success"
    assert sorted(one.ContentSequence[0].TextValue for one, _ in documents(orthanc)) == ["first", "second"]
    assert len(orthanc.json("/studies")) == 1
