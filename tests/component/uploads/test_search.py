"""Finding uploads: over HTTP by `GET /admin/uploads` and `POST /admin/uploads/find`, and by `relaypacs uploads`."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from gateway.clock import rfc3339
from gateway.uploads import search
from tests.commands.site import events, relaypacs, send
from tests.component.gateway_app import gateway_app
from tests.unit.delivery.little_pacs import toys

ACCESSION, STUDY = "A-4711", "1.2.840.99.1"


@pytest.fixture
async def gate(tmp_path):
    async with gateway_app(tmp_path, sqlite=True) as gate:
        yield gate


@pytest.fixture
async def admin(gate):
    return await gate.person("root", "admin")


@pytest.fixture
async def scene(gate):
    """name -> upload_id, of uploads that differ in everything, a minute apart."""
    maria, otto = await gate.person("maria"), await gate.person("otto")
    made = {}
    declared = {"accession_number": ACCESSION, "study_instance_uid": STUDY}
    made["declared"] = (await gate.init(maria.token, wish={"study_metadata": declared})).upload_id
    gate.clock.advance(60)
    made["deaf"] = (await gate.init(otto.token, wish={"endpoint_id": "deaf"})).upload_id
    gate.clock.advance(60)
    two_patients = [
        *toys(1, uid="1.1", study=STUDY, accession_number=ACCESSION),
        *toys(1, uid="1.2", patient_id="P2", birth_date="19800101"),
    ]
    made["held"] = (await send(gate, otto, *two_patients)).upload_id
    await gate.deliver()
    gate.clock.advance(60)
    made["done"] = (await send(gate, maria, *toys(1, uid="1.3", study=STUDY, accession_number="B1"))).upload_id
    await gate.deliver()
    return made


def names(scene, answer):
    assert answer.status == 200, answer.json
    by_id = {upload_id: name for name, upload_id in scene.items()}
    return {by_id[one["upload_id"]] for one in answer.json["uploads"]}


async def find(gate, admin, **filters):
    return await gate.ask("POST", "/admin/uploads/find", admin.token, json=filters)


async def test_each_filter_finds_what_it_says_and_several_what_fits_all(gate, admin, scene):
    held = await gate.upload(scene["held"])
    done = await gate.upload(scene["done"])
    since, maria = rfc3339(held.created_at), (await gate.upload(scene["declared"])).owner_id
    for filters, expected in (
        ({}, set(scene)),
        ({"state": "held"}, {"held"}),
        ({"state": "held,success"}, {"held", "done"}),
        ({"endpoint_id": "deaf"}, {"deaf"}),
        ({"account": "maria"}, {"declared", "done"}),
        ({"account": maria}, {"declared", "done"}),
        ({"account": "maria", "state": "success"}, {"done"}),
        ({"since": since}, {"held", "done"}),
        ({"until": since}, {"declared", "deaf"}),
    ):
        assert names(scene, await find(gate, admin, **filters)) == expected, filters
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        assert names(scene, await gate.ask("GET", f"/admin/uploads?{query}", admin.token)) == expected, filters
    for filters, expected in (
        ({"upload_id": scene["deaf"]}, {"deaf"}),
        ({"upload_id": scene["deaf"], "state": "held"}, set()),
        ({"pacs_receipt_id": done.receipt_id}, {"done"}),
        ({"pacs_receipt_id": done.receipt_id, "upload_id": scene["deaf"]}, set()),
        ({"pacs_receipt_id": "none"}, set()),
        ({"accession_number": ACCESSION}, {"declared", "held"}),
        ({"accession_number": f" {ACCESSION} ", "account": "otto"}, {"held"}),
        ({"study_instance_uid": STUDY}, {"declared", "held", "done"}),
        ({"study_instance_uid": STUDY[:-1]}, set()),
    ):
        assert names(scene, await find(gate, admin, **filters)) == expected, filters


async def test_what_is_erased_is_found_by_its_study_and_not_by_its_accession_number(gate, admin, scene):
    await gate.purge()
    assert (await gate.upload(scene["done"])).erased_at is not None
    assert names(scene, await find(gate, admin, accession_number="B1")) == set()
    assert "done" in names(scene, await find(gate, admin, study_instance_uid=STUDY))


async def test_no_identifier_is_in_a_url_a_log_or_the_trail_and_a_search_is(gate, admin, scene, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("accession_number", "study_instance_uid", "upload_id", "pacs_receipt_id"):
        refused = await gate.ask("GET", f"/admin/uploads?{name}=x", admin.token)
        assert (refused.status, refused.code) == (422, "unknown_field")
    answer = await find(gate, admin, accession_number=ACCESSION)
    assert ACCESSION not in answer.body.decode()
    assert ACCESSION not in caplog.text
    rows = await gate.ledger.read(lambda tx: tx.audit.after(0, 1000))
    (event,) = [row for row in rows if row.event == "uploads.searched"]
    assert (event.actor, json.loads(event.detail)) == (f"account:{admin.row.account_id}", {"by": "accession_number"})
    assert all(ACCESSION not in row.detail for row in rows)


@pytest.mark.parametrize(
    ("filters", "code", "field"),
    [
        ({"acession_number": "x"}, "unknown_field", "acession_number"),
        ({"state": "asleep"}, "invalid_field", "state"),
        ({"since": "yesterday"}, "invalid_field", "since"),
        ({"until": "2026-11-26T10:00:00"}, "invalid_field", "until"),
        ({"account": "nobody"}, "invalid_field", "account"),
        ({"accession_number": 5}, "invalid_field", "accession_number"),
        ({"limit": 0}, "invalid_field", "limit"),
        ({"limit": True}, "invalid_field", "limit"),
    ],
)
async def test_a_filter_that_can_not_be_meant_is_refused_by_name(gate, admin, filters, code, field):
    refused = await find(gate, admin, **filters)
    assert (refused.status, refused.code, refused.json["field"]) == (422, code, field)


async def test_a_walk_is_bounded_and_its_cursor_leads_to_everything_once(gate, admin, monkeypatch):
    monkeypatch.setattr(search, "AT_ONCE", 2)
    monkeypatch.setattr(search, "AT_MOST", 4)
    person = await gate.person()
    made = sorted([(await gate.init(person.token)).upload_id for _ in range(9)])

    async def pages(**filters):
        cursor = ""
        while cursor is not None:
            page = (await find(gate, admin, cursor=cursor, **filters)).json
            yield [one["upload_id"] for one in page["uploads"]]
            cursor = page["cursor"]

    found = [page async for page in pages(endpoint_id="main", limit=3)]
    assert [upload_id for page in found for upload_id in page] == made
    assert max(map(len, found)) == 3
    assert [page async for page in pages(study_instance_uid=STUDY)] == [[], [], []], "4, 4 and 1 uploads"


async def test_the_command_line_lists_finds_and_shows(gate, scene, monkeypatch):
    listed = json.loads((await relaypacs(gate, "uploads", "list", "--json")).out)
    assert {one["upload_id"] for one in listed} == set(scene.values())
    table = (await relaypacs(gate, "uploads", "list", "--state", "held")).out.splitlines()
    assert [line.split()[0] for line in table] == ["UPLOAD", scene["held"]]
    assert "two_patients" in table[1]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{ACCESSION}\n"))
    said = await relaypacs(gate, "uploads", "find", "--accession-number", "-", "--account", "otto", "--json")
    assert [one["upload_id"] for one in json.loads(said.out)] == [scene["held"]]
    shown = await relaypacs(gate, "uploads", "show", scene["done"], "--json")
    assert json.loads(shown.out)["state"] == "success"
    assert "state:" in (await relaypacs(gate, "uploads", "show", scene["done"])).out
    assert [event for event, _ in await events(gate)].count("uploads.searched") == 1


async def test_the_command_line_says_what_it_can_not_find(gate, scene):
    for words, said in (
        (("show", "f" * 32), "no such upload"),
        (("find",), "say what to find"),
        (("find", "--account", "nobody"), "no such account"),
        (("find", "--accession-number", "-", "--study-instance-uid", "-"), "only one"),
    ):
        done = await relaypacs(gate, "uploads", *words)
        assert done.status != 0
        assert said in done.err
        assert done.err.count("\n") == 1
