"""Webhooks before a real HTTP server: what is told, how it is signed, and that nothing is lost."""

from __future__ import annotations

import json

import pytest

from tests.commands.site import send
from tests.component.gateway_app import gateway_app
from tests.component.telling.receiver import listening
from tests.unit.delivery.little_pacs import Toy, toys

NAME = "Mustermann^Erika"
DECLARED = {"patient_name": NAME, "patient_id": "P1", "priority": "stat"}


@pytest.fixture
async def receiver():
    async with listening() as receiver:
        yield receiver


@pytest.fixture
async def gate(tmp_path, receiver):
    async with gateway_app(tmp_path, toml=receiver.toml()) as gate:
        yield gate


async def jobs(gate) -> int:
    return await gate.count("jobs")


async def test_the_end_of_an_upload_is_told_signed_and_without_the_patient(gate, receiver):
    opened = await send(gate, await gate.person(), *toys(2), study_metadata=DECLARED)
    await gate.deliver()
    ((message_id, body),) = receiver.came
    assert message_id.startswith("msg_")
    assert set(body) == {"type", "timestamp", "data"}
    status = await gate.status(opened)
    assert body["type"] == "upload.success"
    assert body["data"] == {
        "upload_id": opened.upload_id,
        "endpoint_id": "main",
        "state": "success",
        "pacs_receipt_id": status["pacs_receipt_id"],
        "held_reasons": [],
        "files": {"expected": 2, "whole": 2},
        "completed_at": body["data"]["completed_at"],
    }
    assert not {NAME, "P1"} & set(json.dumps(body).split('"'))
    assert await jobs(gate) == 0


async def test_partial_failed_and_held_are_told_by_name(gate, receiver):
    person = await gate.person()
    good, bad = toys(2)
    gate.pacs.failures[bad.uid] = 0xA900
    await send(gate, person, good, bad)
    await gate.deliver(for_s=600)
    other = Toy("9.9", study="9", patient_id="P9")
    gate.pacs.failures[other.uid] = 0xA900
    await send(gate, person, other)
    await gate.deliver(for_s=600)
    held = await send(gate, person, Toy("3.1", patient_id="P3"), Toy("3.2", patient_id="P4", birth_date="19800101"))
    await gate.deliver(for_s=600)
    assert receiver.told == ["upload.partial", "upload.failed", "upload.held"]
    assert receiver.came[-1][1]["data"]["held_reasons"] == ["two_patients"]
    assert receiver.came[-1][1]["data"]["upload_id"] == held.upload_id


async def test_only_the_events_that_were_asked_for_are_told(tmp_path, receiver):
    async with gateway_app(tmp_path, toml=receiver.toml(events=["upload.held"])) as gate:
        await send(gate, await gate.person(), *toys(1))
        await gate.deliver()
        assert (receiver.came, await jobs(gate)) == ([], 0)


@pytest.mark.parametrize("status", [301, 400, 410, 429, 500])
async def test_what_is_not_taken_is_sent_again_with_the_same_id(gate, receiver, status):
    receiver.statuses = [status] * 3
    await send(gate, await gate.person(), *toys(1))
    await gate.deliver(for_s=900)
    assert receiver.told == ["upload.success"] * 4
    assert len(set(receiver.ids)) == 1
    assert await jobs(gate) == 0


async def test_a_receiver_that_asks_for_patience_is_granted_it(gate, receiver):
    receiver.statuses, receiver.headers = [503], {"Retry-After": "120"}
    await send(gate, await gate.person(), *toys(1))
    await gate.deliver(for_s=60)
    assert len(receiver.came) == 1
    await gate.deliver(for_s=200)
    assert len(receiver.came) == 2


async def test_what_nobody_takes_for_the_time_of_a_delivery_is_given_up(tmp_path, receiver):
    toml = f'{receiver.toml()}[delivery]\nretry_for = "1h"\n'
    async with gateway_app(tmp_path, toml=toml) as gate:
        receiver.statuses = [500] * 10_000
        await send(gate, await gate.person(), *toys(1))
        await gate.deliver(for_s=3 * 3600)
        tried = len(receiver.came)
        assert 10 < tried < 200
        assert await jobs(gate) == 0
        gave_up = gate.services.metrics.registry.get_sample_value(
            "relaypacs_messages_total", {"channel": "webhook", "result": "gave_up"}
        )
        assert gave_up == 1
        await gate.deliver(for_s=3600)
        assert len(receiver.came) == tried


