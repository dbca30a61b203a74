"""What HEAD tells of a file. Transactions only."""

from __future__ import annotations

from dataclasses import replace

from gateway.keys.columns import Column
from gateway.ledger.base import Transaction
from gateway.ledger.rows import Dialect, FileRow, UploadRow
from gateway.states import FileState
from gateway.uploads.intake import Intake, upload_key
from gateway.uploads.parts import parts_of, told_length
from gateway.uploads.seen import Seen


def looked_at(tx: Transaction, intake: Intake, upload: UploadRow, file: FileRow) -> Seen:
    """The file with what its client said of it. Of a final that waits, `length` is what its parts will make together.

    :raises Gone: a final waits for a part that is gone.
    """
    raw = concat = None
    if upload.key_id is not None:
        sealer, file_id = upload_key(tx, intake.ring, upload).meta, file.file_id
        if file.meta_sealed is not None:
            raw = sealer.open(file.meta_sealed, context=Column.FILE_META.of(file_id)).decode()
        if file.concat_sealed is not None:
            concat = sealer.open(file.concat_sealed, context=Column.FILE_CONCAT.of(file_id)).decode()
    if file.dialect is Dialect.FINAL and file.state is FileState.RECEIVING:
        file = replace(file, length=told_length(parts_of(tx, file)))
    return Seen(upload, file, raw, concat)
