"""Instances leave while others of their upload still come (endpoint `mode = "stream"`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.delivery import streams
from gateway.delivery.routes import DeliveryRoute, RouteConditions
from gateway.ledger.base import Transaction
from gateway.ledger.resting import is_at_rest
from gateway.ledger.rows import UploadRow
from gateway.states import FileState, UploadState
from gateway.uploads.completion import wake_delivery
from hooks.contract import PatientRecord
from tests.unit.delivery.little_pacs import LittlePacs, Toy, toys
from tests.unit.delivery.room import Room, room

SOMEBODY_ELSE = Toy("1.9.9", study="1.9", series="1.9.1", patient_id="P2", patient_name="ROE^RICHARD")


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Room]:
    async with room(tmp_path, config={"streams": True}) as opened:
        yield opened


def uids(*content: Toy) -> list[str]:
    return [one.uid for one in content]


async def test_each_instance_leaves_when_it_is_valid_and_the_upload_ends_when_it_is_complete(it: Room):
    content = toys(3)
    upload_id = await it.begin(3)
    for number, toy in enumerate(content, 1):
        await it.add(upload_id, toy)
        await it.run()
        assert it.pacs.sent == uids(*content[:number])
        assert (await it.upload(upload_id)).state is UploadState.UPLOADING
        assert (await it.upload(upload_id)).receipt_id is None
    await it.complete(upload_id)
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert it.pacs.sent == uids(*content)
    receipt = await it.receipt(upload_id)
    assert receipt["verification"] == "queried"
    assert [one["sop_instance_uid"] for one in receipt["instances"]] == sorted(uids(*content))
    assert await it.jobs() == []


async def test_what_is_not_ready_costs_nobody_a_look(it: Room):
    upload_id = await it.begin(2)
    await it.add(upload_id, toys(1)[0])
    await it.run(for_s=3600)
    (job,) = await it.jobs()
    assert is_at_rest(job)
    asked = list(it.pacs.asked)
    await it.run(for_s=86_400)
    assert it.pacs.asked == asked


async def test_what_is_ready_goes_together_and_the_study_is_looked_at_once_in_a_while(it: Room):
    content = toys(30)
    upload_id = await it.begin(32)
    await it.add(upload_id, *content[:20])
    await it.run()
    for toy in content[20:]:
        await it.add(upload_id, toy)
        await it.run()
    assert sorted(it.pacs.sent) == sorted(uids(*content))
    assert it.pacs.asked.count("patients") == 2, "by PatientID and by study, before the first one left"
    assert it.pacs.asked.count("present") == 1
    it.clock.advance(60)
    await it.add(upload_id, Toy("1.2.3.1.31"))
    await it.run()
    assert it.pacs.asked.count("present") == 2
    await it.add(upload_id, Toy("1.2.3.1.32"))
    await it.complete(upload_id)
    await it.run()
    assert it.pacs.asked.count("present") == 2
    assert (await it.receipt(upload_id))["verification"] == "queried"


async def test_what_the_pacs_shows_late_is_looked_for_until_it_is_there(it: Room):
    it.pacs.index_delay_s = 20
    upload_id = await it.begin(40)
    await it.add(upload_id, *toys(40))
    await it.run()
    assert set(await it.states(upload_id)) == {"sending"}
    await it.complete(upload_id)
    await it.run(for_s=5)
    assert (await it.upload(upload_id)).state is UploadState.DELIVERING
    await it.run(for_s=60)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert {one.verification for one in await it.outcomes(upload_id)} == {"queried"}


async def test_what_is_there_is_looked_for_while_more_comes(it: Room):
    upload_id = await it.begin(2)
    await it.add(upload_id, toys(1)[0])
    await it.run()
    assert await it.states(upload_id) == ["stored"]
    it.pacs.other_ids = {"1.2.3.1.7": "P9"}
    await it.add(upload_id, Toy("1.2.3.1.7"))
    await it.run()
    await it.complete(upload_id)
    await it.run()
    assert [one["code"] for one in await it.warnings(upload_id)] == ["other_patient_in_pacs"]


async def test_what_somebody_else_brought_in_between_is_not_sent_again(it: Room):
    content = toys(3)
    upload_id = await it.begin(3)
    await it.add(upload_id, content[0])
    await it.run()
    other = await it.submit([content[1]])
    await it.run()
    assert (await it.upload(other)).state is UploadState.SUCCESS
    it.clock.advance(60)
    it.pacs.put(content[2].content)
    await it.add(upload_id, *content[1:])
    await it.complete(upload_id)
    await it.run()
    assert it.pacs.sent == uids(*content[:2])
    assert await it.states(upload_id) == ["stored", "already_there", "already_there"]
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS


async def test_other_bytes_under_a_uid_that_was_brought_in_between_are_a_conflict(it: Room):
    content = toys(2)
    upload_id = await it.begin(2)
    await it.add(upload_id, content[0])
    await it.run()
    await it.submit([replace(content[1], pixels=b"other")])
    await it.run()
    await it.add(upload_id, content[1])
    await it.complete(upload_id)
    await it.run()
    assert [one.code for one in await it.outcomes(upload_id)] == ["", "uid_conflict"]
    assert (await it.upload(upload_id)).state is UploadState.PARTIAL


async def test_of_one_uid_twice_the_first_goes_and_the_second_is_told_at_the_end(it: Room):
    first, second = Toy("1.1", pixels=b"a"), Toy("1.1", pixels=b"b")
    upload_id = await it.begin(3)
    await it.add(upload_id, first)
    await it.run()
    await it.add(upload_id, second, first)
    await it.run()
    assert it.pacs.sent == ["1.1"]
    await it.complete(upload_id)
    await it.run()
    assert await it.states(upload_id) == ["stored", "failed", "already_there"]
    assert it.pacs.sent == ["1.1"]


async def test_rejected_files_hold_nothing_up(it: Room):
    upload_id = await it.begin(3)
    await it.add(upload_id, Toy("1.1", verdict="reject"))
    await it.run()
    assert it.pacs.asked == []
    await it.add(upload_id, Toy("1.2"), Toy("1.3", verdict="skip"))
    await it.run()
    assert it.pacs.sent == ["1.2"]
    await it.complete(upload_id)
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.PARTIAL


async def test_a_pacs_that_is_away_in_the_middle_gets_everything_once_it_is_back(it: Room):
    content = toys(4)
    upload_id = await it.begin(4)
    await it.add(upload_id, content[0])
    await it.run()
    it.pacs.down = True
    await it.add(upload_id, content[1])
    await it.run(for_s=7200)
    await it.add(upload_id, content[2])
    await it.run(for_s=60)
    assert it.pacs.sent == uids(content[0])
    it.pacs.down = False
    await it.run(for_s=600)
    assert sorted(it.pacs.sent) == sorted(uids(*content[:3]))
    await it.add(upload_id, content[3])
    await it.complete(upload_id)
    await it.run(for_s=600)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS, "what was tried before counts against nothing"
    assert sorted(it.pacs.sent) == sorted(uids(*content))


async def test_an_answer_that_was_lost_is_looked_for_before_anything_is_sent_again(it: Room):
    content = toys(3)
    upload_id = await it.begin(3)
    it.pacs.breaks_after = 1
    await it.add(upload_id, *content)
    await it.run()
    it.pacs.down = False
    await it.run(for_s=60)
    assert sorted(it.pacs.held) == sorted(uids(*content))
    await it.complete(upload_id)
    await it.run(for_s=600)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS


@pytest.mark.parametrize("sqlite", [True, False])
async def test_a_process_that_begins_goes_on_from_the_ledger(tmp_path: Path, sqlite: bool):
    async with room(tmp_path, sqlite=sqlite, config={"streams": True}) as it:
        content = toys(4)
        upload_id = await it.begin(4)
        await it.add(upload_id, *content[:2])
        await it.run()
        it.restart()
        await it.add(upload_id, content[2])
        await it.run()
        assert sorted(it.pacs.sent) == sorted(uids(*content[:3]))
        await it.add(upload_id, content[3])
        await it.complete(upload_id)
        it.restart()
        await it.run()
        assert (await it.upload(upload_id)).state is UploadState.SUCCESS
        assert sorted(it.pacs.sent) == sorted(uids(*content))


async def test_news_that_come_while_a_group_is_sent_go_with_the_next(it: Room):
    content = toys(2)
    upload_id = await it.begin(2)
    loop = asyncio.get_running_loop()

    def on_first(uid: str) -> None:
        if uid == content[0].uid:

            async def more() -> None:
                await it.add(upload_id, content[1])

            asyncio.run_coroutine_threadsafe(more(), loop).result()

    it.pacs.on_instance = on_first
    await it.add(upload_id, content[0])
    await it.run()
    assert it.pacs.sent == uids(*content)


async def test_a_completion_that_comes_while_a_group_is_sent_is_heard(it: Room):
    upload_id = await it.begin(1)
    loop = asyncio.get_running_loop()
    it.pacs.on_instance = lambda _uid: asyncio.run_coroutine_threadsafe(it.complete(upload_id), loop).result()
    await it.add(upload_id, toys(1)[0])
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert it.pacs.sent == uids(*toys(1))


# --- held ----------------------------------------------------------------------------------------------------------


async def held_in_the_middle(it: Room) -> str:
    """Two instances of one patient have left, one of another has come, and one more of the first."""
    upload_id = await it.begin(5)
    await it.add(upload_id, *toys(2))
    await it.run()
    await it.add(upload_id, SOMEBODY_ELSE)
    await it.run()
    await it.add(upload_id, Toy("1.2.3.1.7"))
    await it.run(for_s=600)
    return upload_id


async def test_a_second_patient_stops_the_rest_and_it_is_told_how_many_are_there(it: Room):
    told: list[UploadRow] = []
    it.announce = lambda _tx, upload, _event, _now: told.append(upload)
    it.restart()
    upload_id = await held_in_the_middle(it)
    upload = await it.upload(upload_id)
    assert upload.state is UploadState.UPLOADING, "its client can go on"
    assert upload.held_reasons == ["two_patients"]
    assert it.pacs.sent == uids(*toys(2))
    (said,) = await it.warnings(upload_id)
    assert said == {"code": "partly_sent", "message": "2 instances had left for the PACS before the upload was held"}
    assert [event.detail for event in await it.events() if event.event == "upload.held"] == [
        '{"codes":["two_patients"],"sent":2}'
    ]
    await it.add(upload_id, Toy("1.2.3.1.8"))
    await it.complete(upload_id)
    await it.run(for_s=600)
    assert (await it.upload(upload_id)).state is UploadState.HELD
    assert it.pacs.sent == uids(*toys(2))
    assert [one.held_reasons for one in told] == [["two_patients"]], "said once"
    assert (await it.event_names()).count("upload.held") == 1


async def test_a_second_patient_under_a_uid_that_has_left_stops_the_rest_too(it: Room):
    upload_id = await it.begin(3)
    await it.add(upload_id, toys(1)[0])
    await it.run()
    await it.add(upload_id, replace(SOMEBODY_ELSE, uid=toys(1)[0].uid))
    await it.run()
    assert (await it.upload(upload_id)).held_reasons == ["two_patients"]


async def released(it: Room, upload_id: str) -> None:
    row = await it.upload(upload_id)
    await it.ledger.write(lambda tx: it.delivery.release(tx, row, actor="admin", reason="mother and child"))


async def test_what_was_held_in_the_middle_goes_on_once_it_is_let_go(it: Room):
    upload_id = await held_in_the_middle(it)
    await released(it, upload_id)
    await it.run()
    assert sorted(it.pacs.sent) == sorted([*uids(*toys(2)), "1.9.9", "1.2.3.1.7"])
    await it.add(upload_id, Toy("1.2.3.1.8"))
    await it.complete(upload_id)
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    receipt = await it.receipt(upload_id)
    assert receipt["hold"]["codes"] == ["two_patients"]
    assert len(receipt["instances"]) == 5


async def test_who_was_not_there_when_it_was_let_go_is_looked_at_anew(it: Room):
    upload_id = await held_in_the_middle(it)
    await released(it, upload_id)
    await it.run()
    await it.add(upload_id, Toy("1.8.1", study="1.8", patient_id="P3", patient_name="POE^EDGAR"))
    await it.run()
    assert (await it.upload(upload_id)).held_reasons == ["two_patients"]
    assert "1.8.1" not in it.pacs.sent


async def test_a_release_after_the_completion_lets_all_of_it_go(it: Room):
    upload_id = await held_in_the_middle(it)
    await it.add(upload_id, Toy("1.2.3.1.8"))
    await it.complete(upload_id)
    await it.run()
    await released(it, upload_id)
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert len(it.pacs.sent) == len(set(it.pacs.sent)) == 5
    assert await it.jobs() == []


async def test_what_the_pacs_has_against_the_first_instance_holds_it_before_anything_leaves(it: Room):
    it.pacs.people = [PatientRecord("P1", "ROE^RICHARD", "19550505")]
    upload_id = await it.begin(2)
    await it.add(upload_id, toys(1)[0])
    await it.run()
    assert (await it.upload(upload_id)).held_reasons == ["pacs_patient_conflict"]
    assert it.pacs.sent == []
    assert await it.warnings(upload_id) == []


async def test_a_further_study_of_the_patient_is_asked_for_before_it_leaves(it: Room):
    upload_id = await it.begin(2)
    await it.add(upload_id, toys(1)[0])
    await it.run()
    it.pacs.people = [PatientRecord("P9", "ROE^RICHARD", "19550505", study_instance_uid="1.7")]
    await it.add(upload_id, Toy("1.7.1", study="1.7", series="1.7.0"))
    await it.run()
    assert (await it.upload(upload_id)).held_reasons
    assert it.pacs.sent == uids(*toys(1))


async def test_nothing_leaves_while_the_pacs_cannot_be_asked_whose_it_is(it: Room):
    it.pacs.down = True
    upload_id = await it.begin(2)
    await it.add(upload_id, toys(1)[0])
    await it.run(for_s=60)
    assert it.pacs.sent == []
    assert "deliver" not in it.pacs.asked


async def test_what_is_doubtful_of_one_study_is_told_at_the_end(it: Room):
    upload_id = await it.begin(2)
    it.pacs.people = [PatientRecord("P1", "", "")]
    await it.add(upload_id, toys(1)[0])
    await it.run()
    it.pacs.people = [PatientRecord("P1", "DOE^JANE", "19700101")]
    await it.add(upload_id, Toy("1.7.1", study="1.7", series="1.7.0"))
    await it.complete(upload_id)
    await it.run()
    assert [one["code"] for one in await it.warnings(upload_id)] == ["identity_not_confirmed"]


async def test_a_declared_patient_that_a_later_file_contradicts_fails_what_has_not_left(tmp_path: Path):
    async with room(tmp_path, config={"streams": True}, settings={"study_mismatch": "reject"}) as it:
        upload_id = await it.begin(2, study_metadata={"patient_id": "P1"})
        await it.add(upload_id, toys(1)[0])
        await it.run()
        await it.add(upload_id, SOMEBODY_ELSE)
        await it.run()
        assert it.pacs.sent == uids(*toys(1))
        await it.complete(upload_id)
        await it.run()
        assert await it.states(upload_id) == ["stored", "failed"]
        assert (await it.upload(upload_id)).state is UploadState.PARTIAL


async def test_a_contradicting_upload_of_another_client_is_held_while_this_one_streams(it: Room):
    upload_id = await it.begin(2)
    it.pacs.index_delay_s = 3600
    await it.add(upload_id, toys(1)[0])
    await it.run()
    other = await it.submit([Toy("1.9", study="1.9", patient_name="ROE^RICHARD")])
    await it.run()
    assert (await it.upload(other)).held_reasons == ["pacs_patient_conflict"]


# --- ended before it was complete ----------------------------------------------------------------------------------


async def end(it: Room, upload_id: str, state: UploadState) -> None:
    """As a cancellation or the purge's timer does: its key is gone."""

    def act(tx: Transaction) -> None:
        upload = tx.uploads.get(upload_id)
        assert upload is not None
        assert upload.key_id is not None
        tx.keys.delete([upload.key_id])
        tx.uploads.save(replace(upload, state=state, epoch=upload.epoch + 1, key_id=None, meta_sealed=None))
        wake_delivery(tx, upload_id, it.clock.now())
        tx.wake(upload_id)

    await it.ledger.write(act)


