"""A storage that fails when it is told to: see `shim.c`."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.lab import Lab

#: The gateway's own WAL, and its segments.
LEDGER, SEGMENTS = "relaypacs.db", "/spool/"
#: System call, part of the path, errno.
FAULTS = [
    ("fdatasync", SEGMENTS, errno.EIO),
    ("write", SEGMENTS, errno.EIO),
    ("write", SEGMENTS, errno.ENOSPC),
    ("fdatasync", LEDGER, errno.EIO),
    ("write", LEDGER, errno.EIO),
    ("write", LEDGER, errno.ENOSPC),
]


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (compiler := shutil.which("cc") or shutil.which("gcc")) is None:
        pytest.fail("the shim for write and fsync faults needs a C compiler: apt-get install gcc libc6-dev")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def under_shim(shim: Path, folder: Path) -> dict[str, str]:
    """The environment of a gateway in this folder that obeys `fault`."""
    return {"LD_PRELOAD": str(shim), "FAULT_ORDERS": str(folder / "faults")}


@contextmanager
def fault(lab: Lab, call: str, part: str, number: int) -> Iterator[None]:
    """Every such call fails meanwhile; 0: writes are short."""
    orders = lab.folder / "faults"
    orders.with_suffix(".new").write_text(f"{call} {part} {number}\n")
    orders.with_suffix(".new").rename(orders)
    try:
        yield
    finally:
        orders.unlink()
