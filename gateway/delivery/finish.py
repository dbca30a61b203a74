"""The end of a delivery, and what a person may do after it.

One transaction makes everything true at once: files, index of what was delivered, receipt, state, audit, and that
no job is left.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from gateway.clock import Clock
from gateway.delivery.attempt import Attempt, Superseded
from gateway.delivery.endpoint import ACTOR
from gateway.delivery.items import FileOutcome, Item, Memory, client_id, open_list, seal_list
from gateway.delivery.notes import undelivered
from gateway.delivery.receipt import IN_PACS, End, end_of, receipt_of, warning
from gateway.delivery.threads import in_thread
from gateway.delivery.way import Way, standing, ways_of
from gateway.errors import Conflict, NotFound
from gateway.keys.columns import Column
from gateway.ledger.base import JOBS, PURGE, Ledger, Transaction
from gateway.ledger.resting import rested, wake
from gateway.ledger.rows import JobKind, JobRow, ReceiptRow, UploadRow
from gateway.spool import ServiceKeys
from gateway.states import (
    FINISHED_STATES,
    LEFT_STATES,
    RECEIVING_STATES,
    FileResult,
    FileState,
    UploadEvent,
    UploadState,
    after,
)

log = logging.getLogger("relaypacs.delivery")

#: Files settled in one transaction.
PAGE = 100

#: `last_code` of a job that rests until a person has decided.
HELD = "held"
#: Warning of an upload that was held when some of it had left.
PARTLY_SENT = "partly_sent"
#: Studies that the audit event of a delivery names; the receipt has them all.
AUDITED_STUDIES = 100
#: States of files that a retry sends again: those that failed, or that a retry which was stopped has queued already.
#: `rejected` ones would be rejected again, `lost` ones can't be read.
RETRIED_STATES = frozenset({FileState.FAILED, FileState.QUEUED})


def fail_pending(attempt: Attempt, code: str) -> None:
    """Whatever isn't in the PACS yet won't be."""
    for item in attempt.items:
        if item.pending:
            item.outcome = item.became(FileResult.FAILED, code=code)


def settle_rest(attempt: Attempt) -> None:
    """Give every item its final outcome: repeats follow the file they repeat, half files were left out."""
    settled: dict[tuple[str, str], FileOutcome] = {}
    for item in attempt.items:
        if item.outcome is not None and item.outcome.sop_instance_uid:
            # Not its facts: what was delivered before a retry may be purged.
            twins = (item.outcome.sop_instance_uid, item.outcome.sha256)
            if item.outcome.outcome in IN_PACS or twins not in settled:
                settled[twins] = item.outcome
    for item in attempt.items:
        if item.state is FileState.REMOVED or item.outcome is not None:
            continue
        if not item.pending:
            item.outcome = _unjudged(item)
            continue
        twin = settled.get((item.sop_instance_uid, item.sha256))
        if twin is None:
            item.outcome = item.became(FileResult.FAILED, code="not_acknowledged")
        elif twin.outcome in IN_PACS:
            item.outcome = item.became(
                FileResult.ALREADY_THERE, warnings=("duplicate_in_upload",), verification=twin.verification
            )
        else:
            item.outcome = item.became(FileResult.FAILED, code=twin.code or "not_acknowledged")


def _unjudged(item: Item) -> FileOutcome:
    if item.state is FileState.RECEIVING:
        return FileOutcome(FileResult.SKIPPED, code="incomplete")
    if item.state is FileState.SKIPPED:
        return FileOutcome(FileResult.SKIPPED, code="declared")
    return FileOutcome(FileResult.FAILED, code="data_lost" if item.state is FileState.LOST else "not_checked")


async def finish(attempt: Attempt) -> None:
    """Write the end down.

    Files beyond a page are settled before, a page at a time, so that others needn't wait for the writer; what they
    become is true by then. The rest, the receipt, the state and the audit event are one transaction.

    :raises Superseded: the upload was stopped in between.
    """
    settle_rest(attempt)
    now = attempt.tools.clock.now()
    for item in attempt.items:
        if item.outcome is not None and not item.outcome.at and item.outcome is not item.saved:
            item.outcome = replace(item.outcome, at=now)
    unsaved = [item for item in attempt.items if item.outcome is not None and item.outcome is not item.saved]
    while len(unsaved) > PAGE:
        page, unsaved = unsaved[:PAGE], unsaved[PAGE:]
        await attempt.record([(item, item.outcome) for item in page if item.outcome is not None])
    names = await _names(attempt)
    end, receipt, columns = await in_thread(lambda: _made(attempt, names))
    studies = _study_digests(attempt, end)
    last = attempt.sealed_outcomes([(item, item.outcome) for item in unsaved if item.outcome is not None])

    keys = attempt.tools.keys

    def act(tx: Transaction) -> bool:
        upload = attempt.mine(tx)
        if upload is None:
            return False
        state, before = after(upload.state, end.event), tx.uploads.get(upload.upload_id)
        attempt.save_outcomes(tx, last)
        tx.receipts.insert(receipt)
        row = replace(upload, state=state, **columns)
        falls_back = state is UploadState.FAILED and bool(end.counts.get(FileResult.FAILED))
        told = attempt.way.save(tx, row, keys.records, receipt.created_at, falls_back=falls_back)
        if told.state in FINISHED_STATES and before is not None and before.state is not told.state:
            attempt.tools.announce(tx, told, f"upload.{told.state}", receipt.created_at)
        detail = {"endpoint": upload.endpoint_id, "state": str(state), "studies": studies, **end.counts}
        tx.audit.append(
            "upload.delivered", at=receipt.created_at, actor=ACTOR, upload_id=upload.upload_id, detail=detail
        )
        tx.jobs.delete(attempt.job.job_id)
        tx.wake(upload.upload_id)
        tx.wake(PURGE)
        return True

    if not await attempt.tools.ledger.write(act):
        raise Superseded
    log.info("upload_ended upload=%s event=%s", attempt.upload.upload_id, end.event)


def _study_digests(attempt: Attempt, end: End) -> list[str]:
    """Keyed digests of the studies, for the audit trail: who asks for one study finds it, and nobody reads a UID."""
    uids = (str(study["study_instance_uid"]) for study in end.studies[:AUDITED_STUDIES])
    return [attempt.tools.keys.index_mac(f"audit|study|{uid}".encode()).hex() for uid in uids]


def _outcomes(attempt: Attempt) -> Iterator[tuple[str, FileOutcome]]:
    for item in attempt.items:
        if item.outcome is not None:
            yield item.file_id, item.outcome


async def _names(attempt: Attempt) -> dict[str, str]:
    """What the client calls the files that a warning names."""
    warned: list[str] = []

    def noted(file_id: str) -> str:
        warned.append(file_id)
        return ""

    end_of(_outcomes(attempt), noted)

    def act(tx: Transaction) -> dict[str, str]:
        rows = (tx.files.get(file_id) for file_id in warned)
        return {row.file_id: client_id(attempt.tools.keys, row) for row in rows if row is not None}

    return await attempt.tools.ledger.read(act) if warned else {}


def _made(attempt: Attempt, names: Mapping[str, str]) -> tuple[End, ReceiptRow, dict[str, Any]]:
    """How it ended, the receipt, and what changes in the upload's row. In a thread: 20,000 instances take their time."""
    keys, now, upload = attempt.tools.keys, attempt.tools.clock.now(), _with_its_hold(attempt)
    kept = open_list(keys.records, upload.warnings_sealed, Column.UPLOAD_WARNINGS, upload.upload_id)
    extra = kept + _of_upload(attempt.memory) + undelivered(attempt)
    end = end_of(_outcomes(attempt), lambda file_id: names.get(file_id, ""), extra)
    receipt = receipt_of(
        upload,
        _outcomes(attempt),
        receipt_id=attempt.memory.receipt_id,
        verification=end.verification,
        now=now,
        signer=attempt.tools.signer,
        keys=keys,
    )
    columns = {
        "warnings_sealed": seal_list(keys.records, end.warnings, Column.UPLOAD_WARNINGS, upload.upload_id),
        "studies_sealed": seal_list(keys.records, end.studies, Column.UPLOAD_STUDIES, upload.upload_id),
        "receipt_id": receipt.receipt_id,
        "finished_at": now,
    }
    return end, receipt, columns


