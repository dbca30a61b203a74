"""What an upload comes to, as its uploader sees it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

import pytest

from gateway.jobs.workers import Again
from gateway.ledger.rows import JobKind
from gateway.states import UploadState
from hooks.contract import Instance, Outcome, SourceBroke, TargetDown
from tests.unit.delivery.little_pacs import LittlePacs, Toy, toys
from tests.unit.delivery.room import Room, room


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Room]:
    async with room(tmp_path) as opened:
        yield opened


async def test_a_series_arrives_with_its_bytes_and_a_signed_receipt(it: Room):
    series = toys(25)
    upload_id = await it.submit(series)
    await it.run()

    assert it.pacs.held == {toy.uid: toy.content for toy in series}
    upload = await it.upload(upload_id)
    assert upload.state is UploadState.SUCCESS
    assert upload.finished_at is not None
    assert await it.states(upload_id) == ["stored"] * 25
    assert await it.warnings(upload_id) == []
    receipt = await it.receipt(upload_id)
    assert receipt["verification"] == "queried"
    assert {(one["sop_instance_uid"], one["sha256"], one["outcome"]) for one in receipt["instances"]} == {
        (toy.uid, toy.sha256, "stored") for toy in series
    }
    assert await it.jobs() == []
    assert (await it.event_names())[-1] == "upload.delivered"


async def test_an_upload_survives_a_pacs_that_is_down_and_arrives_when_it_is_back(it: Room):
    it.pacs.down = True
    upload_id = await it.submit(toys(3))
    await it.run(for_s=600)
    assert (await it.upload(upload_id)).state is UploadState.DELIVERING
    assert (await it.event_names()).count("endpoint.down") == 1

    it.pacs.down = False
    await it.run(for_s=120)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert (await it.event_names()).count("endpoint.up") == 1


async def test_many_uploads_wait_for_a_pacs_that_is_down_without_asking_it_each(it: Room):
    it.pacs.down = True
    uploads = [await it.submit([Toy(f"1.9.{number}")]) for number in range(30)]
    await it.run(for_s=600)
    assert len(it.pacs.asked) < 60
    assert (await it.event_names()).count("endpoint.down") == 1
    it.pacs.down = False
    await it.run(for_s=90)
    assert {(await it.upload(one)).state for one in uploads} == {UploadState.SUCCESS}


async def test_who_was_told_to_wait_while_another_asked_goes_as_soon_as_the_pacs_is_back(it: Room):
    it.pacs.down = True
    for number in range(3):
        await it.submit([Toy(f"1.9.{number}")])
    await it.run(for_s=60)
    (_, _, waits), deliver = await it.jobs(), it.delivery.handlers()[JobKind.DELIVER]
    told, loop, answer = list[object](), asyncio.get_running_loop(), it.pacs._answer

    async def ask() -> None:
        told.append(await deliver(waits))

    def answer_and_ask_beside(question: str) -> None:
        answer(question)
        if not told:
            asyncio.run_coroutine_threadsafe(ask(), loop).result()

    it.pacs.down = False
    it.pacs._answer = answer_and_ask_beside  # type: ignore[method-assign] # to ask before its answer is heard, by no luck
    await it.run(for_s=90)
    assert len(it.pacs.held) == 3
    (again,) = told
    assert isinstance(again, Again)
    assert again.code == "endpoint_no_answer"
    assert again.is_over(), "who wakes those that wait may not find it written down yet"


async def test_a_pacs_that_asks_for_patience_gets_it(it: Room):
    it.pacs.down, it.pacs.retry_after_s = True, 100.0
    await it.submit(toys(1))
    await it.run(for_s=99)
    assert it.pacs.asked == ["patients"]


async def test_a_full_disk_that_answers_200_is_no_success(it: Room):
    it.pacs.full = True
    upload_id = await it.submit(toys(3))
    await it.run(for_s=60)
    assert (await it.upload(upload_id)).state is UploadState.FAILED
    assert await it.states(upload_id) == ["failed"] * 3
    assert {one.code for one in await it.outcomes(upload_id)} == {"not_acknowledged"}
    assert it.pacs.sent.count("1.2.3.1.1") == 2  # once in its batch, once alone
    receipt = await it.receipt(upload_id)
    assert {one["outcome"] for one in receipt["instances"]} == {"failed"}


async def test_an_instance_that_the_answer_forgets_is_stored_if_the_pacs_shows_it(it: Room):
    it.pacs.mute = {"1.2.3.1.2"}
    upload_id = await it.submit(toys(3))
    await it.run()
    assert await it.states(upload_id) == ["stored"] * 3
    assert it.pacs.sent.count("1.2.3.1.2") == 1


async def test_a_refusal_by_name_is_told_with_the_code_of_the_pacs(it: Room):
    it.pacs.failures = {"1.2.3.1.2": 0xA900}
    upload_id = await it.submit(toys(3))
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.PARTIAL
    assert await it.states(upload_id) == ["stored", "failed", "stored"]
    assert [(one["code"], one["file_id"], one["reason"]) for one in await it.warnings(upload_id)] == [
        ("refused_by_pacs", "client-1", "A900")
    ]
    assert [one.get("reason") for one in (await it.receipt(upload_id))["instances"]] == [None, "A900", None]


async def test_a_warning_of_the_pacs_is_in_the_receipt(it: Room):
    it.pacs.warnings = {"1.2.3.1.1": 0xB000}
    upload_id = await it.submit(toys(1))
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    (one,) = (await it.receipt(upload_id))["instances"]
    assert (one["outcome"], one["reason"]) == ("warning", "B000")
    assert await it.states(upload_id) == ["stored"]


async def test_a_busy_pacs_is_tried_again(it: Room):
    it.pacs.busy = {"1.2.3.1.2"}
    upload_id = await it.submit(toys(3))
    await it.run(for_s=60)
    assert await it.states(upload_id) == ["stored"] * 3
    assert it.pacs.sent.count("1.2.3.1.1") == 1


async def test_a_batch_that_is_too_large_is_made_smaller(it: Room):
    series = [*toys(8), Toy("1.2.3.1.99", pixels=bytes(5000))]
    it.pacs.max_bytes = 1000
    upload_id = await it.submit(series)
    await it.run()
    assert await it.states(upload_id) == ["stored"] * 8 + ["failed"]
    assert (await it.outcomes(upload_id))[-1].code == "too_large_for_pacs"


async def test_the_same_instances_again_are_already_there_and_nothing_is_sent(it: Room):
    await it.submit(toys(3))
    await it.run()
    it.pacs.sent.clear()
    again = await it.submit(toys(3))
    await it.run()
    assert it.pacs.sent == []
    assert (await it.upload(again)).state is UploadState.SUCCESS
    assert await it.states(again) == ["already_there"] * 3
    assert "sha256" not in it.pacs.asked  # our receipt knows the bytes


async def test_what_somebody_else_stored_is_already_there_if_the_bytes_are_equal(it: Room):
    (toy,) = toys(1)
    it.pacs.put(toy.content)
    upload_id = await it.submit([toy])
    await it.run()
    assert await it.states(upload_id) == ["already_there"]
    assert (await it.receipt(upload_id))["verification"] == "compared"
    assert it.pacs.sent == []


async def test_other_bytes_under_the_same_uid_are_a_conflict_and_the_bytes_are_kept(it: Room):
    (toy,) = toys(1)
    it.pacs.put(Toy(toy.uid, pixels=b"other").content)
    upload_id = await it.submit([toy])
    await it.run()
    upload = await it.upload(upload_id)
    assert upload.state is UploadState.FAILED
    assert upload.key_id is not None
    assert [(one["code"], one["sop_instance_uid"]) for one in await it.warnings(upload_id)] == [
        ("uid_conflict", toy.uid)
    ]
    assert it.pacs.sent == []


async def test_what_cannot_be_compared_is_already_there_with_a_warning(it: Room):
    (toy,) = toys(1)
    it.pacs.put(Toy(toy.uid, pixels=b"other").content)
    it.pacs.gives_bytes = False
    upload_id = await it.submit([toy])
    await it.run()
    assert await it.states(upload_id) == ["already_there"]
    assert [one["code"] for one in await it.warnings(upload_id)] == ["content_not_compared"]
    # It was never compared: nothing is known of these bytes the next time either.
    again = await it.submit([toy])
    await it.run()
    assert [one["code"] for one in await it.warnings(again)] == ["content_not_compared"]


async def test_other_bytes_of_our_own_are_a_conflict_even_where_the_pacs_gives_none_back(it: Room):
    it.pacs.gives_bytes = False
    await it.submit([Toy("1.5", pixels=b"first")])
    await it.run()
    second = await it.submit([Toy("1.5", pixels=b"second")])
    await it.run()
    assert await it.states(second) == ["failed"]
    assert [one["code"] for one in await it.warnings(second)] == ["uid_conflict"]


async def test_other_bytes_of_our_own_are_a_conflict_in_another_series_too(it: Room):
    (toy,) = toys(1)
    first = await it.submit([toy])
    await it.run()
    await it.run(for_s=3600)
    second = await it.submit([Toy(toy.uid, series="1.2.3.9", pixels=b"other")])
    await it.run()
    assert (await it.upload(first)).state is UploadState.SUCCESS
    assert [one["code"] for one in await it.warnings(second)] == ["uid_conflict"]
    assert it.pacs.sent == [toy.uid]


async def test_another_patient_under_the_same_uid_is_never_the_same_instance(it: Room):
    (toy,) = toys(1)
    it.pacs.put(Toy(toy.uid, patient_id="P2").content)
    it.pacs.gives_bytes = False
    upload_id = await it.submit([toy])
    await it.run()
    assert [one["code"] for one in await it.warnings(upload_id)] == ["uid_conflict"]
    assert it.pacs.sent == []


async def test_two_uploads_at_once_with_one_uid_and_other_bytes_make_one_conflict(it: Room):
    it.pacs.index_delay_s = 30.0  # neither look can see what the other sent
    uploads = [await it.submit([Toy("1.5", pixels=pixels)]) for pixels in (b"one", b"two")]
    await it.run(for_s=900)
    assert sorted([(await it.states(one))[0] for one in uploads]) == ["failed", "stored"]
    assert it.pacs.sent == ["1.5"]


async def test_a_repeat_within_the_upload_is_told_and_sent_once(it: Room):
    (toy,) = toys(1)
    upload_id = await it.submit([toy, toy])
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert await it.states(upload_id) == ["stored", "already_there"]
    assert [(one["code"], one["file_id"]) for one in await it.warnings(upload_id)] == [
        ("duplicate_in_upload", "client-1")
    ]
    assert it.pacs.sent == [toy.uid]


async def test_a_repeat_of_what_failed_has_failed(it: Room):
    (toy,) = toys(1)
    it.pacs.failures = {toy.uid: 0xC000}
    upload_id = await it.submit([toy, toy])
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.FAILED
    assert await it.states(upload_id) == ["failed", "failed"]


async def test_one_uid_with_other_bytes_within_the_upload_is_a_conflict(it: Room):
    upload_id = await it.submit([Toy("1.5", pixels=b"one"), Toy("1.5", pixels=b"two")])
    await it.run()
    assert await it.states(upload_id) == ["stored", "failed"]
    assert [(one["code"], one["file_id"]) for one in await it.warnings(upload_id)] == [("uid_conflict", "client-1")]


async def test_an_archive_that_indexes_late_is_waited_for(it: Room):
    it.pacs.index_delay_s = 45.0
    upload_id = await it.submit(toys(3))
    await it.run(for_s=40)
    assert (await it.upload(upload_id)).state is UploadState.DELIVERING
    assert await it.states(upload_id) == ["sending"] * 3
    await it.run(for_s=60)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert await it.warnings(upload_id) == []
    assert len(it.pacs.sent) == 3


async def test_what_the_archive_never_shows_is_stored_with_a_warning(it: Room):
    it.pacs.index_delay_s = 1e9
    upload_id = await it.submit(toys(2))
    await it.run(for_s=599)
    assert (await it.upload(upload_id)).state is UploadState.DELIVERING
    await it.run(for_s=20)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert [one["code"] for one in await it.warnings(upload_id)] == ["not_yet_visible"] * 2
    assert (await it.receipt(upload_id))["verification"] == "acknowledged"


async def test_a_pacs_that_answers_no_queries_is_believed_and_the_receipt_says_so(it: Room):
    it.pacs.refuses_queries = True
    upload_id = await it.submit(toys(2))
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert (await it.receipt(upload_id))["verification"] == "acknowledged"
    assert [one["code"] for one in await it.warnings(upload_id)] == ["identity_not_checked"]


async def test_rejected_files_make_it_partial_and_skipped_ones_do_not(it: Room):
    bad, junk = Toy("1.2", verdict="reject"), Toy("1.3", verdict="skip")
    partial = await it.submit([Toy("1.1"), bad])
    success = await it.submit([Toy("1.4"), junk])
    failed = await it.submit([bad])
    await it.run()
    assert [(await it.upload(one)).state for one in (partial, success, failed)] == ["partial", "success", "failed"]
    assert await it.states(partial) == ["stored", "rejected"]
    assert [one["code"] for one in await it.warnings(partial)] == ["truncated"]
    assert await it.states(success) == ["stored", "skipped"]
    receipt = await it.receipt(success)
    assert [one["reason"] for one in receipt["skipped"]] == ["dicomdir"]
    assert len(receipt["instances"]) == 1
    assert (await it.receipt(failed))["instances"][0]["outcome"] == "rejected"


async def test_warnings_of_the_check_reach_the_uploader(it: Room):
    upload_id = await it.submit([Toy("1.1", warnings=("unknown_sop_class",))])
    await it.run()
    (one,) = await it.warnings(upload_id)
    assert (one["code"], one["file_id"], one["sop_instance_uid"]) == ("unknown_sop_class", "client-0", "1.1")


async def test_a_check_that_breaks_once_is_asked_again_and_twice_rejects(it: Room):
    it.check.breaks = 1
    first = await it.submit([Toy("1.1")])
    await it.run()
    assert await it.states(first) == ["stored"]
    it.check.breaks = 2
    second = await it.submit([Toy("1.2")])
    await it.run()
    assert await it.states(second) == ["rejected"]
    assert [one["code"] for one in await it.warnings(second)] == ["check_failed"]


async def test_damaged_bytes_are_lost_said_so_and_the_others_arrive(it: Room):
    upload_id = await it.submit(toys(3))
    victim = (await it.files(upload_id))["client-1"]
    (run,) = await it.ledger.read(lambda tx: tx.runs.of_file(victim.file_id))
    sealed = bytearray(it.blobs.content(run.segment_id))
    sealed[-20] ^= 1
    it.blobs.put(run.segment_id, bytes(sealed))
    await it.run()
    assert await it.states(upload_id) == ["stored", "lost", "stored"]
    assert (await it.upload(upload_id)).state is UploadState.PARTIAL
    assert [one["code"] for one in await it.warnings(upload_id)] == ["data_lost"]
    assert (await it.event_names()).count("file.lost") == 1


async def test_bytes_that_are_damaged_after_the_check_never_reach_the_pacs(it: Room):
    it.pacs.down = True
    upload_id = await it.submit(toys(3))
    await it.run()
    victim = (await it.files(upload_id))["client-1"]
    (run,) = await it.ledger.read(lambda tx: tx.runs.of_file(victim.file_id))
    sealed = bytearray(it.blobs.content(run.segment_id))
    sealed[-20] ^= 1
    it.blobs.put(run.segment_id, bytes(sealed))
    it.pacs.down = False
    await it.run(for_s=60)
    assert await it.states(upload_id) == ["stored", "lost", "stored"]
    assert "1.2.3.1.2" not in it.pacs.held


async def test_an_instance_that_is_not_as_long_as_it_should_be_is_lost_and_the_others_arrive(it: Room):
    upload_id = await it.submit(toys(3))
    victim = (await it.files(upload_id))["client-1"].file_id

    class Short(LittlePacs):
        """Its hook finds that an instance's bytes are fewer than its facts say."""

        def deliver(self, batch: Sequence[Instance], stop: Callable[[], bool]) -> dict[str, Outcome]:
            if victim in [one.instance_id for one in batch]:
                raise SourceBroke(victim)
            return super().deliver(batch, stop)

    it.pacs = Short(now=it.clock.now)
    it.restart()
    await it.run()
    assert await it.states(upload_id) == ["stored", "lost", "stored"]
    assert [one["code"] for one in await it.warnings(upload_id)] == ["data_lost"]
    assert (await it.event_names()).count("file.lost") == 1