@pytest.mark.parametrize("state", [UploadState.CANCELLED, UploadState.EXPIRED])
async def test_what_had_left_of_an_upload_that_ends_gets_a_receipt(it: Room, state: UploadState):
    upload_id = await it.begin(3)
    await it.add(upload_id, *toys(2))
    await it.run()
    await end(it, upload_id, state)
    await it.run(for_s=60)
    assert [one["code"] for one in await it.warnings(upload_id)] == ["partial_left_in_pacs"]
    assert len((await it.receipt(upload_id))["instances"]) == 2
    assert await it.jobs() == []


@pytest.mark.parametrize("state", [UploadState.CANCELLED, UploadState.EXPIRED])
async def test_an_upload_that_ends_while_a_group_is_sent_stops_there(tmp_path: Path, state: UploadState):
    async with room(tmp_path, config={"streams": True, "batch_instances": 1, "connections": 1}) as it:
        upload_id = await it.begin(9)
        loop = asyncio.get_running_loop()

        def on_instance(_uid: str) -> None:
            if len(it.pacs.sent) == 1:  # the second one is under way; of the others some may not be judged yet
                asyncio.run_coroutine_threadsafe(end(it, upload_id, state), loop).result()

        it.pacs.on_instance = on_instance
        await it.add(upload_id, *toys(8))
        await it.run(for_s=120)
        assert await it.jobs() == []
        assert len(it.pacs.held) in {1, 2}
        assert [one["code"] for one in await it.warnings(upload_id)] == ["partial_left_in_pacs"]
        assert len((await it.receipt(upload_id))["instances"]) == len(it.pacs.held)