def _with_its_hold(attempt: Attempt) -> UploadRow:
    """The upload; one that an older release let go has in its job what others have in their row."""
    upload, memory = attempt.upload, attempt.memory
    if upload.held_codes or not memory.held:
        return upload
    return replace(upload, held_codes=memory.held, released_at=memory.released_at or None)


def _of_upload(memory: Memory) -> list[dict[str, str]]:
    """Warnings of the upload as a whole."""
    warnings = []
    if memory.mismatched:
        told = warning("study_metadata_mismatch")
        fields = memory.mismatched.replace(",", ", ")
        warnings.append({**told, "message": f"{told['message']}: {fields}"})
    doubts = dict.fromkeys(filter(None, memory.doubts.split(",")))
    if memory.unidentified:
        doubts.setdefault("identity_not_checked")
    return warnings + [warning(code) for code in doubts]


def hold(
    tx: Transaction,
    upload: UploadRow,
    job: JobRow,
    codes: tuple[str, ...],
    now: float,
    keys: ServiceKeys,
    memory_sealed: bytes | None = None,
) -> UploadRow:
    """A person has to look at it before anything is sent. Returns the upload as it was saved.

    While its files come it takes them still: it is held, as far as its state tells, when it is complete.

    :param memory_sealed: of a job that has sent something; it rests until it is decided. None: the job is done.
    """
    way, receives = Way(job.upload_id, job.endpoint_id), upload.state in RECEIVING_STATES
    state = upload.state if receives else after(upload.state, UploadEvent.HOLD)
    known = upload.held_reasons == list(codes)
    row = replace(
        upload,
        state=state,
        held_codes=",".join(codes),
        held_at=upload.held_at if known else now,
        released_at=None,
    )
    detail: dict[str, Any] = {"codes": list(codes)} | ({"endpoint": way.endpoint_id} if way.endpoint_id else {})
    if memory_sealed is not None:
        row, sent = _with_sent(tx, row, keys)
        detail |= {"sent": sent}
    held = way.save(tx, row, keys.records, now)
    if not known:
        tx.audit.append("upload.held", at=now, actor=ACTOR, upload_id=upload.upload_id, detail=detail)
    mine = tx.jobs.get(job.job_id)
    if memory_sealed is None or mine is None:
        tx.jobs.delete(job.job_id)
    else:
        tx.jobs.save(rested(replace(mine, memory_sealed=memory_sealed, last_code=""), HELD, now))
    tx.wake(upload.upload_id)
    return held


