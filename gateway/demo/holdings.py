"""What the little archive holds: files in a folder, and an index of them in memory.

Promises: an instance is on the disk (fdatasync, rename, fsync of its folder) before it is said to be held; there is
one content per SOP Instance UID. Knows DICOM and the file system; must not know HTTP.

The folder is `ROOT/<study>/<series>/<instance>.dcm`, named by UIDs; what is on its way in lies in `ROOT/.incoming`.
"""

from __future__ import annotations

import filecmp
import logging
import os
import re
import secrets
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError

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
INDEXED_KEYWORDS = (*STUDY_TAGS, *SERIES_TAGS, *INSTANCE_TAGS)

#: PS3.5 section 9.1, without the ban on leading zeros that real devices break.
UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)*")

# Failure reasons of PS3.4 annex B.2.3 and PS3.7 annex C.
DUPLICATE_SOP_INSTANCE = 0x0111
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000


class NotHeld(Exception):
    """The archive refuses an instance. `reason` is the DICOM failure reason; the UIDs are empty if unreadable."""

    def __init__(self, reason: int, sop_class_uid: str = "", sop_instance_uid: str = "") -> None:
        super().__init__(f"0x{reason:04X}")
        self.reason = reason
        self.sop_class_uid = sop_class_uid
        self.sop_instance_uid = sop_instance_uid


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """One instance that is on the disk, or about to be: `path` says where."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    size_bytes: int
    arrived_at: float
    path: Path
    attributes: Attributes


@dataclass(slots=True)
class Series:
    """Attributes are those of the instance that came first."""

    attributes: Attributes
    instances: dict[str, StoredInstance] = field(default_factory=dict)


@dataclass(slots=True)
class Study:
    """Attributes are those of the instance that came first."""

    attributes: Attributes
    series: dict[str, Series] = field(default_factory=dict)
    arrived_at: float = 0.0

    def modalities(self) -> list[str]:
        """Modality of each series, each once, in order."""
        found = {value for one in self.series.values() for value in one.attributes.get("00080060", {}).get("Value", ())}
        return sorted(str(value) for value in found)

    def instance_count(self) -> int:
        return sum(len(one.instances) for one in self.series.values())


class Holdings:
    """The folder and its index.

    `examine`, `same_content` and `settle` touch the disk and belong in a thread; `add` and everything that reads the
    index belong to the event loop's thread.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / ".incoming"
        self.studies: dict[str, Study] = {}
        self.instances: dict[str, StoredInstance] = {}

    def open(self) -> None:
        """Make the folder if need be, drop half-received files, read the index from the files.

        A file that can't be read as DICOM stays where it is and isn't shown.
        """
        # pydicom warns of odd values by quoting them, and they are patients'.
        warnings.filterwarnings("ignore", module=r"pydicom\b")
        logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
        self.incoming.mkdir(parents=True, exist_ok=True)
        for leftover in self.incoming.iterdir():
            leftover.unlink()
        for path in sorted(self.root.glob("[0-9]*/[0-9]*/[0-9]*.dcm"), key=lambda path: path.stat().st_mtime):
            try:
                self.add(self.examine(path))
            except NotHeld:
                continue

    def fresh_path(self) -> Path:
        """Where to write what is arriving."""
        return self.incoming / secrets.token_hex(16)

    def examine(self, path: Path) -> StoredInstance:
        """Read the head of a file; the answer's `path` is where it belongs.

        :raises NotHeld: it isn't an instance that can be filed.
        """
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(INDEXED_KEYWORDS))
            attributes: Attributes = dataset.to_json_dict(suppress_invalid_tags=True)
            syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
        except (
            InvalidDicomError,
            OSError,
            ValueError,
            KeyError,
            AttributeError,
            TypeError,
            NotImplementedError,
        ) as error:
            # whatever a stranger's file makes of pydicom: it says only that the file can't be understood
            raise NotHeld(CANNOT_UNDERSTAND) from error
        attributes.pop("00080005", None)  # JSON is UTF-8 whatever the file was in (PS3.18 F.2)
        uids = [_uid(attributes, tag) for tag in ("0020000D", "0020000E", "00080018", "00080016")]
        study_uid, series_uid, sop_instance_uid, sop_class_uid = uids
        if not all(UID.fullmatch(uid) for uid in uids):
            raise NotHeld(CANNOT_UNDERSTAND, sop_class_uid, sop_instance_uid)
        stat = path.stat()
        return StoredInstance(
            study_uid=study_uid,
            series_uid=series_uid,
            sop_instance_uid=sop_instance_uid,
            sop_class_uid=sop_class_uid,
            transfer_syntax_uid=syntax,
            size_bytes=stat.st_size,
            arrived_at=stat.st_mtime,
            path=self.root / study_uid / series_uid / f"{sop_instance_uid}.dcm",
            attributes=attributes,
        )

    def settle(self, arrived: Path, instance: StoredInstance) -> None:
        """Move what arrived to where it belongs, durably; the caller sees to it that the place is free."""
        folder = instance.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        arrived.replace(instance.path)
        for directory in (folder, folder.parent, self.root):
            handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def add(self, instance: StoredInstance) -> None:
        """Show it."""
        study = self.studies.setdefault(instance.study_uid, Study(_only(instance.attributes, STUDY_TAGS)))
        series = study.series.setdefault(instance.series_uid, Series(_only(instance.attributes, SERIES_TAGS)))
        own = StoredInstance(
            **{name: getattr(instance, name) for name in StoredInstance.__slots__ if name != "attributes"},
            attributes=_only(instance.attributes, INSTANCE_TAGS),
        )
        series.instances[instance.sop_instance_uid] = own
        self.instances[instance.sop_instance_uid] = own
        study.arrived_at = max(study.arrived_at, instance.arrived_at)

    def select(
        self, study_uid: str | None, series_uid: str | None = None
    ) -> Iterator[tuple[Study, Series, StoredInstance]]:
        """Every instance below, in the order of arrival of study, series and instance."""
        studies = self.studies.values() if study_uid is None else [self.studies.get(study_uid)]
        for study in studies:
            for uid, series in study.series.items() if study else ():
                if study and series_uid in (None, uid):
                    for instance in series.instances.values():
                        yield study, series, instance


def same_content(one: Path, other: Path) -> bool:
    """Byte by byte, a block at a time."""
    return filecmp.cmp(one, other, shallow=False)


def _uid(attributes: Attributes, tag: str) -> str:
    values = attributes.get(tag, {}).get("Value", [])
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""


def _only(attributes: Attributes, tags: dict[str, str]) -> Attributes:
    return {tag: attributes[tag] for tag in tags.values() if tag in attributes}
