"""Clinical notes as a Basic Text SR of the study that they are about (PS3.3 A.35.1). Pure: facts in, bytes out.

Promises: the same note gives the same bytes and the same UIDs, so that sending it again doubles nothing; whatever the
text, the document can be read; who the patient is and which study it is are copied as the study's own files say it,
and what those say in letters that nobody could read is left empty rather than guessed. It says of itself that the
gateway made it and that nobody has verified it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO

from pydicom import config, dcmwrite
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from hooks.contract import Facts

BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
MANUFACTURER = "RelayPACS gateway"

#: Of every UID that is made here (RFC 9562 section 5.5); itself, as a UID, the implementation's.
_NAMESPACE = uuid.UUID("8d1c5a3e-0b6f-4c57-9a54-6a2f6d3f1b70")
#: In a value that the character set didn't give: `hooks.checks.charset` has put this into it.
_UNREADABLE = "\ufffd"
#: What UT takes of the control characters: TAB (made spaces before), LF, FF, CR (PS3.5 section 6.1.3).
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
#: Nor has a value of one line any of those.
_NOT_IN_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u2028\u2029]")
_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9](\.[0-9]{1,6})?)?)?")
_MAX_LENGTHS = {"LO": 64, "SH": 16}
_LINE_END = re.compile(r"\r\n|\r|\n")

# Concepts: code, scheme, meaning. Ours where the standard has none.
_CLINICAL_INFORMATION = ("55752-0", "LN", "Clinical Information")
_PRIORITY = ("260870009", "SCT", "Priority")
_UPLOADER = ("uploader", "99RELAYPACS", "Sent by")
_ORGANISATION = ("organisation", "99RELAYPACS", "Organisation")
_PHONE = ("phone", "99RELAYPACS", "Telephone")
_RECEIVED = ("received", "99RELAYPACS", "Files received")
_SENT_AT = ("sent_at", "99RELAYPACS", "Sent at")
_ORIGIN = ("origin", "99RELAYPACS", "Made by")

_ORIGIN_TEXT = "Made by the gateway (RelayPACS) from what the sender wrote. Nobody has verified it."


@dataclass(frozen=True, slots=True)
class Received:
    """How much of what was declared came.

    :param declared: files that the sender declared.
    :param whole: files that came whole.
    :param skipped: files that the sender left out and said so.
    :param withheld: whole files that aren't passed on: unfit for a PACS, or no instances.
    :param studies: of the upload.
    """

    declared: int
    whole: int
    skipped: int = 0
    withheld: int = 0
    studies: int = 1

    def sentence(self) -> str:
        """`28 of 30 files received; 2 left out by the sender`."""
        told = [f"{self.whole} of {self.declared} files received"]
        if self.skipped:
            told.append(f"{self.skipped} left out by the sender")
        if self.withheld:
            told.append(f"{self.withheld} of them not passed on to the PACS")
        if self.studies > 1:
            told.append(f"counted over the {self.studies} studies that were sent together")
        return "; ".join(told)


@dataclass(frozen=True, slots=True)
class Note:
    """What goes into the document.

    :param study: facts of one of the study's own instances.
    :param uploader: `name`, `organisation`, `phone`, as far as they are known.
    :param sent_at: unix seconds.
    :param version: of the software.
    """

    upload_id: str
    study: Facts = field(repr=False)
    clinical_notes: str = field(repr=False)
    priority: str
    uploader: Mapping[str, str] = field(repr=False)
    received: Received
    sent_at: float
    version: str

    def facts(self) -> Facts:
        """Of the document itself. :raises ValueError: whose study it is can't be told: see `names_its_patient`."""
        if not names_its_patient(self.study):
            raise ValueError("the study's PatientID can't be read")
        return Facts(
            sop_class_uid=BASIC_TEXT_SR,
            sop_instance_uid=self._uid("instance"),
            study_instance_uid=self.study.study_instance_uid,
            series_instance_uid=self._uid("series"),
            transfer_syntax_uid=str(ExplicitVRLittleEndian),
            modality="SR",
            patient_id=self.study.patient_id,
            issuer_of_patient_id=_copied(self.study.issuer_of_patient_id, "LO"),
            patient_name=_copied(self.study.patient_name, "PN"),
            patient_birth_date=_copied(self.study.patient_birth_date, "DA"),
            accession_number=_copied(self.study.accession_number, "SH"),
            study_date=_copied(self.study.study_date, "DA"),
            study_time=_copied(self.study.study_time, "TM"),
            study_id=_copied(self.study.study_id, "SH"),
            study_description=_copied(self.study.study_description, "LO"),
            referring_physician_name=_copied(self.study.referring_physician_name, "PN"),
            patient_sex=_copied(self.study.patient_sex, "CS"),
        )

    def _uid(self, of: str) -> str:
        """From the upload and the study alone (PS3.5 annex B.2)."""
        return f"2.25.{uuid.uuid5(_NAMESPACE, f'{self.upload_id}|{self.study.study_instance_uid}|{of}').int}"


