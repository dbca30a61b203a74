"""Clinical notes get into the studies that they are about: whole, once, and counted apart from what was sent."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from gateway.delivery.items import seal_list
from gateway.keys.columns import Column
from gateway.states import FileState, UploadState
from hooks.note_sr import BASIC_TEXT_SR
from tests.unit.delivery.little_pacs import LittlePacs, Toy, toys
from tests.unit.delivery.room import Room, room

NOTES = "Fell from a ladder.\nRule out bleeding."
SAID = {
    "clinical_notes": NOTES,
    "study_metadata": {"priority": "stat"},
    "uploader": {"name": "Dr. Ada", "phone": "+00 1"},
}


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Room]:
    async with room(tmp_path) as opened:
        yield opened


def documents(pacs: LittlePacs) -> list[Dataset]:
    """Those of the gateway's making that are in the PACS."""
    return [dcmread(BytesIO(content)) for content in pacs.held.values() if content[128:132] == b"DICM"]


def text(document: Dataset, concept: str) -> str:
    return next(
        one.TextValue for one in document.ContentSequence if one.ConceptNameCodeSequence[0].CodeMeaning == concept
    )


async def test_the_notes_come_into_the_study_as_one_document(it: Room):
    upload_id = await it.submit(toys(3), **SAID)
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    [document] = documents(it.pacs)
    assert (document.StudyInstanceUID, document.PatientID, str(document.PatientName)) == ("1.2.3", "P1", "DOE^JANE")
    assert text(document, "Clinical Information") == NOTES.replace("\n", "\r\n")
    assert (text(document, "Priority"), text(document, "Sent by"), text(document, "Telephone")) == (
        "STAT", "Dr. Ada", "+00 1",
    )  # fmt: skip
    assert text(document, "Files received") == "3 of 3 files received"


async def test_an_upload_without_notes_brings_what_was_sent_and_nothing_else(it: Room):
    upload_id = await it.submit(toys(2), study_metadata={"priority": "stat"}, clinical_notes=" \n")
    await it.run()
    assert it.pacs.held.keys() == {toy.uid for toy in toys(2)}
    assert await it.made(upload_id) == []
    assert await it.warnings(upload_id) == []


async def test_each_study_of_an_upload_has_the_notes(it: Room):
    other = [replace(toy, uid=f"1.2.4.1.{n}", study="1.2.4", series="1.2.4.1") for n, toy in enumerate(toys(2))]
    await it.submit([*toys(2), *other], **SAID)
    await it.run()
    found = documents(it.pacs)
    assert {document.StudyInstanceUID for document in found} == {"1.2.3", "1.2.4"}
    assert len({document.SOPInstanceUID for document in found}) == 2
    assert text(found[0], "Files received").endswith("counted over the 2 studies that were sent together")


async def test_the_receipt_names_it_as_made_by_the_gateway_and_counts_it_apart(it: Room):
    upload_id = await it.submit(toys(3), **SAID)
    await it.run()
    [document] = documents(it.pacs)
    receipt = await it.receipt(upload_id)
    [made] = [one for one in receipt["instances"] if "made_by" in one]
    assert (made["made_by"], made["sop_class_uid"], made["outcome"]) == ("gateway", BASIC_TEXT_SR, "stored")
    assert made["sop_instance_uid"] == document.SOPInstanceUID
    assert made["sha256"] == hashlib.sha256(it.pacs.held[document.SOPInstanceUID]).hexdigest()
    assert receipt["studies"] == [{"study_instance_uid": "1.2.3", "instances": 3}]
    assert receipt["verification"] == "queried"
    assert await it.ledger.read(lambda tx: tx.files.counts(upload_id)) == {FileState.STORED: 3}
    [event] = [one for one in await it.events() if one.event == "upload.delivered"]
    assert (json.loads(event.detail)["stored"], json.loads(event.detail)["notes"]) == (3, 1)


async def test_the_answer_says_of_each_study_what_became_of_the_notes(it: Room):
    upload_id = await it.submit(toys(1), **SAID)
    await it.run()
    assert await studies(it, upload_id) == [
        {"study_instance_uid": "1.2.3", "stored": 1, "already_there": 0, "rejected": 0, "failed": 0, "notes": "stored"}
    ]


