"""Long looks at a ledger file, on a connection and a thread of their own (aiosqlite): the two hot readers stay free.

Opened by its first question. It only reads; each answer is of one moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import aiosqlite

from gateway.errors import Unavailable
from gateway.ledger.rows import AuditRow, JobKind, JobRow, UploadRow
from gateway.ledger.sqlite.connection import BUSY_TIMEOUT_S, meaning
from gateway.ledger.sqlite.rows import Columns, marks
from gateway.states import UploadState

_EVENTS = Columns("audit", AuditRow)
_UPLOADS = Columns("uploads", UploadRow)
_JOBS = Columns("jobs", JobRow)


class SqliteSurvey:
    """A `gateway.ledger.base.Survey` of the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opening = asyncio.Lock()
        self._db: aiosqlite.Connection | None = None
        self._closed = False

    async def events(self, after: int, limit: int) -> list[AuditRow]:
        """Of the trail, those behind that number, in order."""
        rows = await self._rows(f"{_EVENTS.select} WHERE number > ? ORDER BY number LIMIT ?", [after, limit])
        return [_EVENTS.made(row) for row in rows]

    async def events_of(self, upload_id: str) -> list[AuditRow]:
        """All that the trail has on one upload, in order; the whole trail is walked through for it."""
        rows = await self._rows(f"{_EVENTS.select} WHERE upload_id = ? ORDER BY number", [upload_id])
        return [_EVENTS.made(row) for row in rows]

    async def uploads(
        self, *, states: Sequence[UploadState], after: str, limit: int
    ) -> list[tuple[UploadRow, JobRow | None]]:
        """By upload_id, those behind `after`, with the delivery job of each. Empty `states`: all."""
        page = "upload_id > ? ORDER BY upload_id LIMIT ?"
        if states:
            sql = f"{_UPLOADS.select} WHERE state = ? AND {page}"
            found = [row for state in set(states) for row in await self._rows(sql, [state, after, limit])]
        else:
            found = await self._rows(f"{_UPLOADS.select} WHERE {page}", [after, limit])
        uploads = sorted(map(_UPLOADS.made, found), key=attrgetter("upload_id"))[:limit]
        ids = [upload.upload_id for upload in uploads]
        sql = f"{_JOBS.select} WHERE upload_id IN ({marks(len(ids))}) AND kind = ? ORDER BY job_id DESC"
        jobs = {job.upload_id: job for job in map(_JOBS.made, await self._rows(sql, [*ids, JobKind.DELIVER]))}
        return [(upload, jobs.get(upload.upload_id)) for upload in uploads]

    async def deliveries(self) -> dict[str, int]:
        """How many delivery jobs there are, by endpoint."""
        rows = await self._rows(
            "SELECT endpoint_id, count(*) FROM jobs JOIN uploads USING (upload_id) WHERE kind = ? GROUP BY endpoint_id",
            [JobKind.DELIVER],
        )
        return dict(rows)

    async def close(self) -> None:
        """Let go of the file. May be called twice."""
        async with self._opening:
            self._closed = True
            if self._db is not None:
                await self._db.close()
                self._db = None

    async def _rows(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """:raises Unavailable: `storage_error`, or closed."""
        try:
            return list(await (await self._opened()).execute_fetchall(sql, values))
        except aiosqlite.Error as error:
            raise meaning(error) from error

    async def _opened(self) -> aiosqlite.Connection:
        async with self._opening:
            if self._closed:
                raise Unavailable("the ledger is closed")
            if self._db is None:
                uri = f"{self._path.absolute().as_uri()}?mode=ro"
                self._db = await aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)
            return self._db