def names_its_patient(study: Facts) -> bool:
    """Whether the study's PatientID was read to the last letter and is one value: with another one the note would be
    another's.
    """
    return not study.patient_id or _is_legal(study.patient_id, "LO")


def readable(text: str) -> str:
    """A text as it can stand in a document: lines end as DICOM wants it, control characters are gone, tabs are spaces
    (older validators refuse them).
    """
    return _CONTROL.sub("", _LINE_END.sub("\r\n", text.expandtabs(4))).strip()


def note_sr(note: Note) -> bytes:
    """The document as a DICOM file (PS3.10).

    :raises ValueError: the notes have nothing to read in them, or see `Note.facts`.
    """
    facts = note.facts()
    document = Dataset()
    _put(document, SpecificCharacterSet="ISO_IR 192")
    _put_patient_and_study(document, facts)
    _put_document(document, facts, note)
    _put_content(document, note)
    document.file_meta = FileMetaDataset()
    _put(
        document.file_meta,
        MediaStorageSOPClassUID=facts.sop_class_uid,
        MediaStorageSOPInstanceUID=facts.sop_instance_uid,
        TransferSyntaxUID=facts.transfer_syntax_uid,
        ImplementationClassUID=f"2.25.{_NAMESPACE.int}",
        ImplementationVersionName="RELAYPACS",
    )
    out = BytesIO()
    dcmwrite(out, document, enforce_file_format=True)
    return out.getvalue()


def _put_patient_and_study(document: Dataset, facts: Facts) -> None:
    """Patient and General Study Modules (PS3.3 C.7.1.1, C.7.2.1), as the study has them."""
    _put(
        document,
        PatientName=facts.patient_name,
        PatientID=facts.patient_id,
        PatientBirthDate=facts.patient_birth_date,
        PatientSex=facts.patient_sex,
        StudyInstanceUID=facts.study_instance_uid,
        StudyDate=facts.study_date,
        StudyTime=facts.study_time,
        AccessionNumber=facts.accession_number,
        ReferringPhysicianName=facts.referring_physician_name,
        StudyID=facts.study_id,
    )
    if facts.issuer_of_patient_id:
        _put(document, IssuerOfPatientID=facts.issuer_of_patient_id)
    if facts.study_description:
        _put(document, StudyDescription=facts.study_description)