async def test_a_receiver_that_is_down_is_not_asked_by_every_message_at_once(gate, receiver):
    person = await gate.person()
    receiver.statuses = [500] * 1000
    for number in range(12):
        await send(gate, person, Toy(f"5.{number}", study=f"5{number}"))
    await gate.deliver(for_s=30)
    assert len(receiver.came) < 12 * 4
    receiver.statuses = []
    await gate.deliver(for_s=900)
    delivered = set(receiver.ids)
    assert len(delivered) == 12
    assert await jobs(gate) == 0


async def test_a_message_outlives_its_process_and_the_erasure_of_the_patients_data(tmp_path, receiver):
    toml = receiver.toml(patient_data=True)
    async with gateway_app(tmp_path, toml=toml, sqlite=True) as gate:
        receiver.statuses = [500]
        await send(gate, await gate.person(), *toys(1), study_metadata=DECLARED, clinical_notes="fell from a horse")
        await gate.deliver()
        await gate.purge()
        await gate.restart()
        await gate.deliver(for_s=900)
        assert len(receiver.came) == 2
        assert len(set(receiver.ids)) == 1
        data = receiver.came[-1][1]["data"]
        assert data["study_metadata"] == DECLARED
        assert data["clinical_notes"] == "fell from a horse"


async def test_a_receiver_that_is_taken_out_of_the_configuration_hears_nothing_more(tmp_path, receiver):
    async with gateway_app(tmp_path, toml=receiver.toml(), sqlite=True) as gate:
        receiver.statuses = [500]
        await send(gate, await gate.person(), *toys(1))
        await gate.deliver()
        gate.options = {**gate.options, "toml": ""}
        await gate.restart()
        await gate.deliver(for_s=900)
        assert (len(receiver.came), await jobs(gate)) == (1, 0)


NOTES = "fell from a horse"


def notes_toml(receiver, **more) -> str:
    toml = receiver.toml(patient_data=True, **more)
    return f'[endpoints.ris]\nurl = "http://127.0.0.1:9/dicom-web"\nnotes = "webhook"\n{toml}'


async def test_notes_that_go_by_webhook_are_in_it_and_not_in_the_study(tmp_path, receiver):
    async with gateway_app(tmp_path, toml=notes_toml(receiver)) as gate:
        opened = await send(gate, await gate.person(), *toys(1), endpoint_id="ris", clinical_notes=NOTES)
        await gate.deliver()
        assert receiver.came[0][1]["data"]["clinical_notes"] == NOTES
        assert len(gate.pacs.held) == 1
        assert (await gate.status(opened))["warnings"] == []


async def test_notes_that_no_webhook_took_are_a_warning_of_the_upload(tmp_path, receiver):
    toml = f'{notes_toml(receiver)}[delivery]\nretry_for = "10m"\n'
    async with gateway_app(tmp_path, toml=toml) as gate:
        receiver.statuses = [500] * 1000
        opened = await send(gate, await gate.person(), *toys(1), endpoint_id="ris", clinical_notes=NOTES)
        await gate.deliver(for_s=3600)
        warnings = gate.services.records.warnings(await gate.upload(opened.upload_id))
        assert [one["code"] for one in warnings] == ["notes_not_stored"]


async def test_cancelling_takes_back_what_was_not_taken_yet(tmp_path, receiver):
    async with gateway_app(tmp_path, toml=receiver.toml(patient_data=True)) as gate:
        receiver.statuses = [500]
        person = await gate.person()
        two = [Toy("3.1", patient_id="P3"), Toy("3.2", patient_id="P4", birth_date="19800101")]
        opened = await send(gate, person, *two, study_metadata={"patient_name": NAME})
        await gate.deliver()
        assert len(receiver.came) == 1
        assert (await gate.ask("DELETE", f"/upload/{opened.upload_id}", opened.token)).status == 204
        await gate.deliver(for_s=900)
        assert (len(receiver.came), await jobs(gate)) == (1, 0)
