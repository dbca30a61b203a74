"""What every ledger promises (gateway/ledger/base.py), run over each backend there is: the survey, and timed commits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import Survey, UploadRow
from gateway.states import UploadState as State
from tests.ledger_rows import upload_row

U, V, W = "0a" * 16, "0b" * 16, "0c" * 16


async def add(ledger: Ledger, *rows: UploadRow) -> None:
    def act(tx: Transaction) -> None:
        for row in rows:
            tx.uploads.insert(row)

    await ledger.write(act)


async def change(ledger: Ledger, upload_id: str, **known: Any) -> None:
    def act(tx: Transaction) -> None:
        row = tx.uploads.get(upload_id)
        assert row is not None
        tx.uploads.save(replace(row, **known))

    await ledger.write(act)


async def survey(ledger: Ledger) -> Survey:
    return await ledger.read(lambda tx: tx.uploads.survey())


async def test_an_empty_ledger_has_nothing_to_survey(ledger: Ledger) -> None:
    found = await survey(ledger)
    assert (dict(found.uploads), dict(found.queued_since), dict(found.held_since)) == ({}, {}, {})
    assert (found.reserved_bytes, found.awaited_bytes) == (0, 0)


async def test_uploads_are_counted_by_endpoint_and_state_through_each_of_their_steps(ledger: Ledger) -> None:
    rows = [upload_row(U, now=1.0, reserved_bytes=7), upload_row(V, now=1.0), upload_row(W, now=1.0, endpoint_id="b")]
    await add(ledger, *rows)
    assert dict((await survey(ledger)).uploads) == {("main", State.OPEN): 2, ("b", State.OPEN): 1}
    assert (await survey(ledger)).reserved_bytes == 7
    await change(ledger, U, state=State.DELIVERING)
    await change(ledger, W, active_at=2.0)  # its state stays
    assert dict((await survey(ledger)).uploads) == {
        ("main", State.OPEN): 1,
        ("main", State.DELIVERING): 1,
        ("b", State.OPEN): 1,
    }
    await ledger.write(lambda tx: tx.uploads.delete(W))
    await ledger.write(lambda tx: tx.uploads.delete(U))
    assert dict((await survey(ledger)).uploads) == {("main", State.OPEN): 1}


async def test_what_has_waited_longest_is_known_of_each_endpoint(ledger: Ledger) -> None:
    await add(
        ledger,
        upload_row(U, now=1.0, state=State.DELIVERING, queued_at=30.0),
        upload_row(V, now=1.0, state=State.DELIVERING, queued_at=20.0),
        upload_row(W, now=1.0, state=State.HELD, endpoint_id="b", queued_at=5.0, held_at=40.0),
    )
    found = await survey(ledger)
    assert (dict(found.queued_since), dict(found.held_since)) == ({"main": 20.0}, {"b": 40.0})
    await change(ledger, V, state=State.SUCCESS)
    await change(ledger, W, state=State.DELIVERING, queued_at=50.0)
    found = await survey(ledger)
    assert (dict(found.queued_since), dict(found.held_since)) == ({"main": 30.0, "b": 50.0}, {})


async def test_stat_uploads_that_wait_are_found_by_age_until_they_are_told_of_or_over(ledger: Ledger) -> None:
    stat = {"state": State.DELIVERING, "priority": "stat"}
    await add(
        ledger,
        upload_row(U, now=1.0, completed_at=30.0, **stat),
        upload_row(V, now=1.0, completed_at=20.0, **stat | {"state": State.HELD}),
        upload_row(W, now=1.0, completed_at=10.0, **stat | {"priority": "urgent"}),
        upload_row("0d" * 16, now=1.0, priority="stat"),  # its bytes are on their way
    )

    async def waiting(before: float, limit: int = 9) -> list[str]:
        return [row.upload_id for row in await ledger.read(lambda tx: tx.uploads.stat_waiting(before, limit))]

    assert await waiting(30.0) == [V, U]
    assert (await waiting(29.0), await waiting(30.0, 1)) == ([V], [V])
    await change(ledger, V, delayed_at=50.0)
    assert await waiting(30.0) == [U]
    assert dict((await survey(ledger)).delayed) == {"main": 1}
    await change(ledger, U, finished_at=60.0)
    await change(ledger, V, finished_at=60.0)
    assert (await waiting(30.0), dict((await survey(ledger)).delayed)) == ([], {})


async def test_commits_are_timed(ledger: Ledger) -> None:
    seconds: list[float] = []
    ledger.time_commits(seconds.append)
    await add(ledger, upload_row(U, now=1.0))
    await survey(ledger)
    await ledger.scrub()
    assert len(seconds) == 1
    assert 0 < seconds[0] < 10
