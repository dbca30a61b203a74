"""Which files belong to an upload, and what that does to its sums. Transactions only."""

from __future__ import annotations

from gateway.errors import Conflict, TooLarge
from gateway.ledger.base import PURGE, Transaction
from gateway.ledger.rows import Dialect, FileRow, JobKind, UploadRow, replace
from gateway.states import FileState
from gateway.uploads.completion import Timing, await_completion, noted


def with_file(upload: UploadRow, planned_bytes: int) -> UploadRow:
    """The upload with one more file.

    :raises Conflict: more files than were declared.
    :raises TooLarge: more bytes than were declared.
    """
    if upload.live_files >= upload.total_files:
        raise Conflict("the upload has as many files as were declared", code="too_many_files")
    return with_bytes(upload, planned_bytes, files=1)


def with_bytes(upload: UploadRow, planned_bytes: int, *, files: int = 0) -> UploadRow:
    """The upload with more bytes planned, and so many files. :raises TooLarge: more bytes than were declared."""
    planned_bytes += upload.planned_bytes
    if planned_bytes > upload.total_size_bytes:
        raise TooLarge("the upload has fewer bytes declared than this", code="upload_too_large")
    return replace(upload, planned_bytes=planned_bytes, live_files=upload.live_files + files)


def with_changed(upload: UploadRow, before: FileRow, now: FileRow) -> UploadRow:
    """The upload after one of its files changed. A file whose length isn't told yet counts with the bytes that came; an
    upload that was opened for it alone is as large as that.

    :raises TooLarge: more bytes than were declared.
    """
    more = size_of(now) - size_of(before)
    if now.dialect is Dialect.PART:
        return replace(upload, part_bytes=upload.part_bytes + more)
    if upload.single:
        upload = replace(upload, total_size_bytes=upload.total_size_bytes + more)
    return with_bytes(upload, more) if more else upload


def with_part(upload: UploadRow, part: FileRow, received_bytes: int = 0) -> UploadRow:
    """The upload with one more part that no final has taken. :param received_bytes: that its sum doesn't have yet."""
    return replace(
        upload,
        parts=upload.parts + 1,
        part_bytes=upload.part_bytes + size_of(part),
        received_bytes=upload.received_bytes + received_bytes,
    )


def without_part(upload: UploadRow, part: FileRow) -> UploadRow:
    """The upload with one less: a final has taken it, or it is gone."""
    return replace(
        upload,
        parts=upload.parts - 1,
        part_bytes=upload.part_bytes - size_of(part),
        received_bytes=upload.received_bytes - part.offset,
    )


def needs_more_room(upload: UploadRow, file: FileRow) -> bool:
    """What comes of this file was set aside by nobody: its length wasn't told."""
    return file.length is None and (upload.single or file.dialect is Dialect.PART)


def is_taken(tx: Transaction, part: FileRow) -> bool:
    """A final of its own upload has its bytes, and counts them."""
    finals = map(tx.files.get, tx.concats.finals_of(part.file_id))
    return any(one is not None and one.upload_id == part.upload_id and _has_taken(one) for one in finals)


def _has_taken(final: FileRow) -> bool:
    return final.whole_at is not None and final.key_id is not None


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
    if file.dialect is Dialect.PART:
        upload = upload if is_taken(tx, file) else without_part(upload, file)
    else:
        upload = noted(_without_sums(upload, file, lower_totals), file, None)
    parts = _left_by(tx, file)
    _end_file(tx, upload, file, state)
    for part in parts:
        if part.upload_id == upload.upload_id and not is_taken(tx, part):
            upload = with_part(upload, part, part.offset)
            tx.uploads.save(upload)
    await_completion(tx, upload, now, timing)
    tx.audit.append(f"file.{state}", at=now, actor=actor, upload_id=upload.upload_id, detail={"file": file.file_id})
    tx.wake(upload.upload_id)
    if file.dialect is Dialect.PART:
        for final_id in tx.concats.finals_of(file.file_id):
            _bereave(tx, final_id, actor, now, timing)
    return tx.uploads.get(upload.upload_id) or upload


def _left_by(tx: Transaction, file: FileRow) -> list[FileRow]:
    """Parts that a final had taken and that live on without it."""
    if file.dialect is not Dialect.FINAL or not _has_taken(file):
        return []
    parts = map(tx.files.get, dict.fromkeys(tx.concats.parts_of(file.file_id)))
    return [part for part in parts if part is not None and part.key_id is not None]


def _bereave(tx: Transaction, final_id: str, actor: str, now: float, timing: Timing) -> None:
    """A final that waits for its parts will never be whole: it goes, and an upload that was opened for it expires."""
    final = tx.files.get(final_id)
    upload = tx.uploads.get(final.upload_id) if final is not None else None
    if final is None or upload is None or final.state is not FileState.RECEIVING:
        return
    upload = without_file(tx, upload, final, actor, now, timing)
    if upload.single:
        tx.uploads.save(replace(upload, expires_at=now))
        tx.wake(PURGE)


def _without_sums(upload: UploadRow, file: FileRow, lower_totals: bool) -> UploadRow:
    size = size_of(file)
    whole = file.whole_at is not None
    counted = file.dialect is not Dialect.REST or file.chunks > 0  # a first chunk that was refused made none
    return replace(
        upload,
        live_files=upload.live_files - counted,
        planned_bytes=upload.planned_bytes - size,
        received_bytes=upload.received_bytes - file.offset,
        whole_files=upload.whole_files - whole,
        whole_bytes=upload.whole_bytes - (file.offset if whole else 0),
        total_files=upload.total_files - lower_totals,
        total_size_bytes=upload.total_size_bytes - (size if lower_totals else 0),
    )


def _end_file(tx: Transaction, upload: UploadRow, file: FileRow, state: FileState) -> None:
    """Save both rows, without the file's key and its job."""
    tx.uploads.save(upload)
    if file.key_id is not None:
        tx.keys.delete([file.key_id])
    tx.files.save(cleared(file, state))
    for job in tx.jobs.of_upload(upload.upload_id, JobKind.CHECK):
        if job.file_id == file.file_id:
            tx.jobs.delete(job.job_id)


def cleared(file: FileRow, state: FileState) -> FileRow:
    """The row without what was sealed under keys that are gone."""
    return replace(
        file,
        state=state,
        key_id=None,
        client_mac=None,
        meta_sealed=None,
        facts_sealed=None,
        bytes_sealed=None,
        concat_sealed=None,
        sources_sealed=None,
    )
