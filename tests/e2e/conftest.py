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


@pytest.fixture(scope="module")
def lab_settings() -> dict[str, dict[str, object]]:
    """What a test file wants to have configured otherwise."""
    return {}


@pytest.fixture(scope="module")
def lab_of_module(
    tmp_path_factory: pytest.TempPathFactory,
    orthanc_of_session: Orthanc,
    lab_settings: dict[str, dict[str, object]],
) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("gateway"), pacs_of(orthanc_of_session), settings=lab_settings) as lab:
        yield lab


@pytest.fixture
def lab(lab_of_module: Lab, orthanc: Orthanc) -> Lab:
    """The test file's gateway before the session's Orthanc, which is empty."""
    return lab_of_module


@pytest.fixture
def own_lab(tmp_path: Path, orthanc: Orthanc) -> Iterator[Lab]:
    """A gateway that only this test has, before the session's Orthanc."""
    with running_lab(tmp_path / "gateway", pacs_of(orthanc)) as lab:
        yield lab
