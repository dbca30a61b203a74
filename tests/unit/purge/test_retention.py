"""Retention: what is due goes, what isn't stays, and lost time counts against nobody."""

from __future__ import annotations

import asyncio
import errno
import secrets
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.blobs.memory import MemoryBlobs
from gateway.identity.refresh_tokens import issue
from gateway.ledger.base import PURGE
from gateway.ledger.rows import JobKind
from gateway.ledger.settings import Setting
from gateway.purge import retention as retention_module
from gateway.purge.erasure import Erasure
from gateway.purge.retention import Retention, Times, running_before
from gateway.states import DEAD_STATES, FileState, UploadState
from gateway.uploads.completion import new_job
from gateway.uploads.leases import Claim, Leases
from tests.clocks import ManualClock
from tests.ledger_rows import account_row
from tests.opened import opened_ledger
from tests.spooled import Spooled

S, F = UploadState, FileState
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
TIMES = Times(interval_s=MINUTE, delivered_s=0.0, failed_s=7 * DAY, records_s=90 * DAY, expires_s=DAY)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def spooled(clock):
    async with opened_ledger(clock) as opened:
        yield Spooled(opened, clock, MemoryBlobs(clock=clock))


@pytest.fixture
def leases(clock):
    return Leases(clock)


def purge_of(spooled, leases, times=TIMES):
    ledger, spool = spooled.opened.ledger, spooled.spool
    erasure = Erasure(ledger, spool, leases, spooled.clock)
    return Retention(ledger, erasure, spooled.clock, times, orphans=spool.sweep_candidates, delete=spool.delete)


@pytest.fixture
def purge(spooled, leases):
    return purge_of(spooled, leases)


async def run_for(purge, clock, seconds):
    """The gateway runs for so long, purging now and then; the report of the last run."""
    report = await purge.run_once()
    while seconds > 0:
        step = min(seconds, 4 * MINUTE) if seconds < HOUR else min(seconds, 9 * MINUTE)
        clock.advance(step)
        seconds -= step
        report = await purge.run_once()
    return report


@pytest.fixture
def lazy(spooled, leases):
    """A purge that comes every twelve hours: days pass in few runs, and a pause of a day is no outage."""
    return purge_of(spooled, leases, replace(TIMES, interval_s=12 * HOUR))


# What is due


async def test_delivered_bytes_go_at_once(spooled, purge):
    upload = await spooled.upload(S.SUCCESS, {F.STORED: 2, F.SKIPPED: 1})
    report = await purge.run_once()
    assert (report.uploads, report.files, spooled.blob_count()) == (1, 3, 0)
    assert (await spooled.now(upload)).erased_at == spooled.clock.now()
    assert (await purge.run_once()).uploads == 0


async def test_delivered_bytes_stay_as_long_as_the_configuration_says(spooled, leases, clock):
    purge = purge_of(spooled, leases, replace(TIMES, delivered_s=HOUR))
    await spooled.upload(S.SUCCESS)
    await spooled.upload(S.PARTIAL, {F.STORED: 1, F.FAILED: 1})
    await run_for(purge, clock, HOUR - 1)
    assert spooled.blob_count() == 3
    clock.advance(1)
    await purge.run_once()
    assert spooled.blob_count() == 1


async def test_a_success_without_its_receipt_is_kept_and_holds_up_nobody(spooled, purge):
    kept = await spooled.upload(S.SUCCESS, receipt=False)
    await spooled.upload(S.SUCCESS)
    report = await purge.run_once()
    assert report.faults == ["conflict"]
    assert report.uploads == 1
    assert await spooled.blobs_of(kept) == 1


async def test_of_a_partial_upload_what_is_stored_goes_at_once_and_the_rest_later(spooled, lazy, clock):
    upload = await spooled.upload(S.PARTIAL, {F.STORED: 2, F.FAILED: 1, F.REJECTED: 1})
    await lazy.run_once()
    assert spooled.blob_count() == 2
    clock.advance(7 * DAY / 2)
    await lazy.run_once()
    assert spooled.blob_count() == 2
    clock.advance(7 * DAY / 2 - 1)
    await lazy.run_once()
    assert spooled.blob_count() == 2
    clock.advance(1)
    report = await lazy.run_once()
    assert spooled.blob_count() == 0
    assert report.uploads == 1
    assert (await spooled.now(upload)).receipt_id == upload.receipt_id