async def test_an_upload_of_which_nothing_had_left_ends_without_a_word(it: Room):
    it.pacs.down = True
    upload_id = await it.begin(3)
    await it.add(upload_id, *toys(2))
    await it.run()
    await end(it, upload_id, UploadState.EXPIRED)
    await it.run(for_s=3600)
    assert (await it.upload(upload_id)).receipt_id is None
    assert await it.warnings(upload_id) == []
    assert await it.jobs() == []


# --- where it doesn't stream ---------------------------------------------------------------------------------------


async def test_an_endpoint_that_does_not_stream_gets_nothing_before_the_completion(tmp_path: Path):
    async with room(tmp_path) as it:
        upload_id = await it.begin(2)
        await it.add(upload_id, *toys(2))
        await it.run(for_s=600)
        assert it.pacs.asked == []
        assert await it.jobs() == []
        await it.complete(upload_id)
        await it.run()
        assert (await it.upload(upload_id)).state is UploadState.SUCCESS


async def test_a_stream_whose_endpoint_streams_no_more_waits_for_the_completion(it: Room):
    upload_id = await it.begin(3)
    await it.add(upload_id, *toys(2))
    await it.run()
    it.config = {}
    it.restart()
    await it.add(upload_id, Toy("1.2.3.1.7"))
    await it.run(for_s=60)
    assert it.pacs.sent == uids(*toys(2))
    await it.complete(upload_id)
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert len(it.pacs.sent) == 3


