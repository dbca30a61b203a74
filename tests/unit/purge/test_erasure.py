"""Erasing: only with a receipt or at an end, keys first, and finished after any crash."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
from dataclasses import replace

import pytest

from gateway.blobs.memory import MemoryBlobs
from gateway.errors import Conflict, NotFound, Unavailable
from gateway.ledger.rows import JobKind, JobRow
from gateway.ledger.settings import Setting
from gateway.purge import erasure as erasure_module
from gateway.purge.erasure import Erasure, Reason
from gateway.states import FileState, UploadState
from gateway.uploads.leases import Claim, Leases
from tests.clocks import ManualClock
from tests.opened import opened_ledger
from tests.spooled import Spooled

S, F = UploadState, FileState


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


@pytest.fixture
def erasure(spooled, leases, clock):
    return Erasure(spooled.opened.ledger, spooled.spool, leases, clock)


async def test_after_it_no_key_no_byte_and_nothing_of_the_patient_is_left(spooled, erasure, clock):
    upload = await spooled.upload(S.SUCCESS, {F.STORED: 3, F.REJECTED: 1})
    files = await spooled.files(upload)
    clock.advance(5)
    erased = await erasure.erase_upload(upload.upload_id, Reason.DELIVERED)
    assert erased.files == 4
    assert erased.size_bytes == sum(file.sealed_bytes for file in files)
    assert await spooled.keys_left(upload, files) == 0
    assert spooled.blob_count() == 0
    row = await spooled.now(upload)
    assert (row.key_id, row.meta_sealed, row.reserved_bytes, row.erased_at) == (None, None, 0, clock.now())
    assert row.epoch == upload.epoch + 1
    assert row.receipt_id == upload.receipt_id
    for file in await spooled.files(upload):
        assert (file.key_id, file.client_mac, file.meta_sealed, file.facts_sealed) == (None, None, None, None)
        assert file.outcome_sealed is not None
    assert await spooled.opened.ledger.read(lambda tx: tx.runs.segment_ids(upload.upload_id)) == []
    assert await spooled.opened.ledger.read(lambda tx: tx.uploads.reserved_bytes()) == 0


async def test_every_erasure_is_audited_once(spooled, erasure):
    upload = await spooled.upload(S.SUCCESS, {F.STORED: 2})
    for _ in range(2):
        await erasure.erase_upload(upload.upload_id, Reason.DELIVERED)
    (event,) = [one for one in await spooled.opened.events() if one.event == "upload.purged"]
    assert event.upload_id == upload.upload_id
    assert json.loads(event.detail)["reason"] == "delivered"
    assert json.loads(event.detail)["files"] == 2


@pytest.mark.parametrize("state", list(UploadState))
@pytest.mark.parametrize("reason", list(Reason))
async def test_a_reason_holds_in_its_own_states_only(spooled, erasure, state, reason):
    allowed = {
        Reason.DELIVERED: {S.SUCCESS},
        Reason.RETENTION: {S.PARTIAL, S.FAILED},
        Reason.CANCELLED: {S.CANCELLED},
        Reason.EXPIRED: {S.EXPIRED},
    }
    upload = await spooled.upload(state)
    files = await spooled.files(upload)
    if state in allowed[reason]:
        await erasure.erase_upload(upload.upload_id, reason)
        assert await spooled.keys_left(upload, files) == 0
    else:
        with pytest.raises(Conflict):
            await erasure.erase_upload(upload.upload_id, reason)
        assert await spooled.keys_left(upload, files) == 2
        assert await spooled.blobs_of(upload) == 1
        assert await spooled.told("upload.purged") == 0


async def test_without_a_receipt_nothing_is_erased_as_delivered(spooled, erasure):
    upload = await spooled.upload(S.SUCCESS, receipt=False)
    with pytest.raises(Conflict, match="receipt"):
        await erasure.erase_upload(upload.upload_id, Reason.DELIVERED)
    dangling = await spooled.upload(S.SUCCESS, receipt=False)
    await spooled.opened.ledger.write(lambda tx: tx.uploads.save(replace(dangling, receipt_id="f" * 32)))
    with pytest.raises(Conflict, match="receipt"):
        await erasure.erase_upload(dangling.upload_id, Reason.DELIVERED)
    assert spooled.blob_count() == 2


async def test_what_is_not_there_is_not_found(erasure):
    with pytest.raises(NotFound):
        await erasure.erase_upload("0" * 32, Reason.EXPIRED)


async def test_of_a_partial_upload_only_what_the_pacs_has_can_be_erased(spooled, erasure):
    upload = await spooled.upload(S.PARTIAL, {F.STORED: 2, F.ALREADY_THERE: 1, F.FAILED: 2})
    files = await spooled.files(upload)
    in_pacs = [file for file in files if file.state in {F.STORED, F.ALREADY_THERE}]
    kept = [file for file in files if file.state is F.FAILED]
    with pytest.raises(Conflict, match="PACS"):
        await erasure.erase_files(upload.upload_id, [file.file_id for file in files], Reason.DELIVERED)
    assert spooled.blob_count() == 5

    erased = await erasure.erase_files(upload.upload_id, [file.file_id for file in in_pacs], Reason.DELIVERED)
    assert erased.files == 3
    assert spooled.blob_count() == 2
    assert await spooled.keys_left(upload, kept) == 3
    row = await spooled.now(upload)
    assert row.erased_at is None
    assert row.reserved_bytes == upload.reserved_bytes - erased.size_bytes
    assert await spooled.told("files.purged") == 1

    again = await erasure.erase_files(upload.upload_id, [file.file_id for file in in_pacs], Reason.DELIVERED)
    assert again.files == 0
    assert await spooled.told("files.purged") == 1


@pytest.mark.parametrize("state", [S.OPEN, S.UPLOADING, S.DELIVERING, S.HELD])
async def test_no_file_of_an_unfinished_upload_can_be_erased_apart(spooled, erasure, state):
    upload = await spooled.upload(state, {F.STORED: 1}, receipt=True)
    (file,) = await spooled.files(upload)
    with pytest.raises(Conflict):
        await erasure.erase_files(upload.upload_id, [file.file_id], Reason.DELIVERED)
    assert spooled.blob_count() == 1


async def test_a_file_of_another_upload_is_refused(spooled, erasure):
    upload, other = await spooled.upload(S.PARTIAL), await spooled.upload(S.SUCCESS)
    (file,) = await spooled.files(other)
    with pytest.raises(Conflict):
        await erasure.erase_files(upload.upload_id, [file.file_id], Reason.DELIVERED)
    assert spooled.blob_count() == 2


async def test_a_writer_is_cut_and_done_before_anything_is_erased(spooled, erasure, leases):
    upload = await spooled.upload(S.CANCELLED)
    (file,) = await spooled.files(upload)
    told, order = asyncio.Event(), []

    async def write():
        async with leases.hold(file.file_id, Claim.POLITE, told.set):
            await told.wait()
            order.append(("let go", spooled.blob_count()))

    writer = asyncio.create_task(write())
    await asyncio.sleep(0)
    assert await erasure.being_written(upload.upload_id)
    await erasure.erase_upload(upload.upload_id, Reason.CANCELLED)
    await writer
    assert order == [("let go", 1)]
    assert spooled.blob_count() == 0


async def test_what_was_kept_open_between_requests_is_closed(spooled, leases, clock):
    closed: list[str] = []
    erasure = Erasure(spooled.opened.ledger, spooled.spool, leases, clock, close_tail=closed.append)
    upload = await spooled.upload(S.EXPIRED, {F.RECEIVING: 3})
    await erasure.erase_upload(upload.upload_id, Reason.EXPIRED)
    assert sorted(closed) == [file.file_id for file in await spooled.files(upload)]


async def test_a_storage_that_fails_is_no_reason_to_keep_the_keys_and_resume_goes_on(spooled, erasure):
    upload = await spooled.upload(S.SUCCESS, {F.STORED: 2})
    files = await spooled.files(upload)
    spooled.blobs.faults["delete"] = errno.EIO
    with pytest.raises(Unavailable):
        await erasure.erase_upload(upload.upload_id, Reason.DELIVERED)
    assert await spooled.keys_left(upload, files) == 0
    assert await spooled.told("upload.purged") == 1
    assert spooled.blob_count() == 2
    with pytest.raises(Unavailable):
        await erasure.resume()
    spooled.blobs.faults.clear()
    assert await erasure.resume() == 1
    assert spooled.blob_count() == 0
    assert await erasure.resume() == 0
    assert await spooled.told("upload.purged") == 1


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("steps", range(8))
@pytest.mark.parametrize("what", ["upload", "files"])
async def test_after_a_crash_at_any_step_another_process_finishes(spooled, leases, clock, monkeypatch, steps, what):
    monkeypatch.setattr(erasure_module, "PAGE", 2)
    upload = await spooled.upload(S.SUCCESS if what == "upload" else S.PARTIAL, {F.STORED: 3})
    bystander = await spooled.upload(S.PARTIAL, {F.FAILED: 1})
    files = await spooled.files(upload)
    file_ids = [file.file_id for file in files]
    ledger, left = spooled.opened.ledger, steps

    def step():
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash

    class Mortal:
        def __getattr__(self, name):
            return getattr(ledger, name)

        async def write(self, act):
            step()
            return await ledger.write(act)

    class MortalSpool:
        def delete(self, names):
            step()
            spooled.spool.delete(names)

        def punch(self, segment_id, holes):
            step()
            return spooled.spool.punch(segment_id, holes)

    async def erase(erasure):
        if what == "upload":
            await erasure.erase_upload(upload.upload_id, Reason.DELIVERED)
        else:
            await erasure.erase_files(upload.upload_id, file_ids, Reason.DELIVERED)

    mortal = Erasure(Mortal(), MortalSpool(), leases, clock)
    with contextlib.suppress(Crash):
        await erase(mortal)
    survivor = Erasure(ledger, spooled.spool, leases, clock)
    await survivor.resume()
    await erase(survivor)
    assert spooled.blob_count() == 1
    assert await spooled.blobs_of(bystander) == 1
    assert await spooled.keys_left(upload, files) == (0 if what == "upload" else 1)
    assert await spooled.told("upload.purged" if what == "upload" else "files.purged") == 1
    assert all(file.facts_sealed is None for file in await spooled.files(upload))
    assert await ledger.read(lambda tx: tx.settings.get(Setting.ERASURES_UNFINISHED)) == "[]"


async def test_its_jobs_end_with_an_upload(spooled, erasure):
    upload = await spooled.upload(S.EXPIRED, {F.RECEIVING: 1})
    job = JobRow(0, JobKind.CHECK, upload.upload_id, None, 0.0, 0, 0.0, None, None, None, "")
    await spooled.opened.ledger.write(lambda tx: tx.jobs.insert(job))
    await erasure.erase_upload(upload.upload_id, Reason.EXPIRED)
    assert await spooled.opened.ledger.read(lambda tx: tx.jobs.of_upload(upload.upload_id)) == []


async def test_a_removed_file_is_no_longer_counted(spooled, erasure):
    upload = await spooled.upload(S.SUCCESS, {F.STORED: 1, F.REMOVED: 2})
    assert (await erasure.erase_upload(upload.upload_id, Reason.DELIVERED)).files == 1
    assert spooled.blob_count() == 0


async def test_a_scrubbed_ledger_has_no_trace_of_a_wrapped_key(leases, clock, tmp_path):
    async with opened_ledger(clock, path=tmp_path / "ledger.db") as opened:
        spooled = Spooled(opened, clock, MemoryBlobs(clock=clock))
        erasure = Erasure(opened.ledger, spooled.spool, leases, clock)
        upload = await spooled.upload(S.SUCCESS, {F.STORED: 5})
        files = await spooled.files(upload)
        ids = [upload.key_id or 0, *(file.key_id or 0 for file in files)]
        wrapped = await opened.ledger.read(lambda tx: [tx.keys.get(one) for one in ids])
        on_disk = lambda: b"".join(path.read_bytes() for path in tmp_path.iterdir())  # noqa: E731 # said twice below
        assert all(key is not None and key[-16:] in on_disk() for key in wrapped)
        await erasure.erase_upload(upload.upload_id, Reason.DELIVERED)
        assert await erasure.scrub()
        assert not any(key is not None and key[-16:] in on_disk() for key in wrapped)
