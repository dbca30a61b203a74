"""Acts on the ledger that make a file or an upload complete. Pure transactions: no bytes, no waiting.

*Whole* and its job are one transaction; so are the completion of an upload and its next job. What the completion means
for each file is said by the upload's row (`told.py`): no act here touches all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import Conflict, Forbidden, Gone, NotFound
from gateway.ledger.base import JOBS, Transaction
from gateway.ledger.resting import wake
from gateway.ledger.rows import Dialect, FileRow, JobKind, JobRow, UploadRow, replace
from gateway.protocol import chunks
from gateway.states import LEFT_STATES, RECEIVING_STATES, FileState, UploadEvent, UploadState, after, refusal
from gateway.uploads.arrivals import Judged
from gateway.uploads.reservations import reserved

#: Who acts when nobody asked: the gateway's own timers and workers.
GATEWAY = "gateway"
#: Files that one transaction ends after their upload was completed.
PAGE = 40


@dataclass(frozen=True, slots=True)
class Timing:
    """When things happen by themselves. Seconds."""

    expires_s: float
    autocomplete_s: float

    def expires_at(self, now: float) -> float:
        """When an upload goes whose client gives no sign of life after this one. Unix seconds."""
        return now + self.expires_s


def new_job(kind: JobKind, upload_id: str, file_id: str | None, due_at: float) -> JobRow:
    """A job that nobody has tried yet."""
    return JobRow(0, kind, upload_id, file_id, due_at, 0, 0.0, None, None, None, "")


def require_open(tx: Transaction, upload_id: str, epoch: int | None = None) -> UploadRow:
    """The upload, if bytes may still come.

    :param epoch: what the caller saw before; another one means that it was stopped in between.
    :raises NotFound, Gone, Conflict: it isn't there, is dead, or is completed.
    """
    upload = tx.uploads.get(upload_id)
    if upload is None:
        raise NotFound("there is no such upload")
    return require_receiving(upload, epoch)


def require_receiving(upload: UploadRow, epoch: int | None = None) -> UploadRow:
    """`require_open` of a row that is at hand."""
    if upload.state not in RECEIVING_STATES:
        raise refusal(upload.state, UploadEvent.BYTES)
    if epoch is not None and upload.epoch != epoch:
        raise Conflict("the upload was stopped in between", code="conflict")
    return upload


def require_file(tx: Transaction, file_id: str, dialect: Dialect) -> FileRow:
    """The file, if bytes of this dialect may still come; a part grows as other tails do.

    :raises NotFound, Gone, Conflict: it isn't there, was removed or damaged, or was made by another protocol.
    :raises Forbidden: `final_upload`: it is put together from others.
    """
    file = tx.files.get(file_id)
    if file is None:
        raise NotFound("there is no such file")
    if file.state is FileState.REMOVED:
        raise Gone("the file was removed", code="file_gone", state=str(file.state))
    if file.state is FileState.LOST:
        raise Gone("stored bytes of this file are damaged", code="data_lost", state=str(file.state))
    if file.dialect is Dialect.FINAL:
        raise Forbidden("a final upload takes no bytes: it is put together from its parts", code="final_upload")
    if file.dialect is not dialect and (dialect, file.dialect) != (Dialect.TAIL, Dialect.PART):
        raise Conflict("this file was made by another protocol", code="other_dialect")
    return file


def require_not_left(file: FileRow) -> None:
    """:raises Conflict: `file_busy`: it is on its way to the PACS, or there; it can't be taken back."""
    if file.state in LEFT_STATES:
        raise Conflict("the file is on its way to the PACS, or there", code="file_busy", state=str(file.state))


def touched(upload: UploadRow, now: float, timing: Timing) -> UploadRow:
    """The upload after a sign of life of its client."""
    return replace(upload, active_at=now, expires_at=timing.expires_at(now))


def note_bytes(upload: UploadRow, delta_bytes: int, now: float, timing: Timing) -> UploadRow:
    """The upload after `delta_bytes` more durable bytes. They have their room, though it lapsed a moment before."""
    return replace(
        reserved(upload),
        active_at=now,  # as `touched` has it, in one copy
        expires_at=timing.expires_at(now),
        state=after(upload.state, UploadEvent.BYTES),
        received_bytes=upload.received_bytes + delta_bytes,
    )