async def test_a_file_that_was_taken_out_before_it_left_stays_here(it: Room):
    upload_id = await it.begin(3)
    it.pacs.busy = {"1.2.3.1.1", "1.2.3.1.2"}
    file_ids = await it.add(upload_id, *toys(2))
    it.pacs.down = True
    await it.run()
    await it.ledger.write(lambda tx: tx.files.save(_removed(tx, file_ids[0])))
    it.pacs.down = False
    await it.run(for_s=600)
    assert "1.2.3.1.1" not in it.pacs.sent
    assert "1.2.3.1.2" in it.pacs.held


def _removed(tx: Transaction, file_id: str):
    row = tx.files.get(file_id)
    assert row is not None
    return replace(row, state=FileState.REMOVED, facts_sealed=None, key_id=None)


# --- by a route ----------------------------------------------------------------------------------------------------


def by(it: Room, *routes: DeliveryRoute) -> None:
    it.others = {"other": LittlePacs(now=it.clock.now)}
    it.routes = routes
    it.restart()


def route(to: str, *more: str, **when: Any) -> DeliveryRoute:
    return DeliveryRoute(1, RouteConditions(**when), (to, *more), (to,))


async def streamed_to(it: Room, **known: Any) -> tuple[str, int, int]:
    """The upload after its first instance, and how many have left to each of the endpoints."""
    upload_id = await it.begin(2, **known)
    await it.add(upload_id, toys(1)[0])
    await it.run()
    return upload_id, len(it.pacs.sent), len(it.others["other"].sent)


