"""Where a person decides: held, released, retried, cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.clock import rfc3339
from gateway.delivery.items import Memory
from gateway.errors import Conflict
from gateway.ledger.base import Transaction
from gateway.states import FileState, UploadEvent, UploadState, after
from hooks.contract import PatientRecord, TargetDown
from tests.unit.delivery.little_pacs import Toy, toys
from tests.unit.delivery.room import Room, room


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Room]:
    async with room(tmp_path) as opened:
        yield opened


async def held_codes(it: Room, upload_id: str) -> list[str]:
    upload = await it.upload(upload_id)
    assert upload.state is UploadState.HELD
    return upload.held_codes.split(",")


async def test_two_patients_in_one_upload_wait_for_a_person_and_nothing_leaves(it: Room):
    upload_id = await it.submit([Toy("1.1"), Toy("1.2", patient_id="P2", patient_name="ROE^RICHARD")])
    await it.run(for_s=600)
    assert await held_codes(it, upload_id) == ["two_patients"]
    assert it.pacs.asked == []
    assert await it.jobs() == []
    (held,) = [event for event in await it.events() if event.event == "upload.held"]
    assert "two_patients" in held.detail
    assert "ROE" not in held.detail


async def test_a_declared_birth_date_that_the_files_contradict_holds(it: Room):
    upload_id = await it.submit(toys(2), study_metadata={"patient_birth_date": "1999-12-31"})
    await it.run()
    assert await held_codes(it, upload_id) == ["birth_date_mismatch"]


@pytest.mark.parametrize("rule", ["hold", "warn", "reject"])
async def test_files_of_another_patient_than_the_code_was_made_for_are_held_whatever_the_rule(
    tmp_path: Path, rule: str
):
    async with room(tmp_path, settings={"study_mismatch": rule}) as it:
        upload_id = await it.submit(toys(2), expected={"patient_id": "P9"})
        await it.run()
        assert await held_codes(it, upload_id) == ["patient_id_mismatch"]
        assert it.pacs.sent == []


async def test_a_patient_id_that_is_somebody_elses_in_the_pacs_holds(it: Room):
    it.pacs.people = [PatientRecord("P1", "ROE^RICHARD", "19550505")]
    upload_id = await it.submit(toys(2))
    await it.run()
    assert await held_codes(it, upload_id) == ["pacs_patient_conflict"]
    assert it.pacs.sent == []


SOMEBODY_ELSE = "ROE^RICHARD"


async def test_of_two_uploads_that_contradict_each_other_at_one_time_the_second_is_held(it: Room):
    it.pacs.busy = {"1.2.3.1.1"}  # the first is on its way, and the PACS knows nobody yet
    first = await it.submit(toys(1))
    await it.run()
    second = await it.submit([Toy("1.9", study="1.9", patient_name=SOMEBODY_ELSE)])
    await it.run()
    assert await held_codes(it, second) == ["pacs_patient_conflict"]
    await it.run(for_s=600)
    assert (await it.upload(first)).state is UploadState.SUCCESS
    assert it.pacs.held.keys() == {"1.2.3.1.1"}
    third = await it.submit([Toy("1.8", study="1.8", patient_name=SOMEBODY_ELSE)])
    await it.run()
    assert (await it.upload(third)).state is UploadState.SUCCESS, "what is over is the PACS's to tell"


async def test_one_that_a_person_has_released_is_under_way_like_any_other(it: Room):
    first = await it.submit(toys(1), study_metadata={"patient_id": "P9"})
    await it.run()
    held = await it.upload(first)
    it.pacs.busy = {"1.2.3.1.1"}
    await it.ledger.write(lambda tx: it.delivery.release(tx, held, actor="admin", reason="mistyped"))
    await it.run()
    second = await it.submit([Toy("1.9", study="1.9", patient_name=SOMEBODY_ELSE)])
    await it.run()
    assert await held_codes(it, second) == ["pacs_patient_conflict"]


async def test_an_upload_that_was_cancelled_contradicts_nobody(it: Room):
    it.pacs.busy = {"1.2.3.1.1"}
    first = await it.submit(toys(1))
    await it.run()
    await cancel(it, first)
    second = await it.submit([Toy("1.9", study="1.9", patient_name=SOMEBODY_ELSE)])
    await it.run()
    assert (await it.upload(second)).state is UploadState.SUCCESS


async def test_whose_patient_it_is_is_asked_anew_as_long_as_nothing_was_sent(it: Room, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object) -> dict[str, str]:
        raise TargetDown("connection_reset")

    with monkeypatch.context() as patch:
        patch.setattr(it.pacs, "present", fails)
        upload_id = await it.submit(toys(1))
        await it.run()
    it.pacs.people = [PatientRecord("P1", "ROE^RICHARD", "19550505")]
    it.restart()
    await it.run(for_s=600)
    assert await held_codes(it, upload_id) == ["pacs_patient_conflict"]
    assert it.pacs.sent == []


async def test_an_endpoint_that_takes_patients_as_they_are_is_not_asked_for_them(tmp_path: Path):
    async with room(tmp_path, config={"identity": "as-is"}) as it:
        it.pacs.people = [PatientRecord("P1", "ROE^RICHARD", "19550505")]
        upload_id = await it.submit(toys(2))
        await it.run()
        assert (await it.upload(upload_id)).state is UploadState.SUCCESS
        assert "patients" not in it.pacs.asked


async def test_other_declared_fields_only_warn_and_are_named_without_values(it: Room):
    upload_id = await it.submit(toys(1), study_metadata={"modality": "MR", "patient_name": "Smith, John"})
    await it.run()
    (one,) = await it.warnings(upload_id)
    assert one["code"] == "study_metadata_mismatch"
    assert "modality" in one["message"]
    assert "patient_name" in one["message"]
    assert "Smith" not in one["message"]
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS


@pytest.mark.parametrize(("rule", "state"), [("warn", "success"), ("reject", "failed")])
async def test_the_configuration_says_what_a_mismatch_means(tmp_path: Path, rule: str, state: str):
    async with room(tmp_path, settings={"study_mismatch": rule}) as it:
        upload_id = await it.submit(toys(2), study_metadata={"patient_id": "P9"})
        await it.run()
        assert (await it.upload(upload_id)).state == state
        codes = {one["code"] for one in await it.warnings(upload_id)}
        assert "study_metadata_mismatch" in codes
        assert ("study_mismatch" in codes) == (rule == "reject")
        assert bool(it.pacs.sent) == (rule == "warn")


async def test_a_released_upload_goes_and_is_not_held_again(it: Room):
    upload_id = await it.submit([Toy("1.1"), Toy("1.2", patient_id="P2")])
    await it.run()
    upload = await it.upload(upload_id)
    await it.ledger.write(lambda tx: it.delivery.release(tx, upload, actor="admin", reason="twins"))
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert "upload.released" in await it.event_names()
    done = await it.upload(upload_id)
    with pytest.raises(Conflict) as refused:
        await it.ledger.write(lambda tx: it.delivery.release(tx, done, actor="admin", reason="again"))
    assert refused.value.code == "not_held"


async def test_the_receipt_tells_when_it_was_held_and_let_go_also_after_a_retry(it: Room):
    it.pacs.failures = {"1.1": 0xA900}
    upload_id = await it.submit([Toy("1.1"), Toy("1.2", patient_id="P2")])
    await it.run()
    held_at = it.clock.now()
    await it.run(for_s=600)
    released_at, upload = it.clock.now(), await it.upload(upload_id)
    await it.ledger.write(lambda tx: it.delivery.release(tx, upload, actor="admin", reason="twins"))
    assert (await it.upload(upload_id)).held_reasons == []
    await it.run()
    told = {"codes": ["two_patients"], "held_at": rfc3339(held_at), "released_at": rfc3339(released_at)}
    assert released_at >= held_at + 600
    assert (await it.receipt(upload_id))["hold"] == told
    it.pacs.failures.clear()
    assert await it.delivery.retry(upload_id, actor="admin", reason="mended") == 1
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert (await it.receipt(upload_id))["hold"] == told


async def test_what_an_older_release_let_go_has_in_its_receipt_what_that_release_noted(it: Room):
    upload_id = await it.submit([Toy("1.1"), Toy("1.2", patient_id="P2")])
    await it.run()
    upload = await it.upload(upload_id)
    await it.ledger.write(lambda tx: it.delivery.release(tx, upload, actor="admin", reason="twins"))

    def as_it_was(tx: Transaction) -> None:
        row, (job,) = tx.uploads.get(upload_id), tx.jobs.of_upload(upload_id)
        assert row is not None
        tx.uploads.save(replace(row, held_codes="", held_at=None, released_at=None))
        memory = Memory(released=True, held="two_patients", released_at=1.0)
        tx.jobs.save(replace(job, memory_sealed=memory.sealed(it.opened.keys, job.job_id)))

    await it.ledger.write(as_it_was)
    await it.run()
    assert (await it.receipt(upload_id))["hold"] == {"codes": ["two_patients"], "released_at": rfc3339(1.0)}


async def test_a_retry_sends_what_failed_and_writes_a_new_receipt(it: Room):
    it.pacs.failures = {"1.2.3.1.2": 0xA900}
    upload_id = await it.submit(toys(3))
    await it.run()
    first = await it.upload(upload_id)
    assert first.state is UploadState.PARTIAL
    it.pacs.failures.clear()
    it.pacs.sent.clear()
    assert await it.delivery.retry(upload_id, actor="admin", reason="mended") == 1
    await it.run()
    second = await it.upload(upload_id)
    assert second.state is UploadState.SUCCESS
    assert second.receipt_id != first.receipt_id
    assert it.pacs.sent == ["1.2.3.1.2"]
    assert await it.warnings(upload_id) == []
    assert {one["outcome"] for one in (await it.receipt(upload_id))["instances"]} == {"stored"}


async def test_a_retry_comes_to_an_end_though_what_was_delivered_is_purged(it: Room):
    it.pacs.failures = {"1.2.3.1.2": 0xA900}
    upload_id = await it.submit(toys(3))
    await it.run()
    files = await it.files(upload_id)

    def purge(tx: Transaction) -> None:
        for row in files.values():
            if row.state is FileState.STORED:
                tx.files.save(replace(row, key_id=None, client_mac=None, meta_sealed=None, facts_sealed=None))

    await it.ledger.write(purge)
    it.pacs.failures.clear()
    await it.delivery.retry(upload_id, actor="admin", reason="mended")
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    outcomes = {(one["sop_instance_uid"], one["outcome"]) for one in (await it.receipt(upload_id))["instances"]}
    assert outcomes == {(toy.uid, "stored") for toy in toys(3)}


async def test_a_retry_of_what_cannot_be_sent_again_is_refused(it: Room):
    upload_id = await it.submit([Toy("1.1", verdict="reject")])
    await it.run()
    with pytest.raises(Conflict):
        await it.delivery.retry(upload_id, actor="admin", reason="why not")
    assert (await it.upload(upload_id)).state is UploadState.FAILED


async def cancel(it: Room, upload_id: str) -> None:
    """As whoever cancels does it."""

    def act(tx: Transaction) -> None:
        row = tx.uploads.get(upload_id)
        assert row is not None
        row = replace(row, state=after(row.state, UploadEvent.CANCEL), epoch=row.epoch + 1)
        assert row.key_id is not None
        tx.keys.delete([row.key_id])
        tx.uploads.save(replace(row, key_id=None, finished_at=it.clock.now()))
        tx.wake(upload_id)

    await it.ledger.write(act)
    await it.delivery.settle_cancelled(upload_id)


async def test_a_cancellation_in_the_middle_of_a_transfer_stops_it_and_says_what_is_left(tmp_path: Path):
    async with room(tmp_path, config={"batch_instances": 5, "connections": 1}) as it:
        loop, reached = asyncio.get_running_loop(), asyncio.Event()
        stopped_at: list[int] = []

        def on_instance(uid: str) -> None:
            if uid == "1.2.3.1.8":
                loop.call_soon_threadsafe(reached.set)
                (attempt_stop,) = it.delivery._deliver._stops
                while not attempt_stop.is_set():
                    attempt_stop._flag.wait(0.05)
                stopped_at.append(len(it.pacs.held))

        it.pacs.on_instance = on_instance
        upload_id = await it.submit(toys(20))
        working = asyncio.create_task(it.run())
        await asyncio.wait_for(reached.wait(), 20)
        await cancel(it, upload_id)
        await working

        upload = await it.upload(upload_id)
        assert upload.state is UploadState.CANCELLED
        assert "partial_left_in_pacs" in [one["code"] for one in await it.warnings(upload_id)]
        receipt = await it.receipt(upload_id)
        assert len(receipt["instances"]) == 5  # the batch that was acknowledged
        assert len(it.pacs.held) == stopped_at[0] < 20
        assert await it.jobs() == []


async def test_an_answer_that_comes_after_the_cancellation_gets_its_receipt(tmp_path: Path):
    async with room(tmp_path, config={"batch_instances": 2, "connections": 1}) as it:
        loop, reached, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def on_instance(uid: str) -> None:
            if uid == "1.2.3.1.2" and not go_on.is_set():
                loop.call_soon_threadsafe(reached.set)
                go_on.wait(10)

        it.pacs.on_instance = on_instance
        it.pacs.deliver = _deaf(it.pacs.deliver)  # type: ignore[method-assign] # it sends to the end
        upload_id = await it.submit(toys(2))
        working = asyncio.create_task(it.run())
        await asyncio.wait_for(reached.wait(), 20)
        await cancel(it, upload_id)
        assert [one["code"] for one in await it.warnings(upload_id)] == ["partial_left_in_pacs"]
        assert (await it.upload(upload_id)).receipt_id is None
        go_on.set()
        await working
        assert len((await it.receipt(upload_id))["instances"]) == 2
        assert [one["code"] for one in await it.warnings(upload_id)] == ["partial_left_in_pacs"]
        assert await it.states(upload_id) == ["stored", "stored"]


def _deaf(deliver):
    return lambda batch, stop: deliver(batch, lambda: False)


async def test_a_cancellation_before_anything_left_needs_no_receipt(it: Room):
    upload_id = await it.submit([Toy("1.1"), Toy("1.2", patient_id="P2")])
    await it.run()
    await cancel(it, upload_id)
    upload = await it.upload(upload_id)
    assert upload.receipt_id is None
    assert upload.warnings_sealed is None


async def test_cancelling_a_partial_upload_keeps_its_receipt(it: Room):
    it.pacs.failures = {"1.2.3.1.2": 0xA900}
    upload_id = await it.submit(toys(2))
    await it.run()
    before = await it.upload(upload_id)
    await cancel(it, upload_id)
    assert (await it.upload(upload_id)).receipt_id == before.receipt_id
    assert [one["code"] for one in await it.warnings(upload_id)] == ["refused_by_pacs", "partial_left_in_pacs"]