def _put_document(document: Dataset, facts: Facts, note: Note) -> None:
    """SR Document Series, General Equipment, SR Document General, SOP Common (PS3.3 C.17.1, C.7.5.1, C.17.2, C.12.1).

    Times are UTC without saying so: a time zone in the file would hold for the study's own date and time, too.
    """
    sent_at = datetime.fromtimestamp(note.sent_at, UTC)
    _put(
        document,
        SOPClassUID=facts.sop_class_uid,
        SOPInstanceUID=facts.sop_instance_uid,
        Modality=facts.modality,
        SeriesInstanceUID=facts.series_instance_uid,
        SeriesNumber="1",
        SeriesDescription="Clinical notes, made by the gateway",
        ReferencedPerformedProcedureStepSequence=[],
        Manufacturer=MANUFACTURER,
        ManufacturerModelName="RelayPACS",
        SoftwareVersions=note.version,
        InstanceNumber="1",
        InstanceCreationDate=f"{sent_at:%Y%m%d}",
        InstanceCreationTime=f"{sent_at:%H%M%S}",
        ContentDate=f"{sent_at:%Y%m%d}",
        ContentTime=f"{sent_at:%H%M%S}",
        CompletionFlag="COMPLETE",
        VerificationFlag="UNVERIFIED",
        PerformedProcedureCodeSequence=[],
    )


def _put_content(document: Dataset, note: Note) -> None:
    """SR Document Content (PS3.3 C.17.3): a container with one text after the other, the notes first."""
    notes = readable(note.clinical_notes)
    if not notes:
        raise ValueError("there is nothing to read in these notes")
    told = (
        (_CLINICAL_INFORMATION, notes),
        (_PRIORITY, note.priority.upper()),
        (_UPLOADER, note.uploader.get("name", "")),
        (_ORGANISATION, note.uploader.get("organisation", "")),
        (_PHONE, note.uploader.get("phone", "")),
        (_RECEIVED, note.received.sentence()),
        (_SENT_AT, f"{datetime.fromtimestamp(note.sent_at, UTC):%Y-%m-%d %H:%M} UTC"),
        (_ORIGIN, _ORIGIN_TEXT),
    )
    _put(
        document,
        ValueType="CONTAINER",
        ConceptNameCodeSequence=[_code(_CLINICAL_INFORMATION)],
        ContinuityOfContent="SEPARATE",
        ContentSequence=[_text(concept, text) for concept, words in told if (text := readable(words))],
    )


def _text(concept: tuple[str, str, str], text: str) -> Dataset:
    item = Dataset()
    _put(
        item, RelationshipType="CONTAINS", ValueType="TEXT", ConceptNameCodeSequence=[_code(concept)], TextValue=text
    )  # fmt: skip
    return item


def _code(concept: tuple[str, str, str]) -> Dataset:
    item = Dataset()
    _put(item, **dict(zip(("CodeValue", "CodingSchemeDesignator", "CodeMeaning"), concept, strict=True)))
    return item


def _put(into: Dataset, **attributes: str | list[Dataset]) -> None:
    """Set attributes by keyword.

    As they are: what the study's files say isn't mended, and pydicom's complaints about it would quote it.
    """
    for keyword, value in attributes.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None
        into.add(DataElement(tag, dictionary_VR(tag), value, validation_mode=config.IGNORE))


def _copied(text: str, vr: str) -> str:
    """A value of the study's files; empty where it couldn't be read whole, or isn't one of its VR."""
    value = text.strip()
    return value if _is_legal(value, vr) else ""


def _is_legal(value: str, vr: str) -> bool:
    """Whether it is one value of that VR (PS3.5 table 6.2-1)."""
    if _UNREADABLE in value or "\\" in value or _NOT_IN_A_LINE.search(value):
        return False
    match vr:
        case "DA":
            return _is_date(value)
        case "TM":
            return _TIME.fullmatch(value) is not None
        case "CS":
            return value in {"M", "F", "O"}  # of PatientSex
        case "PN":
            groups = value.split("=")
            return len(groups) <= 3 and all(_size(group) <= 64 and group.count("^") <= 4 for group in groups)
    return _size(value) <= _MAX_LENGTHS[vr]


def _size(text: str) -> int:
    """In bytes: the standard counts characters, validators and older archives bytes."""
    return len(text.encode())


def _is_date(value: str) -> bool:
    if not re.fullmatch(r"[0-9]{8}", value):
        return False
    try:
        datetime.strptime(value, "%Y%m%d")  # noqa: DTZ007 # a date alone
    except ValueError:
        return False
    return True
