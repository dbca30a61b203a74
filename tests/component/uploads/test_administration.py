"""What admins see over HTTP: uploads without names, names with a reason, endpoints, the trail."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.audit import events as audit_events
from gateway.audit.events import Refusals
from tests.commands.site import events, send
from tests.component.gateway_app import gateway_app
from tests.unit.delivery.little_pacs import Toy, toys

NAME = "Mustermann^Erika"


@pytest.fixture
async def gate(tmp_path):
    async with gateway_app(tmp_path) as gate:
        yield gate


@pytest.fixture
async def admin(gate):
    return await gate.person("root", "admin")


@pytest.fixture
async def held(gate):
    """An upload with two patients in it."""
    one = Toy("1.1", patient_id="P1", patient_name=NAME)
    other = Toy("1.2", patient_id="P2", patient_name="Doe^Jane", birth_date="19800101")
    metadata = {"patient_name": NAME, "patient_id": "P1"}
    opened = await send(
        gate, await gate.person(), one, other,
        study_metadata=metadata, clinical_notes="", uploader={"name": "Dr. Who", "phone": "123"},
    )  # fmt: skip
    await gate.deliver()
    assert (await gate.status(opened))["state"] == "held"
    return opened


async def test_uploads_are_listed_by_state_without_names(gate, admin, held):
    await gate.init((await gate.person("other")).token)
    answer = await gate.ask("GET", "/admin/uploads?state=held", admin.token)
    assert answer.status == 200
    (shown,) = answer.json["uploads"]
    assert (shown["upload_id"], shown["state"], shown["endpoint_id"]) == (held.upload_id, "held", "main")
    assert shown["held_reasons"]
    assert shown["files"] == {"expected": 2, "whole": 2}
    assert NAME not in answer.body.decode()
    everything = await gate.ask("GET", "/admin/uploads?state=held,open", admin.token)
    assert {one["state"] for one in everything.json["uploads"]} == {"held", "open"}


async def test_one_upload_is_shown_without_names_and_a_look_at_them_needs_a_reason(gate, admin, held):
    answer = await gate.ask("GET", f"/admin/uploads/{held.upload_id}", admin.token)
    assert (answer.status, answer.json["state"], answer.json["file_states"]) == (200, "held", {"queued": 2})
    assert NAME not in answer.body.decode()
    refused = await gate.ask("GET", f"/admin/uploads/{held.upload_id}?reveal=1", admin.token)
    assert (refused.status, refused.code) == (422, "reason_required")
    assert (await gate.ask("GET", f"/admin/uploads/{'f' * 32}", admin.token)).status == 404


async def test_the_list_goes_page_by_page(gate, admin):
    person = await gate.person()
    made = {(await gate.init(person.token)).upload_id for _ in range(5)}
    found: list[str] = []
    page: dict[str, Any] = {"cursor": ""}
    while page["cursor"] is not None:
        page = (await gate.ask("GET", f"/admin/uploads?limit=2&cursor={page['cursor']}", admin.token)).json
        found += [one["upload_id"] for one in page["uploads"]]
    assert len(found) == len(set(found)) == 5
    assert set(found) == made


@pytest.mark.parametrize(
    "query", ["state=asleep", "limit=0", "limit=1001", "limit=x", "state=held,asleep"], ids=lambda query: query
)
async def test_a_question_that_can_not_be_meant_is_refused(gate, admin, query):
    answer = await gate.ask("GET", f"/admin/uploads?{query}", admin.token)
    assert (answer.status, answer.code) == (422, "invalid_field")


async def test_names_are_shown_for_a_reason_which_is_audited(gate, admin, held):
    path = f"/admin/uploads/{held.upload_id}/reveal"
    refused = await gate.ask("POST", path, admin.token, json={})
    assert (refused.status, refused.code) == (422, "reason_required")
    assert ("patient.revealed", admin.row.account_id) not in await events(gate)
    shown = await gate.ask("POST", path, admin.token, json={"reason": "two patients in one upload"})
    assert shown.status == 200
    assert shown.json["study_metadata"] == {"patient_name": NAME, "patient_id": "P1"}
    assert shown.json["uploader"]["name"] == "Dr. Who"
    assert {one["patient_id"] for one in shown.json["patients"]} == {"P1", "P2"}
    assert shown.headers["Cache-Control"] == "no-store"
    trail = await gate.ledger.read(lambda tx: tx.audit.after(0, 1000))
    last = trail[-1]
    assert (last.event, last.actor, last.upload_id) == (
        "patient.revealed", f"account:{admin.row.account_id}", held.upload_id,
    )  # fmt: skip
    assert json.loads(last.detail) == {"reason": "two patients in one upload"}
    assert not any(NAME in row.detail for row in trail)


async def test_after_erasure_there_is_nothing_to_reveal(gate, admin):
    opened = await send(gate, await gate.person(), *toys(1, patient_name=NAME))
    await gate.deliver()
    await gate.purge()
    answer = await gate.ask("POST", f"/admin/uploads/{opened.upload_id}/reveal", admin.token, json={"reason": "x"})
    assert (answer.status, answer.code) == (410, "upload_gone")
    assert answer.json["pacs_receipt_id"]
    absent = await gate.ask("POST", f"/admin/uploads/{'f' * 32}/reveal", admin.token, json={"reason": "x"})
    assert absent.status == 404


async def test_endpoints_say_how_they_fare_and_who_waits(gate, admin):
    gate.pacs.down = True
    await send(gate, await gate.person(), *toys(1))
    await gate.deliver(for_s=10)
    answer = await gate.ask("GET", "/admin/endpoints", admin.token)
    by_id = {one["endpoint_id"]: one for one in answer.json["endpoints"]}
    assert set(by_id) == {"main", "deaf"}
    assert by_id["main"] == {
        "endpoint_id": "main", "condition": "down", "code": "no_answer", "queued_jobs": 1,
    }  # fmt: skip
    assert by_id["deaf"]["condition"] == "up"


async def test_the_trail_is_read_page_by_page_and_reading_it_is_an_event(gate, admin):
    for number in range(4):
        await gate.person(f"p{number}")
    found, after = [], 0
    while True:
        page = (await gate.ask("GET", f"/admin/audit?after={after}&limit=3", admin.token)).json
        found += page["events"]
        after = page["after"]
        if after == page["head"]:
            break
    assert [event["number"] for event in found] == list(range(1, len(found) + 1))
    assert [event["event"] for event in found].count("audit.read") == 1, "one event an hour, not one a page"
    gate.clock.advance(1500)
    assert "p1" not in json.dumps(found), "names of accounts aren't in the trail"


async def test_refusals_are_one_event_with_counts(gate):
    person = await gate.person("maria")
    for _ in range(3):
        assert (await gate.ask("GET", "/endpoints", "garbage")).status == 401
        wrong = {"username": "maria", "password": "wrong"}
        assert (await gate.ask("POST", "/auth/login", json=wrong)).status == 401
    assert (await gate.ask("GET", "/qr", person.token)).status == 403
    assert [event for event, _ in await events(gate)].count("refusals.counted") == 0
    refusals: Refusals = gate.services.refusals
    gate.clock.advance(60)
    await refusals.flush()
    await refusals.flush()
    rows = [row for row in await gate.ledger.read(lambda tx: tx.audit.after(0, 99)) if row.event == "refusals.counted"]
    found = {detail["code"]: detail for row in rows for detail in [json.loads(row.detail)]}
    here = {"address": "127.0.0.1", "for_s": 60}
    keyed = gate.services.accounts.keyed("maria")
    assert found == {
        "bad_credentials": {"code": "bad_credentials", "count": 3, "account": keyed, **here},
        "unauthorized": {"code": "unauthorized", "count": 3, **here},
        "forbidden": {"code": "forbidden", "count": 1, **here},
    }
    assert len(rows) == 3
    assert "maria" not in str(rows)


async def test_refusals_from_everywhere_are_told_apart_up_to_a_bound(gate, monkeypatch):
    monkeypatch.setattr(audit_events, "MAX_KEYS", 300)
    refusals: Refusals = gate.services.refusals
    for number in range(800):
        refusals.note("unauthorized", "", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    gate.clock.advance(60)
    await refusals.flush()
    rows = [
        row for row in await gate.ledger.read(lambda tx: tx.audit.after(0, 99_999)) if row.event == "refusals.counted"
    ]
    assert len(rows) == 301
    assert json.loads(rows[-1].detail) == {"code": "unauthorized", "count": 500, "for_s": 60}


async def test_an_admins_reason_for_ending_an_upload_is_audited_and_an_uploaders_words_are_not(gate, admin):
    person = await gate.person()
    for token, body in ((admin.token, {"reason": "the wrong examination"}), (person.token, {"reason": NAME})):
        opened = await gate.init(person.token)
        assert (await gate.ask("DELETE", f"/upload/{opened.upload_id}", token, json=body)).status == 204
    rows = await gate.ledger.read(lambda tx: tx.audit.after(0, 1000))
    details = [json.loads(row.detail) for row in rows if row.event == "upload.cancelled"]
    assert details == [{"reason": "the wrong examination"}, {}]


async def test_the_reason_for_a_drop_reaches_whoever_used_the_admins_own_code(gate, admin):
    made = await gate.ask("POST", "/qr", admin.token, json={"endpoint_id": "main"})
    opened = await gate.init(made.json["upload_token"])
    drop = f"/admin/uploads/{opened.upload_id}/drop"
    assert (await gate.ask("POST", drop, admin.token, json={"reason": "the wrong examination"})).status == 204
    dead = await gate.ask("GET", f"/upload/{opened.upload_id}/status", opened.token)
    assert {"code": "cancelled_by_admin", "message": "the wrong examination"} in dead.json["warnings"]