async def test_a_pacs_that_answers_queries_and_stores_nothing_is_down_once(it: Room):
    class Full(LittlePacs):
        has_room = False

        def deliver(self, batch: Sequence[Instance], stop: Callable[[], bool]) -> dict[str, Outcome]:
            if not self.has_room:
                raise TargetDown("http_507")
            return super().deliver(batch, stop)

    it.pacs = pacs = Full(now=it.clock.now)
    it.restart()
    uploads = [await it.submit([Toy(f"1.9.{number}")]) for number in range(5)]
    await it.run(for_s=600)
    assert (await it.event_names()).count("endpoint.down") == 1
    assert "endpoint.up" not in await it.event_names()
    pacs.has_room = True
    await it.run(for_s=120)
    assert {(await it.upload(one)).state for one in uploads} == {UploadState.SUCCESS}
    assert (await it.event_names()).count("endpoint.up") == 1


async def test_what_waits_for_an_endpoint_is_due_when_a_gateway_begins(it: Room):
    it.pacs.refuses_us = True
    upload_id = await it.submit(toys(2))
    await it.run()
    it.pacs.refuses_us = False
    it.restart()
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.DELIVERING
    await it.delivery.begin()
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS


async def test_a_wrong_password_stops_the_endpoint_alerts_once_and_loses_nothing(it: Room):
    it.pacs.refuses_us = True
    uploads = [await it.submit([Toy(f"1.9.{number}")]) for number in range(3)]
    await it.run(for_s=2 * 3600)  # longer than retry_for: waiting for a person doesn't count
    assert {(await it.upload(one)).state for one in uploads} == {UploadState.DELIVERING}
    assert (await it.event_names()).count("endpoint.misconfigured") == 1
    it.pacs.refuses_us = False
    await it.run(for_s=120)
    assert {(await it.upload(one)).state for one in uploads} == {UploadState.SUCCESS}


