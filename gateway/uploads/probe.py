"""Before an offset is told or continued by a process that didn't write its bytes: are they there?

Acknowledged bytes that can't be read back make their file `lost`, with an audit event; an offset is never lowered
silently. What this process wrote itself was synced by it and isn't asked about again.
"""

from __future__ import annotations

from gateway.errors import Conflict, Damaged, Gone
from gateway.ledger.base import Transaction
from gateway.ledger.rows import FileRow, UploadRow
from gateway.spool import SpooledFile
from gateway.states import RECEIVING_STATES, FileState
from gateway.uploads.checksums import open_source
from gateway.uploads.completion import GATEWAY
from gateway.uploads.intake import Intake
from gateway.uploads.membership import without_file


async def ensure_sound(intake: Intake, upload: UploadRow, file: FileRow) -> None:
    """Look at the last frame of every run of a file that still receives.

    :raises Gone: `data_lost`: acknowledged bytes are damaged; that is written down.
    :raises Unavailable: the storage failed; nothing is written down.
    """
    if file.state is not FileState.RECEIVING or not file.offset or intake.tails.knows(file.file_id):
        return
    source = await intake.ledger.read(lambda tx: _source(tx, intake, upload, file))
    if source is None:
        return
    try:
        await intake.pipeline.threads.run(_probe, source)
    except Damaged:
        await intake.ledger.write(lambda tx: _lost(tx, intake, file.file_id))
        raise _data_lost() from None


def _source(tx: Transaction, intake: Intake, upload: UploadRow, file: FileRow) -> SpooledFile | None:
    """None: somebody has gone on with the file since its row was read, having looked at it as we do here.

    :raises Gone: `data_lost`: somebody has looked since, and written down what was found.
    """
    now = tx.files.get(file.file_id)
    if now is not None and now.state is FileState.LOST:
        raise _data_lost()
    if now is None or now.offset != file.offset:
        return None
    return open_source(tx, intake, upload, file)


def _data_lost() -> Gone:
    return Gone("stored bytes of this file are damaged", code="data_lost", state="lost")


def _probe(source: SpooledFile) -> None:
    try:
        source.probe()
    finally:
        source.close()


def _lost(tx: Transaction, intake: Intake, file_id: str) -> None:
    """Nothing, where somebody who looked at the same time has written it down."""
    file = tx.files.get(file_id)
    if file is not None and file.state is FileState.LOST:
        return
    upload = tx.uploads.get(file.upload_id) if file is not None else None
    if file is None or upload is None or upload.state not in RECEIVING_STATES or file.state is not FileState.RECEIVING:
        raise Conflict("the file was changed in between", code="conflict")
    without_file(tx, upload, file, GATEWAY, intake.clock.now(), intake.timing, lost=True)
