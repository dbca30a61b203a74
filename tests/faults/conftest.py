"""What the tests of faults share."""

from __future__ import annotations

from tests.e2e.orthanc import orthanc, orthanc_of_session

__all__ = ["orthanc", "orthanc_of_session"]
