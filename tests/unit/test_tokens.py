"""Signed tokens are ours or refused; refresh tokens survive lost answers and betray thieves."""

from __future__ import annotations

import base64
import hmac
import json
import warnings
from typing import Any

import jwt
import pytest

from gateway.errors import ConfigError, Forbidden, Gone, Unauthorized
from gateway.tokens import (
    ACCESS_TYPE,
    SERVICE_TYPE,
    UPLOAD_TYPE,
    AccessClaims,
    Rotated,
    TokenMint,
    UploadClaims,
    for_account,
    for_upload,
    issue,
    refresh,
    revoke,
    rotate,
)
from tests.clocks import ManualClock
from tests.ledger_rows import account_row, upload_row
from tests.opened import opened_ledger

SECRET = b"s" * 32
ACCOUNT, UPLOAD = "a" * 32, "b" * 32


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def mint(clock):
    return TokenMint(SECRET, clock, access_ttl_s=1800, upload_ttl_s=900)


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forge(mint, header, claims, kind=ACCESS_TYPE):
    """A token with the true key and whatever else."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{signed}.{b64(hmac.digest(mint._keys[kind], signed.encode(), 'sha256'))}"


def test_a_token_that_was_read_before_ends_in_its_time_and_is_found_by_the_whole_of_it_only(mint, clock):
    token = mint.upload(UPLOAD, ACCOUNT).token
    for _ in range(2):
        assert mint.read(token).upload_id == UPLOAD
    changed = token[:-2] + ("AA" if not token.endswith("AA") else "BB")
    with pytest.raises(Unauthorized, match="valid token"):
        mint.read(changed)
    clock.advance(901)
    for _ in range(2):
        with pytest.raises(Unauthorized) as refused:
            mint.read(token)
        assert refused.value.code == "token_expired"


def test_more_tokens_than_are_remembered_are_read_like_the_first(mint, monkeypatch):
    monkeypatch.setattr("gateway.tokens.REMEMBERED", 3)
    tokens = [mint.upload(UPLOAD, ACCOUNT).token for _ in range(5)]
    assert [mint.read(token).upload_id for token in tokens * 2] == [UPLOAD] * 10
    assert len(mint._known) <= 3


def test_a_service_token_is_an_access_token_with_a_session_and_a_long_life(mint, clock):
    minted = mint.service(ACCOUNT, "uploader", "s" * 32, 90 * 86400)
    claims = mint.read(minted.token)
    assert claims == AccessClaims(ACCOUNT, "uploader", claims.token_id, clock.now() + 90 * 86400, "s" * 32)
    header, said = true_parts(mint, minted.token)
    assert (header["typ"], said["aud"]) == (SERVICE_TYPE, SERVICE_TYPE)
    del said["sid"]  # without it nothing could end it
    assert refusal(mint, forge(mint, header, said, SERVICE_TYPE)) == "unauthorized"


def test_a_former_secret_is_read_and_never_written(clock):
    old = TokenMint(b"o" * 32, clock, access_ttl_s=1800, upload_ttl_s=900)
    new = TokenMint(SECRET, clock, access_ttl_s=1800, upload_ttl_s=900, former_secret=b"o" * 32)
    for token in (old.access(ACCOUNT, "admin").token, old.upload(UPLOAD, ACCOUNT).token):
        assert new.read(token).account_id == ACCOUNT
    assert refusal(old, new.access(ACCOUNT, "admin").token) == "unauthorized"
    after = TokenMint(SECRET, clock, access_ttl_s=1800, upload_ttl_s=900)
    assert refusal(after, old.access(ACCOUNT, "admin").token) == "unauthorized"
    assert after.read(new.access(ACCOUNT, "admin").token).account_id == ACCOUNT


def test_a_kid_names_no_key_of_another_kind_and_tells_nothing_of_the_key(mint):
    header, _ = true_parts(mint, mint.access(ACCOUNT, "admin").token)
    other, claims = true_parts(mint, mint.upload(UPLOAD, ACCOUNT).token)
    assert header["kid"] != other["kid"]
    assert refusal(mint, forge(mint, {**other, "kid": header["kid"]}, claims, UPLOAD_TYPE)) == "unauthorized"
    assert bytes.fromhex(header["kid"]) not in mint._keys[ACCESS_TYPE]


def true_parts(mint, token):
    header, claims, _ = token.split(".")
    decode = lambda part: json.loads(base64.urlsafe_b64decode(part + "=="))  # noqa: E731 # used twice in one line
    return decode(header), decode(claims)


def refusal(mint, token):
    with pytest.raises(Unauthorized) as caught:
        mint.read(token)
    assert token not in str(caught.value) or token == ""
    assert caught.value.__cause__ is None
    return caught.value.code


def test_an_access_token_says_who_and_in_which_role(mint, clock):
    minted = mint.access(ACCOUNT, "issuer")
    claims = mint.read(minted.token)
    assert minted.expires_in_s == 1800
    assert claims == AccessClaims(ACCOUNT, "issuer", claims.token_id, clock.now() + 1800)


def test_an_upload_token_says_which_upload_and_whose(mint, clock):
    minted = mint.upload(UPLOAD, ACCOUNT)
    claims = mint.read(minted.token)
    assert minted.expires_in_s == 900
    assert claims == UploadClaims(UPLOAD, ACCOUNT, claims.token_id, clock.now() + 900)


def test_no_two_tokens_are_alike(mint):
    assert len({mint.access(ACCOUNT, "admin").token for _ in range(100)}) == 100


def test_a_token_is_over_at_its_end_by_the_gateways_own_clock(mint, clock):
    token = mint.access(ACCOUNT, "admin").token
    clock.advance(1799)
    assert mint.read(token)
    clock.advance(1)
    assert refusal(mint, token) == "token_expired"


def test_a_clock_that_went_back_refuses_no_good_token(mint, clock):
    token = mint.access(ACCOUNT, "admin").token
    clock.jump(-3600)
    assert mint.read(token)


def test_an_expired_token_with_a_false_signature_is_just_false(mint, clock):
    other = TokenMint(b"o" * 32, clock, access_ttl_s=1, upload_ttl_s=1)
    token = other.access(ACCOUNT, "admin").token
    clock.advance(10)
    assert refusal(mint, token) == "unauthorized"


def test_the_true_forger_of_these_tests_is_believed(mint):
    token = mint.access(ACCOUNT, "admin").token
    assert mint.read(forge(mint, *true_parts(mint, token)))


@pytest.mark.parametrize("alg", ["none", "None", "HS384", "HS512", "RS256", "EdDSA", "hs256", "", None, 1])
def test_no_other_algorithm_is_taken(mint, alg):
    header, claims = true_parts(mint, mint.access(ACCOUNT, "admin").token)
    assert refusal(mint, forge(mint, {**header, "alg": alg}, claims)) == "unauthorized"
    unsigned = forge(mint, {**header, "alg": alg}, claims).rsplit(".", 1)[0] + "."
    assert refusal(mint, unsigned) == "unauthorized"


def test_the_same_secret_with_another_hash_is_refused(mint):
    header, claims = true_parts(mint, mint.access(ACCOUNT, "admin").token)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyJWT says that the key is short for this hash: that is the point
        token = jwt.encode(claims, mint._keys[ACCESS_TYPE], "HS512", headers=header | {"alg": "HS512"})
    assert refusal(mint, token) == "unauthorized"


@pytest.mark.parametrize(
    "extra",
    [
        {"kid": "x"},
        {"kid": None},
        {"kid": ["x"]},
        {"crit": ["exp"]},
        {"jku": "https://x"},
        {"b64": False},
        {"zip": "DEF"},
    ],
)
def test_a_header_with_more_in_it_is_none_of_ours(mint, extra):
    header, claims = true_parts(mint, mint.access(ACCOUNT, "admin").token)
    assert refusal(mint, forge(mint, header | extra, claims)) == "unauthorized"


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", UPLOAD_TYPE, None, [ACCESS_TYPE]])
def test_a_token_of_one_kind_is_none_of_another(mint, typ):
    header, claims = true_parts(mint, mint.access(ACCOUNT, "admin").token)
    assert refusal(mint, forge(mint, {**header, "typ": typ}, claims)) == "unauthorized"


def test_an_upload_tokens_claims_under_an_access_header_are_refused(mint):
    header, _ = true_parts(mint, mint.access(ACCOUNT, "admin").token)
    _, claims = true_parts(mint, mint.upload(UPLOAD, ACCOUNT).token)
    assert refusal(mint, forge(mint, header, claims | {"role": "admin"})) == "unauthorized"


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "iat", "exp", "jti", "role"])
def test_a_missing_claim_is_refused(mint, claim):
    header, claims = true_parts(mint, mint.access(ACCOUNT, "admin").token)
    del claims[claim]
    assert refusal(mint, forge(mint, header, claims)) == "unauthorized"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "other"},
        {"aud": UPLOAD_TYPE},
        {"aud": []},
        {"sub": 1},
        {"sub": ""},
        {"role": None},
        {"role": 1},
        {"jti": ""},
        {"exp": "9999999999"},
        {"exp": True},
        {"exp": 9999999999.5},
        {"exp": None},
        {"exp": [1]},
    ],
)
def test_a_claim_of_another_shape_is_refused(mint, change):
    header, claims = true_parts(mint, mint.access(ACCOUNT, "admin").token)
    assert refusal(mint, forge(mint, header, claims | change)) == "unauthorized"


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b.c", "ü.ü.ü", "\ud800", "a" * 4097, "e30.e30.e30", "bnVsbA.bnVsbA.", "W10.W10.W10"]
)
def test_what_is_no_token_is_refused(mint, token):
    assert refusal(mint, token) == "unauthorized"


def test_a_huge_token_is_refused_though_its_signature_holds(mint):
    header, claims = true_parts(mint, mint.access(ACCOUNT, "admin").token)
    assert refusal(mint, forge(mint, header, claims | {"pad": "x" * 4096})) == "unauthorized"


def test_payloads_that_are_no_object_are_refused(mint):
    header, _ = true_parts(mint, mint.access(ACCOUNT, "admin").token)
    odd: list[Any] = [[], "x", 1, None]
    for claims in odd:
        assert refusal(mint, forge(mint, header, claims)) == "unauthorized"


def test_a_short_secret_is_a_configuration_error(clock):
    with pytest.raises(ConfigError, match=r"tokens\.secret"):
        TokenMint(b"short", clock, access_ttl_s=1, upload_ttl_s=1)


# Refresh tokens


@pytest.fixture
async def ledger(tmp_path, clock):
    async with opened_ledger(tmp_path / "ledger.db", clock) as opened:

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
    token = await renew(ledger, clock, token, for_upload(UPLOAD))
    await ledger.write(lambda tx: tx.uploads.delete(UPLOAD))
    assert await refused(ledger, clock, token, for_upload(UPLOAD)) == "unauthorized"


async def test_a_refresh_token_is_good_for_what_it_was_made_for_only(ledger, clock):
    of_account, of_upload = await begin_family(ledger, clock), await begin_family(ledger, clock, UPLOAD)
    for token, check in (
        (of_account, for_upload(UPLOAD)),
        (of_upload, for_account()),
        (of_upload, for_upload("c" * 32)),
    ):
        with pytest.raises(Forbidden):
            await renew(ledger, clock, token, check)
    assert await renew(ledger, clock, of_account)
    assert await renew(ledger, clock, of_upload, for_upload(UPLOAD))


async def test_what_the_caller_refuses_is_not_rotated(ledger, clock):
    token = await begin_family(ledger, clock)

    def gone(_tx, _row):
        raise Gone("it is over")

    with pytest.raises(Gone):
        await renew(ledger, clock, token, gone)
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


async def test_only_a_digest_of_a_refresh_token_is_on_the_disk(ledger, clock, tmp_path):
    token = await begin_family(ledger, clock)
    assert all(token.encode() not in path.read_bytes() for path in tmp_path.iterdir())


async def test_within_a_transaction_a_rotation_says_whose_token_it_was(ledger, clock):
    token = await begin_family(ledger, clock, UPLOAD)
    rotated = await ledger.write(lambda tx: rotate(tx, token, now=clock.now()))
    assert isinstance(rotated, Rotated)
    assert (rotated.row.account_id, rotated.row.upload_id) == (ACCOUNT, UPLOAD)
