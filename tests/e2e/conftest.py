"""What the tests of whole processes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab import Lab, Pacs, running_lab
from tests.e2e.orthanc import PASSWORD, USER, Orthanc, orthanc, orthanc_of_session, own_orthanc
from tests.e2e.series import series, two_series

__all__ = ["orthanc", "orthanc_of_session", "own_orthanc", "series", "two_series"]


def pacs_of(archive: Orthanc) -> Pacs:
    return Pacs(archive.dicomweb_url, USER, PASSWORD)


@pytest.fixture
def lab(tmp_path: Path, orthanc: Orthanc) -> Iterator[Lab]:
    """A gateway before the session's Orthanc."""
    with running_lab(tmp_path / "gateway", pacs_of(orthanc)) as lab:
        yield lab
