"""Files in and out of an upload, and its sums."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Conflict, TooLarge
from gateway.ledger.rows import JobKind
from gateway.states import FileState
from gateway.uploads.completion import Timing, await_completion
from gateway.uploads.membership import with_bytes, with_file, without_file
from tests.clocks import ManualClock
from tests.ledger_rows import file_row, job_row, upload_row
from tests.opened import opened_ledger

U, F = "1" * 32, "2" * 32
NOW = 1_800_000_000.0
TIMING = Timing(expires_s=86400.0, autocomplete_s=60.0)
UPLOAD = upload_row(U, now=NOW, total_files=2, total_size_bytes=30)


@pytest.fixture
async def ledger(tmp_path):
    async with opened_ledger(ManualClock(NOW)) as opened:
        yield opened.ledger


def test_as_many_files_as_were_declared_and_no_more():
    upload = with_file(with_file(UPLOAD, 10), 20)
    assert (upload.live_files, upload.planned_bytes) == (2, 30)
    with pytest.raises(Conflict) as caught:
        with_file(upload, 0)
    assert caught.value.code == "too_many_files"


def test_as_many_bytes_as_were_declared_and_no_more():
    assert with_bytes(UPLOAD, 30).planned_bytes == 30
    with pytest.raises(TooLarge) as caught:
        with_bytes(with_bytes(UPLOAD, 30), 1)
    assert caught.value.code == "upload_too_large"
    with pytest.raises(TooLarge):
        with_file(UPLOAD, 31)


@given(st.lists(st.integers(0, 12), max_size=6))
def test_no_row_ever_plans_more_than_was_declared(sizes):
    upload = UPLOAD
    for size in sizes:
        try:
            upload = with_file(upload, size)
        except (Conflict, TooLarge):
            continue
    assert upload.live_files <= upload.total_files
    assert upload.planned_bytes <= upload.total_size_bytes


async def taken_out(ledger, upload, file, **known):
    def act(tx):
        key_id = tx.keys.insert(b"wrapped".ljust(72, b"\0"))
        tx.uploads.insert(upload)
        tx.files.insert(replace(file, key_id=key_id))
        tx.jobs.insert(job_row(U, due_at=NOW, kind=JobKind.CHECK, file_id=F))
        return replace(file, key_id=key_id)

    stored = await ledger.write(act)
    after = await ledger.write(lambda tx: without_file(tx, upload, stored, "upload:x", NOW, TIMING, **known))
    return stored, after


@pytest.mark.parametrize("lower_totals", [True, False])
async def test_a_file_taken_out_takes_its_sums_along(ledger, lower_totals):
    upload = replace(UPLOAD, live_files=2, planned_bytes=30, received_bytes=25, whole_files=1, whole_bytes=10)
    file = file_row(F, U, length=20, offset=15)
    _, after = await taken_out(ledger, upload, file, lower_totals=lower_totals)
    assert (after.live_files, after.planned_bytes, after.received_bytes) == (1, 10, 10)
    assert (after.whole_files, after.whole_bytes) == (1, 10)
    assert (after.total_files, after.total_size_bytes) == ((1, 10) if lower_totals else (2, 30))


async def test_a_whole_file_taken_out_is_no_longer_counted_as_whole(ledger):
    upload = replace(UPLOAD, live_files=2, planned_bytes=30, received_bytes=30, whole_files=2, whole_bytes=30)
    file = file_row(F, U, length=20, offset=20, state=FileState.WHOLE, whole_at=NOW)
    _, after = await taken_out(ledger, upload, file, lower_totals=True)
    assert (after.whole_files, after.whole_bytes, after.received_bytes) == (1, 10, 10)


async def test_a_chunked_file_counts_what_came(ledger):
    upload = replace(UPLOAD, live_files=1, planned_bytes=15, received_bytes=15)
    _, after = await taken_out(ledger, upload, file_row(F, U, length=None, offset=15), lower_totals=True)
    assert (after.planned_bytes, after.total_size_bytes) == (0, 15)


async def test_its_key_its_name_and_its_check_go_with_it(ledger):
    upload = replace(UPLOAD, live_files=1, planned_bytes=20)
    stored, _ = await taken_out(ledger, upload, file_row(F, U, length=20, client_mac=b"mac", meta_sealed=b"x"))
    row = await ledger.read(lambda tx: tx.files.get(F))
    assert (row.state, row.key_id, row.client_mac, row.meta_sealed) == (FileState.REMOVED, None, None, None)
    assert await ledger.read(lambda tx: tx.keys.get(stored.key_id)) is None
    assert await ledger.read(lambda tx: tx.jobs.of_upload(U)) == []


async def test_what_is_left_may_be_completed_by_itself_now(ledger):
    upload = replace(UPLOAD, live_files=2, planned_bytes=30, received_bytes=10, whole_files=1, whole_bytes=10)
    await taken_out(ledger, upload, file_row(F, U, length=20), lower_totals=True)
    waiting = await ledger.read(lambda tx: tx.jobs.of_upload(U, JobKind.COMPLETE))
    assert [job.due_at for job in waiting] == [NOW + 60]


async def test_what_is_left_may_not_be_completed_any_more(ledger):
    upload = replace(UPLOAD, live_files=2, planned_bytes=30, received_bytes=30, whole_files=2, whole_bytes=30)
    file = file_row(F, U, length=20, offset=20, state=FileState.WHOLE, whole_at=NOW)

    def act(tx):
        tx.uploads.insert(upload)
        tx.files.insert(file)
        await_completion(tx, upload, NOW, TIMING)
        without_file(tx, upload, file, "x", NOW, TIMING, lower_totals=False)

    await ledger.write(act)
    assert await ledger.read(lambda tx: tx.jobs.of_upload(U, JobKind.COMPLETE)) == []
