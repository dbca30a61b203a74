"""What every ledger promises (gateway/ledger/base_more.py), run over each backend there is: several deliveries."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from gateway.errors import Conflict, NotFound
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import DeliveryRow, JobKind, OutcomeRow
from gateway.states import FileState
from gateway.states import UploadState as State
from tests.ledger_rows import delivery_row, file_row, job_row, upload_row

U, V, F, G = "0a" * 16, "0b" * 16, "1a" * 16, "1b" * 16


async def begun(ledger: Ledger) -> None:
    """An upload with a file and two deliveries."""

    def act(tx: Transaction) -> None:
        tx.uploads.insert(upload_row(U, now=1.0, state=State.DELIVERING, open_deliveries=2))
        tx.files.insert(file_row(F, U))
        tx.deliveries.insert(delivery_row(U, "b", place=1))
        tx.deliveries.insert(delivery_row(U, "a", place=2, required=False, queued_at=5.0))

    await ledger.write(act)


def insert(row: DeliveryRow, tx: Transaction) -> None:
    tx.deliveries.insert(row)


def put(row: OutcomeRow, tx: Transaction) -> None:
    tx.deliveries.put_outcome(row)


async def test_deliveries_come_in_the_order_of_the_rule_as_they_were_saved(ledger: Ledger) -> None:
    await begun(ledger)
    found = await ledger.read(lambda tx: tx.deliveries.of_upload(U))
    assert [(one.endpoint_id, one.required) for one in found] == [("b", True), ("a", False)]
    changed = replace(found[0], state=State.HELD, held_codes="two_patients", warnings_sealed=b"w", held_at=7.0)
    await ledger.write(lambda tx: tx.deliveries.save(changed))
    assert await ledger.read(lambda tx: tx.deliveries.get(U, "b")) == changed
    assert await ledger.read(lambda tx: tx.deliveries.get(V, "b")) is None


async def test_an_upload_has_one_delivery_to_an_endpoint_and_none_without_an_upload(ledger: Ledger) -> None:
    await begun(ledger)
    for row in (delivery_row(U, "a", place=3), delivery_row(V, "a", place=1)):
        with pytest.raises(Conflict):
            await ledger.write(partial(insert, row))
    with pytest.raises(NotFound):
        await ledger.write(lambda tx: tx.deliveries.save(delivery_row(U, "c", place=1)))


async def test_outcomes_are_kept_for_each_endpoint(ledger: Ledger) -> None:
    await begun(ledger)
    sending, stored = OutcomeRow(F, "b", FileState.SENDING, None), OutcomeRow(F, "b", FileState.STORED, b"o")
    for row in (sending, OutcomeRow(F, "a", FileState.FAILED, b"x"), stored):
        await ledger.write(partial(put, row))
    assert await ledger.read(lambda tx: tx.deliveries.outcome(F, "b")) == stored
    assert [one.endpoint_id for one in await ledger.read(lambda tx: tx.deliveries.outcomes(F))] == ["a", "b"]
    assert await ledger.read(lambda tx: tx.deliveries.outcome(G, "b")) is None
    with pytest.raises(Conflict):
        await ledger.write(lambda tx: tx.deliveries.put_outcome(OutcomeRow(G, "b", FileState.STORED, None)))


async def test_what_hangs_on_a_file_or_an_upload_goes_with_it(ledger: Ledger) -> None:
    await begun(ledger)
    await ledger.write(lambda tx: tx.deliveries.put_outcome(OutcomeRow(F, "b", FileState.STORED, None)))
    await ledger.write(lambda tx: tx.files.delete([F]))
    assert await ledger.read(lambda tx: tx.deliveries.outcomes(F)) == []
    await ledger.write(lambda tx: tx.uploads.delete(U))
    assert await ledger.read(lambda tx: tx.deliveries.of_upload(U)) == []


async def test_nothing_is_due_for_erasure_while_a_delivery_is_open(ledger: Ledger) -> None:
    await begun(ledger)

    def end(tx: Transaction, count: int) -> None:
        row = tx.uploads.get(U)
        assert row is not None
        tx.uploads.save(replace(row, state=State.SUCCESS, finished_at=2.0, open_deliveries=count))

    await ledger.write(lambda tx: end(tx, 1))
    assert await ledger.read(lambda tx: tx.uploads.finished_unerased([State.SUCCESS], 9.0, 5)) == []
    await ledger.write(lambda tx: end(tx, 0))
    assert len(await ledger.read(lambda tx: tx.uploads.finished_unerased([State.SUCCESS], 9.0, 5))) == 1


async def test_the_survey_has_the_oldest_delivery_of_each_endpoint(ledger: Ledger) -> None:
    await begun(ledger)

    def hold(tx: Transaction) -> None:
        tx.deliveries.save(delivery_row(U, "b", place=1, state=State.HELD, held_at=8.0))
        tx.uploads.insert(upload_row(V, now=1.0, state=State.DELIVERING, endpoint_id="a", queued_at=6.0))

    await ledger.write(hold)
    found = await ledger.read(lambda tx: tx.uploads.survey())
    assert (dict(found.queued_since), dict(found.held_since)) == ({"a": 5.0}, {"b": 8.0})


async def test_a_job_names_its_delivery(ledger: Ledger) -> None:
    await begun(ledger)
    job_id = await ledger.write(lambda tx: tx.jobs.insert(job_row(U, due_at=1.0, endpoint_id="a")))
    (job,) = await ledger.write(lambda tx: tx.jobs.claim(2.0, by="me", until=3.0, kinds=[JobKind.DELIVER], limit=1))
    assert (job.job_id, job.endpoint_id) == (job_id, "a")


async def test_of_an_account_the_most_urgent_job_goes_first_then_the_oldest(ledger: Ledger) -> None:
    def act(tx: Transaction) -> list[int]:
        found = []
        for number, priority in enumerate(["routine", "", "urgent", "stat", "stat"]):
            upload_id = f"{number:032x}"
            tx.uploads.insert(upload_row(upload_id, now=1.0, priority=priority))
            found.append(tx.jobs.insert(job_row(upload_id, due_at=float(9 - number) if number != 4 else 99.0)))
        return found

    routine, none, urgent, stat, later = await ledger.write(act)
    kinds, owner_id = [JobKind.DELIVER], "a" * 32

    def claim(tx: Transaction, now: float, limit: int) -> list[int]:
        jobs = tx.jobs.claim(now, by="me", until=1000.0, kinds=kinds, limit=limit, owner_id=owner_id)
        return [job.job_id for job in jobs]

    assert await ledger.write(lambda tx: claim(tx, 10.0, 2)) == [stat, urgent]
    assert await ledger.write(lambda tx: claim(tx, 100.0, 9)) == [later, none, routine]


async def test_an_upload_is_counted_where_it_is_led_to(ledger: Ledger) -> None:
    await begun(ledger)
    await ledger.write(lambda tx: tx.uploads.save(upload_row(U, now=1.0, state=State.DELIVERING, endpoint_id="b")))
    assert dict((await ledger.read(lambda tx: tx.uploads.survey())).uploads) == {("b", State.DELIVERING): 1}


def test_a_delivery_is_open_until_it_has_an_end() -> None:
    rows: list[DeliveryRow] = [delivery_row(U, "a", place=1, state=state) for state in State]
    assert [row.state for row in rows if row.is_open] == [State.DELIVERING, State.HELD]
