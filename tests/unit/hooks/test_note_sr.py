"""Clinical notes as a document: a radiologist can read it whole, and it is the study's own patient's."""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from hooks.checks.scanner import scan
from hooks.contract import Accept, Facts
from hooks.note_sr import BASIC_TEXT_SR, Note, Received, note_sr, readable
from tests.scale import count

STUDY = Facts(
    "1.2.840.10008.5.1.4.1.1.2", "1.2.3.1.1", "1.2.3", "1.2.3.1", "1.2.840.10008.1.2.1", "CT", "P1", "HOSPITAL",
    "MÜLLER^JÜRGEN", "19700102", "A77", "20240203", "101112.5", "S9", "CT head", "REFERRER^R", "M",
)  # fmt: skip


NOTE = Note(
    upload_id="ab" * 16,
    study=STUDY,
    clinical_notes="Fell from a ladder.",
    priority="stat",
    uploader={"name": "Dr. Ada Ö.", "organisation": "Outpost", "phone": "+00 1"},
    received=Received(30, 28, skipped=2),
    sent_at=1_700_000_000.0,
    version="1.2",
)


def note(notes: str = NOTE.clinical_notes, **known: Any) -> Note:
    return replace(NOTE, clinical_notes=notes, **known)


def read(made: Note) -> Dataset:
    """Without a complaint of pydicom's: those quote values."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = note_sr(made)
    return dcmread(BytesIO(content))


def texts(document: Dataset) -> dict[str, str]:
    return {one.ConceptNameCodeSequence[0].CodeMeaning: one.TextValue for one in document.ContentSequence}


def test_it_says_what_a_radiologist_has_to_know():
    assert texts(read(note())) == {
        "Clinical Information": "Fell from a ladder.",
        "Priority": "STAT",
        "Sent by": "Dr. Ada Ö.",
        "Organisation": "Outpost",
        "Telephone": "+00 1",
        "Files received": "28 of 30 files received; 2 left out by the sender",
        "Sent at": "2023-11-14 22:13 UTC",
        "Made by": "Made by the gateway (RelayPACS) from what the sender wrote. Nobody has verified it.",
    }


def test_what_nobody_told_is_left_out():
    told = texts(read(note(priority="", uploader={}, received=Received(3, 3))))
    assert list(told) == ["Clinical Information", "Files received", "Sent at", "Made by"]
    assert told["Files received"] == "3 of 3 files received"


@pytest.mark.parametrize(
    ("received", "sentence"),
    [
        (Received(30, 30, withheld=1), "30 of 30 files received; 1 of them not passed on to the PACS"),
        (
            Received(30, 28, skipped=2, studies=2),
            "28 of 30 files received; 2 left out by the sender; counted over the 2 studies that were sent together",
        ),
    ],
)
def test_it_says_how_much_came(received: Received, sentence: str):
    assert received.sentence() == sentence


def test_it_belongs_to_the_study_and_its_patient_as_the_files_name_them():
    document = read(note())
    assert document.SpecificCharacterSet == "ISO_IR 192"
    assert {keyword: str(document[keyword].value) for keyword in (
        "PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
        "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
    )} == {
        "PatientID": "P1", "IssuerOfPatientID": "HOSPITAL", "PatientName": "MÜLLER^JÜRGEN",
        "PatientBirthDate": "19700102", "PatientSex": "M", "StudyInstanceUID": "1.2.3", "StudyDate": "20240203",
        "StudyTime": "101112.5", "StudyID": "S9", "StudyDescription": "CT head", "AccessionNumber": "A77",
        "ReferringPhysicianName": "REFERRER^R",
    }  # fmt: skip
    assert document.SeriesInstanceUID != "1.2.3.1", "a series of its own: modalities don't mix in one"


def test_it_says_that_the_gateway_made_it_and_nobody_verified_it():
    document = read(note())
    assert (document.SOPClassUID, document.Modality, document.Manufacturer) == (
        BASIC_TEXT_SR, "SR", "RelayPACS gateway",
    )  # fmt: skip
    assert document.VerificationFlag == "UNVERIFIED"


def test_the_same_note_is_the_same_bytes():
    assert note_sr(note()) == note_sr(note())


def test_uids_follow_from_upload_and_study_alone():
    first, said_otherwise = note().facts(), note("Other words.", sent_at=1.0).facts()
    assert first == said_otherwise
    other_upload = note(upload_id="cd" * 16).facts()
    other_study = note(study=replace(STUDY, study_instance_uid="1.2.4")).facts()
    uids = {
        uid for one in (first, other_upload, other_study) for uid in (one.sop_instance_uid, one.series_instance_uid)
    }
    assert len(uids) == 6
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


def test_its_facts_are_what_the_scanner_reads_in_it():
    content = note_sr(note())
    assert scan(_Bytes(content), "strict") == Accept(note().facts())


def test_letters_that_nobody_could_read_are_left_out_and_not_guessed():
    document = read(note(study=replace(STUDY, patient_name="M\ufffdLLER^J\ufffdRGEN", accession_number="A\ufffd")))
    assert (str(document.PatientName), document.AccessionNumber) == ("", "")


def test_a_study_whose_patient_id_nobody_could_read_gets_no_note():
    with pytest.raises(ValueError, match="PatientID"):
        note_sr(note(study=replace(STUDY, patient_id="P\ufffd1")))


@pytest.mark.parametrize("odd", ["P 1", "A^B", "x" * 64, "P?2", "日本"])
def test_an_unusual_patient_id_is_kept_as_it_is(odd: str):
    document = read(note(study=replace(STUDY, patient_id=odd)))
    assert document["PatientID"].to_json_dict(None, 0)["Value"] == [odd]
    verdict = scan(_Bytes(note_sr(note(study=replace(STUDY, patient_id=odd)))))
    assert isinstance(verdict, Accept)
    assert verdict.facts.patient_id == odd


@pytest.mark.parametrize("odd", ["x" * 65, "P1\\P2", "P\x001"])
def test_a_patient_id_that_is_none_gets_no_note(odd: str):
    with pytest.raises(ValueError, match="PatientID"):
        note_sr(note(study=replace(STUDY, patient_id=odd)))


ODD = {
    "patient_birth_date": ("unknown", "19700230", "1970", "1970-01-01"),
    "patient_sex": ("W", "male", "D"),
    "study_date": ("20240203-20240204", "x"),
    "study_time": ("10:11", "250000", "101112.1234567"),
    "accession_number": ("A" * 17, "A\\B"),
    "study_id": ("S" * 17, "S\n1"),
    "study_description": ("d" * 65, "a\\b"),
    "patient_name": ("x" * 65, "a^b^c^d^e^f", "a=b=c=d", "A\\B"),
    "referring_physician_name": ("y" * 65,),
    "issuer_of_patient_id": ("i" * 65,),
}


@pytest.mark.parametrize(("name", "odd"), [(name, odd) for name, values in ODD.items() for odd in values])
def test_a_value_that_is_none_of_its_kind_is_left_out(name: str, odd: str):
    document = read(note(study=replace(STUDY, **{name: odd})))
    keyword = {"issuer_of_patient_id": "IssuerOfPatientID", "study_id": "StudyID"}.get(
        name, name.title().replace("_", "")
    )
    assert str(document.get(keyword, "")) in {"", "None"}


def test_a_question_mark_is_a_question_mark():
    document = read(note(study=replace(STUDY, study_description="Blutung?", patient_name="WHO^KNOWS?")))
    assert (document.StudyDescription, str(document.PatientName)) == ("Blutung?", "WHO^KNOWS?")


_TEXT = st.text(st.characters(codec="utf-8"), max_size=80)
_ANYTHING = {name: st.one_of(st.sampled_from(values), _TEXT) for name, values in ODD.items()}


@settings(max_examples=count(25, soak=500), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.fixed_dictionaries(_ANYTHING), st.text(st.characters(codec="utf-8"), min_size=1, max_size=300))
def test_whatever_a_study_says_dciodvfy_finds_no_error(said: dict[str, str], notes: str):
    made = note(notes, study=replace(STUDY, **said))
    if not readable(notes):
        return
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(note_sr(made))
        file.flush()
        told = subprocess.run(["dciodvfy", file.name], capture_output=True, check=False).stderr.decode(errors="replace")
    assert [line for line in told.splitlines() if line.startswith("Error")] == []


def test_lines_end_as_dicom_wants_it():
    assert readable("one\ntwo\r\nthree\rfour\tfive\n") == "one\r\ntwo\r\nthree\r\nfour    five"


def test_characters_that_no_document_holds_are_gone():
    assert readable("a\x00b\x1b[31mc\x7f\x85d\ud800e\ufffe") == "ab[31mcde"


@pytest.mark.parametrize("notes", ["", " \r\n\t", "\x00\x1b"])
def test_there_is_no_document_of_nothing(notes: str):
    with pytest.raises(ValueError, match="nothing to read"):
        note_sr(note(notes))


def test_sixteen_kilobytes_of_any_script_arrive_whole():
    notes = ("Schmerz seit 3 Tagen. 頭痛が続いています。 الصداع 🧠\n" * 600)[: 16 * 1024]
    assert texts(read(note(notes)))["Clinical Information"] == readable(notes)


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(codec=None), min_size=1), st.text(max_size=80))
def test_whatever_is_typed_can_be_read_back(notes: str, name: str):
    if not readable(notes):
        return
    document = read(note(notes, uploader={"name": name}, study=replace(STUDY, study_description=name)))
    assert texts(document)["Clinical Information"] == readable(notes)
    assert texts(document).get("Sent by", "") == readable(name)
    assert isinstance(scan(_Bytes(note_sr(note(notes)))), Accept)


@pytest.mark.parametrize(
    "notes",
    ["Fell from a ladder.\nRule out bleeding.", 'x"; <script>alert(1)</script> \\\\ & %s {0} \x1b]0;x\x07', "頭痛 🧠"],
)
def test_dcmtk_reads_it_as_a_valid_basic_text_sr(tmp_path: Path, notes: str):
    path = tmp_path / "note.dcm"
    path.write_bytes(note_sr(note(notes)))
    shown = subprocess.run(["dsrdump", "+Pl", str(path)], capture_output=True, check=True)  # of Debian
    complaints = shown.stderr.decode().splitlines()
    assert set(complaints) <= {"W: The VR checker does not support this Specific Character Set: ISO_IR 192"}
    told = shown.stdout.decode()
    assert told.startswith("Basic Text SR Document")
    assert "MÜLLER^JÜRGEN" in told
    for line in readable(notes).split("\r\n"):
        assert line in told


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size_bytes(self) -> int:
        return len(self._content)

    def read_at(self, offset: int, size: int) -> bytes:
        return self._content[offset : offset + size]
