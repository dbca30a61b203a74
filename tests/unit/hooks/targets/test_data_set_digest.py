"""The same data set is the same, whatever it is written in; another is another."""

from __future__ import annotations

import hashlib
import io
import random

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from hooks.targets.data_set_digest import digests_of
from tests.dicom_samples import HOSTILE, instance

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
BASE = instance(
    pixel_data=bytes(range(256)), sop_instance_uid="1.2.3", study_instance_uid="1.2", series_instance_uid="1.2.4"
)


def digest(content: bytes, size: int = 1 << 16) -> str | None:
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    found = digests_of(pieces)
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    return found.data_set


def written(syntax, *, undefined: bool = False, vendor: str = "ME", **changes) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(BASE))
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "1.2.3.4"
    inner.is_undefined_length_sequence_item = undefined
    dataset.ReferencedImageSequence = Sequence([inner])
    dataset["ReferencedImageSequence"].is_undefined_length = undefined
    dataset.SmallestImagePixelValue = 258
    dataset["SmallestImagePixelValue"].VR = "US"
    for name, value in changes.items():
        setattr(dataset, name, value)
    dataset.file_meta.ImplementationVersionName = vendor
    dataset.file_meta.TransferSyntaxUID = syntax
    big = syntax == ExplicitVRBigEndian
    if big and dataset.BitsAllocated == 16:
        pixels = bytearray(dataset.PixelData)
        pixels[0::2], pixels[1::2] = pixels[1::2], pixels[0::2]
        dataset.PixelData = bytes(pixels)
    out = io.BytesIO()
    pydicom.dcmwrite(out, dataset, little_endian=not big, implicit_vr=syntax == ImplicitVRLittleEndian)
    return out.getvalue()


def test_every_uncompressed_writing_of_a_data_set_is_the_same():
    all_ways = [
        digest(written(syntax, undefined=undefined, vendor=vendor))
        for syntax in SYNTAXES
        for undefined in (False, True)
        for vendor in ("ME", "YOU")
    ]
    assert None not in all_ways
    assert len(set(all_ways)) == 1


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    "change",
    [
        {"PatientID": "OTHER"},
        {"PixelData": bytes(256)},
        {"SmallestImagePixelValue": 513},
        {"ReferencedImageSequence": Sequence([])},
        {"InstanceNumber": "2"},
    ],
)
def test_another_value_is_another_data_set(syntax, change):
    assert digest(written(syntax)) != digest(written(syntax, **change)) is not None


def test_pieces_of_any_size_change_nothing():
    content, dice = written(ExplicitVRLittleEndian), random.Random(7)
    assert {digest(content, dice.randint(1, 300)) for _ in range(20)} == {digest(content)}


def test_fragments_are_compared_too():
    one, other = (instance(transfer_syntax_uid=JPEGBaseline8Bit, pixel_data=data, sop_instance_uid="1.2", study_instance_uid="1.3", series_instance_uid="1.4") for data in (b"ab" * 50, b"ba" * 50))  # fmt: skip
    assert digest(one) != digest(other)


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_an_archive_gives_back_has_an_end(name):
    digest(HOSTILE[name][0])