def _with_sent(tx: Transaction, upload: UploadRow, keys: ServiceKeys) -> tuple[UploadRow, int]:
    """The upload, whose warnings say how many instances the PACS has, or may have; and how many that is."""
    counts = tx.files.counts(upload.upload_id)
    sent = sum(counts.get(state, 0) for state in LEFT_STATES)
    column, upload_id = Column.UPLOAD_WARNINGS, upload.upload_id
    kept = open_list(keys.records, upload.warnings_sealed, column, upload_id)
    told = [one for one in kept if one["code"] != PARTLY_SENT]
    if sent:
        said = warning(PARTLY_SENT)
        told.append({**said, "message": f"{sent} {said['message']}"})
    return replace(upload, warnings_sealed=seal_list(keys.records, told, column, upload_id)), sent


def release(tx: Transaction, upload: UploadRow, *, actor: str, reason: str, clock: Clock, keys: ServiceKeys) -> None:
    """A person has looked at a held upload: it goes, and isn't held again.

    :param reason: for the audit trail; the caller sees to it that it names no patient.
    :raises Conflict, Gone: it isn't held.
    """
    now = clock.now()
    if upload.held_reasons and upload.state in (UploadState.UPLOADING, UploadState.DELIVERING):
        tx.uploads.save(replace(upload, released_at=now))
        for job in tx.jobs.of_upload(upload.upload_id, JobKind.DELIVER):
            wake(tx, job, now)
        _note(tx, "upload.released", upload, now, actor, {"reason": reason})
        return
    after(upload.state, UploadEvent.RELEASE)
    for way in ways_of(tx, upload.upload_id):
        held = way.upload(tx)
        if held is None or held.state is not UploadState.HELD:
            continue
        row = replace(held, state=after(held.state, UploadEvent.RELEASE), released_at=now, queued_at=now)
        way.save(tx, row, keys.records, now)
        _let_go(tx, way, now, keys)
    _note(tx, "upload.released", upload, now, actor, {"reason": reason})