async def test_a_partial_upload_that_was_retried_is_stripped_again(spooled, purge, clock):
    upload = await spooled.upload(S.PARTIAL, {F.STORED: 1, F.FAILED: 2})
    await run_for(purge, clock, 10 * MINUTE)
    assert spooled.blob_count() == 2

    def retried(tx):
        failed = next(file for file in tx.files.page(upload.upload_id) if file.state is F.FAILED)
        tx.files.save(replace(failed, state=F.STORED))
        tx.uploads.save(replace(tx.uploads.get(upload.upload_id), finished_at=clock.now()))

    await spooled.opened.ledger.write(retried)
    await purge.run_once()
    assert spooled.blob_count() == 1


async def test_what_is_committed_late_with_an_earlier_time_is_stripped_too(spooled, purge, clock):
    await spooled.upload(S.PARTIAL, {F.STORED: 1})
    await purge.run_once()
    await spooled.upload(S.PARTIAL, {F.STORED: 1}, finished_at=clock.now() - 5)
    await purge.run_once()
    assert spooled.blob_count() == 0


async def test_failed_bytes_are_kept_for_a_retry_and_then_go(spooled, lazy, clock):
    await spooled.upload(S.FAILED, {F.FAILED: 1})
    for _ in range(6):
        clock.advance(DAY)
        await lazy.run_once()
    assert spooled.blob_count() == 1
    clock.advance(DAY)
    await lazy.run_once()
    assert spooled.blob_count() == 0


@pytest.mark.parametrize("state", sorted(DEAD_STATES))
async def test_the_bytes_of_the_dead_go_at_once(spooled, purge, state):
    await spooled.upload(state, {F.RECEIVING: 2})
    await purge.run_once()
    assert spooled.blob_count() == 0


@pytest.mark.parametrize("state", [S.OPEN, S.UPLOADING, S.DELIVERING, S.HELD])
async def test_what_is_under_way_stays(spooled, purge, state):
    await spooled.upload(state, {F.WHOLE: 1})
    report = await purge.run_once()
    assert spooled.blob_count() == 1
    assert (report.uploads, report.files, report.expired, report.faults) == (0, 0, 0, [])


async def test_more_uploads_than_one_look_shows_are_all_met(spooled, purge, monkeypatch):
    monkeypatch.setattr(retention_module, "PAGE", 2)
    for state in (S.SUCCESS, S.CANCELLED, S.FAILED, S.PARTIAL):
        for _ in range(5):
            await spooled.upload(state)
    for _ in range(5):
        await spooled.upload(S.SUCCESS, receipt=False)
    report = await purge.run_once()
    assert (report.uploads, report.faults) == (10, ["conflict"] * 5)
    assert spooled.blob_count() == 5 + 5


# Silent uploads


@pytest.mark.parametrize("state", [S.OPEN, S.UPLOADING])
async def test_a_silent_upload_expires_and_its_bytes_go(spooled, purge, clock, state):
    upload = await spooled.upload(state, {F.RECEIVING: 1}, expires_at=clock.now() + HOUR)
    await run_for(purge, clock, HOUR - 1)
    assert (await spooled.now(upload)).state is state
    clock.advance(1)
    report = await purge.run_once()
    row = await spooled.now(upload)
    assert (report.expired, row.state, row.finished_at) == (1, S.EXPIRED, clock.now())
    assert row.epoch > upload.epoch
    assert spooled.blob_count() == 0
    assert await spooled.told("upload.expired") == 1
    assert await spooled.told("upload.purged") == 1


async def test_an_upload_that_is_being_written_to_does_not_expire(spooled, purge, leases, clock):
    upload = await spooled.upload(S.UPLOADING, {F.RECEIVING: 1}, expires_at=clock.now())
    (file,) = await spooled.files(upload)
    async with leases.hold(f"{file.file_id}#3", Claim.POLITE, lambda: None):
        assert (await purge.run_once()).expired == 0
    assert (await purge.run_once()).expired == 1


async def test_an_upload_that_only_waits_for_the_word_complete_is_completed_instead(spooled, purge, clock):
    upload = await spooled.upload(S.UPLOADING, {F.WHOLE: 1}, expires_at=clock.now())
    job = new_job(JobKind.COMPLETE, upload.upload_id, None, clock.now() + DAY)
    await spooled.opened.ledger.write(lambda tx: tx.jobs.insert(job))
    assert (await purge.run_once()).expired == 0
    (due,) = await spooled.opened.ledger.read(lambda tx: tx.jobs.of_upload(upload.upload_id))
    assert due.due_at == clock.now()
    assert spooled.blob_count() == 1


# Records, tokens, strays


