"""A word to devices: delete it. Heard by who bears a token that was signed for it, and by nobody else."""

from __future__ import annotations

import json

import jwt
import pytest

from gateway.identity.refresh_tokens import issue
from gateway.identity.tokens import ACCESS_TYPE
from tests.component.gateway_app import gateway_app


@pytest.fixture
async def gate(tmp_path):
    async with gateway_app(tmp_path) as gate:
        yield gate


async def told(gate, method, path, token):
    answer = await gate.ask(method, path, token)
    return answer.status, answer.code, answer.json.get("scope")


async def events(gate, *names):
    rows = await gate.ledger.read(lambda tx: tx.audit.after(0, 1000))
    return [(row.event, row.actor, json.loads(row.detail)) for row in rows if row.event in names]


@pytest.mark.parametrize("late_s", [2, 40 * 60, 20 * 86400])
async def test_a_wiped_accounts_tokens_hear_it_in_their_time_and_past_it(gate, late_s):
    maria = await gate.person("maria")
    opened = await gate.init(maria.token)
    await gate.services.accounts.disable("maria", wipe=True)
    gate.clock.advance(late_s)
    assert await told(gate, "GET", "/endpoints", maria.token) == (401, "device_wipe", "account")
    status = f"/upload/{opened.upload_id}/status"
    assert await told(gate, "GET", status, opened.token) == (401, "device_wipe", "account")


async def test_nobody_else_can_tell_that_an_account_was_wiped(gate):
    maria, other = await gate.person("maria"), await gate.person("other")
    opened, theirs = await gate.init(maria.token), await gate.init(other.token)
    now = gate.clock.now()
    refresh = await gate.ledger.write(lambda tx: issue(tx, account_id=maria.row.account_id, now=now))
    forged = jwt.encode(
        jwt.decode(maria.token, options={"verify_signature": False}), bytes(32), "HS256", headers={"typ": ACCESS_TYPE}
    )
    await gate.services.accounts.disable("maria", wipe=True)
    gate.clock.advance(2)
    assert (await gate.ask("GET", "/endpoints", other.token)).status == 200
    assert (await gate.ask("GET", f"/upload/{theirs.upload_id}/status", theirs.token)).status == 200
    assert (await gate.ask("GET", f"/upload/{opened.upload_id}/status", theirs.token)).status == 403
    assert await told(gate, "POST", "/auth/refresh", refresh) == (401, "unauthorized", None)
    assert await told(gate, "POST", f"/upload/{opened.upload_id}/token", opened.refresh_token) == (
        401,
        "unauthorized",
        None,
    )
    assert await told(gate, "GET", "/endpoints", forged) == (401, "unauthorized", None)
    login = await gate.ask("POST", "/auth/login", json={"username": "maria", "password": "wrong"})
    assert login.code == "bad_credentials"


async def test_disabled_without_the_word_tells_nothing(gate):
    maria = await gate.person("maria")
    await gate.services.accounts.disable("maria")
    gate.clock.advance(2)
    assert await told(gate, "GET", "/endpoints", maria.token) == (401, "unauthorized", None)


async def test_enabling_takes_the_word_back(gate):
    maria = await gate.person("maria")
    await gate.services.accounts.disable("maria")
    await gate.services.accounts.disable("maria", wipe=True)  # the word may come later
    await gate.services.accounts.enable("maria")
    gate.clock.advance(2)
    assert (await gate.ask("GET", "/endpoints", maria.token)).status == 200


async def test_who_was_told_is_written_down_once(gate):
    maria = await gate.person("maria")
    await gate.services.accounts.disable("maria", wipe=True)
    gate.clock.advance(2)
    for _ in range(3):
        await gate.ask("GET", "/endpoints", maria.token)
    found = await events(gate, "account.disabled", "device.wipe_told")
    account_id = maria.row.account_id
    assert found == [
        ("account.disabled", "cli", {"account_id": account_id, "wipe": True}),
        ("device.wipe_told", f"account:{account_id}", {}),
    ]


async def test_a_drop_with_wipe_is_heard_by_that_uploads_device_alone(gate):
    maria, admin = await gate.person("maria"), await gate.person("root", "admin")
    stolen, other = await gate.init(maria.token), await gate.init(maria.token)
    body = {"reason": "the phone was stolen", "wipe": True}
    answer = await gate.ask("POST", f"/admin/uploads/{stolen.upload_id}/drop", admin.token, json=body)
    assert answer.status == 204
    gate.clock.advance(2)
    status = "/upload/{}/status"
    assert await told(gate, "GET", status.format(stolen.upload_id), stolen.token) == (401, "device_wipe", "upload")
    assert (await gate.ask("GET", status.format(other.upload_id), other.token)).status == 200
    assert (await gate.ask("GET", "/endpoints", maria.token)).status == 200
    cancelled = await gate.ask("GET", status.format(stolen.upload_id), maria.token)
    assert (cancelled.status, cancelled.json["state"]) == (410, "cancelled"), "its owner sees what became of it"
    assert await events(gate, "device.wipe_ordered") == [
        ("device.wipe_ordered", f"account:{admin.row.account_id}", {"reason": "the phone was stolen"})
    ]


async def test_an_upload_that_is_over_can_still_be_wiped(gate):
    maria, admin = await gate.person("maria"), await gate.person("root", "admin")
    opened = await gate.init(maria.token)
    path, drop = f"/upload/{opened.upload_id}", f"/admin/uploads/{opened.upload_id}/drop"
    assert (await gate.ask("DELETE", path, maria.token)).status == 204
    assert (await gate.ask("POST", drop, admin.token, json={"reason": "x"})).status == 410
    assert (await gate.ask("POST", drop, admin.token, json={"reason": "x", "wipe": True})).status == 204
    gate.clock.advance(2)
    assert await told(gate, "GET", f"{path}/status", opened.token) == (401, "device_wipe", "upload")


@pytest.mark.parametrize("wipe", ["yes", 1, None])
async def test_wipe_is_true_or_false(gate, wipe):
    admin = await gate.person("root", "admin")
    answer = await gate.ask("POST", "/admin/uploads/x/drop", admin.token, json={"reason": "x", "wipe": wipe})
    assert (answer.status, answer.json["field"]) == (422, "wipe")


async def test_the_app_is_told_how_long_copies_may_lie_on_a_device(gate):
    answer = await gate.ask("GET", "/app/config")
    assert (answer.status, answer.json["local_ttl_seconds"]) == (200, 72 * 3600)
