"""A PACS that is killed and started again in the middle of 300 instances: none is lost, none is called delivered that
a query doesn't show.
"""

from __future__ import annotations

import json
import random
import threading
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dicom_samples import new_uid, study
from tests.e2e.conftest import pacs_of
from tests.e2e.lab import Http, Lab, running_lab, wait_until
from tests.e2e.orthanc import Orthanc, running_orthanc
from tests.e2e.series import sha256
from tests.e2e.test_real_series import digests_in
from tests.scale import count

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("mid_transfer_kill")]

INSTANCES = 300
ROUNDS = count(3, 20)


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as orthanc:
        yield orthanc


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, pacs: Orthanc) -> Iterator[Lab]:
    settings = {"delivery": {"retry_base": "50ms"}}
    with running_lab(tmp_path_factory.mktemp("mid") / "gateway", pacs_of(pacs), settings=settings) as lab:
        yield lab


class Witness(threading.Thread):
    """Looks all the time: what the gateway says of the upload, then what a query shows of the study."""

    def __init__(self, client: Http, upload_id: str, pacs: Orthanc, study_uid: str) -> None:
        super().__init__(daemon=True)
        self.client, self.upload_id, self.pacs, self.study_uid = client, upload_id, pacs, study_uid
        self.looks = 0
        self.liar: str = ""
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.05):
            try:
                status = self.client.status(self.upload_id)
                shown = self.shown()
            except (OSError, urllib.error.URLError, ValueError):
                continue  # one of them is being killed
            self.looks += 1
            told = INSTANCES if status["state"] == "success" else status["files"].get("stored", 0)
            if told > shown or status["state"] in {"partial", "failed"}:
                self.liar = f"{status['state']}, {told} delivered: a query shows {shown}"
                return

    def shown(self) -> int:
        """How many instances QIDO-RS finds."""
        answer: list[Any] = json.loads(
            self.pacs.request("GET", f"/dicom-web/studies/{self.study_uid}/instances?limit=1000")
        )
        return len(answer)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_none_is_lost_and_none_is_a_success_before_it_is_shown(lab: Lab, pacs: Orthanc, number: int):
    pacs.clear()
    study_uid = new_uid()
    files = study(INSTANCES, pixel_bytes=1 << 14, study_instance_uid=study_uid)
    upload_id, client = lab.open_upload(lab.login(), files)
    for at, data in enumerate(files):
        client.create(len(data), {"file_id": f"f{at}"}, data).expect(201)
    witness = Witness(client, upload_id, pacs, study_uid)
    client.complete(upload_id, wait_s=0).expect(202)
    witness.start()

    # One death in each round's own part of the transfer, from its beginning to its end.
    part = INSTANCES // ROUNDS
    after = random.randrange(number * part, (number + 1) * part)
    wait_until(f"{after} are there", lambda: pacs.json("/statistics")["CountInstances"] >= after)
    pacs.kill()
    there_was_no_end = client.status(upload_id)["state"] == "delivering"
    if number % 3 == 2:
        lab.kill()
        pacs.start()
        lab.start()
    else:
        pacs.start()

    assert client.outcome(upload_id)["state"] == "success"
    witness.over.set()
    witness.join(30)
    assert not witness.liar
    assert there_was_no_end
    assert witness.looks
    assert witness.shown() == INSTANCES
    assert digests_in(pacs) == sorted(map(sha256, files)), "every byte, and each instance once"


def test_the_spool_is_empty_when_all_is_delivered(lab: Lab):
    lab.spool_empties()
