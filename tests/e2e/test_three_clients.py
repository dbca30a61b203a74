"""The same series through clients that know nothing of each other: the REST facade, tuspy, tus-js-client."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tusclient.client import TusClient

from tests.e2e.lab import ROOT, Http, Lab
from tests.e2e.orthanc import Orthanc
from tests.e2e.series import Series
from tests.e2e.test_real_series import digests_in
from tools.node import node

pytestmark = pytest.mark.root

NODE = ROOT / "tests" / "node"


@pytest.fixture(scope="module")
def lab_settings() -> dict[str, dict[str, object]]:
    return {"uploads": {"chunk_size": "64KiB"}}  # so that a file of a CT has nine chunks


def test_rest_example_sends_chunks_shuffled_doubled_and_eight_at_a_time(
    lab: Lab, orthanc: Orthanc, series: Series
) -> None:
    example = [sys.executable, str(ROOT / "docs" / "rest-upload.py"), "--url", lab.url, "--token", lab.login().token]
    sent = subprocess.run([*example, *map(str, series.files)], capture_output=True, text=True, timeout=100, check=False)
    assert sent.returncode == 0, sent.stdout[-2000:] + sent.stderr[-2000:]
    assert digests_in(orthanc) == series.digests
    lab.spool_empties()


def test_tuspy_sends_it(lab: Lab, orthanc: Orthanc, series: Series) -> None:
    upload_id, client = opened(lab, series)
    tus = TusClient(lab.url + "/files/", headers={"Authorization": f"Bearer {client.token}"})

    def send(number: int, path: Path) -> None:
        metadata = {"file_id": f"file-{number}", "filetype": "application/dicom"}
        with path.open("rb") as stream:
            tus.uploader(file_stream=stream, chunk_size=200_000, metadata=metadata).upload()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, itertools.count(), series.files))
    arrives(lab, orthanc, series, client, upload_id)


@pytest.mark.parametrize("first", ["with-first", "empty-first"])
def test_tus_js_client_sends_it_with_interruptions(lab: Lab, orthanc: Orthanc, series: Series, first: str) -> None:
    if not (NODE / "node_modules" / "tus-js-client").exists():
        pytest.fail("tus-js-client is needed: `make node` installs it")
    upload_id, client = opened(lab, series)
    sent = subprocess.run(
        [node(), str(NODE / "send.mjs"), lab.url + "/files/", "200000", first, *map(str, series.files)],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=NODE,
        env={"PATH": os.environ["PATH"], "TOKEN": client.token},
        check=False,
    )
    assert sent.returncode == 0, sent.stdout[-2000:] + sent.stderr[-2000:]
    arrives(lab, orthanc, series, client, upload_id)


def opened(lab: Lab, series: Series) -> tuple[str, Http]:
    return lab.open_upload(lab.login(), [path.stat().st_size for path in series.files])


def arrives(lab: Lab, orthanc: Orthanc, series: Series, client: Http, upload_id: str) -> None:
    client.complete(upload_id).expect(200, 202)
    assert client.outcome(upload_id)["state"] == "success"
    assert digests_in(orthanc) == series.digests
    lab.spool_empties()
