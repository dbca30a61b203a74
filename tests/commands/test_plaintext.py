"""An uploader who puts a patient's name wherever a client may put words: it is in no trail, log, export or admin's page.

The name is in the login name, the file_id, tus metadata, file names, User-Agent, a request id, study metadata, notes of
skipped files, unknown fields and addresses. What may hold it: the sealed columns, and answers to its own bearer.
"""

from __future__ import annotations

import base64
import io
import logging
from pathlib import Path

import pytest

from gateway.audit.export import AuditExport
from gateway.cli.logs import TEXT, Discreet, JsonLines
from gateway.errors import GatewayError
from tests.commands.site import relaypacs
from tests.component.gateway_app import OFFSET_TYPE, TUS, init_body
from tests.unit.delivery.little_pacs import toys

#: As written by different clients; the last is base64 as tus metadata carries it.
NAME = "Mustermann-Erika"
FORMS = [b"Mustermann", b"MUSTERMANN", b"TXVzdGVybWFubi", b"19651231", b"4711-0815"]
AGENT = {"User-Agent": f"DICOM Viewer of {NAME}/4711-0815", "X-Request-ID": NAME, "Referer": f"http://x/{NAME}"}


@pytest.fixture
def logged():
    streams = [io.StringIO(), io.StringIO()]
    handlers = [Discreet(stream) for stream in streams]
    handlers[0].setFormatter(JsonLines())
    handlers[1].setFormatter(logging.Formatter(TEXT))
    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.DEBUG)
    for handler in handlers:
        root.addHandler(handler)
    yield streams
    for handler in handlers:
        root.removeHandler(handler)
    root.setLevel(level)


def names_in(what: str, raw: bytes) -> list[str]:
    return [f"{what}: {form.decode()}" for form in FORMS if form in raw]


async def everything_a_client_can_say(gate, access_token):
    """Good requests and bad ones."""
    metadata = {"patient_name": NAME, "patient_id": "4711-0815", "patient_birth_date": "19651231", NAME: NAME}
    wish = {"study_metadata": metadata, "uploader": {"name": NAME, "organisation": NAME, "phone": "4711-0815"}}
    contents = [toy.content for toy in toys(2, patient_name=NAME, patient_id="4711-0815", birth_date="19651231")]
    headers = {**AGENT, "Idempotency-Key": NAME}
    answer = await gate.ask(
        "POST", "/upload/init", access_token, json=init_body([len(one) for one in contents], **wish), headers=headers
    )
    assert answer.status == 201, answer.json
    upload_id, token = answer.json["upload_id"], answer.json["upload_token"]
    chunk = {"Content-Type": "application/octet-stream", **AGENT}
    path = f"/upload/{upload_id}/chunk?file_id={NAME}&chunk_index=0&total_chunks=1"
    assert (await gate.ask("PUT", path, token, data=contents[0], headers=chunk)).status == 200
    created = await gate.tus_create(
        token, len(contents[1]), contents[1], metadata={"filename": f"{NAME}.dcm", "filetype": NAME}, headers=AGENT
    )
    assert created.status == 201, created.json
    bad = [
        await gate.ask("PUT", f"/upload/{upload_id}/chunk?file_id={NAME}^&chunk_index=x", token, data=b"x", headers=AGENT),
        await gate.ask("POST", "/upload/init", access_token, json={f"{NAME}^": 1}, headers=AGENT),
        await gate.ask("POST", "/upload/init", access_token, data=f"{{{NAME}", headers=AGENT),
        await gate.ask("GET", f"/{NAME}/4711-0815?name={NAME}", headers=AGENT),
        await gate.ask("GET", f"/upload/{NAME}/status", access_token, headers=AGENT),
        await gate.ask("HEAD", f"/files/{NAME}", access_token, headers={**TUS, **AGENT}),
        await gate.ask("POST", "/auth/login", json={"username": NAME, "password": f"{NAME} 19651231"}, headers=AGENT),
        await gate.ask("GET", "/endpoints", NAME, headers=AGENT),
        await gate.ask(
            "PATCH", f"/files/{NAME}", access_token, data=b"x",
            headers={**TUS, **AGENT, "Upload-Offset": NAME, "Content-Type": OFFSET_TYPE},
        ),
    ]  # fmt: skip
    assert all(one.status >= 400 for one in bad)
    done = await gate.ask(
        "POST", f"/upload/{upload_id}/complete", token, json={}, headers={**AGENT, "Prefer": "wait=0"}
    )
    assert done.status == 202
    return upload_id, bad


async def test_a_patients_name_in_a_clients_words_reaches_no_trail_log_export_or_admin(gate, logged, tmp_path):
    await gate.services.accounts.add(NAME, "uploader", "a good long password")
    login = await gate.ask(
        "POST", "/auth/login", json={"username": NAME, "password": "a good long password"}, headers=AGENT
    )
    assert login.status == 200
    token = login.json["access_token"]
    upload_id, bad = await everything_a_client_can_say(gate, token)
    await gate.deliver()
    admin = await gate.person("root", "admin")
    found: list[str] = []
    for number, answer in enumerate(bad):
        found += names_in(f"refusal {number}", answer.body + str(answer.headers).encode())
    for path in ("/admin/uploads", "/admin/audit?limit=1000", "/admin/endpoints", "/qr"):
        answer = await gate.ask("GET", path, admin.token)
        assert answer.status == 200, path
        found += names_in(path, answer.body)
    await gate.services.refusals.flush()
    trail = gate.folder / "audit.jsonl"
    await AuditExport(gate.ledger, trail, gate.base.keys.audit_mac_key).catch_up()
    found += names_in("audit file", trail.read_bytes())
    found += await of_commands(gate, upload_id, tmp_path)
    receipt = await gate.ask("GET", f"/upload/{upload_id}/receipt", token)
    assert receipt.status == 200
    payload = receipt.body.split(b".")[1]
    found += names_in("receipt", base64.urlsafe_b64decode(payload + b"=="))
    for stream in logged:
        assert "request_id=" in stream.getvalue() or '"request_id"' in stream.getvalue()
        found += names_in("log", stream.getvalue().encode())
    for path in sorted(gate.folder.glob("relaypacs.db*")):
        found += names_in(path.name, path.read_bytes())
    assert not found


async def of_commands(gate, upload_id: str, folder: Path) -> list[str]:
    found: list[str] = []
    messages = folder / "messages"
    for words in (
        ["audit", "export"],
        ["audit", "verify"],
        ["audit", "export", "--format", "dicom", "--to", str(messages)],
        ["jobs", "list"],
        ["privacy", "report", upload_id],
        ["purge"],
    ):
        said = await relaypacs(gate, *words)
        assert said.status == 0, (words, said.err)
        # `patient_data_held` lists the names of fields, and a client may call a field as it likes.
        found += names_in(" ".join(words), (said.out + said.err).encode())
    for path in messages.iterdir():
        found += names_in(path.name, path.read_bytes())
    return found


async def test_the_scan_would_see_a_name(gate, logged):
    logging.getLogger("relaypacs.x").info("oops %s", NAME)
    assert names_in("log", logged[0].getvalue().encode())
    assert names_in("error", GatewayError(f"no {NAME}").detail.encode())
