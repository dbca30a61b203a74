"""Logging in, renewing and logging out over HTTP (CONTRACT 2.1 and 2.2)."""

from __future__ import annotations

import asyncio

import pytest

from gateway.identity.throttle import LoginLimits
from tests.component.gateway_app import PASSWORD, gateway_app, init_body


async def login(gate, name: str, password: str):
    return await gate.ask("POST", "/auth/login", json={"username": name, "password": password})


async def refresh(gate, token: str):
    return await gate.ask("POST", "/auth/refresh", token)


async def renew(gate, opened, token: str):
    return await gate.ask("POST", f"/upload/{opened.upload_id}/token", token)


async def test_a_login_gives_tokens_that_open_what_the_role_may(gate):
    await gate.person("maria")
    answer = await login(gate, "maria", PASSWORD)
    assert answer.status == 200
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 30 * 60
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await gate.ask("GET", "/endpoints", answer.json["access_token"])).status == 200


async def test_a_wrong_login_gets_one_answer_whatever_was_wrong(gate):
    await gate.person("maria")
    await gate.person("gone")
    await gate.services.accounts.disable("gone")
    answers = [
        await login(gate, name, password)
        for name, password in [("maria", "another password"), ("nobody", PASSWORD), ("gone", PASSWORD), ("", "")]
    ]
    assert {answer.status for answer in answers} == {401}
    told = [{key: value for key, value in one.json.items() if key != "request_id"} for one in answers]
    assert all(one == told[0] for one in told)
    assert told[0]["code"] == "bad_credentials"


async def test_too_many_wrong_logins_are_told_when_to_come_again(tmp_path):
    async with gateway_app(tmp_path, login_limits=LoginLimits(per_name=3)) as gate:
        await gate.person("maria")
        for _ in range(3):
            assert (await login(gate, "maria", "another password")).status == 401
        answer = await login(gate, "maria", PASSWORD)
        assert (answer.status, answer.code) == (429, "too_many_requests")
        gate.clock.advance(int(answer.headers["Retry-After"]))
        assert (await login(gate, "maria", PASSWORD)).status == 200


@pytest.mark.parametrize("body", [{}, {"username": "maria"}, {"username": 5, "password": "x"}])
async def test_a_login_without_name_or_password_is_told_so(gate, body):
    answer = await gate.ask("POST", "/auth/login", json=body)
    assert (answer.status, answer.code) == (422, "missing_field")


async def test_a_login_with_a_field_too_many_is_told_its_name(gate):
    answer = await gate.ask("POST", "/auth/login", json={"username": "a", "password": "b", "otp": "1"})
    assert (answer.status, answer.code, answer.json["field"]) == (422, "unknown_field", "otp")


async def test_a_refresh_gives_the_same_shape_and_a_new_token(gate):
    await gate.person("maria")
    first = await gate.login("maria")
    answer = await refresh(gate, first["refresh_token"])
    assert answer.status == 200
    assert answer.json.keys() == first.keys()
    assert answer.json["refresh_token"] != first["refresh_token"]


async def test_a_lost_answer_of_a_refresh_is_repaired_by_asking_again(gate):
    await gate.person("maria")
    first = (await gate.login("maria"))["refresh_token"]
    lost = await refresh(gate, first)
    again = await refresh(gate, first)
    assert (lost.status, again.status) == (200, 200)
    assert (await refresh(gate, again.json["refresh_token"])).status == 200


async def test_a_refresh_token_used_after_its_successor_ends_the_whole_family(gate):
    await gate.person("maria")
    first = (await gate.login("maria"))["refresh_token"]
    second = (await refresh(gate, first)).json["refresh_token"]
    third = (await refresh(gate, second)).json["refresh_token"]
    thief = await refresh(gate, first)
    assert (thief.status, thief.code) == (401, "token_reused")
    assert (await refresh(gate, third)).status == 401, "whoever holds the newest is out too"


async def test_an_accounts_refresh_token_ends_at_its_time(gate):
    await gate.person("maria")
    token = (await gate.login("maria"))["refresh_token"]
    gate.clock.advance(12 * 3600 + 1)
    answer = await refresh(gate, token)
    assert (answer.status, answer.code) == (401, "token_expired")


async def test_a_disabled_account_refreshes_nothing(gate):
    await gate.person("maria")
    token = (await gate.login("maria"))["refresh_token"]
    await gate.services.accounts.disable("maria")
    assert (await refresh(gate, token)).status == 401


async def test_logging_out_by_refresh_token_ends_this_login_only(gate):
    await gate.person("maria")
    here, there = [(await gate.login("maria"))["refresh_token"] for _ in range(2)]
    assert (await gate.ask("POST", "/auth/logout", here)).status == 204
    assert (await refresh(gate, here)).status == 401
    assert (await refresh(gate, there)).status == 200


async def test_logging_out_by_access_token_ends_this_login_only(gate):
    await gate.person("maria")
    here, there = await gate.login("maria"), await gate.login("maria")
    assert (await gate.ask("POST", "/auth/logout", here["access_token"])).status == 204
    assert (await refresh(gate, here["refresh_token"])).status == 401
    assert (await refresh(gate, there["refresh_token"])).status == 200


