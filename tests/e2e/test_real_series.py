"""A series sent by `relaypacs send` is in the PACS to the last bit, once, and nowhere else."""

from __future__ import annotations

import pytest

from tests.e2e.lab import Lab
from tests.e2e.orthanc import Orthanc
from tests.e2e.series import Series, sha256

pytestmark = pytest.mark.root


def digests_in(orthanc: Orthanc) -> list[str]:
    return sorted(sha256(data) for data in orthanc.stored_bytes())


def new_instances(orthanc: Orthanc) -> int:
    """How many `NewInstance` changes Orthanc has seen since it was started."""
    seen, since = 0, 0
    while True:
        page = orthanc.json(f"/changes?since={since}&limit=1000")
        seen += sum(change["ChangeType"] == "NewInstance" for change in page["Changes"])
        if page["Done"]:
            return seen
        since = page["Last"]


def test_each_instance_arrives_as_it_was_sent_and_only_once(lab: Lab, orthanc: Orthanc, series: Series) -> None:
    sent = lab.send(series.folder)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert "success" in sent.stdout
    assert digests_in(orthanc) == series.digests
    lab.spool_empties()

    before = new_instances(orthanc)
    assert before >= len(series.files)
    again = lab.send(series.folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "success" in again.stdout
    assert new_instances(orthanc) == before
    assert digests_in(orthanc) == series.digests
    lab.spool_empties()


def test_series_of_two_patients_are_two_uploads(lab: Lab, orthanc: Orthanc, two_series: list[Series]) -> None:
    sent = lab.send(*(one.folder for one in two_series))
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert sent.stdout.count("success") == 2
    assert digests_in(orthanc) == sorted(digest for one in two_series for digest in one.digests)
    lab.spool_empties()
