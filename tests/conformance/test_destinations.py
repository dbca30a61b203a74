"""Endpoints that an account is limited to, over HTTP (CONTRACT 2.1)."""

from __future__ import annotations

import base64

import pytest

from tests.component.gateway_app import gateway_app, init_body

TUS = {"Tus-Resumable": "1.0.0", "Upload-Length": "10"}


@pytest.fixture
async def limited(gate):
    return await gate.person("limited", "issuer", endpoints=["deaf"])


def named(endpoint_id):
    return {"Upload-Metadata": f"endpoint_id {base64.b64encode(endpoint_id.encode()).decode()}"}


async def test_an_account_is_shown_the_endpoints_that_it_may_send_to(gate, limited):
    anybody = await gate.person()
    shown = {}
    for who in (anybody, limited):
        answer = await gate.ask("GET", "/endpoints", who.token)
        shown[who.name] = [one["endpoint_id"] for one in answer.json["endpoints"]]
    assert "main" in shown["maria"]
    assert len(shown["maria"]) > 1
    assert shown["limited"] == ["deaf"]


async def test_an_upload_to_another_endpoint_is_refused(gate, limited):
    body = init_body((10,)) | {"endpoint_id": "main"}
    by_rest = await gate.ask("POST", "/upload/init", limited.token, json=body)
    by_tus = await gate.ask("POST", "/files/", limited.token, headers=TUS | named("main"))
    code = await gate.ask("POST", "/qr", limited.token, json={"endpoint_id": "main"})
    assert {(one.status, one.code) for one in (by_rest, by_tus, code)} == {(403, "endpoint_not_allowed")}


async def test_where_none_is_named_the_only_one_that_is_allowed_is_meant(gate, limited):
    opened = await gate.ask("POST", "/upload/init", limited.token, json=init_body((10,)))
    assert (opened.status, opened.json["endpoint_id"]) == (201, "deaf")


async def test_of_several_the_default_is_meant_only_if_it_is_one_of_them(gate):
    both = await gate.person("both", endpoints=["deaf", "main"])
    opened = await gate.ask("POST", "/upload/init", both.token, json=init_body((10,)))
    assert opened.json["endpoint_id"] == "main"


async def test_a_code_of_an_issuer_who_may_send_there_no_more_opens_nothing(gate):
    issuer = await gate.person("reception", "issuer")
    code = (await gate.ask("POST", "/qr", issuer.token, json={"endpoint_id": "main"})).json
    await gate.services.accounts.limit("reception", ["deaf"])
    refused = await gate.ask("POST", "/upload/init", code["upload_token"], json=init_body((10,)))
    assert (refused.status, refused.code) == (403, "endpoint_not_allowed")
    await gate.services.accounts.limit("reception", [])
    opened = await gate.ask("POST", "/upload/init", code["upload_token"], json=init_body((10,)))
    assert opened.status == 201


async def test_what_is_open_already_goes_on(gate):
    maria = await gate.person()
    upload = (await gate.ask("POST", "/upload/init", maria.token, json=init_body((10,)))).json
    await gate.services.accounts.limit("maria", ["deaf"])
    created = await gate.ask("POST", "/files/", upload["upload_token"], headers=TUS)
    assert created.status == 201


async def test_an_account_limited_to_endpoints_that_are_gone_may_send_nowhere(tmp_path):
    async with gateway_app(tmp_path) as gate:
        orphan = await gate.person("orphan", endpoints=["gone"])
        assert (await gate.ask("GET", "/endpoints", orphan.token)).json == {"endpoints": []}
        refused = await gate.ask("POST", "/upload/init", orphan.token, json=init_body((10,)))
        assert (refused.status, refused.code) == (403, "endpoint_not_allowed")


async def test_limits_are_in_the_trail(gate, limited):
    await gate.services.accounts.limit("limited", ["main", "deaf"])
    admin = await gate.person("boss", "admin")
    events = (await gate.ask("GET", "/admin/audit?limit=1000", admin.token)).json["events"]
    told = [(one["event"], one["detail"].get("endpoints")) for one in events if "endpoints" in one["detail"]]
    assert told == [("account.added", "deaf"), ("account.limited", "main deaf")]
