"""DICOM JSON as the archive speaks it, and the attributes that it indexes, by the level that has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: DICOM JSON (PS3.18 annex F): tag in eight hexadecimal digits -> {vr, Value}.
Attributes = dict[str, dict[str, Any]]

STUDY_TAGS = {
    "StudyDate": "00080020",
    "StudyTime": "00080030",
    "AccessionNumber": "00080050",
    "ReferringPhysicianName": "00080090",
    "StudyDescription": "00081030",
    "PatientName": "00100010",
    "PatientID": "00100020",
    "IssuerOfPatientID": "00100021",
    "PatientBirthDate": "00100030",
    "PatientSex": "00100040",
    "StudyInstanceUID": "0020000D",
    "StudyID": "00200010",
}
SERIES_TAGS = {
    "Modality": "00080060",
    "SeriesDescription": "0008103E",
    "SeriesInstanceUID": "0020000E",
    "SeriesNumber": "00200011",
}
INSTANCE_TAGS = {
    "SOPClassUID": "00080016",
    "SOPInstanceUID": "00080018",
    "InstanceNumber": "00200013",
    "NumberOfFrames": "00280008",
    "Rows": "00280010",
    "Columns": "00280011",
    "BitsAllocated": "00280100",
}
ALL_TAGS = {**STUDY_TAGS, **SERIES_TAGS, **INSTANCE_TAGS}


def only(attributes: Attributes, tags: Mapping[str, str]) -> Attributes:
    """Those of these tags."""
    return {tag: attributes[tag] for tag in tags.values() if tag in attributes}
