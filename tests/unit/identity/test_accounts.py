"""Accounts: one answer for every wrong login, guesses slowed down, owners not locked out."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.errors import Conflict, NotFound, TooMany, Unauthorized, Unprocessable
from gateway.identity.accounts import Accounts
from gateway.identity.passwords import Hashing
from gateway.identity.refresh_tokens import issue
from gateway.identity.throttle import LoginGuard, LoginLimits, SlidingWindow
from tests.clocks import ManualClock
from tests.opened import opened_ledger

CHEAP = Hashing(time_cost=1, memory_kib=8, parallelism=1)
PASSWORD = "correct horse"
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.9"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def opened(tmp_path, clock):
    async with opened_ledger(clock) as opened:
        yield opened


@pytest.fixture
async def accounts(opened, clock):
    made = Accounts(opened.ledger, opened.keys, clock, hashing=CHEAP)
    await made.add("ada", "uploader", PASSWORD)
    return made


async def fail(accounts, name="ada", address=HERE, password="wrong"):
    with pytest.raises(Unauthorized) as caught:
        await accounts.login(name, password, address)
    return caught.value


async def until_refused(accounts, name="ada", address=HERE):
    for _ in range(1000):
        try:
            await accounts.login(name, "wrong", address)
        except TooMany as refusal:
            return refusal
        except Unauthorized:
            pass
    raise AssertionError("nobody slowed the guesses down")


async def test_the_right_password_logs_in(accounts):
    row = await accounts.login("ada", PASSWORD, HERE)
    assert (row.role, row.disabled_at) == ("uploader", None)
    assert await accounts.active(row.account_id) == row


async def test_every_wrong_login_gets_the_same_answer(accounts):
    await accounts.add("off", "uploader", PASSWORD)
    await accounts.disable("off")
    answers = [
        await fail(accounts),
        await fail(accounts, "nobody"),
        await fail(accounts, "off", password=PASSWORD),
        await fail(accounts, "\ud800", password="\ud800"),
        await fail(accounts, "n" * 10_000, password="p" * 10_000),
        await fail(accounts, "", password=""),
    ]
    assert len({(type(one), one.code, one.detail, str(one.extra)) for one in answers}) == 1
    assert answers[0].code == "bad_credentials"


async def test_known_unknown_and_disabled_names_cost_the_same_hashing(accounts, monkeypatch):
    await accounts.add("off", "uploader", PASSWORD)
    await accounts.disable("off")
    verified = []
    real = accounts._passwords._verify

    def counted(password_hash, password):
        verified.append(password_hash)
        return real(password_hash, password)

    monkeypatch.setattr(accounts._passwords, "_verify", counted)
    for name, password in (("ada", "wrong"), ("nobody", "wrong"), ("off", PASSWORD), ("ada", "x" * 5000)):
        verified.clear()
        await fail(accounts, name, password=password)
        assert [text.rsplit("$", 2)[0] for text in verified] == ["$argon2id$v=19$m=8,t=1,p=1"]


async def test_the_name_is_the_same_however_its_letters_are_composed(accounts):
    await accounts.add("Zoe\u0308", "admin", "pass\u0308word")
    assert (await accounts.login("Zo\u00eb", "pass\u0308word", HERE)).role == "admin"
    with pytest.raises(Conflict):
        await accounts.add("Zo\u00eb", "admin", PASSWORD)


@pytest.mark.parametrize(
    ("name", "role", "password", "field"),
    [
        ("", "uploader", PASSWORD, "name"),
        (" bob", "uploader", PASSWORD, "name"),
        ("bo\nb", "uploader", PASSWORD, "name"),
        ("b" * 129, "uploader", PASSWORD, "name"),
        ("\ud800", "uploader", PASSWORD, "name"),
        ("bob", "root", PASSWORD, "role"),
        ("bob", "uploader", "short", "password"),
        ("bob", "uploader", "x" * 1025, "password"),
    ],
)
async def test_what_can_not_be_an_account_is_refused_by_field(accounts, name, role, password, field):
    with pytest.raises(Unprocessable) as caught:
        await accounts.add(name, role, password)
    assert caught.value.extra["field"] == field
    assert [account.name for account in await accounts.all()] == ["ada"]


async def test_names_are_listed_and_lie_on_the_disk_sealed(accounts, opened, tmp_path):
    await accounts.add("grace-the-admin", "admin", PASSWORD)
    assert [(one.name, one.role) for one in await accounts.all()] == [("ada", "uploader"), ("grace-the-admin", "admin")]
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        assert b"grace-the-admin" not in data
        assert PASSWORD.encode() not in data


async def test_what_changes_an_account_is_audited_without_its_name(accounts, opened):
    await accounts.login("ada", PASSWORD, HERE)
    await accounts.disable("ada")
    await accounts.disable("ada")
    await accounts.enable("ada", actor="someone")
    await accounts.set_password("ada", "another password")
    await fail(accounts)
    events = [event for event in await opened.events() if event.event != "keys.created"]
    assert [event.event for event in events] == [
        "account.added",
        "login",
        "account.disabled",
        "account.enabled",
        "password.changed",
    ]
    account_id = json.loads(events[0].detail)["account_id"]
    assert events[1].actor == f"account:{account_id}"
    assert events[3].actor == "someone"
    assert all("ada" not in event.detail.replace(account_id, "") for event in events)


@pytest.mark.parametrize("act", ["disable", "set_password"])
async def test_who_is_disabled_or_gets_another_password_loses_every_refresh_token(accounts, opened, clock, act):
    row = await accounts.login("ada", PASSWORD, HERE)
    token = await opened.ledger.write(lambda tx: issue(tx, account_id=row.account_id, now=clock.now()))
    await (accounts.disable("ada") if act == "disable" else accounts.set_password("ada", "another password"))
    assert token
    assert await opened.ledger.write(lambda tx: tx.tokens.delete_expired(1e12, 10)) == 0


async def test_a_disabled_account_is_not_active_until_it_is_enabled(accounts):
    row = await accounts.login("ada", PASSWORD, HERE)
    await accounts.disable("ada")
    with pytest.raises(Unauthorized):
        await accounts.active(row.account_id)
    await accounts.enable("ada")
    assert (await accounts.active(row.account_id)).account_id == row.account_id
    with pytest.raises(Unauthorized):
        await accounts.active("0" * 32)


async def test_after_a_new_password_only_that_one_fits(accounts):
    await accounts.set_password("ada", "another password")
    await fail(accounts, password=PASSWORD)
    assert (await accounts.login("ada", "another password", HERE)).role == "uploader"


async def test_who_is_not_there_can_not_be_changed(accounts):
    for act in (accounts.disable("bob"), accounts.enable("bob"), accounts.set_password("bob", PASSWORD)):
        with pytest.raises(NotFound):
            await act


async def test_a_hash_of_former_cost_is_renewed_at_the_next_login(accounts, opened, clock):
    dearer = Accounts(opened.ledger, opened.keys, clock, hashing=Hashing(time_cost=2, memory_kib=16))
    row = await dearer.login("ada", PASSWORD, HERE)
    assert "m=16,t=2" in row.password_hash
    assert await accounts.active(row.account_id) == row
    assert await dearer.login("ada", PASSWORD, HERE) == row


async def test_guesses_are_slowed_down_and_the_answer_says_for_how_long(accounts, clock):
    refusal = await until_refused(accounts)
    assert 0 < refusal.extra["retry_after_s"] <= 300
    clock.advance(refusal.extra["retry_after_s"])
    assert (await accounts.login("ada", PASSWORD, HERE)).role == "uploader"


async def test_unknown_names_are_slowed_down_like_known_ones(accounts):
    known, unknown = await until_refused(accounts, "ada"), await until_refused(accounts, "nobody", ELSEWHERE)
    assert (known.code, known.detail, known.extra) == (unknown.code, unknown.detail, unknown.extra)


async def test_an_owner_gets_in_from_where_it_got_in_before_while_others_guess(accounts):
    await accounts.login("ada", PASSWORD, HERE)
    await until_refused(accounts, "ada", ELSEWHERE)
    assert (await accounts.login("ada", PASSWORD, HERE)).role == "uploader"


async def test_one_address_that_tries_many_names_is_slowed_down(accounts):
    for n in range(60):
        await fail(accounts, f"name-{n}", ELSEWHERE)
    with pytest.raises(TooMany):
        await accounts.login("name-60", "wrong", ELSEWHERE)
    assert (await accounts.login("ada", PASSWORD, HERE)).role == "uploader"


async def test_logins_of_one_account_have_a_quota_and_the_others_are_not_hindered(accounts, clock):
    await accounts.add("bob", "uploader", PASSWORD)
    for _ in range(30):
        await accounts.login("ada", PASSWORD, HERE)
    for address in (HERE, ELSEWHERE):
        with pytest.raises(TooMany) as caught:
            await accounts.login("ada", PASSWORD, address)
        assert (caught.value.code, caught.value.extra["limit"]) == ("quota_exceeded", "limits.logins_per_minute")
        assert 0 < caught.value.extra["retry_after_s"] <= 60
    await accounts.login("bob", PASSWORD, HERE)
    clock.advance(60)
    await accounts.login("ada", PASSWORD, HERE)


async def test_who_does_not_know_the_password_is_not_told_of_the_quota(accounts):
    for _ in range(30):
        await accounts.login("ada", PASSWORD, HERE)
    assert (await fail(accounts, address=ELSEWHERE)).code == "bad_credentials"


@pytest.mark.parametrize("password", ["password", "PassWord123", "12345678", "radiology", "grace.hopper"])
async def test_passwords_that_are_guessed_first_are_not_taken(accounts, password):
    with pytest.raises(Unprocessable) as caught:
        await accounts.add("grace.hopper", "uploader", password)
    assert caught.value.extra["field"] == "password"
    with pytest.raises(Unprocessable):
        await accounts.set_password("ada", "password")


async def test_who_changes_the_password_keeps_this_login_and_ends_the_others(accounts, opened, clock):
    row = await accounts.login("ada", PASSWORD, HERE)
    account_id = row.account_id
    for session_id in ("this", "other"):
        await opened.ledger.write(
            lambda tx, session_id=session_id: issue(tx, account_id=account_id, now=clock.now(), session_id=session_id)
        )
    with pytest.raises(Unauthorized):
        await accounts.change_password(account_id, "wrong", "a new password", HERE, session_id="this")
    for unusable in (PASSWORD, "short", "password"):
        with pytest.raises(Unprocessable) as caught:
            await accounts.change_password(account_id, PASSWORD, unusable, HERE, session_id="this")
        assert caught.value.extra["field"] == "new_password"
    await accounts.change_password(account_id, PASSWORD, "a new password", HERE, session_id="this")
    await accounts.check_bearer(account_id, "this")
    with pytest.raises(Unauthorized):
        await accounts.check_bearer(account_id, "other")
    await fail(accounts)
    await accounts.login("ada", "a new password", HERE)


async def test_a_password_that_has_to_be_changed_is_told_at_login_until_it_is(accounts):
    await accounts.set_password("ada", "a password for once", must_change=True)
    row = await accounts.login("ada", "a password for once", HERE)
    assert row.must_change
    await accounts.change_password(row.account_id, "a password for once", "a password of hers", HERE, session_id="")
    assert not (await accounts.login("ada", "a password of hers", HERE)).must_change


async def test_more_logins_at_once_than_may_wait_are_told_to_come_again(opened, clock):
    accounts = Accounts(
        opened.ledger, opened.keys, clock, hashing=Hashing(time_cost=1, memory_kib=8, concurrent=1, waiting=2)
    )
    await accounts.add("ada", "uploader", PASSWORD)
    answers = await asyncio.gather(*(accounts.login("ada", PASSWORD, HERE) for _ in range(10)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, TooMany)]
    assert len(refused) == 7
    assert all(refusal.extra["retry_after_s"] == 1 for refusal in refused)
    assert (await accounts.login("ada", PASSWORD, HERE)).role == "uploader"


async def test_parallel_guesses_do_not_slip_past_the_limit(accounts):
    answers = await asyncio.gather(*(accounts.login("ada", "wrong", HERE) for _ in range(18)), return_exceptions=True)
    assert sum(isinstance(answer, Unauthorized) for answer in answers) <= 10 + CHEAP.concurrent - 1


def test_an_ipv6_network_counts_as_one_address():
    guard = LoginGuard(LoginLimits(per_address=2), ManualClock())
    guard.failed(b"a", "2001:db8::1")
    guard.failed(b"b", "2001:db8::2:2")
    with pytest.raises(TooMany):
        guard.check(b"c", "2001:db8::3%eth0")
    guard.check(b"c", "2001:db8:0:1::1")
    guard.failed(b"a", "::ffff:192.0.2.1")
    guard.failed(b"b", "192.0.2.1")
    with pytest.raises(TooMany):
        guard.check(b"c", "192.0.2.1")


def test_the_memory_of_failures_is_bounded():
    window = SlidingWindow(limit=3, window_s=10, max_keys=5)
    for n in range(1000):
        window.add(n, now=0)
    assert len(window) == 5
    assert window.wait_s(999, now=11) == 0
    assert len(window) == 4