async def test_nothing_of_the_notes_is_readable_in_the_ledger(tmp_path: Path):
    async with room(tmp_path, sqlite=True) as it:
        await it.submit(toys(1), clinical_notes="ZQWUNHEARDOF " * 30)
        await it.run()
        assert documents(it.pacs)
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"gateway" in content for content in files)
    assert not any(b"ZQWUNHEARDOF" in content for content in files)


async def test_it_says_how_much_of_the_study_is_missing(it: Room):
    upload_id = await it.submit([*toys(2), Toy("1.9", verdict="reject")], **SAID)
    skipped = seal_list(
        it.opened.keys.records, [{"file_id": "x", "reason": "broken"}], Column.UPLOAD_SKIPPED, upload_id
    )

    def act(tx: Any) -> None:
        upload = tx.uploads.get(upload_id)
        tx.uploads.save(replace(upload, total_files=4, skipped_sealed=skipped))

    await it.ledger.write(act)
    await it.run()
    [document] = documents(it.pacs)
    assert text(document, "Files received") == (
        "3 of 4 files received; 1 left out by the sender; 1 of them not passed on to the PACS"
    )


async def test_no_success_is_told_before_the_pacs_shows_the_notes(it: Room):
    upload_id = await it.submit(toys(1), **SAID)
    it.pacs.on_instance = lambda uid: setattr(it.pacs, "index_delay_s", 30.0 if uid.startswith("2.25.") else 0.0)
    await it.run(for_s=20)
    assert await it.states(upload_id) == ["sending"]
    assert (await it.upload(upload_id)).state is UploadState.DELIVERING
    await it.run(for_s=60)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS


async def test_a_pacs_that_refuses_the_notes_only_has_the_images_and_the_uploader_hears_of_it(it: Room):
    upload_id = await it.submit(toys(2), **SAID)
    it.pacs.on_instance = lambda uid: it.pacs.failures.update({uid: 0x0122} if uid.startswith("2.25.") else {})
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    [warned] = await it.warnings(upload_id)
    assert (warned["code"], warned["reason"]) == ("notes_not_stored", "0122")
    assert "tell the radiologist" in warned["message"]
    assert "file_id" not in warned
    [study] = await studies(it, upload_id)
    assert (study["stored"], study["failed"], study["notes"]) == (2, 0, "failed")
    assert [one["outcome"] for one in (await it.receipt(upload_id))["instances"]] == ["stored", "stored", "failed"]


async def test_no_study_comes_to_be_of_notes_alone(it: Room):
    it.pacs.failures = {"1.2.3.1.1": 0xC000}
    upload_id = await it.submit(toys(1), **SAID)
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.FAILED
    assert documents(it.pacs) == []
    assert {one["code"] for one in await it.warnings(upload_id)} == {"notes_not_stored", "refused_by_pacs"}


async def test_notes_of_a_patient_whose_id_nobody_could_read_stay_out(it: Room):
    upload_id = await it.submit([Toy("1.1", patient_id="P\ufffd1")], **SAID)
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert documents(it.pacs) == []
    assert [one["code"] for one in await it.warnings(upload_id)] == ["notes_not_stored"]


async def test_two_uploads_of_one_study_bring_two_documents(it: Room):
    await it.submit(toys(2), **SAID)
    await it.run()
    second = await it.submit(toys(2), **{**SAID, "clinical_notes": "It is the left side."})
    await it.run()
    assert await it.states(second) == ["already_there"] * 2
    assert sorted(text(document, "Clinical Information") for document in documents(it.pacs)) == [
        "Fell from a ladder.\r\nRule out bleeding.", "It is the left side.",
    ]  # fmt: skip