async def test_an_upload_gives_up_after_the_time_in_which_it_could_try(it: Room):
    it.pacs.down = True
    upload_id = await it.submit(toys(2))
    await it.run(for_s=1800)
    it.clock.advance(7 * 86400)  # the gateway itself was down
    it.restart()
    await it.run(for_s=600)
    assert (await it.upload(upload_id)).state is UploadState.DELIVERING
    await it.run(for_s=3600)
    assert (await it.upload(upload_id)).state is UploadState.FAILED
    assert [one["code"] for one in await it.warnings(upload_id)] == ["gave_up"] * 2
    assert (await it.receipt(upload_id))["instances"][0]["reason"] == "gave_up"


async def test_a_connection_that_breaks_in_the_middle_costs_nothing(it: Room):
    it.pacs.breaks_after = 7
    upload_id = await it.submit(toys(25))
    await it.run()
    it.pacs.down = False
    await it.run(for_s=60)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert len(it.pacs.held) == 25
    assert len(await it.jobs()) == 0


async def test_two_studies_of_a_patient_go_in_batches_of_their_own(it: Room):
    series = [Toy(f"1.{number}", study=f"1.2.{number % 2}", pixels=b"%d" % number) for number in range(6)]
    upload_id = await it.submit(series)
    await it.run()
    receipt = await it.receipt(upload_id)
    assert receipt["studies"] == [
        {"study_instance_uid": "1.2.0", "instances": 3},
        {"study_instance_uid": "1.2.1", "instances": 3},
    ]


