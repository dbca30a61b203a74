"""Synthetic instances in folders, and a gateway of the tests' own to send them to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from tests.unit.client.toy_gateway import ToyGateway

MakeFile = Callable[..., Path]


@pytest.fixture
def gateway() -> Iterator[ToyGateway]:
    toy = ToyGateway()
    toy.start()
    yield toy
    toy.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "cd"
    made.mkdir()
    return made


@pytest.fixture
def make_file(folder: Path) -> MakeFile:
    """Writes an instance; keywords are its attributes."""

    def make(name: str, pixel_bytes: int = 64, *, to: Path | None = None, **attributes: str) -> Path:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        facts = {
            "PatientID": "P1", "PatientName": "Doe^Jane", "PatientBirthDate": "19700101", "Modality": "OT",
            "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.1", "StudyDate": "20240102",
        }  # fmt: skip
        for keyword, value in {**facts, **attributes}.items():
            setattr(dataset, keyword, value)
        dataset.BitsAllocated = 8
        dataset.PixelData = hashlib.shake_128(name.encode()).digest(pixel_bytes)
        path = (to or folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        return path

    return make
