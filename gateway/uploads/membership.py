"""Which files belong to an upload, and what that does to its sums. Transactions only."""

from __future__ import annotations

from dataclasses import replace

from gateway.errors import Conflict, TooLarge
from gateway.ledger.base import Transaction
from gateway.ledger.rows import Dialect, FileRow, JobKind, UploadRow
from gateway.states import FileState
from gateway.uploads.completion import Timing, await_completion, noted


def with_file(upload: UploadRow, planned_bytes: int) -> UploadRow:
    """The upload with one more file.

    :raises Conflict: more files than were declared.
    :raises TooLarge: more bytes than were declared.
    """
    if upload.live_files >= upload.total_files:
        raise Conflict("the upload has as many files as were declared", code="too_many_files")
    return with_bytes(replace(upload, live_files=upload.live_files + 1), planned_bytes)


def with_bytes(upload: UploadRow, planned_bytes: int) -> UploadRow:
    """The upload with more bytes planned. :raises TooLarge: more than were declared."""
    if upload.planned_bytes + planned_bytes > upload.total_size_bytes:
        raise TooLarge("the upload has fewer bytes declared than this", code="upload_too_large")
    return replace(upload, planned_bytes=upload.planned_bytes + planned_bytes)


def with_changed(upload: UploadRow, before: FileRow, now: FileRow) -> UploadRow:
    """The upload after one of its files changed. A file whose length isn't told yet counts with the bytes that came; an
    upload that was opened for it alone is as large as that.

    :raises TooLarge: more bytes than were declared.
    """
    more = size_of(now) - size_of(before)
    if upload.single:
        upload = replace(upload, total_size_bytes=upload.total_size_bytes + more)
    return with_bytes(upload, more) if more else upload


def size_of(file: FileRow) -> int:
    """Bytes that the file counts with in its upload's sums."""
    return file.offset if file.length is None else file.length


def without_file(
    tx: Transaction,
    upload: UploadRow,
    file: FileRow,
    actor: str,
    now: float,
    timing: Timing,
    *,
    lower_totals: bool = False,
    lost: bool = False,
) -> UploadRow:
    """Take a file out: its key goes, its sums go, and with `lower_totals` what was declared goes down too.

    Its client may make a file with the same file_id anew.

    :param lost: it goes because its stored bytes are damaged, not because somebody wants it to.
    :returns: the upload as saved.
    """
    state = FileState.LOST if lost else FileState.REMOVED
    size = size_of(file)
    whole = file.whole_at is not None
    counted = file.dialect is not Dialect.REST or file.chunks > 0  # a first chunk that was refused made none
    upload = replace(
        upload,
        live_files=upload.live_files - counted,
        planned_bytes=upload.planned_bytes - size,
        received_bytes=upload.received_bytes - file.offset,
        whole_files=upload.whole_files - whole,
        whole_bytes=upload.whole_bytes - (file.offset if whole else 0),
        total_files=upload.total_files - lower_totals,
        total_size_bytes=upload.total_size_bytes - (size if lower_totals else 0),
    )
    upload = noted(upload, file, None)
    tx.uploads.save(upload)
    if file.key_id is not None:
        tx.keys.delete([file.key_id])
    tx.files.save(replace(file, state=state, key_id=None, client_mac=None, meta_sealed=None, facts_sealed=None))
    for job in tx.jobs.of_upload(upload.upload_id, JobKind.CHECK):
        if job.file_id == file.file_id:
            tx.jobs.delete(job.job_id)
    await_completion(tx, upload, now, timing)
    tx.audit.append(f"file.{state}", at=now, actor=actor, upload_id=upload.upload_id, detail={"file": file.file_id})
    tx.wake(upload.upload_id)
    return upload