async def ends_well(it: Room, upload_id: str) -> int:
    """How many instances the other endpoint has then."""
    await it.add(upload_id, Toy("1.2.3.1.7"))
    await it.complete(upload_id)
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    return len(it.others["other"].sent)


async def test_a_route_that_no_file_can_change_is_chosen_with_the_first_instance(it: Room):
    stat = {"priority": "stat"}
    by(it, route("main", modality=("MR",), declared={"priority": "routine"}), route("other", declared=stat))
    upload_id, *left = await streamed_to(it, study_metadata=stat)
    assert left == [0, 1]
    assert ((await it.upload(upload_id)).route, (await it.upload(upload_id)).endpoint_id) == (1, "other")
    assert await ends_well(it, upload_id) == 2
    assert (await it.event_names()).count("upload.routed") == 1


async def test_where_no_route_can_fit_its_own_endpoint_gets_each_instance_at_once(it: Room):
    by(it, route("other", declared={"priority": "stat"}))
    upload_id, *left = await streamed_to(it)
    assert left == [1, 0]
    assert await ends_well(it, upload_id) == 0


@pytest.mark.parametrize(
    "routes",
    [
        [route("other", modality=("CT",))],
        [route("main", min_size_bytes=1 << 40), route("other")],
        [route("other", "main")],
    ],
    ids=["modality", "size", "two endpoints"],
)
async def test_where_a_file_may_change_the_route_or_it_has_several_ends_nothing_leaves_early(
    it: Room, routes: list[DeliveryRoute]
):
    by(it, *routes)
    upload_id, *left = await streamed_to(it)
    assert left == [0, 0]
    assert await ends_well(it, upload_id) == 2


async def test_who_begins_to_read_an_upload_looks_again_for_verdicts_that_are_being_written(monkeypatch) -> None:
    """They were told of before anybody read the upload, and are committed after its rows were read."""
    looked_for: list[str] = []

    async def read_all(*_: Any) -> None:
        return

    async def read_news(stream: streams.Stream, _: Any) -> None:
        looked_for.extend(stream.news)

    monkeypatch.setattr(streams, "_read_all", read_all)
    monkeypatch.setattr(streams, "_read_news", read_news)
    known = streams.Streams(["main"])
    known.judged("this", "file")
    known.judged("another", "not this one's")
    attempt: Any = SimpleNamespace(upload=SimpleNamespace(upload_id="this", epoch=0))
    await known.load(attempt)
    assert looked_for == ["file"]
