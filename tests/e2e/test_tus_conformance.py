"""tus as a checker that knows nothing of this gateway sees it.

`RELAYPACS_TUS_CONFORMANCE` names one: a script that takes `--url`, `--token` and `--origin`, and exits with 0 when
nothing failed. `tests/conformance/test_tus_v1.py` asks for the same without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.lab import Http, Lab, Pacs, running_lab

ORIGIN = "https://app.example.org"
CHECKER = os.environ.get("RELAYPACS_TUS_CONFORMANCE", "")
ANNOUNCED = {
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
    "concatenation-unfinished",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    nowhere = Pacs("http://127.0.0.1:9/dicom-web")
    settings = {"server": {"cors_origins": [ORIGIN]}}
    with running_lab(tmp_path_factory.mktemp("tus") / "gateway", nowhere, settings=settings) as lab:
        yield lab


@pytest.fixture(params=["access token", "upload token"])
def bearer(request: pytest.FixtureRequest, lab: Lab) -> Http:
    client = lab.login()
    if request.param == "access token":
        return client
    return lab.open_upload(client, [10 * 2**20] * 200)[1]


def test_extensions_and_the_largest_size_are_announced(lab: Lab) -> None:
    answer = lab.http.call("OPTIONS", "/files/").expect(200, 204)
    assert set(answer.headers["Tus-Extension"].split(",")) == ANNOUNCED
    assert int(answer.headers["Tus-Max-Size"]) == 8 * 2**30


if CHECKER:

    def test_a_foreign_checker_finds_nothing(lab: Lab, bearer: Http) -> None:
        arguments = ["--url", lab.url + "/files/", "--token", bearer.token, "--origin", ORIGIN]
        done = subprocess.run(
            [sys.executable, CHECKER, *arguments], capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "0 failed" in done.stdout
