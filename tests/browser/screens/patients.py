"""Studies of people who never lived, for the screens: names long and short, in several scripts; some files damaged."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_SIDE = 64  #: rows and columns
_BIG = 1024


@dataclass(frozen=True)
class Person:
    """Whoever is in the pictures."""

    name: str
    patient_id: str
    born: str
    sex: str


AROHA = Person("Ngata^Aroha", "MRN-204881", "19870312", "F")
HANNELORE = Person("Müller-Lüdenscheidt^Hannelore Wilhelmine", "4711-0815-2024-000031", "19410830", "F")
CHIDI = Person("Okonkwo^Chidi", "MRN-99120", "20190122", "M")
WEI = Person("Zhang^Wei=張^偉", "MRN-31007", "19650704", "M")
LUCIA = Person("Torres Quiñones^Lucía", "MRN-55012", "19930517", "F")
SAMI = Person("Haddad^Sami", "MRN-70223", "19780909", "M")

_SURNAMES = ("Abara", "Brandt", "Castillo", "Dvořák", "Eriksen", "Fofanah", "Grünwald", "Horvat")
_GIVEN = ("Ada", "Bruno", "Chiara", "Dmitri", "Elif")


def dicom(
    person: Person, number: int, study: str, modality: str, description: str, date: str, side: int = _SIDE
) -> bytes:
    """One image; the same arguments give the same bytes."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID(_SECONDARY_CAPTURE)
    meta.MediaStorageSOPInstanceUID = UID(f"{study}.1.{number}")
    data = Dataset()
    data.file_meta = meta
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID = _SECONDARY_CAPTURE
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = study, f"{study}.1"
    data.StudyDate, data.Modality, data.StudyDescription = date, modality, description
    data.PatientName, data.PatientID = person.name, person.patient_id
    data.PatientBirthDate, data.PatientSex = person.born, person.sex
    data.InstanceNumber, data.SamplesPerPixel, data.PhotometricInterpretation = number, 1, "MONOCHROME2"
    data.Rows = data.Columns = side
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.PixelData = (
        bytes((row * column + number) % 256 for row in range(_SIDE) for column in range(_SIDE)) * (side // _SIDE) ** 2
    )
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write(root: Path, *, ward: int) -> None:
    """The folders that the scenes pick from. :param ward: how many people's studies one device sends."""
    _study(
        root / "one", AROHA, "1.2.826.0.1.3680043.10.1.1", "CT", "CT abdomen and pelvis with contrast", "20261124", 12
    )
    many = root / "many"
    _study(
        many / "a",
        HANNELORE,
        "1.2.826.0.1.3680043.10.1.2",
        "MR",
        "MRT Schädel mit Kontrastmittel und Gefäßdarstellung",
        "20261123",
        8,
    )
    _study(many / "b", HANNELORE, "1.2.826.0.1.3680043.10.1.3", "CR", "Thorax p.a. und seitlich", "20261120", 2)
    _study(many / "c", CHIDI, "1.2.826.0.1.3680043.10.1.4", "US", "Abdomen", "20261124", 3)
    _study(many / "d", WEI, "1.2.826.0.1.3680043.10.1.5", "CT", "", "20261124", 4)
    (many / "autorun.inf").write_text("[autorun]\r\nopen=viewer.exe\r\n")
    (many / "Befund Müller-Lüdenscheidt.pdf").write_bytes(b"%PDF-1.4\n" + bytes(400))
    (many / "empty.dcm").write_bytes(b"")
    broken = root / "broken"
    _study(broken, LUCIA, "1.2.826.0.1.3680043.10.1.6", "CT", "CT Thorax", "20261124", 6)
    whole = dicom(LUCIA, 7, "1.2.826.0.1.3680043.10.1.6", "CT", "CT Thorax", "20261124")
    (broken / "IM0007.dcm").write_bytes(whole[:-2000])
    (broken / "IM0008.dcm").write_bytes(b"MZ\x90\x00" + bytes(124) + whole[128:].replace(b".1.7", b".1.8"))
    _study(root / "held", SAMI, "1.2.826.0.1.3680043.10.1.7", "CT", "CT Schädel", "20261124", 5)
    _study(root / "large", AROHA, "1.2.826.0.1.3680043.10.1.8", "MR", "MR lumbar spine", "20261124", 10, side=_BIG)
    for number in range(ward):
        given, surname = _GIVEN[number % len(_GIVEN)], _SURNAMES[number // len(_GIVEN) % len(_SURNAMES)]
        person = Person(f"{surname}^{given}", f"MRN-{60000 + number}", f"19{50 + number}0{1 + number % 9}15", "O")
        modality, text = (("CT", "CT Thorax"), ("MR", "MR knee left"), ("CR", "Chest PA"), ("US", "Abdomen"))[
            number % 4
        ]
        _study(
            root / "ward" / f"{number:02}",
            person,
            f"1.2.826.0.1.3680043.10.2.{number}",
            modality,
            text,
            "20261124",
            1 + number % 3,
        )


def _study(
    folder: Path, person: Person, study: str, modality: str, description: str, date: str, count: int, side: int = _SIDE
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        (folder / f"IM{number:04}.dcm").write_bytes(dicom(person, number, study, modality, description, date, side))
