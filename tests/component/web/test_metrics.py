"""`GET /metrics`: who may ask, what it tells, and what it doesn't."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.web.app import create_metrics_app
from gateway.web.server import Listener
from tests.commands.site import send
from tests.component.gateway_app import PASSWORD, Gate, gateway_app
from tests.unit.delivery.little_pacs import Toy, toys

TOKEN = "a token for Prometheus"


@pytest.fixture
async def gate(tmp_path):
    async with gateway_app(tmp_path, toml=f'[metrics]\ntoken = "{TOKEN}"\n') as gate:
        yield gate


async def values(gate: Gate) -> dict[str, float]:
    """Every series, by its name and labels."""
    answer = await gate.ask("GET", "/metrics", TOKEN)
    assert answer.status == 200
    return series(answer.body.decode())


def series(text: str) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[sample.name.removeprefix("relaypacs_") + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


async def test_an_admin_and_the_token_are_let_in_and_the_token_opens_nothing_else(gate):
    admin = await gate.person("root", "admin")
    for token, status in ((TOKEN, 200), (admin.token, 200), (None, 401), (TOKEN[:-1], 401), (TOKEN + "é", 401)):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        assert (await gate.ask("GET", "/metrics", headers=headers)).status == status, token
    assert (await gate.ask("GET", "/admin/uploads", TOKEN)).status == 401


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
    ],
)
async def test_it_speaks_the_text_format_and_openmetrics(gate, accept, content_type):
    answer = await gate.ask("GET", "/metrics", TOKEN, headers={"Accept": accept})
    assert answer.headers["Content-Type"].startswith(content_type)
    assert answer.body.endswith(b"# EOF\n") is ("openmetrics" in accept)


async def test_an_upload_is_told_from_its_opening_to_its_erasure(gate):
    person = await gate.person()
    opened = await send(gate, person, *toys(3))
    gate.clock.advance(100)
    seen = await values(gate)
    assert seen['uploads_opened_total{endpoint="main"}'] == 1
    assert seen["files_whole_total"] == 3
    assert seen["file_bytes_total"] == (await gate.upload(opened.upload_id)).whole_bytes
    assert seen['uploads{endpoint="main",state="delivering"}'] == 1
    assert seen['queue_age_seconds{endpoint="main"}'] == 100
    assert seen["spool_reserved_bytes"] > 0
    await gate.deliver()
    await gate.purge()
    seen = await values(gate)
    assert seen['uploads_ended_total{endpoint="main",state="success"}'] == 1
    assert seen['delivery_seconds_bucket{endpoint="main",le="60.0",state="success"}'] == 0
    assert seen['delivery_seconds_count{endpoint="main",state="success"}'] == 1
    assert seen['instances_total{endpoint="main",outcome="stored"}'] == 3
    assert seen['pacs_request_seconds_count{endpoint="main",result="answered"}'] > 0
    assert seen['queue_age_seconds{endpoint="main"}'] == 0
    assert seen['purged_files_total{reason="delivered"}'] == 3
    assert seen["purge_last_run_timestamp_seconds"] == gate.clock.now()
    assert seen["ledger_commit_seconds_count"] > 5
    assert seen["spool_reserved_bytes"] == 0
    assert seen['uploads{endpoint="main",state="delivering"}'] == 0


async def test_a_pacs_that_is_down_and_a_hold_are_told(gate):
    person = await gate.person()
    other = Toy("2.2", patient_id="P2", birth_date="19800101")
    await send(gate, person, Toy("2.1", patient_id="P1"), other)
    await gate.deliver()
    gate.pacs.down = True
    await send(gate, person, *toys(1))
    await gate.deliver(for_s=60)
    seen = await values(gate)
    assert seen['uploads_held_total{reason="two_patients"}'] == 1
    assert seen['hold_age_seconds{endpoint="main"}'] >= 60
    assert [seen[f'endpoint_condition{{condition="{one}",endpoint="main"}}'] for one in ("up", "down")] == [0, 1]
    assert seen['pacs_request_seconds_count{endpoint="main",result="down"}'] >= 3


async def test_logins_refusals_and_quotas_are_counted(tmp_path):
    async with gateway_app(tmp_path, toml=f'[metrics]\ntoken = "{TOKEN}"\n[limits]\nopen_uploads = 1\n') as gate:
        person = await gate.person()
        await gate.login()
        wrong = {"username": "maria", "password": PASSWORD + "!"}
        assert (await gate.ask("POST", "/auth/login", json=wrong)).status == 401
        await gate.init(person.token)
        refused = await gate.ask("POST", "/upload/init", person.token, json={
            "study_metadata": {}, "total_files": 1, "total_size_bytes": 1})  # fmt: skip
        assert refused.code == "quota_exceeded"
        seen = await values(gate)
        assert [seen[f'logins_total{{result="{one}"}}'] for one in ("success", "failed", "refused")] == [1, 1, 0]
        assert seen['quota_refusals_total{limit="limits.open_uploads"}'] == 1
        assert seen['problems_total{code="quota_exceeded"}'] == 1
        assert seen['http_requests_total{method="POST",route="/upload/init",status="201"}'] == 1


async def test_nothing_that_a_client_says_becomes_a_label(gate):
    odd = secrets.token_hex(8)
    person = await gate.person()
    await send(gate, person, *toys(1, patient_name=f"{odd}^A"), study_metadata={"patient_name": odd, odd: odd})
    await gate.deliver()
    await gate.ask("GET", f"/{odd}", odd)
    await gate.ask(odd.upper(), "/healthz")
    await gate.ask("POST", "/auth/login", json={"username": odd, "password": odd})
    text = (await gate.ask("GET", "/metrics", TOKEN)).body.decode()
    assert odd not in text.lower()
    for whose in (person.row.account_id, person.name, "127.0.0.1"):
        assert whose not in text


async def test_a_port_of_their_own_has_nothing_else_and_the_gateways_has_them_no_more(tmp_path):
    toml = f'[metrics]\nport = 9464\ntoken = "{TOKEN}"\n'
    async with gateway_app(tmp_path, toml=toml) as gate:
        assert (await gate.ask("GET", "/metrics", TOKEN)).status == 404
        apart = Listener(create_metrics_app(gate.services), gate.intake.leases)
        gate.port, main = await apart.start("127.0.0.1", 0, None), gate.port
        try:
            base = f"http://127.0.0.1:{gate.port}"
            for path, token, status in (("/metrics", TOKEN, 200), ("/metrics", "x", 401), ("/healthz", TOKEN, 404)):
                async with gate.http.get(f"{base}{path}", headers={"Authorization": f"Bearer {token}"}) as answer:
                    assert answer.status == status
        finally:
            await apart.close()
            gate.port = main


async def test_a_scrape_reads_no_more_on_a_large_ledger_than_on_a_small_one(tmp_path):
    """Steps of SQLite's machine, not seconds."""
    async with gateway_app(tmp_path, toml=f'[metrics]\ntoken = "{TOKEN}"\n', sqlite=True) as gate:
        person = await gate.person()

        async def steps() -> int:
            await values(gate)
            counted = 0

            def act(tx) -> None:
                nonlocal counted

                def step() -> int:
                    nonlocal counted
                    counted += 1
                    return 0

                tx.uploads._db.set_progress_handler(step, 1)
                try:
                    tx.uploads.survey()
                finally:
                    tx.uploads._db.set_progress_handler(None, 0)

            await gate.ledger.read(act)
            return counted

        await send(gate, person, *toys(1))
        few = await steps()
        row = await gate.upload(
            (await gate.ledger.read(lambda tx: tx.uploads.page(states=[], after="", limit=1)))[0].upload_id
        )

        def many(tx) -> None:
            for number in range(300):
                tx.uploads.insert(replace(row, upload_id=f"{number:032x}", queued_at=float(number)))

        await gate.ledger.write(many)
        assert await steps() <= few  # SQLite's newer planners go shorter ways where there is more