def mark_whole(
    tx: Transaction, upload: UploadRow, file: FileRow, now: float, timing: Timing, judged: Judged | None = None
) -> tuple[UploadRow, FileRow]:
    """Save both rows with the file whole, and write what follows from it: its verdict, or the job that brings one.

    A single upload is completed at once, if its account may; another one whose sums add up gets a job that completes
    it if its client forgets to.

    :param judged: its verdict, if there is one already.
    :returns: both as saved.
    """
    whole, ruled = _save_whole(tx, upload, file, now, judged=judged)
    upload = replace(upload, whole_files=upload.whole_files + 1, whole_bytes=upload.whole_bytes + whole.offset)
    tx.uploads.save(upload)
    tx.wake(upload.upload_id)
    if not ruled:
        tx.wake(JOBS)
    if upload.single and may_complete(tx, upload.owner_id):
        upload = enqueue_delivery(tx, upload, now, GATEWAY)
        return upload, tx.files.get(file.file_id) or whole
    if adds_up(upload):  # else it didn't before either: a job was never written
        await_completion(tx, upload, now, timing)
        tx.wake(JOBS)
    return upload, whole


def _save_whole(
    tx: Transaction,
    upload: UploadRow,
    file: FileRow,
    now: float,
    *,
    whole_at: float | None = None,
    judged: Judged | None = None,
) -> tuple[FileRow, bool]:
    """The file's row, its verdict or its check, and its event; whether it has its verdict."""
    whole = replace(file, state=FileState.WHOLE, whole_at=whole_at or now, length=file.offset)
    ruled = None if judged is None else judged.on(upload, whole)
    if ruled is None:
        tx.jobs.insert(new_job(JobKind.CHECK, file.upload_id, file.file_id, now))
    whole = ruled or whole
    tx.files.save(whole)
    detail = {"file": file.file_id, "size_bytes": whole.offset}
    tx.audit.append("file.whole", at=now, actor=GATEWAY, upload_id=file.upload_id, detail=detail)
    return whole, ruled is not None


def await_completion(tx: Transaction, upload: UploadRow, now: float, timing: Timing) -> None:
    """Write or move the job that completes an upload whose sums add up; take it back where they don't."""
    waiting = tx.jobs.of_upload(upload.upload_id, JobKind.COMPLETE)
    if not adds_up(upload) or upload.state not in RECEIVING_STATES:
        for job in waiting:
            tx.jobs.delete(job.job_id)
        return
    due_at = now + timing.autocomplete_s
    if waiting:
        tx.jobs.save(replace(waiting[0], due_at=due_at))
    else:
        tx.jobs.insert(new_job(JobKind.COMPLETE, upload.upload_id, None, due_at))


def adds_up(upload: UploadRow) -> bool:
    """As many whole files and bytes as were declared."""
    return upload.whole_files == upload.total_files and upload.whole_bytes == upload.total_size_bytes


def may_complete(tx: Transaction, account_id: str) -> bool:
    """Nothing is completed for an account that was disabled; what came is kept (CONTRACT 2)."""
    account = tx.accounts.get(account_id)
    return account is None or account.disabled_at is None


def all_there(upload: UploadRow, file: FileRow) -> bool:
    """Every byte of the file came, as far as anybody told how many there are."""
    if file.dialect is Dialect.REST:
        return chunks.is_whole_at_complete(chunked_view(upload, file))
    return file.length == file.offset


@dataclass(frozen=True, slots=True)
class Declared:
    """What `complete` must find."""

    files: int
    size_bytes: int
    unsized: bool = False  #: a skipped file's size isn't known: fewer bytes are right, too


def got_by(upload: UploadRow) -> tuple[int, int]:
    """Files and bytes that are there for a `complete` that comes now: it ends REST files, too."""
    return upload.whole_files + upload.ending_files, upload.whole_bytes + upload.ending_bytes


def incomplete(upload: UploadRow, declared: Declared) -> Conflict:
    """The refusal of `complete` where something is missing."""
    expected, got = (declared.files, declared.size_bytes), got_by(upload)
    return Conflict(
        "not everything that was declared is there",
        code="incomplete",
        expected={"files": expected[0], "size_bytes": expected[1]},
        got={"files": got[0], "size_bytes": got[1]},
        missing={"files": expected[0] - got[0], "size_bytes": expected[1] - got[1]},
    )


def ends(upload: UploadRow, file: FileRow) -> bool:
    """A REST file that still receives and has no hole: `complete` ends it."""
    return _chunked(file) and chunks.is_whole_at_complete(chunked_view(upload, file))


def is_unbegun(file: FileRow) -> bool:
    """A REST file of which no chunk was accepted: after `complete` there is no such file."""
    return _chunked(file) and not file.chunks


