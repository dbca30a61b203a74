"""Acts that share a transaction share statements too; each still sees what those before it wrote, and fails alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Conflict
from gateway.ledger.base import Transaction
from gateway.ledger.rows import JobKind
from gateway.ledger.sqlite.ledger import SqliteLedger
from gateway.states import FileState
from tests.ledger_rows import file_row, job_row, run_row, upload_row

U, SHARED, CLOSED = "0a" * 16, "2a" * 16, "2b" * 16


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    opened = await SqliteLedger.open(tmp_path / "relaypacs.db", audit_key=b"k" * 32)

    def begin(tx: Transaction) -> None:
        tx.uploads.insert(upload_row(U, now=0.0))
        tx.runs.begin_shared(SHARED, "session")
        tx.runs.begin_shared(CLOSED, "session")
        tx.runs.close_shared([CLOSED])

    await opened.write(begin)
    yield opened
    await opened.close()


def file_id(number: int) -> str:
    return f"{number:032x}"


def received(number: int, segment_id: str = SHARED) -> Callable[[Transaction], int]:
    """What a small file that came whole writes."""

    def act(tx: Transaction) -> int:
        upload = tx.uploads.get(U)
        assert upload is not None
        assert tx.files.by_client_mac(U, str(number).encode()) is None
        row = file_row(file_id(number), U, client_mac=str(number).encode(), key_id=tx.keys.insert(b"key %d" % number))
        tx.files.insert(row)
        tx.runs.insert(run_row(row.file_id, segment_id))
        tx.files.save(replace(row, state=FileState.WHOLE))
        tx.uploads.save(replace(upload, whole_files=upload.whole_files + 1))
        tx.jobs.insert(job_row(U, kind=JobKind.CHECK, file_id=row.file_id, due_at=0.0))
        assert tx.jobs.of_upload(U, JobKind.COMPLETE) == []
        tx.audit.append("file.whole", at=1.0, actor="test", upload_id=U, detail={"file": row.file_id})
        return tx.audit.head()[0]

    return act


async def together(ledger: SqliteLedger, acts: list[Callable[[Transaction], Any]]) -> list[Any]:
    """In one transaction: they are queued while another one holds the writer."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_tx: Transaction) -> None:
        begun.set()
        assert go_on.wait(10)

    first = asyncio.create_task(ledger.write(hold))
    await asyncio.to_thread(begun.wait, 10)
    tasks = [asyncio.create_task(ledger.write(act)) for act in acts]
    await asyncio.sleep(0)
    go_on.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_sixteen_files_cost_little_more_statements_than_one(ledger: SqliteLedger) -> None:
    async def statements(numbers: range) -> int:
        asked: set[str] = set()  # one that sets triggers off is told of for each of their rows
        ledger._writer._db.set_trace_callback(lambda sql: None if sql.startswith("--") else asked.add(sql))
        await together(ledger, [received(number) for number in numbers])
        ledger._writer._db.set_trace_callback(None)
        return len(asked)

    await statements(range(1))  # the first looks for slots
    one = await statements(range(1, 2))
    sixteen = await statements(range(2, 18))
    assert sixteen <= one + 16, "each only asks whether its name is taken"


async def test_each_sees_what_those_before_it_wrote(ledger: SqliteLedger) -> None:
    numbers = await together(ledger, [received(number) for number in range(20)])
    assert numbers == list(range(1, 21))

    def look(tx: Transaction) -> tuple[Any, ...]:
        upload = tx.uploads.get(U)
        files = tx.files.page(U)
        assert upload is not None
        keys = [tx.keys.get(file.key_id or 0) for file in files]
        runs = [len(tx.runs.of_file(file.file_id)) for file in files]
        return upload.whole_files, tx.files.counts(U), keys, runs, len(tx.jobs.of_upload(U))

    keys = [b"key %d" % number for number in range(20)]
    assert await ledger.read(look) == (20, {FileState.WHOLE: 20}, keys, [1] * 20, 20)


async def test_a_question_by_anything_but_a_key_sees_what_waits(ledger: SqliteLedger) -> None:
    def act(tx: Transaction) -> tuple[Any, ...]:
        received(1)(tx)
        return len(tx.files.page(U)), tx.files.counts(U), len(tx.runs.of_segment(SHARED)), len(tx.audit.after(0, 9))

    assert await ledger.write(act) == (1, {FileState.WHOLE: 1}, 1, 1)


@pytest.mark.parametrize("looks_first", [False, True])
async def test_one_that_raises_takes_only_its_own_rows_back(ledger: SqliteLedger, looks_first: bool) -> None:
    def refused(tx: Transaction) -> None:
        if looks_first:
            tx.files.page(U)  # what the others wrote goes to SQLite meanwhile
        received(99)(tx)
        raise Conflict("not this one")

    results = await together(ledger, [received(1), refused, received(2)])
    assert [type(result) for result in results] == [int, Conflict, int]
    assert await ledger.read(lambda tx: [file.file_id for file in tx.files.page(U)]) == [file_id(1), file_id(2)]
    assert await ledger.read(lambda tx: [row.number for row in tx.audit.after(0, 9)]) == [1, 2]


async def test_a_run_that_comes_too_late_fails_alone(ledger: SqliteLedger) -> None:
    """SQLite refuses it when the rows of all are written together: whose it was must come out."""
    acts = [received(number, CLOSED if number == 3 else SHARED) for number in range(6)]
    results = await together(ledger, acts)
    assert [type(result) for result in results] == [int, int, int, Conflict, int, int]
    assert await ledger.read(lambda tx: tx.files.get(file_id(3))) is None
    assert await ledger.read(lambda tx: len(tx.files.page(U))) == 5


async def test_a_question_after_a_row_that_is_refused_is_asked_again(ledger: SqliteLedger) -> None:
    """The one that asks isn't the one that wrote it."""

    def asks(tx: Transaction) -> int:
        return len(tx.files.page(U))

    results = await together(ledger, [received(1), received(2, CLOSED), asks])
    assert [type(result) for result in results[:2]] == [int, Conflict]
    assert results[2] == 1


async def test_slots_of_keys_that_were_erased_are_taken_again(ledger: SqliteLedger) -> None:
    key_ids = await ledger.write(lambda tx: [tx.keys.insert(b"first %d" % number) for number in range(70)])
    await ledger.write(lambda tx: tx.keys.delete(key_ids))

    def act(tx: Transaction) -> list[int]:
        return [tx.keys.insert(b"second %d" % number) for number in range(80)]

    anew = await ledger.write(act)
    assert len({key_id & 0xFFFF_FFFF for key_id in (*key_ids, *anew)}) == 80
    assert not set(anew) & set(key_ids)
    found = await ledger.read(lambda tx: [tx.keys.get(key_id) for key_id in anew])
    assert found == [b"second %d" % number for number in range(80)]
    assert await ledger.read(lambda tx: [tx.keys.get(key_id) for key_id in key_ids]) == [None] * 70
