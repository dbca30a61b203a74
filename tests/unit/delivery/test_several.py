"""What an upload comes to that a route sends to several endpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gateway.delivery.routes import DeliveryRoute, RouteConditions
from gateway.errors import Conflict
from gateway.ledger.base import Transaction
from gateway.ledger.rows import UploadRow
from gateway.states import UploadState
from hooks.contract import PatientRecord
from tests.unit.delivery.little_pacs import LittlePacs, Toy, toys
from tests.unit.delivery.room import Room, room
from tests.unit.delivery.test_crash import die_and_come_back


def route(
    *to: str, required: tuple[str, ...] = (), fallback: tuple[str, ...] = (), when: RouteConditions | None = None
) -> DeliveryRoute:
    return DeliveryRoute(1, when or RouteConditions(), to, required or to, fallback)


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Room]:
    async with room(tmp_path) as opened:
        opened.others = {name: LittlePacs(now=opened.clock.now) for name in ("other", "third")}

        def announce(_tx: Transaction, upload: UploadRow, event: str, _now: float) -> None:
            opened.told.append((event, upload.state))

        opened.announce = announce
        use(opened, route("main", "other"))
        yield opened


def use(it: Room, *routes: DeliveryRoute) -> None:
    it.routes = routes
    it.restart()


async def let_go(it: Room, upload_id: str, reason: str) -> None:
    upload = await it.upload(upload_id)
    await it.ledger.write(lambda tx: it.delivery.release(tx, upload, actor="admin", reason=reason))


async def test_every_endpoint_has_its_bytes_and_a_receipt_of_its_own(it: Room):
    series = toys(12)
    upload_id = await it.submit(series)
    await it.run()
    assert it.pacs.held == it.others["other"].held == {toy.uid: toy.content for toy in series}
    upload = await it.upload(upload_id)
    assert (upload.state, upload.open_deliveries) == (UploadState.SUCCESS, 0)
    assert await it.states(upload_id) == ["stored"] * 12
    receipts = [await it.receipt_at(upload_id, name) for name in ("main", "other")]
    assert [one["endpoint_id"] for one in receipts] == ["main", "other"]
    assert receipts[0]["pacs_receipt_id"] != receipts[1]["pacs_receipt_id"]
    assert [len(one["instances"]) for one in receipts] == [12, 12]
    assert await it.receipt(upload_id) == receipts[0]
    assert it.told == [("upload.success", UploadState.SUCCESS)]
    assert await it.jobs() == []
    assert (await it.event_names()).count("upload.routed") == 1


async def test_nobody_is_told_that_it_arrived_before_every_required_endpoint_has_it(it: Room):
    it.others["other"].down = True
    upload_id = await it.submit(toys(3))
    await it.run(for_s=60)
    assert set(it.pacs.held) == {toy.uid for toy in toys(3)}
    upload, deliveries = await it.upload(upload_id), await it.deliveries(upload_id)
    assert (upload.state, upload.receipt_id, upload.finished_at) == (UploadState.DELIVERING, None, None)
    assert {name: one.state for name, one in deliveries.items()} == {
        "main": UploadState.SUCCESS,
        "other": UploadState.DELIVERING,
    }
    assert await it.states(upload_id) == ["sending"] * 3
    assert it.told == []

    it.others["other"].down = False
    await it.run(for_s=120)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert it.told == [("upload.success", UploadState.SUCCESS)]
    assert sorted(it.pacs.sent) == sorted(it.others["other"].sent) == sorted(toy.uid for toy in toys(3))


async def test_an_upload_is_a_success_while_what_isnt_required_is_under_way_and_its_bytes_stay(it: Room):
    use(it, route("main", "other", required=("main",)))
    it.others["other"].down = True
    upload_id = await it.submit(toys(2))
    await it.run(for_s=30)
    upload = await it.upload(upload_id)
    assert (upload.state, upload.open_deliveries) == (UploadState.SUCCESS, 1)
    assert await it.states(upload_id) == ["stored"] * 2
    success = [UploadState.SUCCESS]
    assert await it.ledger.read(lambda tx: tx.uploads.finished_unerased(success, it.clock.now(), 9)) == []

    it.others["other"].down = False
    await it.run(for_s=120)
    assert len(it.others["other"].held) == 2
    (due,) = await it.ledger.read(lambda tx: tx.uploads.finished_unerased(success, it.clock.now(), 9))
    assert due.upload_id == upload_id
    assert it.told == [("upload.success", UploadState.SUCCESS)]


async def test_one_endpoint_that_refuses_makes_it_partial_and_says_where(it: Room):
    it.others["other"].failures = {"1.2.3.1.2": 0xA900}
    upload_id = await it.submit(toys(3))
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.PARTIAL
    assert {name: one.state for name, one in (await it.deliveries(upload_id)).items()} == {
        "main": UploadState.SUCCESS,
        "other": UploadState.PARTIAL,
    }
    assert await it.states(upload_id) == ["stored", "failed", "stored"]
    assert [(one["code"], one["endpoint_id"]) for one in await it.warnings(upload_id)] == [("refused_by_pacs", "other")]

    it.others["other"].failures = {}
    assert await it.delivery.retry(upload_id, actor="admin", reason="mended") == 1
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert await it.states(upload_id) == ["stored"] * 3
    assert await it.warnings(upload_id) == []
    assert sorted(it.pacs.sent) == sorted(toy.uid for toy in toys(3)), "what was there was sent again"


async def test_all_that_fail_make_it_failed(it: Room):
    for pacs in (it.pacs, it.others["other"]):
        pacs.failures = {toy.uid: 0xA900 for toy in toys(2)}
    upload_id = await it.submit(toys(2))
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.FAILED
    assert await it.states(upload_id) == ["failed"] * 2


async def test_a_fallback_stands_in_for_what_has_failed_for_good(it: Room):
    use(it, route("main", fallback=("other", "third")))
    failures = {toy.uid: 0xA900 for toy in toys(2)}
    it.pacs.failures = it.others["other"].failures = failures
    upload_id = await it.submit(toys(2))
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert {name: one.state for name, one in (await it.deliveries(upload_id)).items()} == {
        "main": UploadState.FAILED,
        "other": UploadState.FAILED,
        "third": UploadState.SUCCESS,
    }
    assert len(it.others["third"].held) == 2
    assert (await it.receipt(upload_id))["endpoint_id"] == "third"
    assert it.told == [("upload.success", UploadState.SUCCESS)]


async def test_a_fallback_is_not_asked_for_what_our_own_check_has_rejected(it: Room):
    use(it, route("main", fallback=("other",)))
    upload_id = await it.submit([Toy("1.2.3.1.1", verdict="reject")])
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.FAILED
    assert list(await it.deliveries(upload_id)) in (["main"], [])


async def test_a_route_to_one_endpoint_leads_there_and_says_so(it: Room):
    use(it, route("other"))
    upload_id = await it.submit(toys(2))
    await it.run()
    assert (it.pacs.held, len(it.others["other"].held)) == ({}, 2)
    upload = await it.upload(upload_id)
    assert (upload.state, upload.endpoint_id, upload.route) == (UploadState.SUCCESS, "other", 1)
    assert await it.deliveries(upload_id) == {}
    assert (await it.receipt(upload_id))["endpoint_id"] == "other"


async def test_without_a_route_that_fits_it_goes_where_it_was_sent_to(it: Room):
    use(it, route("other", when=RouteConditions(modality=("MR",))))
    upload_id = await it.submit(toys(2))
    await it.run()
    assert (len(it.pacs.held), it.others["other"].held) == (2, {})
    assert (await it.upload(upload_id)).route == 0


async def test_other_rules_move_nothing_that_is_under_way(it: Room):
    it.pacs.down = it.others["other"].down = True
    upload_id = await it.submit(toys(2))
    await it.run(for_s=10)
    use(it, route("third"))
    it.pacs.down = it.others["other"].down = False
    await it.run(for_s=120)
    assert (len(it.pacs.held), len(it.others["other"].held), it.others["third"].held) == (2, 2, {})
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS


async def test_the_holder_of_a_qr_code_is_led_nowhere_else(it: Room):
    use(it, route("other"))
    await it.submit(toys(1), by_qr=True)
    await it.run()
    assert (len(it.pacs.held), it.others["other"].held) == (1, {})


async def test_two_patients_hold_every_delivery_and_one_release_lets_all_go(it: Room):
    upload_id = await it.submit([Toy("1.1"), Toy("1.2", patient_id="P2", patient_name="ROE^RICHARD")])
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.HELD
    assert (await it.upload(upload_id)).held_reasons == ["two_patients"]
    assert (it.pacs.sent, it.others["other"].sent) == ([], [])
    await let_go(it, upload_id, "twins")
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert (len(it.pacs.held), len(it.others["other"].held)) == (2, 2)


async def test_one_endpoints_doubt_about_the_patient_holds_the_upload_and_that_delivery_alone(it: Room):
    it.others["other"].people = [PatientRecord("P1", "ROE^RICHARD", "19520303", "M")]
    upload_id = await it.submit(toys(2))
    await it.run()
    upload = await it.upload(upload_id)
    assert (upload.state, upload.held_reasons) == (UploadState.HELD, ["pacs_patient_conflict"])
    assert (len(it.pacs.held), it.others["other"].sent) == (2, [])
    assert (await it.deliveries(upload_id))["main"].state is UploadState.SUCCESS
    await let_go(it, upload_id, "renamed")
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert len(it.others["other"].held) == 2
    with pytest.raises(Conflict):
        await let_go(it, upload_id, "again")


async def test_notes_are_in_the_study_at_each_endpoint_once(it: Room):
    upload_id = await it.submit(toys(2), clinical_notes="cough")
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert len(it.pacs.held) == len(it.others["other"].held) == 3
    assert it.pacs.held.keys() == it.others["other"].held.keys(), "one document, not two"
    assert sorted(it.pacs.sent) == sorted(set(it.pacs.sent))
    assert await it.warnings(upload_id) == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_process_that_dies_at_any_write_loses_and_doubles_nothing(it: Room, after: bool):
    series = toys(3)
    for dies_at in range(1, 200):
        it.told.clear()
        upload_id = await it.submit(series)
        died = await die_and_come_back(it, dies_at, after=after)
        assert (await it.upload(upload_id)).state is UploadState.SUCCESS, dies_at
        assert await it.states(upload_id) == ["stored"] * 3, dies_at
        for name, pacs in (("main", it.pacs), ("other", it.others["other"])):
            assert pacs.held == {toy.uid: toy.content for toy in series}, dies_at
            assert len((await it.receipt_at(upload_id, name))["instances"]) == 3
        events = [event.event for event in await it.events() if event.upload_id == upload_id]
        assert Counter(events)["upload.delivered"] == 2, dies_at
        assert await it.jobs() == []
        await it.ledger.write(partial(_deleted, upload_id=upload_id))
        for pacs in (it.pacs, it.others["other"]):
            pacs.held.clear()
            pacs.sent.clear()
            pacs.shown_from.clear()
        it.clock.advance(86400.0)
        if not died:
            assert dies_at > 10
            return
    pytest.fail("it never got through")


def _deleted(tx: Transaction, upload_id: str) -> None:
    tx.uploads.delete(upload_id)


async def test_what_each_endpoint_has_of_a_cancelled_upload_is_in_a_receipt_of_its_own(it: Room):
    it.others["other"].down = True
    upload_id = await it.submit(toys(2))
    await it.run(for_s=10)

    def cancel(tx: Transaction) -> None:
        row = tx.uploads.get(upload_id)
        assert row is not None
        tx.uploads.save(
            replace(row, state=UploadState.CANCELLED, epoch=row.epoch + 1, finished_at=it.clock.now(), key_id=None)
        )

    await it.ledger.write(cancel)
    await it.delivery.settle_cancelled(upload_id)
    upload = await it.upload(upload_id)
    assert (upload.state, upload.open_deliveries) == (UploadState.CANCELLED, 0)
    assert (await it.receipt(upload_id))["endpoint_id"] == "main"
    assert (await it.deliveries(upload_id))["other"].receipt_id is None
    warnings = {(one["code"], one["endpoint_id"]) for one in await it.warnings(upload_id)}
    assert warnings == {("partial_left_in_pacs", "main")}
    assert await it.jobs() == []
