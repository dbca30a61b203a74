"""Series to send: real ones where `RELAYPACS_TEST_DATA` names them, those of pydicom's wheel, and synthetic ones."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from hooks.checks.scanner import scan
from hooks.contract import Accept
from tests import scale
from tests.dicom_samples import BytesSource, study

WHEEL = Path(pydicom.__file__).parent / "data" / "test_files"
REAL = ("ct_ge_28", "mr_ge_epi_151")
#: Of a file that goes through without `SCALE=soak`.
MOST_BYTES = 1 << 18


@dataclass(frozen=True)
class Series:
    """DICOM files of one patient in a folder, maybe with other files beside them."""

    folder: Path
    files: tuple[Path, ...]

    @property
    def digests(self) -> list[str]:
        """SHA-256 of each file, sorted."""
        return sorted(sha256(path.read_bytes()) for path in self.files)

    @property
    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_series(folder: Path, files: list[bytes]) -> Series:
    folder.mkdir(parents=True)
    paths = [folder / f"{number:04}.dcm" for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return Series(folder, tuple(paths))


def in_folder(folder: Path) -> Series:
    def is_dicom(path: Path) -> bool:
        return path.is_file() and path.read_bytes()[128:132] == b"DICM"

    return Series(folder, tuple(path for path in sorted(folder.rglob("*")) if is_dicom(path)))


def make(name: str, folder: Path) -> Series:
    """The series of that name, in `folder` if it has to be made."""
    if name in REAL:
        return in_folder(Path(os.environ["RELAYPACS_TEST_DATA"]) / name)
    if name == "wheel":
        return in_folder(WHEEL / "dicomdirtests" / "98892003")  # three studies of one patient
    count = scale.count(20, 400)
    return write_series(folder / name, study(count - 2, pixel_bytes=4096) + study(2, pixel_bytes=5 * 2**20))


NAMES = ("synthetic", "wheel", *(REAL if os.environ.get("RELAYPACS_TEST_DATA") else ()))


@pytest.fixture(params=NAMES)
def series(request: pytest.FixtureRequest, tmp_path: Path) -> Series:
    """Each series that is there, in turn."""
    return make(request.param, tmp_path / "series")


@pytest.fixture(params=["synthetic", *(["real"] if len(NAMES) > 2 else [])])
def two_series(request: pytest.FixtureRequest, tmp_path: Path) -> list[Series]:
    """Series of two patients."""
    if request.param == "real":
        return [make(name, tmp_path) for name in REAL]
    others = study(5, patient_id="TEST-2", patient_name="TEST^TWO", patient_birth_date="19800101")
    return [make("wheel", tmp_path), write_series(tmp_path / "other", others)]


def data_folder() -> Path | None:
    """What `RELAYPACS_TEST_DATA` names, if it does."""
    named = os.environ.get("RELAYPACS_TEST_DATA")
    return Path(named) if named else None


def storable(count: int) -> list[bytes]:
    """Of the test data, or of pydicom's wheel, what the check accepts, one for each SOPInstanceUID.

    :param count: so many small ones; all, of any size, with `SCALE=soak`.
    """
    found: dict[str, bytes] = {}
    for path in sorted((data_folder() or WHEEL).rglob("*")):
        if not path.is_file() or (not scale.SOAK and path.stat().st_size > MOST_BYTES):
            continue
        data = path.read_bytes()
        verdict = scan(BytesSource(data))
        if isinstance(verdict, Accept):
            found.setdefault(verdict.facts.sop_instance_uid, data)
        if not scale.SOAK and len(found) == count:
            break
    return list(found.values())
