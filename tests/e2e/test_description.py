"""Schemathesis asks a running gateway whatever `/openapi.json` allows, and what it doesn't: never a 5xx, never an answer
that isn't described.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab import PASSWORD, ROOT, Lab, Pacs, running_lab
from tests.scale import SOAK, count

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
#: 501 is a refusal by name.
_CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 501]
"""
ROOMY = {
    "limits": {"logins_per_minute": 100_000, "open_uploads": 100_000, "qr_codes": 100_000, "json_timeout": "2s"},
    "spool": {"max_bytes": "200GiB"},
    "tokens": {"access_ttl": "24h", "upload_ttl": "24h"},
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with running_lab(tmp_path / "gateway", Pacs("http://127.0.0.1:9/dicom-web"), settings=ROOMY, serving=False) as one:
        one.add_user("root", "admin")
        one.start()
        yield one


def test_no_generated_request_gets_an_answer_that_is_not_described(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(_CONFIG)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{lab.url}/openapi.json"),
        *("--checks", ",".join(CHECKS)),
        *("--phases", "coverage,fuzzing,stateful" if SOAK else "fuzzing,stateful"),
        *("--max-examples", str(count(4, 400)), "--seed", str(count(1, 2)), "--workers", str(count(2, 2))),
        *("--exclude-path", "/upload/{upload_id}/events"),  # a stream would have to end
        *("--request-timeout", "20", "--no-color", "--continue-on-failure"),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.e2e.bearers",
            "BEARERS_URL": lab.url,
            "BEARERS_NAME": "root",
            "BEARERS_PASSWORD": PASSWORD,
        },
        capture_output=True,
        text=True,
        timeout=count(240, 7200),
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert lab.http.call("GET", "/readyz").status == 200