async def test_records_go_after_their_time_and_their_receipts_with_them(spooled, leases, clock):
    purge = purge_of(spooled, leases, replace(TIMES, interval_s=10 * DAY))
    upload = await spooled.upload(S.SUCCESS)
    await purge.run_once()
    clock.advance(90 * DAY - 1)
    assert (await purge.run_once()).records == 0
    clock.advance(1)
    ledger = spooled.opened.ledger
    await ledger.write(lambda tx: issue(tx, account_id="a" * 32, upload_id=upload.upload_id, now=clock.now()))
    assert (await purge.run_once()).records == 1
    assert await ledger.write(lambda tx: tx.tokens.delete_expired(1e15, 10)) == 0, "its refresh tokens went with it"
    assert await ledger.read(lambda tx: tx.uploads.get(upload.upload_id)) is None
    assert await ledger.read(lambda tx: tx.receipts.get(upload.receipt_id)) is None
    assert await spooled.told("record.deleted") == 1


async def test_a_record_stays_while_its_bytes_could_not_be_deleted(spooled, leases, clock):
    purge = purge_of(spooled, leases, replace(TIMES, interval_s=10 * DAY))
    upload = await spooled.upload(S.SUCCESS)
    spooled.blobs.faults["delete"] = errno.EIO
    report = await purge.run_once()
    assert report.faults == ["storage_error"]
    clock.advance(91 * DAY)
    assert (await purge.run_once()).records == 0
    assert (await spooled.now(upload)).erased_at is not None
    spooled.blobs.faults.clear()
    assert (await purge.run_once()).records == 1
    assert spooled.blob_count() == 0


async def test_refresh_tokens_past_their_time_are_cleared_away(spooled, purge, clock):
    def begin(tx):
        tx.accounts.insert(account_row("a" * 32))
        for n in range(250):
            issue(tx, account_id="a" * 32, now=clock.now(), expires_at=clock.now() + n)

    await spooled.opened.ledger.write(begin)
    clock.advance(100)
    assert (await purge.run_once()).tokens == 101


async def test_a_blob_that_no_row_names_goes_after_an_hour(spooled, purge, clock):
    await spooled.upload(S.OPEN)
    spooled.blobs.put(secrets.token_hex(16), b"stray")
    assert (await purge.run_once()).orphans == 0
    clock.advance(HOUR)
    spooled.blobs.put(secrets.token_hex(16), b"fresh stray")
    clock.advance(1)
    assert (await purge.run_once()).orphans == 1
    assert spooled.blob_count() == 2
    assert await spooled.told("spool.swept") == 1


async def test_the_store_is_not_listed_at_every_run(spooled, leases, clock):
    listed: list[float] = []

    def orphans(before):
        listed.append(before)
        return iter(())

    erasure = Erasure(spooled.opened.ledger, spooled.spool, leases, clock)
    purge = Retention(
        spooled.opened.ledger,
        erasure,
        clock,
        TIMES,
        orphans=orphans,
        delete=spooled.spool.delete,
    )
    await run_for(purge, clock, 3 * HOUR)
    assert len(listed) == 3


# Time that doesn't count


async def test_an_outage_counts_against_no_upload(spooled, leases, clock):
    await purge_of(spooled, leases).run_once()
    upload = await spooled.upload(S.UPLOADING, {F.RECEIVING: 1})
    clock.advance(30 * DAY)
    report = await purge_of(spooled, leases).run_once()
    assert report.expired == 0
    assert (await spooled.now(upload)).expires_at == upload.expires_at + 30 * DAY
    assert await spooled.told("retention.gap") == 1


async def test_after_an_outage_the_silent_have_ten_minutes_to_come_back(spooled, leases, clock):
    purge = purge_of(spooled, leases)
    await purge.run_once()
    upload = await spooled.upload(S.UPLOADING, expires_at=clock.now() + 1)
    clock.advance(HOUR)
    await purge.run_once()
    assert (await spooled.now(upload)).expires_at == clock.now() + 10 * MINUTE
    assert (await run_for(purge, clock, 10 * MINUTE)).expired == 1


async def test_a_missed_run_or_two_is_no_outage(spooled, purge, clock):
    await purge.run_once()
    upload = await spooled.upload(S.UPLOADING)
    clock.advance(9 * MINUTE)
    await purge.run_once()
    assert (await spooled.now(upload)).expires_at == upload.expires_at


