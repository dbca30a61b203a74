"""What the tests of faults share."""

from __future__ import annotations

from tests.e2e.orthanc import orthanc, orthanc_of_session
from tests.faults.storage import shim

__all__ = ["orthanc", "orthanc_of_session", "shim"]
