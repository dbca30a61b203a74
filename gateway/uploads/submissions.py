"""Uploads as their clients see them: init, complete, status, cancel, renew (CONTRACT 2.2).

The bytes of their files are `tail.py`'s and `chunks.py`'s business; what becomes of them is `delivery/`'s. The
two meet in the ledger.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from gateway.errors import NotFound, Unauthorized, Unprocessable
from gateway.identity import refresh_tokens
from gateway.identity.principal import Principal, visible
from gateway.keys.columns import Column
from gateway.ledger.base import Transaction
from gateway.ledger.rows import DeliveryRow, Dialect, FileRow, IdempotencyRow, JobRow, ReceiptRow, UploadRow
from gateway.protocol.chunks import ranges
from gateway.protocol.rest import Complete, Init, SkippedFile
from gateway.states import DEAD_STATES, RECEIVING_STATES, FileState, UploadState
from gateway.uploads.admission import Wish, check_size, create_upload
from gateway.uploads.cancellation import Settle, cancel
from gateway.uploads.checksums import Digests
from gateway.uploads.completion import (
    GATEWAY,
    Declared,
    adds_up,
    all_there,
    end_page,
    ends,
    enqueue_delivery,
    got_by,
    incomplete,
    may_complete,
    noted,
    require_not_left,
    touched,
)
from gateway.uploads.destinations import Destinations
from gateway.uploads.intake import Intake, upload_key
from gateway.uploads.patience import once_there
from gateway.uploads.seen import Opened
from gateway.uploads.ticket import Ticket
from gateway.uploads.told import counts_as_told, file_as_told
from gateway.uploads.views import Views

#: What is written as the end of an Idempotency-Key: it lives as long as its upload, whose row takes it along.
_WITH_ITS_UPLOAD_S = 10 * 366 * 86400.0

#: Files that `complete` skips, looked for at once.
PAGE = 500


class Submissions:
    """The acts on whole uploads."""

    def __init__(self, intake: Intake, records: Views, destinations: Destinations, settle_cancelled: Settle) -> None:
        self._intake = intake
        self._records = records
        self._destinations = destinations
        self._settle_cancelled = settle_cancelled
        self._digests = Digests()

    async def init(
        self, who: Principal, wish: Init, idempotency_key: str | None, ticket: Ticket | None = None
    ) -> Opened:
        """Open an upload and set its room aside; the same key and body give the same upload again.

        :param ticket: a right that is used up by it; None: the principal's own.
        :raises Unprocessable, Forbidden, TooLarge, SpoolFull: nothing is used up.
        """
        intake = self._intake
        endpoint = await self._destinations.choose(who, wish.endpoint_id)
        noted = wish.clinical_notes.strip()
        if noted and not await self._destinations.take_notes(who, endpoint, by_qr=ticket is not None):
            raise Unprocessable("this endpoint takes no clinical notes", code="notes_not_delivered")
        asked = Wish(
            owner_id=who.account_id,
            actor=who.actor,
            endpoint_id=endpoint.endpoint_id,
            single=False,
            total_files=wish.total_files,
            total_size_bytes=wish.total_size_bytes,
            meta=wish.meta() | ({"expected": dict(ticket.expected)} if ticket is not None else {}),
            by_qr=ticket is not None,
        )
        check_size(asked, intake.limits)
        room_bytes = await intake.pipeline.threads.run(intake.spool.room_bytes)
        return await intake.ledger.write(lambda tx: self._open(tx, who, asked, idempotency_key, ticket, room_bytes))

    def _open(
        self,
        tx: Transaction,
        who: Principal,
        asked: Wish,
        idempotency_key: str | None,
        ticket: Ticket | None,
        room_bytes: int,
    ) -> Opened:
        principal = who.account_id if ticket is None else ticket.principal
        intake, now = self._intake, self._intake.clock.now()
        body_mac = self._mac(
            "body",
            json.dumps([asked.endpoint_id, asked.total_files, asked.total_size_bytes, asked.meta], sort_keys=True),
        )
        key_mac = self._mac("idempotency", idempotency_key or "")
        if ticket is not None:
            ticket.check(tx)
        if idempotency_key is not None:
            known = tx.tokens.idempotency(principal, key_mac)
            upload = tx.uploads.get(known.upload_id) if known is not None else None
            if known is not None and upload is not None and upload.state not in DEAD_STATES:
                if not hmac.compare_digest(known.body_mac, body_mac):
                    raise Unprocessable("this Idempotency-Key came with another body", code="idempotency_key_reused")
                return self._issued(tx, upload, now)
        upload = ticket.admit(tx) if ticket is not None else None
        if upload is None:
            upload = create_upload(tx, intake.ring, asked, intake.limits, intake.timing, now, room_bytes)
        if ticket is not None:
            ticket.redeemed(tx, upload, now)
        if idempotency_key is not None:
            row = IdempotencyRow(principal, key_mac, body_mac, upload.upload_id, now + _WITH_ITS_UPLOAD_S)
            tx.tokens.remember(row)
        return self._issued(tx, upload, now)

    def _issued(self, tx: Transaction, upload: UploadRow, now: float) -> Opened:
        token = refresh_tokens.issue(tx, account_id=upload.owner_id, upload_id=upload.upload_id, now=now)
        return Opened(upload, token)

    def _mac(self, purpose: str, text: str) -> bytes:
        return self._intake.keys.index_mac(f"{purpose}|{text}".encode())

    async def renew(self, who: Principal | None, upload_id: str, refresh_token: str | None) -> Opened:
        """New tokens for an upload, by its refresh token or its owner's access token.

        :raises Unauthorized, Forbidden, NotFound, Gone: see there.
        """
        ledger, now = self._intake.ledger, self._intake.clock.now()
        if refresh_token is not None:
            check = refresh_tokens.for_upload(upload_id, self._records.raise_if_dead)
            rotated = await refresh_tokens.refresh(ledger, refresh_token, now=now, check=check)
            upload = await ledger.write(lambda tx: self._asked(tx, tx.uploads.get(upload_id), now))
            return Opened(upload, rotated.token)

        def act(tx: Transaction) -> Opened:
            upload = tx.uploads.get(upload_id)
            visible(upload, who is not None and upload is not None and who.may_write(upload))
            return self._issued(tx, self._asked(tx, upload, now), now)

        return await ledger.write(act)

    def _asked(self, tx: Transaction, upload: UploadRow | None, now: float) -> UploadRow:
        """The upload, whose client is alive. :raises NotFound, Gone: see there."""
        found = visible(upload, allowed=True)
        self._records.raise_if_dead(found)
        if found.state in RECEIVING_STATES:
            found = touched(found, now, self._intake.timing)
            tx.uploads.save(found)
        return found

    async def _living(self, upload_id: str) -> UploadRow:
        upload = await self._intake.ledger.read(lambda tx: tx.uploads.get(upload_id))
        if upload is None:
            raise NotFound("there is no such upload")
        self._records.raise_if_dead(upload)
        return upload

    async def see(self, who: Principal, upload_id: str, *, dead_too: bool = False) -> UploadRow:
        """The caller's upload. :raises NotFound, Gone: see there."""
        upload = await self._intake.ledger.read(lambda tx: tx.uploads.get(upload_id))
        found = visible(upload, upload is not None and who.may_see(upload))
        if not dead_too:
            self._records.raise_if_dead(found, named=who.may_read_names(found))
        return found

    async def complete(self, who: Principal, upload_id: str, wish: Complete, patience_s: float = 0.0) -> UploadRow:
        """End the receiving and hand the upload to delivery. Idempotent.

        :param patience_s: for what is missing and on its way.
        :raises Conflict: `incomplete`, with `expected`, `got` and `missing`.
        :raises ChecksumMismatch: a file doesn't have the declared digest; the upload stays open.
        """
        act = partial(self._complete_now, who, upload_id, wish)
        return await once_there(self._intake.ledger, self._intake.clock, upload_id, patience_s, act)

    async def _complete_now(self, who: Principal, upload_id: str, wish: Complete) -> UploadRow:
        upload = await self.see(who, upload_id)
        if upload.state not in RECEIVING_STATES:
            return upload
        if wish.checksums:
            for client_file_id, digests in wish.checksums.items():
                file = await self.file_named(upload, client_file_id)
                if not all_there(upload, file):
                    raise incomplete(upload, Declared(upload.total_files, upload.total_size_bytes))
                await self._digests.compare(self._intake, upload, file, digests)
        skipped = await self._look_for(upload, wish.skipped)
        return await self._intake.ledger.write(lambda tx: self._complete(tx, who, upload_id, wish, skipped))

    def _complete(
        self, tx: Transaction, who: Principal, upload_id: str, wish: Complete, skipped: list[str | None]
    ) -> UploadRow:
        now = self._intake.clock.now()
        if not may_complete(tx, who.account_id):
            raise Unauthorized("the account is not active")
        found = tx.uploads.get(upload_id)
        upload = visible(found, found is not None and who.may_see(found))
        if upload.state not in RECEIVING_STATES:
            return upload
        upload, declared = self._skip(tx, upload, wish.skipped, skipped)
        files, size_bytes = got_by(upload)
        missing_files = declared.files - files
        missing_bytes = declared.size_bytes - size_bytes
        exact = missing_bytes == 0 or (declared.unsized and missing_bytes > 0)
        if missing_files or not exact:
            raise incomplete(upload, declared)
        return enqueue_delivery(tx, upload, now, who.actor)

    async def _look_for(self, upload: UploadRow, skipped: tuple[SkippedFile, ...]) -> list[str | None]:
        """Our ids of the skipped files, as far as they are there; beside the writer, for they may be many."""
        found: list[str | None] = []

        def act(tx: Transaction) -> list[str | None]:
            key = upload_key(tx, self._intake.ring, upload)
            page = skipped[len(found) : len(found) + PAGE]
            macs = (None if one.file_id is None else key.mac("file_id", one.file_id.encode()) for one in page)
            files = (None if mac is None else tx.files.by_client_mac(upload.upload_id, mac) for mac in macs)
            return [None if file is None or file.dialect is Dialect.PART else file.file_id for file in files]

        if len(skipped) > upload.total_files:
            raise Unprocessable("more files are skipped than were declared", code="invalid_field", field="skipped")
        while len(found) < len(skipped):
            found += await self._intake.ledger.read(act)
        return found

    def _skip(
        self, tx: Transaction, upload: UploadRow, skipped: tuple[SkippedFile, ...], file_ids: list[str | None]
    ) -> tuple[UploadRow, Declared]:
        """Take the skipped files out of what is expected; the upload as saved, and what is left to expect."""
        if not skipped:
            return upload, Declared(upload.total_files, upload.total_size_bytes)
        size_bytes, unsized = 0, False
        for file_id in file_ids:
            file = None if file_id is None else tx.files.get(file_id)
            if file is None or file.client_mac is None:
                unsized = True
                continue
            require_not_left(file)
            length = file.offset if ends(upload, file) else file.length
            size_bytes += file.offset if length is None else length
            unsized = unsized or length is None
            if file.whole_at is not None:
                upload = replace(
                    upload, whole_files=upload.whole_files - 1, whole_bytes=upload.whole_bytes - file.offset
                )
            out = replace(file, state=FileState.SKIPPED)
            upload = noted(upload, file, out)
            tx.files.save(out)
        listed = [{"file_id": one.file_id, "reason": one.reason} for one in skipped]
        sealed = self._records.seal(listed, Column.UPLOAD_SKIPPED, upload.upload_id)
        upload = replace(upload, skipped_sealed=sealed)
        tx.uploads.save(upload)
        return upload, Declared(
            upload.total_files - len(skipped), upload.total_size_bytes - size_bytes, unsized=unsized
        )

    async def autocomplete(self, job: JobRow) -> float | None:
        """Complete an upload whose sums add up and whose client forgot to; bring one that was completed to its delivery.

        :returns: when to look again (unix seconds): its account is disabled just now; None: there is nothing to do.
        """

        def act(tx: Transaction) -> float | None:
            now, upload = self._intake.clock.now(), tx.uploads.get(job.upload_id)
            if upload is None or upload.state not in RECEIVING_STATES or not adds_up(upload):
                return None
            if not may_complete(tx, upload.owner_id):
                return now + max(60.0, self._intake.timing.autocomplete_s)
            enqueue_delivery(tx, upload, now, GATEWAY)
            return None

        again_at = await self._intake.ledger.write(act)
        after_id: str | None = ""
        while after_id is not None:
            after_id = await self._intake.ledger.write(
                lambda tx, after_id=after_id: end_page(tx, job.upload_id, after_id, self._intake.clock.now())  # type: ignore[misc]  # mypy#12557
            )
        return again_at

    async def wait(self, upload_id: str, wait_s: float, leaving: Callable[[], object] = lambda: False) -> UploadRow:
        """The upload as soon as its delivery is over, or as it is after `wait_s`.

        :param leaving: the process is about to end: nobody waits any longer.
        """
        ledger, clock = self._intake.ledger, self._intake.clock
        until = clock.monotonic() + wait_s
        with ledger.watch(upload_id) as watch:
            while True:
                upload = await self._living(upload_id)
                rest_s = until - clock.monotonic()
                over = upload.state not in (UploadState.DELIVERING, *RECEIVING_STATES)
                if over or rest_s <= 0 or leaving():
                    return upload
                await watch.changed(min(rest_s, 1.0))

    async def cancel(self, who: Principal, upload_id: str, reason: str, *, as_admin: bool = False) -> None:
        """End an upload; its bytes can't be read any more.

        :param reason: shown to the uploader; needed of an admin.
        :param as_admin: an admin's act, also on an upload that a QR code of its own opened for somebody else.
        :raises Gone, Conflict: it was dead before, or is delivered already.
        """
        intake = self._intake
        upload = await self.see(who, upload_id)
        by_other = as_admin or not who.may_write(upload)
        if by_other and not reason:
            raise Unprocessable("say why, as `reason`", code="reason_required", field="reason")
        await cancel(intake, self._records, who, upload_id, reason, by_other=by_other, settle=self._settle_cancelled)

    async def status(self, who: Principal, upload: UploadRow) -> dict[str, Any]:
        """The answer of `GET status`, as JSON values."""

        def act(tx: Transaction) -> tuple[UploadRow, dict[FileState, int], list[DeliveryRow]]:
            upload_id = upload.upload_id
            now = tx.uploads.get(upload_id) or upload
            return now, tx.files.counts(upload_id), tx.deliveries.of_upload(upload_id)

        now, counts, deliveries = await self._intake.ledger.read(act)
        named = who.may_read_names(upload)
        return self._records.status(upload, counts_as_told(now, counts), deliveries, named=named)

    async def result(self, upload: UploadRow) -> dict[str, Any]:
        """The answer of `complete` to a finished upload, as JSON values."""
        deliveries = await self._intake.ledger.read(lambda tx: tx.deliveries.of_upload(upload.upload_id))
        return self._records.result(upload, deliveries)

    async def files(self, who: Principal, upload: UploadRow, after_id: str, limit: int) -> dict[str, Any]:
        """A page of `GET files`, as JSON values; `cursor` leads to the next."""
        named = who.may_read_names(upload)

        def act(tx: Transaction) -> list[tuple[FileRow, list[int]]]:
            now = tx.uploads.get(upload.upload_id) or upload
            page = tx.files.page(upload.upload_id, after=after_id, limit=limit)
            rows = [file_as_told(now, row) for row in page]
            return [(row, self._chunk_indexes(tx, upload, row)) for row in rows]

        rows = await self._intake.ledger.read(act)
        shown = [
            self._records.file(row, named=named) | {"received_chunks": ranges(indexes)}
            for row, indexes in rows
            if row.state is not FileState.REMOVED and row.dialect is not Dialect.GATEWAY
        ]
        return {"files": shown, "cursor": rows[-1][0].file_id if len(rows) == limit else None}

    def _chunk_indexes(self, tx: Transaction, upload: UploadRow, file: FileRow) -> list[int]:
        if file.dialect is not Dialect.REST:
            return []
        return [run.start // upload.chunk_size for run in tx.runs.of_file(file.file_id) if run.content_mac is not None]

    async def file_named(self, upload: UploadRow, client_file_id: str) -> FileRow:
        """The file that the client calls so. :raises NotFound, Gone: see there."""

        def act(tx: Transaction) -> FileRow | None:
            mac = upload_key(tx, self._intake.ring, upload).mac("file_id", client_file_id.encode())
            found = tx.files.by_client_mac(upload.upload_id, mac)
            return None if found is None else file_as_told(tx.uploads.get(upload.upload_id) or upload, found)

        file = await self._intake.ledger.read(act)
        if file is None or file.state is FileState.REMOVED or file.dialect is Dialect.PART:
            raise NotFound("there is no such file")
        return file

    async def receipt(self, upload: UploadRow, endpoint_id: str = "") -> str:
        """The signed receipt, compact JWS.

        :param endpoint_id: which of several; empty: that of the upload.
        :raises NotFound: `no_receipt_yet`, or the upload doesn't go there.
        """
        row = await self._intake.ledger.read(lambda tx: _receipt_of(tx, upload, endpoint_id))
        if row is None:
            raise NotFound("there is no receipt yet", code="no_receipt_yet")
        return self._records.jws(row)


def _receipt_of(tx: Transaction, upload: UploadRow, endpoint_id: str) -> ReceiptRow | None:
    """None: there is none yet. :raises NotFound: the upload doesn't go to this endpoint."""
    delivery = tx.deliveries.get(upload.upload_id, endpoint_id)
    several = bool(tx.deliveries.of_upload(upload.upload_id))
    if endpoint_id and delivery is None and (several or endpoint_id != upload.endpoint_id):
        raise NotFound("the upload doesn't go to this endpoint")
    receipt_id = upload.receipt_id if delivery is None else delivery.receipt_id
    return None if receipt_id is None else tx.receipts.get(receipt_id)