def _chunked(file: FileRow) -> bool:
    return file.dialect is Dialect.REST and file.state is FileState.RECEIVING


def noted(upload: UploadRow, before: FileRow | None, now: FileRow | None) -> UploadRow:
    """The upload, whose row says what `complete` would make of its REST files, after one of them changed.

    :param before: None: it wasn't there, or didn't receive any more.
    :param now: None: the same.
    """
    for file, sign in ((before, -1), (now, 1)):
        if file is not None and is_unbegun(file):
            upload = replace(upload, unbegun_files=upload.unbegun_files + sign)
        elif file is not None and ends(upload, file):
            size = sign * file.offset
            upload = replace(upload, ending_files=upload.ending_files + sign, ending_bytes=upload.ending_bytes + size)
    return upload


def end_page(tx: Transaction, upload_id: str, after_id: str, now: float) -> str | None:
    """After a completion: end a page of the REST files that nothing else has ended, and note the rows of those that were
    never begun as removed. With the last page comes the delivery job.

    :returns: where to go on; None: there is nothing left to do.
    """
    upload = tx.uploads.get(upload_id)
    if upload is None or upload.state is not UploadState.DELIVERING or not _has_to_end(upload):
        return None
    page = tx.files.page(upload_id, after=after_id, limit=PAGE)
    for file in page:
        if is_unbegun(file):
            tx.keys.delete([file.key_id] if file.key_id is not None else [])
            tx.files.save(replace(file, state=FileState.REMOVED, key_id=None, client_mac=None))
        elif ends(upload, file):
            _save_whole(tx, upload, replace(file, total_chunks=file.chunks), now, whole_at=upload.completed_at)
        else:
            continue
        upload = noted(upload, file, None)
    if _has_to_end(upload) and len(page) == PAGE:
        tx.uploads.save(upload)
        tx.wake(JOBS)
        return page[-1].file_id
    tx.uploads.save(replace(upload, unbegun_files=0, ending_files=0, ending_bytes=0))
    for job in tx.jobs.of_upload(upload_id, JobKind.COMPLETE):
        tx.jobs.delete(job.job_id)
    queue_delivery(tx, upload_id, now)
    tx.wake(JOBS)
    return None


def _has_to_end(upload: UploadRow) -> bool:
    return bool(upload.unbegun_files or upload.ending_files)


def queue_delivery(tx: Transaction, upload_id: str, now: float) -> None:
    """Write the job of its delivery, or wake the one that has sent instances already."""
    if not wake_delivery(tx, upload_id, now):
        tx.jobs.insert(new_job(JobKind.DELIVER, upload_id, None, now))


def wake_delivery(tx: Transaction, upload_id: str, now: float) -> bool:
    """Tell the job of its delivery that the upload isn't what it was. False: there is none."""
    found = tx.jobs.of_upload(upload_id, JobKind.DELIVER)
    for job in found:
        wake(tx, job, now)
    return bool(found)


def chunked_view(upload: UploadRow, file: FileRow) -> chunks.ChunkedFile:
    """A REST file as the protocol core sees it."""
    return chunks.ChunkedFile(
        chunk_size=upload.chunk_size,
        total_chunks=file.total_chunks,
        received_bytes=file.offset,
        chunks=file.chunks,
        highest_index=file.highest_chunk,
    )


def enqueue_delivery(tx: Transaction, upload: UploadRow, now: float, actor: str) -> UploadRow:
    """Complete the upload: no byte is taken after this; its next job is written.

    That is its delivery, or where REST files have to be ended, the one that does that first.
    """
    files, size_bytes = got_by(upload)
    done = replace(
        upload,
        state=after(upload.state, UploadEvent.COMPLETE),
        completed_at=now,
        queued_at=now,
        active_at=now,
        whole_files=files,
        whole_bytes=size_bytes,
    )
    tx.uploads.save(done)
    for job in tx.jobs.of_upload(upload.upload_id, JobKind.COMPLETE):
        tx.jobs.delete(job.job_id)
    if _has_to_end(done):
        tx.jobs.insert(new_job(JobKind.COMPLETE, upload.upload_id, None, now))
    else:
        queue_delivery(tx, upload.upload_id, now)
    tx.audit.append(
        "upload.completed",
        at=now,
        actor=actor,
        upload_id=upload.upload_id,
        detail={"files": files, "size_bytes": size_bytes},
    )
    tx.wake(upload.upload_id)
    tx.wake(JOBS)
    return done


def takes_bytes(state: UploadState) -> bool:
    """Bytes may still come."""
    return state in RECEIVING_STATES
