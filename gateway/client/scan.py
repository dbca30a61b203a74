"""Finds DICOM instances among files and folders, by content.

Promises: every file named or met is either found or left out with a reason; each is looked at once. Reads heads of
files only. Must not know grouping, the network or the state file.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import stat
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from gateway.client.errors import Misused
from hooks.checks.charset import decode_for_certain

_DICOMDIR_SOP_CLASS = "1.2.840.10008.1.3.10"
_LONGEST_HEAD_BYTES = 1 << 20
_CHARACTER_SET = "SpecificCharacterSet"
_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL})
_METADATA_KEYWORDS = {
    "patient_name": "PatientName",
    "patient_id": "PatientID",
    "patient_birth_date": "PatientBirthDate",
    "patient_sex": "PatientSex",
    "study_date": "StudyDate",
    "modality": "Modality",
    "study_description": "StudyDescription",
    "accession_number": "AccessionNumber",
    "study_instance_uid": "StudyInstanceUID",
}
_KEYWORDS = [*_METADATA_KEYWORDS.values(), "IssuerOfPatientID", "SOPClassUID", "SOPInstanceUID", _CHARACTER_SET]


class LeftOut(StrEnum):
    """Why a file isn't sent."""

    HIDDEN = "hidden"
    NOT_DICOM = "not DICOM"
    DICOMDIR = "an index of a medium (DICOMDIR)"
    UNREADABLE = "can't be read"
    FOLDER = "a folder that can't be read"
    LINKED_FOLDER = "a link to a folder"
    EMPTY = "empty"
    TOO_LARGE = "larger than the gateway takes"

    @property
    def is_loss(self) -> bool:
        """Something that may have had to be sent: it is always named, and the run isn't a full success."""
        return self in {LeftOut.UNREADABLE, LeftOut.FOLDER, LeftOut.TOO_LARGE}


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that holds an instance. `metadata` has the init call's keys; it and `path` must reach no log."""

    path: Path = field(repr=False)
    size_bytes: int
    mtime_ns: int
    issuer_of_patient_id: str = field(repr=False)
    metadata: dict[str, str] = field(repr=False)


@dataclass(slots=True)
class Search:
    """What came of looking."""

    found: list[LocalFile] = field(default_factory=list)
    left_out: list[tuple[Path, LeftOut]] = field(default_factory=list)

    @property
    def losses(self) -> list[tuple[Path, LeftOut]]:
        """What is left out though it may have had to be sent."""
        return [(path, reason) for path, reason in self.left_out if reason.is_loss]

    def left_out_words(self) -> str:
        """Counts by reason, without names, of what needn't be sent."""
        counts = Counter(reason for _, reason in self.left_out if not reason.is_loss)
        return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))


def find(paths: Iterable[Path]) -> Search:
    """Look at every file given and at every file below every folder given.

    A file that is named is looked at even if it is hidden. Links to files are followed, links to folders below a
    folder are not. What is found is in the order of the paths.

    :raises Misused: a path doesn't exist.
    """
    _hush_pydicom()
    search = Search()
    seen: set[tuple[int, int]] = set()
    for number, path in enumerate(paths, 1):
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                raise Misused(f"there is nothing at path number {number}: check how it is written") from None
            search.left_out.append((path, LeftOut.UNREADABLE))
            continue
        for one, hidden in _walk(path, search) if is_folder else [(path, False)]:
            _look(one, hidden, search, seen)
    search.found.sort(key=lambda found: found.path)
    return search


def _hush_pydicom() -> None:
    """Odd values make pydicom warn by quoting them, and they are patients'."""
    warnings.filterwarnings("ignore", module=r"pydicom\b")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


def _walk(folder: Path, search: Search) -> Iterator[tuple[Path, bool]]:
    """Every file below, and whether it, or a folder on the way, is hidden. A folder that can't be read is left out."""
    waiting = [(folder, False)]
    while waiting:
        parent, hidden = waiting.pop()
        entries, whole = _entries(parent)
        if not whole:
            search.left_out.append((parent, LeftOut.FOLDER))
        below = []
        for path, is_folder in entries:
            out_of_sight = hidden or path.name.startswith(".")
            if not is_folder:
                yield path, out_of_sight
            elif path.is_symlink():
                search.left_out.append((path, LeftOut.LINKED_FOLDER))
            else:
                below.append((path, out_of_sight))
        waiting.extend(reversed(below))


