"""Refresh tokens survive lost answers and betray thieves."""

from __future__ import annotations

import pytest

from gateway.errors import Forbidden, Gone, Unauthorized
from gateway.identity.refresh_tokens import Rotated, for_account, for_upload, issue, refresh, revoke, rotate
from tests.clocks import ManualClock
from tests.ledger_rows import account_row, upload_row
from tests.opened import opened_ledger

ACCOUNT, UPLOAD = "a" * 32, "b" * 32


def lives(_upload):
    """It isn't dead."""


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def ledger(clock):
    async with opened_ledger(clock) as opened:

        def begin(tx):
            tx.accounts.insert(account_row(ACCOUNT))
            tx.uploads.insert(upload_row(UPLOAD, owner_id=ACCOUNT, now=clock.now()))

        await opened.ledger.write(begin)
        yield opened.ledger


async def begin_family(ledger, clock, upload_id=None):
    return await ledger.write(lambda tx: issue(tx, account_id=ACCOUNT, upload_id=upload_id, now=clock.now()))


async def renew(ledger, clock, token, check=None):
    return (await refresh(ledger, token, now=clock.now(), check=check or for_account())).token


async def refused(ledger, clock, token, check=None):
    with pytest.raises(Unauthorized) as caught:
        await renew(ledger, clock, token, check)
    return caught.value.code


async def test_a_refresh_token_is_exchanged_for_its_successor(ledger, clock):
    token = await begin_family(ledger, clock)
    for _ in range(5):
        token = await renew(ledger, clock, token)


async def test_a_lost_answer_may_be_asked_for_again_until_a_successor_is_used(ledger, clock):
    first = await begin_family(ledger, clock)
    successors = [await renew(ledger, clock, first) for _ in range(3)]
    assert len(set(successors)) == 3
    last = await renew(ledger, clock, successors[-1])
    assert await refused(ledger, clock, first) == "token_reused"
    assert await refused(ledger, clock, last) == "unauthorized"


async def test_a_successor_that_was_passed_over_ends_the_family_when_it_turns_up(ledger, clock):
    first = await begin_family(ledger, clock)
    lost, used = await renew(ledger, clock, first), await renew(ledger, clock, first)
    await renew(ledger, clock, used)
    assert await refused(ledger, clock, lost) == "token_reused"
    assert await refused(ledger, clock, used) == "unauthorized"


async def test_one_family_that_ends_leaves_the_others_alone(ledger, clock):
    one, other = await begin_family(ledger, clock), await begin_family(ledger, clock)
    successor = await renew(ledger, clock, one)
    await renew(ledger, clock, successor)
    assert await refused(ledger, clock, one) == "token_reused"
    assert await renew(ledger, clock, other)


async def test_an_accounts_refresh_token_ends_unless_it_is_used(ledger, clock):
    token = await begin_family(ledger, clock)
    clock.advance(11 * 3600)
    token = await renew(ledger, clock, token)
    clock.advance(11 * 3600)
    token = await renew(ledger, clock, token)
    clock.advance(12 * 3600)
    assert await refused(ledger, clock, token) == "token_expired"


async def test_an_uploads_refresh_token_lives_as_long_as_the_upload(ledger, clock):
    token = await begin_family(ledger, clock, UPLOAD)
    clock.advance(40 * 86400)  # an outage, say: the upload's own deadline moves with it
    token = await renew(ledger, clock, token, for_upload(UPLOAD, lives))
    await ledger.write(lambda tx: tx.uploads.delete(UPLOAD))
    assert await refused(ledger, clock, token, for_upload(UPLOAD, lives)) == "unauthorized"


async def test_a_refresh_token_is_good_for_what_it_was_made_for_only(ledger, clock):
    of_account, of_upload = await begin_family(ledger, clock), await begin_family(ledger, clock, UPLOAD)
    for token, check in (
        (of_account, for_upload(UPLOAD, lives)),
        (of_upload, for_account()),
        (of_upload, for_upload("c" * 32, lives)),
    ):
        with pytest.raises(Forbidden):
            await renew(ledger, clock, token, check)
    assert await renew(ledger, clock, of_account)
    assert await renew(ledger, clock, of_upload, for_upload(UPLOAD, lives))


async def test_a_dead_uploads_refresh_token_is_not_rotated(ledger, clock):
    token = await begin_family(ledger, clock, UPLOAD)

    def is_dead(_upload):
        raise Gone("it is over")

    with pytest.raises(Gone):
        await renew(ledger, clock, token, for_upload(UPLOAD, is_dead))
    assert await ledger.write(lambda tx: tx.tokens.delete_expired(1e12, 10)) == 1


async def test_a_disabled_account_renews_nothing(ledger, clock):
    token = await begin_family(ledger, clock)
    await ledger.write(lambda tx: tx.accounts.save(account_row(ACCOUNT, disabled_at=1.0)))
    assert await refused(ledger, clock, token) == "unauthorized"


async def test_logging_out_ends_the_family_and_may_be_repeated(ledger, clock):
    token = await begin_family(ledger, clock)
    successor = await renew(ledger, clock, token)
    await revoke(ledger, token, now=clock.now())
    await revoke(ledger, token, now=clock.now())
    assert await refused(ledger, clock, successor) == "unauthorized"


@pytest.mark.parametrize("token", ["", "x", "\ud800", "x" * 10_000])
async def test_what_is_no_refresh_token_is_refused(ledger, clock, token):
    assert await refused(ledger, clock, token) == "unauthorized"
    await revoke(ledger, token, now=clock.now())


async def test_only_a_digest_of_a_refresh_token_is_on_the_disk(clock, tmp_path):
    async with opened_ledger(clock, path=tmp_path / "ledger.db") as opened:
        token = await opened.ledger.write(lambda tx: issue(tx, account_id=ACCOUNT, upload_id=None, now=clock.now()))
    assert all(token.encode() not in path.read_bytes() for path in tmp_path.iterdir())


async def test_within_a_transaction_a_rotation_says_whose_token_it_was(ledger, clock):
    token = await begin_family(ledger, clock, UPLOAD)
    rotated = await ledger.write(lambda tx: rotate(tx, token, now=clock.now()))
    assert isinstance(rotated, Rotated)
    assert (rotated.row.account_id, rotated.row.upload_id) == (ACCOUNT, UPLOAD)
