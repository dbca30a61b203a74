"""Parts of a tus concatenation, and the final that takes them. Transactions only.

A part is no file of its upload: it has a row, a key and bytes as a file has, and is in no list, count, check or delivery. A
final has no bytes of its own: when the last of its parts is whole, its runs name the parts' entries, in the same
transaction, and it has their keys, sealed under its own (decision 11).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.errors import GatewayError, Gone, TooLarge
from gateway.keys.columns import Column
from gateway.ledger.base import Transaction
from gateway.ledger.rows import Dialect, FileRow, RunRow, UploadRow
from gateway.states import RECEIVING_STATES, FileState
from gateway.uploads.admission import reserve_more
from gateway.uploads.arrivals import Judged
from gateway.uploads.completion import GATEWAY, mark_whole, note_bytes
from gateway.uploads.intake import Intake, file_key
from gateway.uploads.membership import is_taken, with_changed, without_file, without_part
from gateway.uploads.reservations import room_of

#: A final's runs are written in one transaction: so many, at most.
MOST_RUNS = 50_000


def made_whole(
    tx: Transaction, intake: Intake, upload: UploadRow, file: FileRow, now: float, judged: Judged | None = None
) -> tuple[UploadRow, FileRow]:
    """Save both rows with the file whole, and write what follows from it: of a part, finals that waited for it alone.

    :param judged: see `mark_whole`.
    :returns: both as saved.
    """
    if file.dialect is not Dialect.PART:
        return mark_whole(tx, upload, file, now, intake.timing, judged)
    part = replace(file, state=FileState.WHOLE, whole_at=now, length=file.offset)
    tx.uploads.save(upload)
    tx.files.save(part)
    tx.wake(upload.upload_id)
    for final_id in tx.concats.finals_of(part.file_id):
        _take_if_ready(tx, intake, final_id, now)
    return tx.uploads.get(upload.upload_id) or upload, part


def _take_if_ready(tx: Transaction, intake: Intake, final_id: str, now: float) -> None:
    final = tx.files.get(final_id)
    upload = tx.uploads.get(final.upload_id) if final is not None else None
    if final is None or upload is None or final.state is not FileState.RECEIVING:
        return
    if upload.state not in RECEIVING_STATES:
        return
    try:
        parts = parts_of(tx, final)
        if all(part.whole_at is not None for part in parts):
            take(tx, intake, upload, final, parts, now)
    except GatewayError:
        # Too large by now, or a part of it is gone. That the last part came is true nevertheless.
        without_file(tx, upload, final, GATEWAY, now, intake.timing)


def parts_of(tx: Transaction, final: FileRow) -> list[FileRow]:
    """In their order; one may be there more than once. :raises Gone: `file_gone`: one of them can't be read any more."""
    parts = list[FileRow]()
    for part_id in tx.concats.parts_of(final.file_id):
        part = tx.files.get(part_id)
        upload = tx.uploads.get(part.upload_id) if part is not None else None
        if part is None or part.key_id is None or upload is None or upload.key_id is None:
            raise file_gone("a part of this file is gone", upload)
        parts.append(part)
    return parts


def file_gone(detail: str, upload: UploadRow | None) -> Gone:
    """The refusal of what a part is missing for."""
    receipt_id = None if upload is None else upload.receipt_id
    return Gone(detail, code="file_gone", state=str(FileState.REMOVED), pacs_receipt_id=receipt_id, warnings=[])


def told_length(parts: Sequence[FileRow]) -> int | None:
    """Bytes of all together; None: one of them hasn't told its length."""
    lengths = [part.length for part in parts]
    return None if None in lengths else sum(length or 0 for length in lengths)


def check_length(intake: Intake, upload: UploadRow, final: FileRow, length: int) -> UploadRow:
    """The upload with the final's bytes among what is planned.

    :raises TooLarge: no file may be so long, or the upload has fewer bytes declared.
    """
    if length > intake.limits.max_file_size:
        raise TooLarge("the file is larger than uploads.max_file_size", code="file_too_large")
    return with_changed(upload, final, replace(final, length=length))


def take(
    tx: Transaction, intake: Intake, upload: UploadRow, final: FileRow, parts: Sequence[FileRow], now: float
) -> tuple[UploadRow, FileRow]:
    """Make a final whole of parts that are. Nothing is written if it raises.

    :returns: both as saved.
    :raises TooLarge, SpoolFull, TooMany: it is larger than was declared, or than there is room for; or it is of too many
        pieces.
    """
    own = {part.file_id: part for part in parts if part.upload_id == upload.upload_id}
    length = sum(part.offset for part in parts)
    upload = check_length(intake, upload, final, length)
    for part in own.values():
        upload = upload if is_taken(tx, part) else without_part(upload, part)
    upload = note_bytes(reserve_more(tx, upload, intake.limits), length, now, intake.timing)
    upload = replace(upload, reserved_bytes=min(upload.reserved_bytes, room_of(upload)))
    runs = _runs(tx, final, parts)
    keys = {part.file_id: file_key(tx, intake.ring, _upload_of(tx, part), part) for part in parts}
    own_key = file_key(tx, intake.ring, upload, final)
    for part in {part.file_id: part for part in parts}.values():
        tx.runs.share(part.upload_id, part.file_id)
    for run in runs:
        tx.runs.insert(run)
    whole = replace(
        final,
        length=length,
        offset=length,
        sealed_bytes=sum(run.sealed_bytes for run in runs),
        sources_sealed=own_key.seal_sources(keys, context=Column.FILE_SOURCES.of(final.file_id)),
    )
    return mark_whole(tx, upload, whole, now, intake.timing)


def _runs(tx: Transaction, final: FileRow, parts: Sequence[FileRow]) -> list[RunRow]:
    """The parts' runs as the final's. :raises TooLarge: they are too many for one transaction."""
    found, at = list[RunRow](), 0
    for part in parts:
        for run in tx.runs.of_file(part.file_id):
            if run.length:
                place = replace(run, run_id=0, file_id=final.file_id, start=at + run.start, content_mac=None)
                found.append(replace(place, source_id=part.file_id, source_start=run.start))
        if len(found) > MOST_RUNS:
            raise TooLarge("the parts came in too many small pieces to be put together", code="file_too_large")
        at += part.offset
    return found


def _upload_of(tx: Transaction, part: FileRow) -> UploadRow:
    upload = tx.uploads.get(part.upload_id)
    assert upload is not None  # rows of files hang on it
    return upload


def is_pool(upload: UploadRow, file: FileRow) -> bool:
    """An upload that holds one part until a final comes for it, and nothing else."""
    return upload.single and file.dialect is Dialect.PART and not upload.live_files