async def test_failed_bytes_wait_for_a_retry_only_while_the_gateway_runs(spooled, lazy, leases, clock):
    await lazy.run_once()
    await spooled.upload(S.FAILED)
    clock.advance(3 * DAY)
    await lazy.run_once()
    clock.advance(30 * DAY)  # nobody could have retried
    await lazy.run_once()
    assert spooled.blob_count() == 1
    clock.advance(4 * DAY - 1)
    await lazy.run_once()
    assert spooled.blob_count() == 1
    clock.advance(1)
    await lazy.run_once()
    assert spooled.blob_count() == 0


async def test_what_finishes_after_an_outage_is_not_kept_longer_for_it(spooled, lazy, clock):
    await lazy.run_once()
    clock.advance(30 * DAY)
    await lazy.run_once()
    await spooled.upload(S.FAILED)
    clock.advance(3.5 * DAY)
    await lazy.run_once()
    clock.advance(3.5 * DAY)
    await lazy.run_once()
    assert spooled.blob_count() == 0


async def test_a_clock_that_jumps_ahead_and_back_ends_nothing_and_keeps_nothing_for_ever(spooled, lazy, clock):
    await lazy.run_once()
    open_one = await spooled.upload(S.UPLOADING)
    failed = await spooled.upload(S.FAILED)
    clock.jump(365 * DAY)
    assert (await lazy.run_once()).expired == 0
    assert await spooled.blobs_of(failed) == 1
    later = await spooled.upload(S.FAILED)
    await spooled.upload(S.SUCCESS)
    await lazy.run_once()
    clock.jump(-365 * DAY)
    await lazy.run_once()
    assert (await spooled.now(later)).finished_at == clock.now()
    assert abs((await spooled.now(open_one)).expires_at - open_one.expires_at) < 1
    for _ in range(2):
        clock.advance(3.5 * DAY)
        await lazy.run_once()
    assert await spooled.blobs_of(failed) == 0
    assert await spooled.blobs_of(later) == 0


async def test_a_run_of_another_process_a_moment_ago_is_no_jump(spooled, purge, leases, clock):
    await purge.run_once()
    upload = await spooled.upload(S.UPLOADING)
    clock.jump(-0.5)
    await purge_of(spooled, leases).run_once()
    assert (await spooled.now(upload)).expires_at == upload.expires_at
    assert await spooled.told("retention.gap") == 0


async def test_gaps_that_matter_no_more_are_forgotten(spooled, leases, clock):
    purge = purge_of(spooled, leases, replace(TIMES, interval_s=12 * HOUR))
    for _ in range(40):
        clock.advance(10 * DAY)
        await purge.run_once()
        for _ in range(3):
            clock.advance(4.5 * DAY)
            await purge.run_once()
    stored = await spooled.opened.ledger.read(lambda tx: tx.settings.get(Setting.RETENTION_GAPS))
    assert stored.count("[") - 1 <= 8


STRETCHES = st.lists(st.tuples(st.integers(0, 100), st.integers(1, 100)), max_size=6)


@given(stretches=STRETCHES, last=st.integers(0, 100), duration=st.integers(0, 400))
def test_running_time_is_reckoned_without_the_gaps(stretches, last, duration):
    at, gaps = 0, []
    for ran, missed in stretches:
        gaps.append((float(at + ran), float(at + ran + missed)))
        at += ran + missed
    now = float(at + last)
    before = running_before(now, duration, gaps)
    missed_since = sum(end - max(start, before) for start, end in gaps if end > before)
    assert now - before - missed_since == duration


# The timer


async def test_the_timer_runs_when_something_may_be_erased_and_ends_when_it_is_told(spooled, purge):
    stop = asyncio.Event()
    running = asyncio.create_task(purge.run(stop))
    with spooled.opened.ledger.watch("a topic") as watch:
        await watch.changed(0.2)
        upload = await spooled.upload(S.CANCELLED)
        with spooled.opened.ledger.watch(upload.upload_id) as erased:
            await spooled.opened.ledger.write(lambda tx: tx.wake(PURGE))
            assert await erased.changed(5)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert (await spooled.now(upload)).erased_at is not None


async def test_a_ledger_that_can_not_be_used_does_not_end_the_timer(spooled, purge, monkeypatch, caplog):
    monkeypatch.setattr(retention_module, "PAUSE_S", 0.01)
    stop = asyncio.Event()
    await spooled.opened.ledger.close()
    running = asyncio.create_task(purge.run(stop))
    await asyncio.sleep(0.05)
    assert not running.done()
    stop.set()
    await asyncio.wait_for(running, 5)
    assert "unavailable" in caplog.text
