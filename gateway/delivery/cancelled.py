"""What the PACS took of an upload that was cancelled or has expired: its receipt, the warning, and what became of its files.

Not in the cancellation's own transaction: that one changes a row, this one reads them all. Whoever cancels waits for
it; the delivery's job does it again where the process ended in between. Doing it twice changes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from gateway.clock import Clock
from gateway.delivery.items import (
    FileOutcome,
    Memory,
    client_id,
    open_list,
    open_outcome,
    seal_list,
    seal_outcome,
)
from gateway.delivery.receipt import IN_PACS, delivered, end_of, is_proof, receipt_of, stored, warning
from gateway.delivery.threads import in_thread
from gateway.delivery.way import Way, ways_of
from gateway.keys.columns import Column
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import DeliveredRow, FileRow, JobKind, ReceiptRow, UploadRow
from gateway.receipts.document import Signer, Verification
from gateway.spool import ServiceKeys
from gateway.states import DEAD_STATES, FileResult, FileState

#: Files read at once, and files that one transaction writes.
READ_PAGE, WRITE_PAGE = 500, 100


@dataclass(frozen=True, slots=True)
class _Taken:
    """A file that the PACS has, as far as anybody knows."""

    file_id: str
    name: str  #: what its client calls it
    outcome: FileOutcome
    acknowledged: bytes | None  #: the sealed outcome that it had, if that wasn't final


@dataclass(frozen=True, slots=True)
class _ToWrite:
    """What is to be written.

    :param receipt: None: the one that is there says it all.
    :param unnoted: what the index of what was delivered doesn't have under this receipt yet.
    """

    upload: UploadRow
    receipt: ReceiptRow | None
    unnoted: Sequence[DeliveredRow]


@dataclass(frozen=True, slots=True)
class Settling:
    """Settles cancelled uploads."""

    ledger: Ledger
    keys: ServiceKeys
    signer: Signer
    clock: Clock

    async def settle(self, way: Way, receipt_id: str | None = None) -> None:
        """Write the receipt for what the PACS took of a dead upload, and the warning `partial_left_in_pacs`; any
        other upload is left as it is.

        :param receipt_id: that the attempt, whose answer came late, has noted what was delivered under.
        """
        while True:
            upload, known_id = await self.ledger.read(partial(self._look, way, receipt_id))
            if upload is None:
                return
            taken, maybe = await self._taken(way)
            if taken or maybe:
                made = await in_thread(partial(self._made, upload, taken, known_id))
                if not await self.ledger.write(partial(self._apply, way, before=upload, wanted=made)):
                    continue  # another answer came in between
                await self._write_down(way, taken, made.unnoted)
            return

    async def end(self, upload_id: str) -> None:
        """`settle`, and the delivery has nothing left to do."""
        for way in await self.ledger.read(lambda tx: ways_of(tx, upload_id)):
            await self.settle(way)
        await self.ledger.write(partial(_drop_delivery, upload_id=upload_id))

    def _look(self, way: Way, receipt_id: str | None, tx: Transaction) -> tuple[UploadRow | None, str | None]:
        """The upload if it is dead, and the id for a receipt of it, if that isn't used yet."""
        upload = way.upload(tx)
        if upload is None or upload.state not in DEAD_STATES:
            return None, None
        for job in tx.jobs.of_upload(way.upload_id, JobKind.DELIVER):
            if job.endpoint_id == way.endpoint_id:
                receipt_id = receipt_id or Memory.of(self.keys, job).receipt_id
        used = receipt_id and tx.receipts.get(receipt_id) is not None
        return upload, None if used else receipt_id or None

    async def _taken(self, way: Way) -> tuple[list[_Taken], bool]:
        """What the PACS has, and whether it may have more."""
        taken: list[_Taken] = []
        maybe, last = False, ""
        while page := await self.ledger.read(partial(_page, way, last)):
            last = page[-1].file_id
            taken += await in_thread(partial(self._of_page, page))
            maybe = maybe or any(row.state is FileState.SENDING and row.outcome_sealed is None for row in page)
        return taken, maybe

    def _of_page(self, page: Sequence[FileRow]) -> list[_Taken]:
        taken = []
        for row in page:
            if row.outcome_sealed is None:
                continue
            outcome, acknowledged = open_outcome(self.keys, row.file_id, row.outcome_sealed), None
            if outcome.outcome is FileResult.ACKNOWLEDGED:
                known = Verification(outcome.verification or Verification.ACKNOWLEDGED)
                outcome, acknowledged = stored(outcome, known), row.outcome_sealed
            if outcome.outcome in IN_PACS:
                taken.append(_Taken(row.file_id, client_id(self.keys, row), outcome, acknowledged))
        return taken

    def _made(self, upload: UploadRow, taken: Sequence[_Taken], receipt_id: str | None) -> _ToWrite:
        """In a thread: many outcomes take their time."""
        names = {one.file_id: one.name for one in taken}
        outcomes = [(one.file_id, one.outcome) for one in taken]
        end = end_of(outcomes, lambda file_id: names[file_id], [warning("partial_left_in_pacs")])
        receipt, unnoted = None, list[DeliveredRow]()
        if taken and (upload.receipt_id is None or any(one.acknowledged for one in taken)):
            now = self.clock.now()
            receipt = receipt_of(
                upload,
                outcomes,
                receipt_id=receipt_id or secrets.token_hex(16),
                verification=end.verification,
                now=now,
                signer=self.signer,
                keys=self.keys,
            )
            if receipt_id is None:
                notes = (
                    delivered(self.keys, upload.endpoint_id, outcome, receipt.receipt_id, now)
                    for _, outcome in outcomes
                    if is_proof(outcome)
                )
                unnoted = list(notes)
        records = self.keys.records
        kept = open_list(records, upload.warnings_sealed, Column.UPLOAD_WARNINGS, upload.upload_id)
        warnings = kept + [one for one in end.warnings if one not in kept]
        row = replace(
            upload,
            receipt_id=upload.receipt_id if receipt is None else receipt.receipt_id,
            warnings_sealed=seal_list(records, warnings, Column.UPLOAD_WARNINGS, upload.upload_id),
            studies_sealed=seal_list(records, end.studies, Column.UPLOAD_STUDIES, upload.upload_id),
        )
        return _ToWrite(row, receipt, unnoted)

    def _apply(self, way: Way, tx: Transaction, before: UploadRow, wanted: _ToWrite) -> bool:
        """False: the upload's row isn't what it was."""
        upload, made = way.upload(tx), wanted.upload
        if upload is None:
            return True
        if (upload.receipt_id, upload.warnings_sealed) != (before.receipt_id, before.warnings_sealed):
            return False
        if wanted.receipt is not None:
            tx.receipts.insert(wanted.receipt)
        row = replace(
            upload,
            receipt_id=made.receipt_id,
            warnings_sealed=made.warnings_sealed,
            studies_sealed=made.studies_sealed,
        )
        way.save(tx, row, self.keys.records, self.clock.now())
        tx.wake(upload.upload_id)
        return True

    async def _write_down(self, way: Way, taken: Sequence[_Taken], unnoted: Sequence[DeliveredRow]) -> None:
        """What was acknowledged is stored: that is known now, and nobody will look any more."""
        news = [one for one in taken if one.acknowledged is not None]
        for start in range(0, len(news), WRITE_PAGE):
            page = news[start : start + WRITE_PAGE]
            sealed = [(one, seal_outcome(self.keys, one.file_id, one.outcome)) for one in page]
            await self.ledger.write(partial(_store, way=way, news=sealed))
        for start in range(0, len(unnoted), WRITE_PAGE):
            await self.ledger.write(partial(_note, rows=unnoted[start : start + WRITE_PAGE]))


def _page(way: Way, last: str, tx: Transaction) -> list[FileRow]:
    return way.page(tx, last, READ_PAGE)


def _store(tx: Transaction, way: Way, news: Sequence[tuple[_Taken, bytes]]) -> None:
    for one, sealed in news:
        row = way.file(tx, one.file_id)
        if row is not None and row.outcome_sealed == one.acknowledged:
            state = FileState.STORED if row.state is FileState.SENDING else row.state
            way.save_file(tx, replace(row, state=state, outcome_sealed=sealed))


def _note(tx: Transaction, rows: Sequence[DeliveredRow]) -> None:
    for row in rows:
        tx.receipts.note_delivered(row)


def _drop_delivery(tx: Transaction, upload_id: str) -> None:
    upload = tx.uploads.get(upload_id)
    if upload is None or upload.state in DEAD_STATES:
        for job in tx.jobs.of_upload(upload_id, JobKind.DELIVER):
            tx.jobs.delete(job.job_id)