async def retry(ledger: Ledger, upload_id: str, *, actor: str, reason: str, clock: Clock, keys: ServiceKeys) -> int:
    """Send what failed once more. How many files that is.

    Files are queued again page by page, then the upload is under way: one that is stopped in between can be retried
    still.

    :raises NotFound: there is no such upload.
    :raises Conflict, Gone: nothing failed, or the upload isn't partial or failed, or its bytes are erased.
    """
    await ledger.read(lambda tx: _retriable(tx, upload_id))
    files: dict[Way, int] = {}
    for way in await ledger.read(lambda tx: _failed_ways(tx, upload_id)):
        files[way], last = 0, ""
        while page := await ledger.write(partial(_queue_again, way=way, after_id=last)):
            last, files[way] = page[0], files[way] + page[1]

    def act(tx: Transaction) -> None:
        upload = _retriable(tx, upload_id)
        if not any(files.values()):
            raise Conflict("no file of this upload can be sent again", state=str(upload.state))
        now = clock.now()
        for way in (one for one, count in files.items() if count):
            row = way.upload(tx)
            if row is None:
                continue
            row = replace(
                row,
                state=after(row.state, UploadEvent.RETRY),
                finished_at=None,
                queued_at=now,
                warnings_sealed=None,
            )
            way.save(tx, row, keys.records, now)
            _new_job(tx, way, now, keys, Memory(released=True))
        detail = {"reason": reason, "files": sum(files.values())}
        _note(tx, "upload.retried", upload, now, actor, detail)

    await ledger.write(act)
    return sum(files.values())


def _retriable(tx: Transaction, upload_id: str) -> UploadRow:
    """The upload. :raises NotFound, Conflict, Gone: it can't be retried."""
    upload = tx.uploads.get(upload_id)
    if upload is None:
        raise NotFound("there is no such upload")
    after(upload.state, UploadEvent.RETRY)
    if upload.key_id is None:
        raise Conflict("the bytes of this upload are erased", state=str(upload.state))
    return upload


def _failed_ways(tx: Transaction, upload_id: str) -> list[Way]:
    """Those that didn't bring everything, unless another endpoint has stood in."""
    deliveries = tx.deliveries.of_upload(upload_id)
    among = {one.endpoint_id: one for one in deliveries}
    made_good = {one.endpoint_id for one in deliveries if standing(one, among).state is UploadState.SUCCESS}
    failed = (UploadState.PARTIAL, UploadState.FAILED)
    return [
        way
        for way in ways_of(tx, upload_id)
        if way.endpoint_id not in made_good and (row := way.upload(tx)) is not None and row.state in failed
    ]


def _queue_again(tx: Transaction, way: Way, after_id: str) -> tuple[str, int] | None:
    """Of a page of files: the last one, and how many will be sent again. None: there are no more."""
    _retriable(tx, way.upload_id)
    page = way.page(tx, after_id, PAGE)
    if not page:
        return None
    again = [file for file in page if file.state in RETRIED_STATES and file.facts_sealed and file.key_id is not None]
    for file in again:
        way.save_file(tx, replace(file, state=FileState.QUEUED, outcome_sealed=None))
    return page[-1].file_id, len(again)


def _let_go(tx: Transaction, way: Way, now: float, keys: ServiceKeys) -> None:
    """A job for what was held; one that had begun goes on from what it knows."""
    for job in tx.jobs.of_upload(way.upload_id, JobKind.DELIVER):
        if job.endpoint_id == way.endpoint_id:
            memory = replace(Memory.of(keys, job), released=True)
            tx.jobs.save(replace(job, due_at=now, memory_sealed=memory.sealed(keys, job.job_id)))
            return
    _new_job(tx, way, now, keys, Memory(released=True))


def _new_job(tx: Transaction, way: Way, now: float, keys: ServiceKeys, memory: Memory) -> None:
    blank = JobRow(0, JobKind.DELIVER, way.upload_id, None, now, 0, 0.0, None, None, None, "")
    job_id = tx.jobs.insert(replace(blank, endpoint_id=way.endpoint_id))
    job = tx.jobs.get(job_id)
    assert job is not None
    tx.jobs.save(replace(job, memory_sealed=memory.sealed(keys, job_id)))


def _note(tx: Transaction, event: str, upload: UploadRow, now: float, actor: str, detail: dict[str, Any]) -> None:
    tx.audit.append(event, at=now, actor=actor, upload_id=upload.upload_id, detail=detail)
    tx.wake(upload.upload_id)
    tx.wake(JOBS)
