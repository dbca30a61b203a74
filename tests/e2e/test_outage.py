"""What was completed is delivered, whatever stops in between, and nobody has to help."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.dicom_samples import study
from tests.e2e.conftest import pacs_of
from tests.e2e.lab import Http, Lab, running_lab, wait_until
from tests.e2e.orthanc import Orthanc
from tests.e2e.series import sha256
from tests.e2e.test_real_series import digests_in

pytestmark = pytest.mark.root


@pytest.fixture
def lab(tmp_path: Path, own_orthanc: Orthanc) -> Iterator[Lab]:
    with running_lab(tmp_path / "gateway", pacs_of(own_orthanc)) as lab:
        yield lab


def upload(lab: Lab, files: list[bytes]) -> tuple[str, Http]:
    """All files whole; not completed."""
    upload_id, client = lab.open_upload(lab.login(), files)
    for number, data in enumerate(files):
        made = client.create(len(data), {"file_id": f"f{number}"}, data).expect(201)
        assert made.offset == len(data)
    return upload_id, client


def digests_of(files: list[bytes]) -> list[str]:
    return sorted(sha256(data) for data in files)


def test_pacs_away_and_gateway_killed_end_in_success_without_help(lab: Lab, own_orthanc: Orthanc) -> None:
    files = study(12, pixel_bytes=50_000)
    upload_id, client = upload(lab, files)
    own_orthanc.stop()
    waiting = client.complete(upload_id, wait_s=2).expect(202)
    assert waiting.json["state"] == "delivering"
    assert waiting.headers["Location"].endswith(f"/upload/{upload_id}/status")
    assert int(waiting.headers["Retry-After"]) > 0

    lab.kill()
    lab.start()
    assert client.status(upload_id)["state"] == "delivering"

    own_orthanc.start()
    status = client.outcome(upload_id)
    assert status["state"] == "success"
    assert status["pacs_receipt_id"]
    assert digests_in(own_orthanc) == digests_of(files)
    lab.spool_empties()


def test_pacs_killed_in_the_middle_of_a_delivery_gets_the_rest_when_it_is_back(lab: Lab, own_orthanc: Orthanc) -> None:
    files = study(60, pixel_bytes=200_000)
    upload_id, client = upload(lab, files)
    client.complete(upload_id, wait_s=0).expect(202)
    wait_until("an instance is there", lambda: own_orthanc.json("/statistics")["CountInstances"] > 0)
    own_orthanc.kill()
    own_orthanc.start()
    assert client.outcome(upload_id)["state"] == "success"
    assert digests_in(own_orthanc) == digests_of(files)
    lab.spool_empties()


def test_gateway_killed_again_and_again_while_it_delivers_still_delivers_once(lab: Lab, own_orthanc: Orthanc) -> None:
    files = study(60, pixel_bytes=100_000)
    upload_id, client = upload(lab, files)
    client.complete(upload_id, wait_s=0).expect(202)

    def more_than(count: int) -> bool:
        return own_orthanc.json("/statistics")["CountInstances"] > count

    for life in range(3):
        wait_until("another instance is there", partial(more_than, 15 * life))
        lab.kill()
        lab.start()
    assert client.outcome(upload_id)["state"] == "success"
    assert digests_in(own_orthanc) == digests_of(files)
    lab.spool_empties()


def test_gateway_killed_before_complete_has_every_acknowledged_byte(lab: Lab, own_orthanc: Orthanc) -> None:
    files = study(3, pixel_bytes=300_000)
    upload_id, client = lab.open_upload(lab.login(), files)
    urls = []
    for number, data in enumerate(files):
        url = client.create(len(data), {"file_id": f"f{number}"}).expect(201).headers["Location"]
        assert client.patch(url, 0, data[:100_000]).expect(204).offset == 100_000
        urls.append(url)
        lab.kill()
        lab.start()
    for url, data in zip(urls, files, strict=True):
        assert client.head(url).expect(200).offset == 100_000
        assert client.patch(url, 100_000, data[100_000:]).expect(204).offset == len(data)
    client.complete(upload_id).expect(200)
    assert digests_in(own_orthanc) == digests_of(files)
    lab.spool_empties()
