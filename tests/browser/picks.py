"""What people pick: a CD, ZIPs good and bad, many patients with what is odd about them. Made in a folder of its own."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

from tests.dicom_samples import DICOMDIR, file_meta, instance, new_uid, study

PATIENT = "PICKING-TEST"


def make(folder: Path, files_per_study: int = 2) -> Path:
    """All of it; the names are those that picking.spec.mjs asks for."""
    _cd(folder / "cd")
    _zips(folder / "zips")
    many(folder / "many", studies=40, files=files_per_study)
    return folder


def many(folder: Path, studies: int, files: int) -> Path:
    """Studies of as many patients; four are odd: two names for one ID, two birth dates for another."""
    for number in range(studies):
        who: dict[str, Any] = {
            "patient_id": f"P{number:03}",
            "patient_name": f"{PATIENT}^{_GIVEN[number % len(_GIVEN)]}",
            "patient_birth_date": f"19{40 + number}0{1 + number % 9}1{number % 9}",
        }
        who |= _ODD.get(number, {})
        for place, data in enumerate(study(files, **who)):
            _write(folder / f"{number:03}" / f"{place:04}", data)
    return folder


_GIVEN = ("Anna", "Joerg", "Maria", "Chen", "Amadou", "Ingrid", "Luca", "Zoe")
_ODD = {
    11: {"patient_id": "P010", "patient_name": f"{PATIENT}^Ana", "patient_birth_date": "19500212"},
    21: {"patient_id": "P020", "patient_name": f"{PATIENT}^Amadou", "patient_birth_date": "19610101"},
    20: {"patient_name": f"{PATIENT}^Amadou", "patient_birth_date": "19600101"},
    30: {"patient_id": ""},
}


def _cd(folder: Path) -> None:
    images = study(4, patient_name=PATIENT, patient_id="CD")
    for number, data in enumerate(images):
        _write(folder / "DICOM" / f"IM{number}", data)
    _write(folder / "BACKUP" / "IM0", images[0])
    _write(
        folder / "DICOMDIR",
        bytes(128) + b"DICM" + file_meta({0x00020002: ("UI", DICOMDIR), 0x00020003: ("UI", new_uid())}) + b"\0" * 64,
    )
    _write(folder / "VIEWER" / "run.exe", b"MZ" + b"\0" * 400)
    _write(folder / "AUTORUN.INF", b"[autorun]\r\nopen=VIEWER\\run.exe\r\n")
    _write(folder / "EMPTY.TXT", b"")


def _zips(folder: Path) -> None:
    images = study(6, patient_name=PATIENT, patient_id="ZIP", pixel_bytes=1 << 20)
    good = {f"../../{number}.dcm": data for number, data in enumerate(images)}
    inner = zipped({"inside.dcm": images[0]})
    _write(folder / "good.zip", zipped(good | {"README.TXT": b"hello", "inner.zip": inner}))
    _write(folder / "locked.zip", _encrypted(zipped({"secret.dcm": images[0]})))
    _write(folder / "cut.zip", zipped(good)[:-200])
    _write(folder / "liar.zip", _declaring_less(zipped({"liar.dcm": instance(patient_name=PATIENT)})))


def zipped(files: dict[str, bytes]) -> bytes:
    """A ZIP with deflated entries."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def _encrypted(data: bytes) -> bytes:
    """APPNOTE 4.4.4: bit 0 of the flags, in both headers."""
    changed = bytearray(data)
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        changed[data.index(signature) + flags] |= 1
    return bytes(changed)


def _declaring_less(data: bytes) -> bytes:
    """The size that an entry declares is half of what comes out of it."""
    changed = bytearray(data)
    for signature, size in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = data.index(signature) + size
        struct.pack_into("<I", changed, at, struct.unpack_from("<I", data, at)[0] // 2)
    return bytes(changed)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
