"""`GET /openapi.json` and `GET /docs`, as they are served."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.component.gateway_app import Gate, gateway_app


async def test_everybody_may_read_the_description(gate: Gate) -> None:
    answer = await gate.ask("GET", "/openapi.json")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json["openapi"] == "3.1.0"
    assert answer.json["servers"] == [{"url": f"http://127.0.0.1:{gate.port}"}]
    assert "/upload/{upload_id}/chunk" in answer.json["paths"]


async def test_the_page_is_html_that_runs_nothing_and_loads_nothing(gate: Gate) -> None:
    answer = await gate.ask("GET", "/docs")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy
    assert b"/upload/{upload_id}/complete" in answer.body
    assert not re.search(rb"<script|https?://(?!127\.0\.0\.1)", answer.body)


async def test_a_head_has_no_content(gate: Gate) -> None:
    for path in ("/openapi.json", "/docs"):
        answer = await gate.ask("HEAD", path)
        assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("path", ["/openapi.json", "/relay/openapi.json"])
async def test_its_server_has_the_path_of_the_public_url(tmp_path: Path, path: str) -> None:
    toml = '[server]\npublic_url = "https://h.example/relay"\n'
    async with gateway_app(tmp_path, toml=toml) as gate:
        answer = await gate.ask("GET", path, headers={"Host": "h.example"})
        assert answer.json["servers"] == [{"url": "https://h.example/relay"}]


async def test_a_field_that_the_query_has_twice_is_refused_everywhere(gate: Gate) -> None:
    admin = await gate.person("root", "admin")
    for path in ("/qr?limit=1&limit=2", "/admin/audit?after=1&after=2", "/admin/uploads?state=open&state=held"):
        answer = await gate.ask("GET", path, admin.token)
        assert (answer.status, answer.code) == (422, "invalid_field")
