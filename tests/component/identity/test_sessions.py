"""What ends a session ends its signed tokens too, over HTTP; machines have tokens that live long and can be ended."""

from __future__ import annotations

import pytest

from gateway.identity.accounts import REMEMBERED_FOR_S
from tests.component.gateway_app import gateway_app


@pytest.fixture
async def gate(tmp_path):
    async with gateway_app(tmp_path) as gate:
        yield gate


async def statuses(gate, *tokens):
    return [(await gate.ask("GET", "/endpoints", token)).status for token in tokens]


async def test_logging_out_by_refresh_token_ends_that_session_only(gate):
    await gate.person()
    one, other = await gate.login(), await gate.login()
    assert await statuses(gate, one["access_token"], other["access_token"]) == [200, 200]
    assert (await gate.ask("POST", "/auth/logout", one["refresh_token"])).status == 204
    assert await statuses(gate, one["access_token"], other["access_token"]) == [401, 200]


async def test_a_renewed_access_token_belongs_to_the_same_session(gate):
    await gate.person()
    first = await gate.login()
    renewed = (await gate.ask("POST", "/auth/refresh", first["refresh_token"])).json
    assert (await gate.ask("POST", "/auth/logout", renewed["refresh_token"])).status == 204
    assert await statuses(gate, first["access_token"], renewed["access_token"]) == [401, 401]


async def test_logging_out_by_access_token_ends_that_session_only(gate):
    await gate.person()
    one, other = await gate.login(), await gate.login()
    assert (await gate.ask("POST", "/auth/logout", one["access_token"])).status == 204
    assert await statuses(gate, one["access_token"], other["access_token"]) == [401, 200]


async def test_logging_out_leaves_the_uploads_of_the_account_alone(gate):
    await gate.person()
    told = await gate.login()
    opened = await gate.init(told["access_token"])
    assert (await gate.ask("POST", "/auth/logout", told["access_token"])).status == 204
    assert (await gate.ask("POST", f"/upload/{opened.upload_id}/token", opened.told["refresh_token"])).status == 200


async def test_disabling_an_account_ends_its_access_upload_and_service_tokens(gate):
    person = await gate.person()
    told = await gate.login()
    opened = await gate.init(told["access_token"])
    row, session_id = await gate.services.accounts.service_session("maria", 1e6)
    machine = gate.services.mint.service(row.account_id, row.role, session_id, 1e6).token
    assert await statuses(gate, person.token, told["access_token"], machine) == [200, 200, 200]
    assert (await gate.ask("GET", f"/upload/{opened.upload_id}/status", opened.token)).status == 200
    await gate.services.accounts.disable("maria")
    assert await statuses(gate, person.token, told["access_token"], machine) == [401, 401, 401]
    assert (await gate.ask("GET", f"/upload/{opened.upload_id}/status", opened.token)).status == 401
    await gate.services.accounts.enable("maria")
    assert await statuses(gate, told["access_token"], machine) == [401, 401], "what was ended stays ended"


async def test_another_password_ends_what_was_there(gate):
    await gate.person()
    told = await gate.login()
    await gate.services.accounts.set_password("maria", "quite another password")
    assert await statuses(gate, told["access_token"]) == [401]


async def test_what_another_process_ends_is_noticed_within_a_second(gate):
    person = await gate.person()
    assert await statuses(gate, person.token) == [200]

    def disable(tx):  # as the command line does, in a process of its own
        from dataclasses import replace

        tx.accounts.save(replace(tx.accounts.get(person.row.account_id), disabled_at=1.0))

    await gate.ledger.write(disable)
    gate.clock.advance(REMEMBERED_FOR_S)
    assert await statuses(gate, person.token) == [401]


async def test_a_service_token_works_for_as_long_as_it_says_and_can_be_revoked(gate):
    await gate.person("scanner")
    accounts, mint = gate.services.accounts, gate.services.mint
    row, session_id = await accounts.service_session("scanner", 1000.0)
    token = mint.service(row.account_id, row.role, session_id, 1000.0).token
    opened = await gate.init(token)
    assert opened.upload_id
    gate.clock.advance(999)
    assert await statuses(gate, token) == [200]
    await accounts.revoke_tokens("scanner")
    assert await statuses(gate, token) == [401]


async def test_a_session_cannot_be_renewed_by_a_service_token(gate):
    await gate.person("scanner")
    row, session_id = await gate.services.accounts.service_session("scanner", 1000.0)
    token = gate.services.mint.service(row.account_id, row.role, session_id, 1000.0).token
    assert (await gate.ask("POST", "/auth/refresh", token)).status == 403


async def test_renewing_logging_out_and_reuse_are_events(gate):
    await gate.person()
    told = await gate.login()
    second = (await gate.ask("POST", "/auth/refresh", told["refresh_token"])).json
    await gate.ask("POST", "/auth/refresh", second["refresh_token"])
    assert (await gate.ask("POST", "/auth/refresh", told["refresh_token"])).code == "token_reused"
    third = await gate.login()
    await gate.ask("POST", "/auth/logout", third["refresh_token"])
    events = [row.event for row in await gate.ledger.read(lambda tx: tx.audit.after(0, 100))]
    assert events[-6:] == ["login", "token.refreshed", "token.refreshed", "token.reused", "login", "logout"]
