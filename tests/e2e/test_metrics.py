"""A real Prometheus asks a gateway on a port of its own: every query of the dashboard has a value, and an alert fires."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

from tests.dicom_samples import study
from tests.e2e.conftest import pacs_of
from tests.e2e.lab import Lab, running_lab, wait_until
from tests.e2e.orthanc import Orthanc
from tests.e2e.prometheus import Prometheus, prometheus
from tools.ports import free_port

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "config" / "grafana.dashboard.json").read_text(encoding="utf-8"))
TOKEN = "a token for a real Prometheus"
ENDED = 'sum(relaypacs_uploads_ended_total{state="%s"})'


def sent(lab: Lab, files: list[bytes], state: str) -> None:
    upload_id, client = lab.open_upload(lab.login(), files)
    for number, data in enumerate(files):
        client.create(len(data), {"file_id": f"f{number}"}, data).expect(201)
    client.complete(upload_id, wait_s=30).expect(200)
    assert client.status(upload_id)["state"] == state


def has_values(asked: Prometheus, query: str) -> bool:
    values = asked.values(query.replace("$__rate_interval", "1m"))
    return bool(values) and all(map(math.isfinite, values))


def test_every_query_of_the_dashboard_has_a_value_and_a_failed_upload_is_an_alert(
    tmp_path: Path, orthanc: Orthanc
) -> None:
    port = free_port()
    settings: dict[str, dict[str, Any]] = {"metrics": {"port": port, "token": TOKEN}}
    with (
        running_lab(tmp_path / "gateway", pacs_of(orthanc), settings=settings) as lab,
        prometheus(tmp_path / "prometheus", f"http://127.0.0.1:{port}", TOKEN) as asked,
    ):
        sent(lab, study(2), "success")
        wait_until("the first upload is known", lambda: asked.values(ENDED % "success") == [1.0])
        sent(lab, study(1), "success")
        lab.http.call("GET", "/metrics").expect(404)  # a problem, too
        queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
        assert len(queries) > 20
        for query in queries:
            wait_until(f"a value of {query}", partial(has_values, asked, query))
        assert not asked.ask("alerts")["alerts"]
        sent(lab, [b"this is no DICOM at all" * 100], "failed")
        wait_until("the alert", lambda: "RelayPacsUploadFailed" in str(asked.ask("alerts")["alerts"]))
