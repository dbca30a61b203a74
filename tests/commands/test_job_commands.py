"""`relaypacs jobs`, `receipt`, `privacy` and `keys rotate --receipts`, beside a running gateway."""

from __future__ import annotations

import json

import pytest

from gateway.cli.opening import ACTOR as CLI
from gateway.clock import rfc3339
from tests.commands.site import events, relaypacs, send
from tests.unit.delivery.little_pacs import Toy, toys


@pytest.fixture
async def person(gate):
    return await gate.person()


@pytest.fixture
async def failed(gate, person):
    """An upload one of whose instances the PACS refused."""
    good, bad = toys(2)
    gate.pacs.failures[bad.uid] = 0xA900
    opened = await send(gate, person, good, bad)
    await gate.deliver(for_s=600)
    assert (await gate.status(opened))["state"] == "partial"
    return opened


async def test_deliveries_that_need_somebody_are_listed(gate, failed):
    said = await relaypacs(gate, "jobs", "list")
    header, line = said.out.splitlines()
    assert header.split() == ["UPLOAD", "ENDPOINT", "STATE", "TRIED", "SINCE", "NEXT", "WHY"]
    upload = await gate.upload(failed.upload_id)
    since = rfc3339(upload.finished_at)
    assert line.split() == [failed.upload_id, "main", "partial", "-", since, "-", "refused_by_pacs"]


async def test_the_list_says_why_since_when_and_when_next_also_as_json(gate, person):
    held = await send(gate, person, Toy("1.1", patient_id="P1"), Toy("1.2", patient_id="P2", birth_date="19800101"))
    await gate.deliver()
    gate.pacs.down = True
    waits = await send(gate, person, Toy("2.1", study="2"))
    since = rfc3339(gate.clock.now())
    await gate.workers.run_due()
    said = await relaypacs(gate, "jobs", "list", "--json")
    told = {one.pop("upload_id"): one for one in json.loads(said.out)}
    job = (await gate.ledger.read(lambda tx: tx.jobs.of_upload(waits.upload_id)))[-1]
    assert told[waits.upload_id] == {
        "endpoint_id": "main",
        "state": "delivering",
        "tried": job.attempts,
        "since": since,
        "next": rfc3339(job.due_at),
        "why": [job.last_code],
    }
    assert job.last_code.startswith("endpoint_")
    upload = await gate.upload(held.upload_id)
    assert told[held.upload_id]["why"] == ["two_patients"]
    assert told[held.upload_id]["since"] == rfc3339(upload.held_at)


async def test_what_failed_is_sent_again(gate, failed):
    gate.pacs.failures.clear()
    said = await relaypacs(gate, "jobs", "retry", failed.upload_id, "--reason", "the disk was full")
    assert (said.status, said.out) == (0, "1 files will be sent again\n")
    await gate.deliver()
    assert (await gate.status(failed))["state"] == "success"
    assert ("upload.retried", CLI) in await events(gate)
    assert (await relaypacs(gate, "jobs", "list")).out.count("\n") == 1


async def test_a_reason_may_be_left_out_on_the_command_line(gate, failed, person):
    assert (await relaypacs(gate, "jobs", "retry", failed.upload_id)).status == 0
    await gate.deliver()
    assert (await relaypacs(gate, "jobs", "drop", failed.upload_id)).status == 0
    dead = await gate.ask("GET", f"/upload/{failed.upload_id}/status", person.token)
    assert {"code": "cancelled_by_admin", "message": "by the operator"} in dead.json["warnings"]


async def test_what_waits_is_due_now(gate, person):
    gate.pacs.down = True
    opened = await send(gate, person, *toys(1))
    await gate.workers.run_due()
    listed = await relaypacs(gate, "jobs", "list")
    assert "delivering" in listed.out
    said = await relaypacs(gate, "jobs", "retry", opened.upload_id, "--reason", "it is back")
    assert (said.status, said.out) == (0, "it is due now\n")


async def test_a_dropped_upload_is_gone_and_its_uploader_sees_why(gate, failed, person):
    said = await relaypacs(gate, "jobs", "drop", failed.upload_id, "--reason", "the wrong examination")
    assert said.status == 0, said.err
    dead = await gate.ask("GET", f"/upload/{failed.upload_id}/status", person.token)
    assert (dead.status, dead.json["state"]) == (410, "cancelled")
    assert {"code": "cancelled_by_admin", "message": "the wrong examination"} in dead.json["warnings"]
    assert ("upload.cancelled", CLI) in await events(gate)
    await gate.purge()
    assert (await gate.upload(failed.upload_id)).erased_at is not None


async def test_a_drop_with_wipe_is_for_its_device_too_and_may_come_after_the_end(gate, failed, person):
    for said in ("it is cancelled; the next purge removes its bytes\n", ""):
        done = await relaypacs(gate, "jobs", "drop", failed.upload_id, "--reason", "stolen", "--wipe")
        assert (done.status, done.out) == (0, "its device is told to delete it\n" + said)
    gate.clock.advance(2)  # what was seen of a bearer is remembered for a second
    told = await gate.ask("GET", f"/upload/{failed.upload_id}/status", failed.token)
    assert (told.status, told.code, told.json["scope"]) == (401, "device_wipe", "upload")


@pytest.mark.parametrize("act", ["retry", "drop"])
async def test_an_upload_that_is_not_there_is_one_line(gate, act):
    said = await relaypacs(gate, "jobs", act, "f" * 32, "--reason", "x")
    assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
    assert "no such upload" in said.err