async def test_endpoints_tell_what_one_may_send_to_and_no_secret(gate):
    person = await gate.person("maria")
    told = (await gate.ask("GET", "/endpoints", person.token)).json["endpoints"]
    assert [one["endpoint_id"] for one in told] == ["main", "deaf"]
    for one in told:
        assert one.keys() >= {"endpoint_id", "display_name", "contact", "limits", "notice"}
        assert "url" not in one
        assert "auth" not in one
    assert told[0]["display_name"] == "St. Elsewhere"
    assert told[0]["limits"]["chunk_size"] == 1024
    assert [one["takes_notes"] for one in told] == [True, False]


# --- an upload's tokens -------------------------------------------------------------------------------------------------


async def test_an_uploads_refresh_token_gives_new_tokens_for_it(gate):
    opened = await gate.init((await gate.person()).token)
    answer = await renew(gate, opened, opened.refresh_token)
    assert answer.status == 200
    assert answer.json["upload_id"] == opened.upload_id
    assert answer.json["refresh_token"] != opened.refresh_token
    assert (await gate.ask("GET", f"/upload/{opened.upload_id}/status", answer.json["upload_token"])).status == 200


async def test_the_owners_access_token_gives_new_tokens_too(gate):
    person = await gate.person()
    opened = await gate.init(person.token)
    answer = await renew(gate, opened, person.token)
    assert answer.status == 200
    assert (await renew(gate, opened, opened.refresh_token)).status == 200, "the device's own token still works"


async def test_an_uploads_refresh_token_outlives_its_upload_token(gate):
    opened = await gate.init((await gate.person()).token)
    await gate.purge(for_s=20 * 60)
    assert (await gate.ask("GET", f"/upload/{opened.upload_id}/status", opened.token)).code == "token_expired"
    assert (await renew(gate, opened, opened.refresh_token)).status == 200


async def test_an_uploads_former_refresh_token_may_be_repeated_until_its_successor_is_used(gate):
    opened = await gate.init((await gate.person()).token)
    lost = (await renew(gate, opened, opened.refresh_token)).json["refresh_token"]
    again = (await renew(gate, opened, opened.refresh_token)).json["refresh_token"]
    third = (await renew(gate, opened, again)).json["refresh_token"]
    thief = await renew(gate, opened, lost)
    assert (thief.status, thief.code) == (401, "token_reused")
    assert (await renew(gate, opened, third)).status == 401


async def test_racing_renewals_leave_a_family_that_works(gate):
    opened = await gate.init((await gate.person()).token)
    answers = await asyncio.gather(*(renew(gate, opened, opened.refresh_token) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    assert (await renew(gate, opened, answers[-1].json["refresh_token"])).status == 200


async def test_a_refresh_token_of_one_upload_renews_no_other(gate):
    person = await gate.person()
    one, other = await gate.init(person.token), await gate.init(person.token)
    answer = await renew(gate, other, one.refresh_token)
    assert (answer.status, answer.code) == (403, "forbidden")
    assert (await renew(gate, one, one.refresh_token)).status == 200, "the mistake cost nothing"


async def test_a_refresh_token_of_another_kind_is_told_so_and_not_used_up(gate):
    person = await gate.person()
    opened = await gate.init(person.token)
    account = (await gate.login("maria"))["refresh_token"]
    assert (await refresh(gate, opened.refresh_token)).code == "wrong_token_kind"
    assert (await renew(gate, opened, account)).code == "wrong_token_kind"
    assert (await refresh(gate, account)).status == 200
    assert (await renew(gate, opened, opened.refresh_token)).status == 200


async def test_a_client_that_asks_keeps_its_upload_alive(tmp_path):
    async with gateway_app(tmp_path, uploads='expires = "30m"') as gate:
        person = await gate.person()
        by_access, by_refresh, silent = [await gate.init(person.token) for _ in range(3)]
        refresh_token = by_refresh.refresh_token
        for _ in range(3):
            await gate.purge(for_s=20 * 60)
            access = gate.services.mint.access(person.row.account_id, "uploader").token
            assert (await renew(gate, by_access, access)).status == 200
            answer = await renew(gate, by_refresh, refresh_token)
            assert answer.status == 200
            refresh_token = answer.json["refresh_token"]
        states = [(await gate.upload(opened.upload_id)).state for opened in (by_access, by_refresh, silent)]
        assert states == ["open", "open", "expired"]


async def test_bearer_is_written_in_any_case_and_only_once(gate):
    person = await gate.person()
    for scheme in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{scheme} {person.token}"}
        assert (await gate.ask("GET", "/endpoints", headers=headers)).status == 200


async def test_no_token_is_looked_for_in_an_address(gate):
    person = await gate.person()
    answer = await gate.ask("POST", f"/upload/init?access_token={person.token}", json=init_body())
    assert answer.status == 401