async def test_no_log_line_names_a_patient(it: Room, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG", "relaypacs.delivery")
    it.pacs.failures = {"1.2.3.1.2": 0xA900}
    await it.submit(toys(3))
    await it.run()
    assert caplog.records
    for told in ("DOE", "JANE", "P1", "19700101", "client-"):
        assert told not in caplog.text


async def test_bytes_do_not_go_out_for_ever_for_answers_that_nobody_can_read(it: Room):
    it.pacs.refuses_queries = it.pacs.unreadable = True
    upload_id = await it.submit(toys(3))
    await it.run(for_s=3600)
    assert (await it.upload(upload_id)).state is UploadState.FAILED
    assert {one.code for one in await it.outcomes(upload_id)} == {"not_acknowledged"}
    assert len(it.pacs.sent) <= 5 * 3
    assert (await it.receipt(upload_id))["verification"] == "none"


async def test_what_is_refused_after_its_first_answer_was_lost_is_looked_for_first(it: Room):
    it.pacs.breaks_after, it.pacs.breaks_by = 3, TargetDown("connection_lost")
    [toy, *_] = series = toys(3)
    upload_id = await it.submit(series)
    await it.run()
    it.pacs.put(toy.content)
    it.pacs.failures = {one.uid: 0xC000 for one in series}
    await it.run(for_s=600)
    first, *_ = await it.outcomes(upload_id)
    assert str(first.outcome) == "stored"


@pytest.mark.parametrize(("reason", "times"), [(0x0110, 2), (0xC000, 1)])
async def test_a_reason_that_says_nothing_is_tried_once_more_and_no_oftener(it: Room, reason: int, times: int):
    it.pacs.failures = {"1.2.3.1.1": reason}
    upload_id = await it.submit(toys(1))
    await it.run(for_s=600)
    [outcome] = await it.outcomes(upload_id)
    assert (outcome.code, outcome.reason) == ("refused_by_pacs", f"{reason:04X}")
    assert it.pacs.sent == ["1.2.3.1.1"] * times


async def test_what_is_filed_under_another_patient_is_ours_and_is_said_at_once(it: Room):
    it.pacs.other_ids = {"1.2.3.1.1": "LOCAL-1"}
    upload_id = await it.submit(toys(2))
    await it.run(for_s=5)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert [one["code"] for one in await it.warnings(upload_id)] == ["other_patient_in_pacs"]
    receipt = await it.receipt(upload_id)
    assert receipt["coerced"] == 1
    assert [one.get("warnings", []) for one in receipt["instances"]] == [["other_patient_in_pacs"], []]


@pytest.mark.parametrize(
    ("reason", "codes"), [(0xB000, ["pacs_warning"]), (0xB007, ["other_patient_in_pacs", "pacs_warning"])]
)
async def test_only_the_word_coercion_excuses_another_patient(it: Room, reason: int, codes: list[str]):
    it.pacs.other_ids, it.pacs.warnings = {"1.2.3.1.1": "LOCAL-1"}, {"1.2.3.1.1": reason}
    upload_id = await it.submit(toys(1))
    await it.run(for_s=5)
    assert sorted(one["code"] for one in await it.warnings(upload_id)) == codes


async def test_batches_that_wait_for_their_turn_are_neither_marked_nor_sent_after_a_failure(tmp_path: Path):
    async with room(tmp_path, config={"connections": 1, "batch_instances": 5}) as it:
        it.pacs.breaks_after, it.pacs.breaks_by = 2, TargetDown("connection_reset")
        upload_id = await it.submit(toys(20))
        await it.run()  # until the first pause
        assert it.pacs.asked.count("deliver") == 1
        assert sorted(await it.states(upload_id)) == ["queued"] * 15 + ["sending"] * 5
        await it.run(for_s=120)
        assert await it.states(upload_id) == ["stored"] * 20


# -- looked for beside the sending of others


def two_series(first: int, second: int) -> list[Toy]:
    """Of one study, in this order."""
    return [
        Toy(f"1.2.3.{series}.{number}", series=f"1.2.3.{series}", pixels=b"%d" % number)
        for series, count in ((1, first), (2, second))
        for number in range(count)
    ]


def watched(it: Room, monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[str], int]]:
    """Fills with the series of each look, and how many instances had been sent by then."""
    looks: list[tuple[set[str], int]] = []
    present = it.pacs.present

    def watching(study: str, series: Iterable[str]) -> dict[str, str]:
        asked = set(series)
        looks.append((asked, len(it.pacs.sent)))
        return present(study, asked)

    monkeypatch.setattr(it.pacs, "present", watching)
    return looks