async def test_a_held_upload_is_not_released_from_here(gate, person):
    opened = await send(gate, person, Toy("1.1", patient_id="P1"), Toy("1.2", patient_id="P2", birth_date="19800101"))
    await gate.deliver()
    assert (await gate.status(opened))["state"] == "held"
    said = await relaypacs(gate, "jobs", "retry", opened.upload_id, "--reason", "x")
    assert said.status == 1
    assert "release" in said.err


# --- receipts -------------------------------------------------------------------------------------------------------


async def receipt(gate, opened, path):
    answer = await gate.ask("GET", f"/upload/{opened.upload_id}/receipt", opened.token)
    assert answer.status == 200
    path.write_bytes(answer.body + b"\n")
    return path


async def test_a_receipt_is_checked_with_the_databases_a_files_or_the_gateways_keys(gate, person, tmp_path):
    opened = await send(gate, person, *toys(2))
    await gate.deliver()
    path = await receipt(gate, opened, tmp_path / "receipt.jws")
    jwks = tmp_path / "jwks.json"
    jwks.write_bytes((await gate.ask("GET", "/.well-known/jwks.json")).body)
    for words in ([], ["--jwks", str(jwks)], ["--gateway", f"http://127.0.0.1:{gate.port}"]):
        said = await relaypacs(gate, "receipt", "verify", str(path), *words)
        assert (said.status, said.err) == (0, ""), words
        assert said.out.startswith("genuine")
        assert opened.upload_id in said.out
        assert said.out.splitlines()[-1].split() == ["stored", "2"]
    told = await relaypacs(gate, "receipt", "verify", str(path), "--json")
    assert json.loads(told.out)["upload_id"] == opened.upload_id


async def test_a_receipt_that_was_changed_is_not_genuine(gate, person, tmp_path):
    opened = await send(gate, person, *toys(1))
    await gate.deliver()
    path = await receipt(gate, opened, tmp_path / "receipt.jws")
    text = path.read_text()
    path.write_text(text[:-10] + ("A" if text[-10] != "A" else "B") + text[-9:])
    said = await relaypacs(gate, "receipt", "verify", str(path))
    assert (said.status, said.out) == (1, "")
    assert said.err == "relaypacs: the receipt's signature does not hold\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["/nowhere"], "can't be read"),
        (["FILE", "--jwks", "/nowhere"], "can't be read"),
        (["FILE", "--gateway", "http://127.0.0.1:9"], "can't be reached"),
        (["FILE", "--gateway", "file:///etc"], "https://"),
        (["FILE"], "this is not a receipt"),
    ],
)
async def test_what_can_not_be_checked_is_one_line(gate, tmp_path, words, says):
    path = tmp_path / "x"
    path.write_text("no receipt")
    said = await relaypacs(gate, "receipt", "verify", *[str(path) if word == "FILE" else word for word in words])
    assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
    assert says in said.err


async def test_a_new_key_signs_from_the_next_start_on_and_former_receipts_hold(gate, person, tmp_path):
    first = await send(gate, person, Toy("1.1"))
    await gate.deliver()
    old = await receipt(gate, first, tmp_path / "old.jws")
    seed = gate.base.keys.receipt_seed
    said = await relaypacs(gate, "keys", "rotate", "--receipts")
    assert said.status == 0, said.err
    kid = said.out.split()[0]
    published = (await gate.ask("GET", "/.well-known/jwks.json")).json["keys"]
    assert kid in {key["kid"] for key in published}, "known before it signs"
    assert len(published) == 2
    assert ("receipt_key.rotated", CLI) in await events(gate)
    await gate.restart()
    assert gate.base.keys.receipt_seed != seed
    second = await send(gate, person, Toy("1.2"))
    await gate.deliver()
    new = await receipt(gate, second, tmp_path / "new.jws")
    for path in (old, new):
        assert (await relaypacs(gate, "receipt", "verify", str(path))).status == 0
    assert len((await gate.ask("GET", "/.well-known/jwks.json")).json["keys"]) == 2


# --- privacy --------------------------------------------------------------------------------------------------------


async def test_a_privacy_report_names_fields_and_reveals_values_only_with_a_reason(gate, person):
    metadata = {"patient_name": "Mustermann^Erika", "patient_id": "P1", "patient_birth_date": "19700101"}
    opened = await send(gate, person, *toys(1, patient_name="Mustermann^Erika"), study_metadata=metadata)
    plain = await relaypacs(gate, "privacy", "report", opened.upload_id)
    assert plain.status == 0, plain.err
    report = json.loads(plain.out)
    assert report["patient_data_held"]["declared"] == sorted(metadata)
    assert report["bytes_readable"] is True
    assert any("upload.opened" in event for event in report["events"])
    assert "Mustermann" not in plain.out
    revealed = await relaypacs(gate, "privacy", "report", opened.upload_id, "--reveal", "her request of today")
    assert json.loads(revealed.out)["patient_data"]["study_metadata"] == metadata
    assert (await events(gate))[-1] == ("patient.revealed", CLI)
    assert "Mustermann" not in str(await gate.ledger.read(lambda tx: tx.audit.after(0, 1000)))


async def test_after_erasure_a_privacy_report_says_that_nothing_is_held(gate, person):
    opened = await send(gate, person, *toys(1), study_metadata={"patient_id": "P1"})
    await gate.deliver()
    await gate.purge()
    report = json.loads((await relaypacs(gate, "privacy", "report", opened.upload_id)).out)
    assert report["erased_at"] is not None
    assert report["bytes_readable"] is False
    held = report["patient_data_held"]
    assert (held["declared"], held["from_files"], held["clinical_notes"]) == ([], [], False)
    refused = await relaypacs(gate, "privacy", "report", opened.upload_id, "--reveal", "x")
    assert (refused.status, refused.out) == (1, "")
    assert "erased" in refused.err
