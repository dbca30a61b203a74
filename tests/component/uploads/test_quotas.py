"""What one client may take, and that the others have theirs (CONTRACT 4, `[limits]`)."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode

import pytest

from gateway.uploads import checksums
from gateway.uploads.reservations import Lapsing
from tests.component.gateway_app import PASSWORD, TUS, gateway_app, init_body, sha256_field

SPOOL = 1_000_000
LIMITS = """
[limits]
open_uploads = 3
qr_codes = 2
qr_max_bytes = 5000
"""


@pytest.fixture
async def gate(tmp_path):
    async with gateway_app(tmp_path, spool_max_bytes=SPOOL, toml=LIMITS) as gate:
        yield gate


def assert_quota(answer, limit: str) -> None:
    assert (answer.status, answer.code, answer.json["limit"]) == (429, "quota_exceeded", limit)
    assert int(answer.headers["Retry-After"]) >= 1


async def test_unfinished_uploads_of_an_account_have_a_quota_whichever_way_they_are_opened(gate):
    ada, bob = await gate.person("ada"), await gate.person("bob")
    opened = [await gate.init(ada.token) for _ in range(2)]
    await gate.tus_file(ada.token, 5)
    assert_quota(await gate.ask("POST", "/upload/init", ada.token, json=init_body()), "limits.open_uploads")
    assert_quota(await gate.tus_create(ada.token, 5), "limits.open_uploads")
    await gate.init(bob.token)
    assert (await gate.ask("DELETE", f"/upload/{opened[0].upload_id}", ada.token)).status == 204
    await gate.init(ada.token)


async def test_a_refused_init_uses_up_nothing(gate):
    ada = await gate.person("ada")
    opened = [await gate.init(ada.token) for _ in range(3)]
    again = {"Idempotency-Key": "one"}
    assert_quota(
        await gate.ask("POST", "/upload/init", ada.token, json=init_body(), headers=again), "limits.open_uploads"
    )
    assert (await gate.ask("DELETE", f"/upload/{opened[0].upload_id}", ada.token)).status == 204
    await gate.init(ada.token, headers=again)
    await gate.init(ada.token, headers=again)  # the same upload: no quota is asked


async def test_an_account_has_its_share_of_the_spool_and_another_finds_room(gate):
    ada, bob = await gate.person("ada"), await gate.person("bob")
    await gate.init(ada.token, [400_000])
    assert_quota(await gate.ask("POST", "/upload/init", ada.token, json=init_body([200_000])), "limits.reserved_share")
    await gate.init(bob.token, [300_000])
    full = await gate.ask("POST", "/upload/init", bob.token, json=init_body([190_000]))
    assert (full.status, full.code) == (507, "spool_full")
    assert int(full.headers["Retry-After"]) >= 1


async def test_room_of_which_no_byte_came_is_given_back_and_taken_again_by_the_first_byte(gate):
    ada, bob = await gate.person("ada"), await gate.person("bob")
    opened = await gate.init(ada.token, [400_000])
    path = await gate.tus_file(opened.token, 400_000)
    lapsing = Lapsing(gate.ledger, gate.clock, 300.0)
    gate.clock.advance(299)
    await gate.offset(opened.token, path)  # a question holds no room
    assert await lapsing.run_once() == 0
    gate.clock.advance(2)
    assert await lapsing.run_once() == 1
    assert (await gate.upload(opened.upload_id)).reserved_bytes == 0
    other = await gate.init(bob.token, [480_000])
    more = await gate.init(ada.token, [300_000])
    refused = await gate.tus_patch(opened.token, path, 0, b"x")
    assert (refused.status, refused.code) == (507, "spool_full")
    assert int(refused.headers["Retry-After"]) >= 1
    assert (await gate.ask("DELETE", f"/upload/{other.upload_id}", bob.token)).status == 204
    await gate.purge()
    assert_quota(await gate.tus_patch(opened.token, path, 0, b"x"), "limits.reserved_share")
    assert (await gate.ask("DELETE", f"/upload/{more.upload_id}", ada.token)).status == 204
    await gate.purge()
    assert (await gate.tus_patch(opened.token, path, 0, b"x")).status == 204
    assert (await gate.upload(opened.upload_id)).reserved_bytes > 400_000
    gate.clock.advance(10_000)
    assert await lapsing.run_once() == 0, "a byte came"


async def test_a_first_chunk_takes_the_room_again_too(gate):
    ada = await gate.person("ada")
    opened = await gate.init(ada.token, [10])
    gate.clock.advance(301)
    assert await Lapsing(gate.ledger, gate.clock, 300.0).run_once() == 1
    assert (await gate.chunk(opened, "a", 0, b"0123456789", total=1)).status == 200
    assert (await gate.upload(opened.upload_id)).reserved_bytes > 0
    assert (await gate.complete(opened)).status == 202


async def test_qr_codes_have_a_quota_and_a_size(gate):
    issuer, other = await gate.person("issuer", "issuer"), await gate.person("other", "issuer")
    wish = {"endpoint_id": "main"}
    codes = [(await gate.ask("POST", "/qr", issuer.token, json=wish)).json for _ in range(2)]
    assert_quota(await gate.ask("POST", "/qr", issuer.token, json=wish), "limits.qr_codes")
    assert (await gate.ask("POST", "/qr", other.token, json=wish)).status == 201
    large = await gate.ask("POST", "/upload/init", codes[0]["upload_token"], json=init_body([5001]))
    assert (large.status, large.code) == (413, "upload_too_large")
    await gate.init(codes[0]["upload_token"], [5000])
    assert (await gate.ask("POST", "/qr", issuer.token, json=wish)).status == 201, "a used one doesn't count"
    assert (await gate.ask("DELETE", f"/qr/{codes[1]['qr_id']}", issuer.token)).status == 204
    assert_quota(await gate.ask("POST", "/qr", issuer.token, json=wish), "limits.qr_codes")


async def test_codes_made_and_revoked_in_a_loop_leave_no_more_rows_than_the_quota(gate):
    issuer, wish, made = await gate.person("issuer", "issuer"), {"endpoint_id": "main", "ttl_seconds": 1}, 0
    for _ in range(10):
        answer = await gate.ask("POST", "/qr", issuer.token, json=wish)
        if answer.status == 201:
            made += 1
            assert (await gate.ask("DELETE", f"/qr/{answer.json['qr_id']}", issuer.token)).status == 204
        gate.clock.advance(2)
    assert made == 2
    assert_quota(await gate.ask("POST", "/qr", issuer.token, json=wish), "limits.qr_codes")
    gate.clock.advance(86_400)
    token = (await gate.login("issuer"))["access_token"]
    assert (await gate.ask("POST", "/qr", token, json=wish)).status == 201, "a day later"


async def test_clients_are_told_their_quotas_where_they_need_them(gate):
    told = (await gate.ask("GET", "/endpoints", (await gate.person()).token)).json["endpoints"][0]["limits"]
    assert (told["open_uploads"], told["reserved_bytes"]) == (3, SPOOL // 2)


# --- checksums --------------------------------------------------------------------------------------------------------


async def test_wrong_checksums_asked_again_and_again_cost_one_reading_on_a_thread_of_their_own(gate, monkeypatch):
    content = b"x" * 3000
    opened = await gate.init((await gate.person()).token, [len(content)])
    await gate.send_file(opened, "a", content)
    stretches = []
    real = checksums._stretch

    def counted(*args):
        stretches.append(1)
        return real(*args)

    monkeypatch.setattr(checksums, "_stretch", counted)
    wrong = {"checksums": {"a": sha256_field(b"something else")}}
    answers = await asyncio.gather(*(gate.complete(opened, wrong) for _ in range(24)))
    assert {(answer.status, answer.code) for answer in answers} == {(460, "checksum_mismatch")}
    assert len(stretches) == 1
    sha512 = f"sha-512=:{b64encode(hashlib.sha512(content).digest()).decode()}:"
    assert (await gate.complete(opened, {"checksums": {"a": sha512}})).status == 202


# --- what ends what ---------------------------------------------------------------------------------------------------


async def redeemed(gate, issuer, key: str = "k"):
    code = (await gate.ask("POST", "/qr", issuer.token, json={"endpoint_id": "main"})).json
    return code, await gate.init(code["upload_token"], [10], headers={"Idempotency-Key": key})


async def test_a_revoked_code_gives_no_more_tokens_for_what_it_opened(gate):
    issuer = await gate.person("issuer", "issuer")
    code, opened = await redeemed(gate, issuer)
    assert (await gate.ask("DELETE", f"/qr/{code['qr_id']}", issuer.token)).status == 204
    again = await gate.ask(
        "POST", "/upload/init", code["upload_token"], json=init_body([10]), headers={"Idempotency-Key": "k"}
    )
    assert again.status == 401
    renewed = await gate.ask("POST", f"/upload/{opened.upload_id}/token", opened.refresh_token)
    assert renewed.status == 401
    assert (await gate.status(opened))["state"] == "open", "what was opened goes on while its token lasts"


async def test_revoking_ends_what_it_opened_if_that_is_asked(gate):
    issuer = await gate.person("issuer", "issuer")
    code, opened = await redeemed(gate, issuer)
    assert (await gate.ask("DELETE", f"/qr/{code['qr_id']}?uploads=all", issuer.token)).status == 422
    for _ in range(2):
        assert (await gate.ask("DELETE", f"/qr/{code['qr_id']}?uploads=cancel", issuer.token)).status == 204
    dead = await gate.ask("GET", f"/upload/{opened.upload_id}/status", opened.token)
    assert (dead.status, dead.json["state"]) == (410, "cancelled")


async def test_what_a_codes_holder_calls_its_files_is_nobody_elses(gate):
    issuer, admin = await gate.person("issuer", "issuer"), await gate.person("admin", "admin")
    _, opened = await redeemed(gate, issuer)
    path = await gate.tus_file(opened.token, 10, metadata={"file_id": "DOE-JANE", "filename": "DOE_JANE.dcm"})
    own = await gate.ask("HEAD", path, opened.token, headers=TUS)
    assert "filename" in own.headers["Upload-Metadata"]
    theirs = await gate.ask("HEAD", path, issuer.token, headers=TUS)
    assert (theirs.status, "Upload-Metadata" in theirs.headers) == (200, False)
    listed = {}
    for name, token in (("holder", opened.token), ("issuer", issuer.token), ("admin", admin.token)):
        answer = await gate.ask("GET", f"/upload/{opened.upload_id}/files", token)
        listed[name] = answer.json["files"][0]["file_id"]
    file_id = path.rpartition("/")[2]
    assert listed == {"holder": "DOE-JANE", "issuer": file_id, "admin": file_id}


# --- passwords --------------------------------------------------------------------------------------------------------


async def test_a_password_that_must_be_changed_opens_nothing_but_its_change(gate):
    await gate.services.accounts.add("ada", "uploader", PASSWORD, must_change=True)
    refused = await gate.ask("POST", "/auth/login", json={"username": "ada", "password": PASSWORD})
    assert (refused.status, refused.code) == (403, "password_change_required")
    token = refused.json["access_token"]
    assert (await gate.ask("GET", "/endpoints", token)).status == 403
    assert (await gate.ask("POST", "/upload/init", token, json=init_body())).status == 403
    change = {"password": PASSWORD, "new_password": "a password of hers"}
    assert (await gate.ask("POST", "/auth/password", token, json=change)).status == 204
    login = {"username": "ada", "password": "a password of hers"}
    assert (await gate.ask("POST", "/auth/login", json=login)).status == 200


async def test_who_changes_the_password_stays_and_the_others_have_to_log_in_again(gate):
    await gate.person("maria")
    here, there = await gate.login(), await gate.login()
    change = {"password": PASSWORD, "new_password": "another one of hers"}
    wrong = await gate.ask("POST", "/auth/password", here["access_token"], json=change | {"password": "not it"})
    assert (wrong.status, wrong.code) == (401, "bad_credentials")
    assert (await gate.ask("POST", "/auth/password", here["access_token"], json=change)).status == 204
    assert (await gate.ask("GET", "/endpoints", here["access_token"])).status == 200
    assert (await gate.ask("POST", "/auth/refresh", here["refresh_token"])).status == 200
    assert (await gate.ask("GET", "/endpoints", there["access_token"])).status == 401
    assert (await gate.ask("POST", "/auth/refresh", there["refresh_token"])).status == 401


@pytest.mark.parametrize("key", ["caf\xe9", "x" * 257, "", "a\tb"])
async def test_an_idempotency_key_that_is_none_is_refused(gate, key):
    person = await gate.person()
    async with gate.line() as line:
        body = b'{"study_metadata": {}, "total_files": 1, "total_size_bytes": 1}'
        await line.send(
            f"POST /upload/init HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {person.token}\r\n"
            f"Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode("latin-1")
            + body
        )
        answer = await line.answer()
    assert (answer.status, answer.code) == (400, "malformed_header")