async def test_a_series_that_is_through_is_looked_for_while_the_next_one_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with room(tmp_path, config={"connections": 1}) as it:
        looks = watched(it, monkeypatch)
        upload_id = await it.submit(two_series(30, 60))
        await it.run()
        assert (await it.receipt(upload_id))["verification"] == "queried"
        assert await it.states(upload_id) == ["stored"] * 90
        before, ahead, at_end = looks
        assert before == ({"1.2.3.1", "1.2.3.2"}, 0)
        assert ahead[0] == {"1.2.3.1"}
        assert 30 <= ahead[1] < 90
        assert at_end == ({"1.2.3.2"}, 90)


async def test_what_isnt_shown_while_others_are_sent_is_looked_for_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with room(tmp_path, config={"connections": 1}) as it:
        looks = watched(it, monkeypatch)
        it.pacs.index_delay_s = 5.0
        upload_id = await it.submit(two_series(30, 30))
        await it.run(for_s=120)
        assert (await it.receipt(upload_id))["verification"] == "queried"
        assert looks[-1] == ({"1.2.3.1", "1.2.3.2"}, 60)


async def test_a_look_ahead_that_fails_stops_nothing_and_is_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with room(tmp_path, config={"connections": 1}) as it:
        failed: list[int] = []
        present = it.pacs.present

        def failing(study: str, series: Iterable[str]) -> dict[str, str]:
            if 0 < len(it.pacs.sent) < 120:
                failed.append(len(it.pacs.sent))
                raise TargetDown("http_500")
            return present(study, series)

        monkeypatch.setattr(it.pacs, "present", failing)
        third = [Toy(f"1.2.3.3.{number}", series="1.2.3.3") for number in range(60)]
        upload_id = await it.submit([*two_series(30, 30), *third])
        await it.run()
        assert len(failed) == 1
        assert len(it.pacs.sent) == 120
        assert (await it.receipt(upload_id))["verification"] == "queried"


async def test_several_series_are_looked_for_beside_each_other_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with room(tmp_path, config={"connections": 2}) as it:
        looks = watched(it, monkeypatch)
        both = threading.Barrier(2, timeout=10)
        present = it.pacs.present

        def together(study: str, series: Iterable[str]) -> dict[str, str]:
            if it.pacs.sent:
                both.wait()
            return present(study, series)

        monkeypatch.setattr(it.pacs, "present", together)
        upload_id = await it.submit(two_series(5, 5))
        await it.run()
        assert (await it.receipt(upload_id))["verification"] == "queried"
        assert sorted(sorted(asked) for asked, sent in looks if sent) == [["1.2.3.1"], ["1.2.3.2"]]
