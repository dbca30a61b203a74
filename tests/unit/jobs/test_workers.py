"""Workers over a real ledger: leases, back-off, wake-ups, an orderly end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.errors import Unavailable
from gateway.jobs.backoff import Backoff
from gateway.jobs.workers import Again, Done, Handler, Workers
from gateway.ledger.base import JOBS, Transaction
from gateway.ledger.memory.ledger import MemoryLedger
from gateway.ledger.rows import JobKind, JobRow
from tests.ledger_rows import job_row, upload_row

U = "0a" * 16


@pytest.fixture
async def ledger() -> AsyncIterator[MemoryLedger]:
    opened = MemoryLedger(audit_key=bytes(32))
    await opened.write(lambda tx: tx.uploads.insert(upload_row(U, now=0.0)))
    yield opened
    await opened.close()


def workers(ledger: MemoryLedger, handler: Handler, **known: Any) -> Workers:
    options: dict[str, Any] = {"backoff": Backoff(base_s=0.01), "poll_s": 30.0} | known
    return Workers(ledger, {JobKind.DELIVER: handler}, SystemClock(), **options)


async def add(ledger: MemoryLedger, count: int = 1, due_in_s: float = 0.0) -> None:
    def act(tx: Transaction) -> None:
        for _ in range(count):
            tx.jobs.insert(job_row(U, due_at=SystemClock().now() + due_in_s))
        tx.wake(JOBS)

    await ledger.write(act)


async def jobs(ledger: MemoryLedger) -> list[JobRow]:
    return await ledger.read(lambda tx: tx.jobs.page(after=0, limit=100))


async def until(ledger: MemoryLedger, there: Callable[[list[JobRow]], bool]) -> list[JobRow]:
    """The jobs, as soon as they are so."""
    async with asyncio.timeout(10):
        while not there(found := await jobs(ledger)):
            await asyncio.sleep(0.01)
    return found


async def test_a_job_runs_as_soon_as_it_is_written_and_is_gone_when_it_is_done(ledger: MemoryLedger):
    ran = asyncio.Event()

    async def handler(job: JobRow) -> Done:
        ran.set()
        return Done()

    crew = workers(ledger, handler)
    await crew.start()
    await asyncio.sleep(0.05)
    await add(ledger)
    await asyncio.wait_for(ran.wait(), 2)
    await until(ledger, lambda found: not found)
    await crew.stop()


async def test_a_job_that_is_due_later_runs_then_without_being_woken(ledger: MemoryLedger):
    ran = asyncio.Event()

    async def handler(job: JobRow) -> Done:
        ran.set()
        return Done()

    await add(ledger, due_in_s=0.3)
    crew = workers(ledger, handler)
    await crew.start()
    await asyncio.wait_for(ran.wait(), 2)
    await crew.stop()


async def test_no_more_run_at_once_than_there_is_room_for_and_all_run(ledger: MemoryLedger):
    running, most, ran = 0, 0, 0

    async def handler(job: JobRow) -> Done:
        nonlocal running, most, ran
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        ran += 1
        return Done()

    await add(ledger, 20)
    await workers(ledger, handler, concurrency={JobKind.DELIVER: 3}).run_due()
    assert (most, ran) == (3, 20)


async def test_a_handler_that_breaks_is_tried_again_and_its_message_is_in_no_log(
    ledger: MemoryLedger, caplog: pytest.LogCaptureFixture
):
    async def handler(job: JobRow) -> Done:
        if job.attempts == 0:
            raise ValueError("DOE^JANE")
        if job.attempts == 1:
            raise Unavailable("DOE^JANE", code="storage_error")
        return Done()

    await add(ledger)
    crew = workers(ledger, handler)
    await crew.start()
    await until(ledger, lambda found: not found)
    await crew.stop()
    assert "ValueError" in caplog.text
    assert "storage_error" in caplog.text
    assert "DOE" not in caplog.text


async def test_what_a_handler_wants_to_remember_is_kept_and_time_is_counted(ledger: MemoryLedger):
    due_at = SystemClock().now() + 100

    async def handler(job: JobRow) -> Again:
        return Again(due_at, "later", b"memory", tried_s=5.0)

    await add(ledger)
    await workers(ledger, handler).run_due()
    (job,) = await jobs(ledger)
    assert (job.due_at, job.last_code, job.memory_sealed) == (due_at, "later", b"memory")
    assert (job.attempts, job.tried_s, job.lease_by) == (1, 5.0, None)


@pytest.mark.parametrize("is_over", [False, True])
async def test_what_came_while_a_wait_was_written_down_is_not_waited_for(ledger: MemoryLedger, is_over: bool):
    seen: list[int] = []

    async def handler(job: JobRow) -> Again | Done:
        seen.append(job.job_id)
        return Again(SystemClock().now() + 100, "later", is_over=lambda: is_over) if len(seen) == 1 else Done()

    await add(ledger)
    await workers(ledger, handler).run_due()
    assert len(seen) == 1 + is_over
    assert len(await jobs(ledger)) == 1 - is_over


async def test_stopping_waits_for_handlers_and_gives_back_what_does_not_end(ledger: MemoryLedger):
    began = asyncio.Event()

    async def handler(job: JobRow) -> Done:
        began.set()
        await asyncio.sleep(60)
        return Done()

    await add(ledger)
    crew = workers(ledger, handler)
    await crew.start()
    await began.wait()
    await crew.stop(grace_s=0.05)
    (job,) = await jobs(ledger)
    assert (job.lease_by, job.last_code, job.attempts) == (None, "interrupted", 0)


async def test_leases_of_a_process_that_died_are_void_at_the_start_of_the_next(ledger: MemoryLedger):
    ran = asyncio.Event()

    async def handler(job: JobRow) -> Done:
        ran.set()
        return Done()

    await add(ledger)
    now = SystemClock().now()
    await ledger.write(lambda tx: tx.jobs.claim(now + 1, by="dead", until=now + 3600, kinds=[JobKind.DELIVER], limit=1))
    crew = workers(ledger, handler)
    await crew.start()
    await asyncio.wait_for(ran.wait(), 2)
    await crew.stop()


async def test_a_lease_is_renewed_while_a_handler_runs(ledger: MemoryLedger):
    go_on, calls = asyncio.Event(), 0

    async def handler(job: JobRow) -> Done:
        nonlocal calls
        calls += 1
        await go_on.wait()
        return Done()

    await add(ledger)
    crew = workers(ledger, handler, lease_s=0.3)
    await crew.start()
    first = (await until(ledger, lambda found: found[0].lease_until is not None))[0].lease_until
    assert first is not None
    await until(ledger, lambda found: (found[0].lease_until or 0.0) > first + 0.2)
    go_on.set()
    await until(ledger, lambda found: not found)
    await crew.stop()
    assert calls == 1


async def test_a_handler_whose_lease_is_lost_is_cancelled_and_writes_nothing(ledger: MemoryLedger):
    cancelled = asyncio.Event()

    async def handler(job: JobRow) -> Done:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Done()

    await add(ledger)
    crew = workers(ledger, handler, lease_s=0.15)
    await crew.start()
    await until(ledger, lambda found: found[0].lease_by is not None)

    def steal(tx: Transaction) -> None:
        (job,) = tx.jobs.page(after=0, limit=1)
        tx.jobs.save(replace(job, lease_by="thief", lease_until=SystemClock().now() + 60))

    await ledger.write(steal)
    await asyncio.wait_for(cancelled.wait(), 5)
    await crew.stop()
    (job,) = await jobs(ledger)
    assert job.lease_by == "thief"


@pytest.mark.parametrize("places", [1, 2, 8])
async def test_an_accounts_300_uploads_keep_no_place_from_anothers(ledger: MemoryLedger, places: int):
    """Counted in jobs: what is begun after the other's came and before it."""
    begun: list[str] = []
    other_came = False

    async def handler(job: JobRow) -> Done:
        nonlocal other_came
        begun.append(job.owner_id)
        if len(begun) == 20:
            await of("other", 3)
            other_came = True
        await asyncio.sleep(0)
        return Done()

    async def of(owner_id: str, count: int) -> None:
        def act(tx: Transaction) -> None:
            for _ in range(count):
                upload_id = secrets.token_hex(16)
                tx.uploads.insert(upload_row(upload_id, now=0.0, owner_id=owner_id))
                tx.jobs.insert(job_row(upload_id, due_at=SystemClock().now()))

        await ledger.write(act)

    await of("many", 300)
    await workers(ledger, handler, concurrency={JobKind.DELIVER: places}).run_due()
    assert other_came
    assert len(begun) == 303
    last = max(number for number, owner_id in enumerate(begun) if owner_id == "other")
    assert last <= 20 + places + 2 * 3, "the places that were taken, and one of theirs for each of the other's"


async def test_one_place_goes_round_among_accounts(ledger: MemoryLedger):
    begun: list[str] = []

    async def handler(job: JobRow) -> Done:
        begun.append(job.owner_id)
        return Done()

    def act(tx: Transaction) -> None:
        for number, owner_id in enumerate(["a"] * 5 + ["b"] * 2 + ["c"]):
            upload_id = f"{number:032x}"
            tx.uploads.insert(upload_row(upload_id, now=0.0, owner_id=owner_id))
            tx.jobs.insert(job_row(upload_id, due_at=float(number)))

    await ledger.write(act)
    await workers(ledger, handler, concurrency={JobKind.DELIVER: 1}).run_due()
    assert begun == ["a", "b", "c", "a", "b", "a", "a", "a"]