async def test_a_retry_brings_what_failed_and_the_notes_once(it: Room):
    it.pacs.failures = {"1.2.3.1.2": 0xC000}
    upload_id = await it.submit(toys(2), **SAID)
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.PARTIAL
    it.pacs.failures = {}
    await retry(it, upload_id)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    [document] = documents(it.pacs)
    assert it.pacs.sent.count(document.SOPInstanceUID) == 1
    assert await it.warnings(upload_id) == []


async def test_a_retry_brings_notes_that_were_refused(it: Room):
    refused: set[str] = set()
    it.pacs.failures = {"1.2.3.1.2": 0xC000}

    def refuse(uid: str) -> None:
        if uid.startswith("2.25.") and uid not in refused:
            refused.add(uid)
            it.pacs.failures[uid] = 0xC000

    it.pacs.on_instance = refuse
    upload_id = await it.submit(toys(2), **SAID)
    await it.run()
    assert "notes_not_stored" in {one["code"] for one in await it.warnings(upload_id)}
    it.pacs.failures = {}
    await retry(it, upload_id)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert {document.SOPInstanceUID for document in documents(it.pacs)} == refused
    assert await it.warnings(upload_id) == []


async def test_a_busy_pacs_gets_the_notes_later(it: Room):
    upload_id = await it.submit(toys(2), **SAID)
    waited: list[str] = []

    def busy(uid: str) -> None:
        if uid.startswith("2.25.") and not waited:
            waited.append(uid)
            it.pacs.busy.add(uid)

    it.pacs.on_instance = busy
    await it.run(for_s=120)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert [document.SOPInstanceUID for document in documents(it.pacs)] == waited


async def test_an_endpoint_that_takes_no_notes_any_more_gets_none(it: Room):
    upload_id = await it.submit(toys(2), **SAID)
    it.pacs.breaks_after = 2
    await it.run(for_s=0)
    assert len(await it.made(upload_id)) == 1
    it.pacs.down = False
    it.config["takes_notes"] = False
    it.restart()
    await it.run(for_s=900)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert documents(it.pacs) == []
    assert [one["code"] for one in await it.warnings(upload_id)] == ["notes_not_stored"]


async def test_damaged_notes_are_no_failure_of_what_was_sent(it: Room):
    it.pacs.breaks_after = 2
    upload_id = await it.submit(toys(2), **SAID)
    await it.run(for_s=0)
    [made] = await it.made(upload_id)
    await it.ledger.write(lambda tx: tx.files.save(replace(made, bytes_sealed=b"\x01" + bytes(60))))
    it.pacs.down = False
    await it.run(for_s=900)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert [one["code"] for one in await it.warnings(upload_id)] == ["notes_not_stored"]


async def test_cancelling_after_the_notes_arrived_leaves_a_receipt_that_names_them(it: Room):
    upload_id = await it.submit(toys(1), **SAID)
    it.pacs.index_delay_s = 1000.0
    await it.run(for_s=1)
    upload = await it.upload(upload_id)

    def cancel(tx: Any) -> None:
        tx.uploads.save(replace(upload, state=UploadState.CANCELLED, epoch=upload.epoch + 1))

    await it.ledger.write(cancel)
    await it.delivery.settle_cancelled(upload_id)
    assert [one.get("made_by") for one in (await it.receipt(upload_id))["instances"]] == [None, "gateway"]


async def test_dcmtk_reads_what_arrived(it: Room, tmp_path: Path):
    await it.submit(toys(1), **SAID)
    await it.run()
    [document] = documents(it.pacs)
    path = tmp_path / "arrived.dcm"
    path.write_bytes(it.pacs.held[document.SOPInstanceUID])
    shown = subprocess.run(["dsrdump", "+Pl", str(path)], capture_output=True, check=True)  # of Debian
    assert "Rule out bleeding." in shown.stdout.decode()


async def studies(it: Room, upload_id: str) -> list[dict[str, Any]]:
    row = await it.upload(upload_id)
    assert row.studies_sealed is not None
    return it.opened.keys.records.open_json(row.studies_sealed, context=f"uploads|studies|{upload_id}")


async def retry(it: Room, upload_id: str) -> None:
    await it.delivery.retry(upload_id, actor="test", reason="mended")
    await it.run(for_s=60)
