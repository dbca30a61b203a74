"""What the tests of faults share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.orthanc import orthanc, orthanc_of_session
from tests.e2e.parrot import Parrot
from tests.faults.storage import shim

__all__ = ["orthanc", "orthanc_of_session", "shim"]


@pytest.fixture
def pacs() -> Iterator[Parrot]:
    """An archive that answers by a script."""
    with Parrot() as pacs:
        yield pacs
