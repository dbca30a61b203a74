"""QR sessions, over HTTP (CONTRACT 2.5)."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from tests.component.gateway_app import Gate, Opened, Person, gateway_app, init_body
from tests.scale import count
from tests.unit.delivery.little_pacs import Toy

ROUNDS = count(3, 20)


async def _code(gate: Gate, issuer: Person, **wish: Any) -> dict[str, Any]:
    answer = await gate.ask("POST", "/qr", issuer.token, json={"endpoint_id": "main", **wish})
    assert answer.status == 201, answer.json
    return dict(answer.json)


@pytest.fixture
async def issuer(gate):
    return await gate.person("reception", "issuer")


async def _init(gate: Gate, token: str, key: str | None = None, **wish: Any) -> Any:
    headers = {"Idempotency-Key": key} if key is not None else {}
    return await gate.ask("POST", "/upload/init", token, json=init_body((10,), **wish), headers=headers)


async def test_the_link_holds_the_token_in_its_fragment_only(gate, issuer):
    code = await _code(gate, issuer)
    address, _, packed = code["url"].partition("/#qr=")
    held = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    assert held == {key: code[key] for key in ("endpoint_id", "upload_token", "expires_at")}
    assert code["upload_token"] not in address


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("port = 0", "http://relay.local:8765"),
        ('public_url = "https://relay.example.org"', "https://relay.example.org"),
    ],
    ids=["nobody named it", "named"],
)
async def test_the_link_has_the_named_address_else_the_one_that_the_issuer_used(tmp_path, server, address):
    async with gateway_app(tmp_path, toml=f"[server]\n{server}\n") as gate:
        issuer, asked = await gate.person("reception", "issuer"), {"Host": "relay.local:8765"}
        answer = await gate.ask("POST", "/qr", issuer.token, json={"endpoint_id": "main"}, headers=asked)
    assert answer.json["url"].startswith(f"{address}/#qr=")


@pytest.mark.parametrize(
    ("accept", "begins"), [("image/png", b"\x89PNG\r\n"), ("image/svg+xml", b"<?xml")], ids=["png", "svg"]
)
async def test_a_picture_is_given_to_who_asks_for_one(gate, issuer, accept, begins):
    answer = await gate.ask("POST", "/qr", issuer.token, json={"endpoint_id": "main"}, headers={"Accept": accept})
    assert (answer.status, answer.headers["Content-Type"]) == (201, accept)
    assert answer.body.startswith(begins)


async def test_only_issuers_and_admins_make_codes(gate):
    statuses = {}
    for role in ("uploader", "issuer", "admin"):
        person = await gate.person(f"the {role}", role)
        statuses[role] = (await gate.ask("POST", "/qr", person.token, json={"endpoint_id": "main"})).status
    assert statuses == {"uploader": 403, "issuer": 201, "admin": 201}


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"ttl_seconds": 72 * 3600 + 1}, "invalid_field"),
        ({"ttl_seconds": 0}, "invalid_field"),
        ({"endpoint_id": "nowhere"}, "unknown_endpoint"),
        ({"expected": {"patient_name": "DOE^JOHN"}}, "unknown_field"),
        ({"lable": "a typo"}, "unknown_field"),
    ],
)
async def test_a_code_that_could_not_be_kept_is_not_made(gate, issuer, wish, code):
    answer = await gate.ask("POST", "/qr", issuer.token, json={"endpoint_id": "main", **wish})
    assert (answer.status, answer.code) == (422, code)


async def test_inspect_tells_what_the_holder_is_about_to_do_and_uses_up_nothing(gate, issuer):
    code = await _code(gate, issuer, max_files=3, max_bytes=1000)
    for _ in range(3):
        answer = await gate.ask("POST", "/qr/inspect", code["upload_token"])
        assert answer.status == 200
        assert answer.json["display_name"] == "St. Elsewhere"
        assert answer.json["contact"] == "+00 000 0000"
        assert answer.json["takes_notes"] is True
        assert (answer.json["limits"]["max_files"], answer.json["limits"]["max_upload_size"]) == (3, 1000)
        assert answer.json["expires_at"] == code["expires_at"]
    assert (await _init(gate, code["upload_token"])).status == 201


async def test_a_code_opens_one_upload_and_nothing_else(gate, issuer):
    code = await _code(gate, issuer)
    token = code["upload_token"]
    assert (await gate.ask("GET", "/endpoints", token)).status == 403
    assert (await gate.ask("POST", "/qr", token, json={"endpoint_id": "main"})).status == 403
    assert (await gate.tus_create(token, 10)).status == 403
    opened = await _init(gate, token)
    assert (opened.status, opened.json["endpoint_id"]) == (201, "main")
    assert (await _init(gate, token)).status == 401
    assert (await gate.ask("POST", "/qr/inspect", token)).status == 401


async def test_a_code_does_not_lead_to_another_endpoint(gate, issuer):
    code = await _code(gate, issuer)
    answer = await _init(gate, code["upload_token"], endpoint_id="deaf")
    assert (answer.status, answer.code) == (403, "endpoint_not_allowed")
    assert (await _init(gate, code["upload_token"])).status == 201


async def test_of_fifty_racing_redemptions_one_wins(gate, issuer):
    for number in range(ROUNDS):
        code = await _code(gate, issuer)
        answers = await asyncio.gather(*(_init(gate, code["upload_token"], f"device {number} {n}") for n in range(50)))
        statuses = [answer.status for answer in answers]
        assert (statuses.count(201), statuses.count(401)) == (1, 49)


async def test_fifty_requests_with_the_same_key_get_the_same_upload(gate, issuer):
    for number in range(ROUNDS):
        code = await _code(gate, issuer)
        answers = await asyncio.gather(*(_init(gate, code["upload_token"], f"device {number}") for _ in range(50)))
        assert {answer.status for answer in answers} == {201}
        assert len({answer.json["upload_id"] for answer in answers}) == 1


async def test_a_lost_answer_is_repaired_by_the_same_device_even_after_the_code_has_expired(gate, issuer):
    code = await _code(gate, issuer, ttl_seconds=60)
    first = await _init(gate, code["upload_token"], "my device")
    gate.clock.advance(120)
    for _ in range(20):
        again = await _init(gate, code["upload_token"], "my device")
        assert (again.status, again.json["upload_id"]) == (201, first.json["upload_id"])
    assert (await _init(gate, code["upload_token"], "another device")).status == 401


@pytest.mark.parametrize(
    "wish", [{"total_files": 0}, {"total_files": 4}, {"total_size_bytes": 2000}, {"studymetadata": {}}]
)
async def test_a_request_that_fails_uses_up_nothing(gate, issuer, wish):
    code = await _code(gate, issuer, max_files=3, max_bytes=1000)
    failed = await _init(gate, code["upload_token"], "my device", **wish)
    assert failed.status in (413, 422)
    assert (await _init(gate, code["upload_token"], "my device")).status == 201


async def test_an_expired_a_revoked_and_an_unknown_code_have_one_answer(gate, issuer):
    expired = await _code(gate, issuer, ttl_seconds=60)
    revoked = await _code(gate, issuer)
    assert (await gate.ask("DELETE", f"/qr/{revoked['qr_id']}", issuer.token)).status == 204
    gate.clock.advance(61)
    answers = [
        await _init(gate, token) for token in (expired["upload_token"], revoked["upload_token"], "rpq_never_made")
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.json["detail"] for answer in answers}) == 1


async def test_codes_of_a_disabled_issuer_open_nothing(gate, issuer):
    code = await _code(gate, issuer)
    await gate.services.accounts.disable("reception")
    assert (await _init(gate, code["upload_token"])).status == 401


async def test_an_issuer_sees_and_revokes_only_its_own_codes(gate, issuer):
    code = await _code(gate, issuer, label="for Mrs Doe's knee")
    other = await gate.person("another desk", "issuer")
    admin = await gate.person("the admin", "admin")
    listed = {
        person.name: [one["qr_id"] for one in (await gate.ask("GET", "/qr", person.token)).json["qr_codes"]]
        for person in (issuer, other, admin)
    }
    assert listed == {"reception": [code["qr_id"]], "another desk": [], "the admin": [code["qr_id"]]}
    assert (await gate.ask("DELETE", f"/qr/{code['qr_id']}", other.token)).status == 404
    (shown,) = (await gate.ask("GET", "/qr", issuer.token)).json["qr_codes"]
    assert (shown["state"], shown["label"]) == ("open", "for Mrs Doe's knee")


async def test_files_that_are_not_the_expected_patients_are_held(gate, issuer):
    code = await _code(gate, issuer, expected={"patient_id": "P1"})
    content = Toy("1.2.3", patient_id="P2").content
    answer = await gate.ask(
        "POST", "/upload/init", code["upload_token"], json=init_body((len(content),), study_metadata={})
    )
    assert answer.status == 201, answer.json
    opened = Opened(answer.json["upload_id"], answer.json["upload_token"], answer.json["refresh_token"], answer.json)
    await gate.send_file(opened, "f1", content)
    await gate.complete(opened)
    await gate.deliver()
    told = await gate.status(opened)
    assert (told["state"], told["held_reasons"]) == ("held", ["patient_id_mismatch"])
    assert gate.pacs.held == {}


async def test_an_admins_code_opens_an_unfinished_upload_again(gate, issuer):
    admin = await gate.person("the admin", "admin")
    lost = await gate.init(issuer.token)
    await gate.chunk(lost, "f1", 0, b"0123456789", total=1)
    answer = await gate.ask("POST", f"/admin/uploads/{lost.upload_id}/qr", admin.token, json={"ttl_seconds": 300})
    assert answer.status == 201, answer.json
    again = await _init(gate, answer.json["upload_token"], "new device")
    assert (again.status, again.json["upload_id"]) == (201, lost.upload_id)
    status = await gate.ask("GET", f"/upload/{lost.upload_id}/status", again.json["upload_token"])
    assert status.json["uploaded_bytes"] == 10
    assert (await _init(gate, answer.json["upload_token"], "third device")).status == 401


async def test_only_the_hash_of_a_code_is_kept(gate, issuer, tmp_path):
    code = await _code(gate, issuer, label="Mrs Doe", expected={"patient_id": "P-4711"})
    await gate.close()
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (code["upload_token"], "Mrs Doe", "P-4711"):
        assert secret.encode() not in everything
    await gate.open()