def _entries(folder: Path) -> tuple[list[tuple[Path, bool]], bool]:
    """What is in a folder, by name, and which of it are folders; False: that isn't all of it."""
    entries: list[tuple[Path, bool]] = []
    whole = True
    try:
        with os.scandir(folder) as listing:
            entries.extend((Path(entry.path), _is_folder(entry)) for entry in listing)
    except OSError:
        whole = False
    return sorted(entries), whole


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # whoever looks at it finds out why
        return False


def _look(path: Path, hidden: bool, search: Search, seen: set[tuple[int, int]]) -> None:
    try:
        facts = path.stat()
        if (facts.st_dev, facts.st_ino) in seen:
            return
        seen.add((facts.st_dev, facts.st_ino))
        reason = LeftOut.HIDDEN if hidden else None
        if not stat.S_ISREG(facts.st_mode):
            reason = LeftOut.NOT_DICOM
        elif facts.st_size == 0:
            reason = reason or LeftOut.EMPTY
        dataset = None if reason else _head(path)
    except OSError:
        search.left_out.append((path, LeftOut.UNREADABLE))
        return
    if reason is None and dataset is None:
        reason = LeftOut.NOT_DICOM
    elif dataset is not None and _is_index(dataset):
        reason = LeftOut.DICOMDIR
    if reason is not None or dataset is None:
        search.left_out.append((path, reason or LeftOut.NOT_DICOM))
        return
    search.found.append(
        LocalFile(
            path=path.resolve(),
            size_bytes=facts.st_size,
            mtime_ns=facts.st_mtime_ns,
            issuer_of_patient_id=_text(dataset, "IssuerOfPatientID"),
            metadata={key: _text(dataset, keyword) for key, keyword in _METADATA_KEYWORDS.items()},
        )
    )


def _head(path: Path) -> Dataset | None:
    """The attributes that matter, or None if it isn't DICOM.

    :raises OSError: the file can't be read.
    """
    with path.open("rb") as file:
        start = file.read(132)
        has_preamble = start[128:] == b"DICM"
        # Without a preamble the first element gives it away: group 0002 or 0008, in either byte order.
        if not has_preamble and start[:2] not in {b"\x02\x00", b"\x08\x00", b"\x00\x08"}:
            return None
        file.seek(0)
        try:
            dataset = _inflated_head(file) if has_preamble else None
            if dataset is None:
                file.seek(0)
                dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=list(_KEYWORDS))
        except OSError:
            raise
        except Exception:  # noqa: BLE001  pydicom raises anything on what others wrote: the gateway shall judge it
            return Dataset() if has_preamble else None
    return dataset if has_preamble or "SOPInstanceUID" in dataset else None


def _is_index(dataset: Dataset) -> bool:
    """Whether it is a DICOMDIR."""
    meta = getattr(dataset, "file_meta", Dataset())
    return _DICOMDIR_SOP_CLASS in (_text(dataset, "SOPClassUID"), meta.get("MediaStorageSOPClassUID"))


def _inflated_head(file: BinaryIO) -> Dataset | None:
    """The head of a deflated data set (PS3.5 A.5), or None if it isn't one.

    pydicom would inflate the whole, and a small file can be made to inflate to any size.
    """
    read_preamble(file, force=False)
    meta = read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return None
    packed = file.read(_LONGEST_HEAD_BYTES)
    start = io.BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, _LONGEST_HEAD_BYTES))
    tags: list[BaseTag | int] = [Tag(keyword) for keyword in _KEYWORDS]
    return read_dataset(start, False, True, stop_when=lambda tag, _vr, _length: tag > max(tags), specific_tags=tags)


def _text(dataset: Dataset, keyword: str) -> str:
    """The value, read as the gateway will read it; empty: there is none, or none that is certain."""
    value = _raw(dataset, keyword)
    return decode_for_certain(value, _raw(dataset, _CHARACTER_SET)) or ""


def _raw(dataset: Dataset, keyword: str) -> bytes:
    """The bytes of a value as they are in the file."""
    try:
        element = dataset.get_item(keyword)
    except Exception:  # noqa: BLE001  see _head: a value that can't be read is one that isn't declared
        return b""
    value = getattr(element, "value", None)  # there may be no such element
    if keyword == _CHARACTER_SET and not isinstance(value, bytes):  # pydicom has read this one already
        value = "\\".join([value] if isinstance(value, str) else value or []).encode("ascii", "replace")
    return value if isinstance(value, bytes) else b""
