"""Long looks at a ledger in memory: reads like any other, in a thread of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.ledger.base import Transaction
from gateway.ledger.rows import AuditRow, JobKind, JobRow, UploadRow
from gateway.states import UploadState


class MemorySurvey:
    """A `gateway.ledger.base.Survey`.

    :param read: runs an act on a snapshot.
    """

    def __init__(self, read: Callable[[Callable[[Transaction], Any]], Awaitable[Any]]) -> None:
        self._read = read

    async def events(self, after: int, limit: int) -> list[AuditRow]:
        """Of the trail, those behind that number, in order."""
        found: list[AuditRow] = await self._read(lambda tx: tx.audit.after(after, limit))
        return found

    async def events_of(self, upload_id: str) -> list[AuditRow]:
        """All that the trail has on one upload, in order."""

        def act(tx: Transaction) -> list[AuditRow]:
            return [row for row in tx.audit.after(0, tx.audit.head()[0]) if row.upload_id == upload_id]

        found: list[AuditRow] = await self._read(act)
        return found

    async def uploads(
        self, *, states: Sequence[UploadState], after: str, limit: int
    ) -> list[tuple[UploadRow, JobRow | None]]:
        """By upload_id, those behind `after`, with the delivery job of each. Empty `states`: all."""

        def act(tx: Transaction) -> list[tuple[UploadRow, JobRow | None]]:
            page = tx.uploads.page(states=states, after=after, limit=limit)
            return [(row, next(iter(tx.jobs.of_upload(row.upload_id, JobKind.DELIVER)), None)) for row in page]

        found: list[tuple[UploadRow, JobRow | None]] = await self._read(act)
        return found

    async def deliveries(self) -> dict[str, int]:
        """How many delivery jobs there are, by endpoint."""

        def act(tx: Transaction) -> dict[str, int]:
            jobs = [job for job in tx.jobs.page(after=0, limit=1_000_000) if job.kind is JobKind.DELIVER]
            uploads = (tx.uploads.get(job.upload_id) for job in jobs)
            return Counter(upload.endpoint_id for upload in uploads if upload is not None)

        found: dict[str, int] = await self._read(act)
        return found
