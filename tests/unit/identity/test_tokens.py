"""Signed tokens are ours or refused."""

from __future__ import annotations

import base64
import hmac
import json
import warnings
from typing import Any

import jwt
import pytest

from gateway.errors import ConfigError, Unauthorized
from gateway.identity.tokens import ACCESS_TYPE, SERVICE_TYPE, UPLOAD_TYPE, AccessClaims, TokenMint, UploadClaims
from tests.clocks import ManualClock

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
    monkeypatch.setattr("gateway.identity.tokens.REMEMBERED", 3)
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
