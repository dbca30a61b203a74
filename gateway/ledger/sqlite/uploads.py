"""Uploads and files in SQLite. Every query is a look-up in an index made for it (schema/*.sql)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from operator import attrgetter

from gateway.ledger.rows import AccountSums, FileRow, Survey, UploadRow
from gateway.ledger.sqlite.group import GroupRows
from gateway.ledger.sqlite.keys import SqliteKeys
from gateway.states import RECEIVING_STATES, FileState, UploadState


class SqliteUploads:
    """Submissions."""

    def __init__(self, db: sqlite3.Connection, keys: SqliteKeys) -> None:
        self._db = db
        self._keys = keys
        self._rows = GroupRows(db, "uploads", UploadRow, "upload_id")

    def insert(self, row: UploadRow) -> None:
        """:raises Conflict: the id is taken."""
        self._rows.insert(row)

    def get(self, upload_id: str) -> UploadRow | None:
        """The upload."""
        return self._rows.get(upload_id)

    def save(self, row: UploadRow) -> None:
        """:raises NotFound: there is no such upload any more."""
        self._rows.save(row)

    def expired(self, now: float, limit: int) -> list[UploadRow]:
        """Open or uploading, past their `expires_at`; oldest first."""
        found = [
            row
            for state in RECEIVING_STATES
            for row in self._rows.where(
                "finished_at IS NULL AND state = ? AND expires_at <= ? ORDER BY expires_at LIMIT ?",
                (state, now, limit),
            )
        ]
        return sorted(found, key=attrgetter("expires_at"))[:limit]

    def finished_unerased(
        self, states: Sequence[UploadState], before: float, limit: int, *, since: float = 0.0
    ) -> list[UploadRow]:
        """In one of `states`, since <= `finished_at` <= before, `erased_at` empty, no delivery open; oldest first."""
        found = [
            row
            for state in set(states)
            for row in self._rows.where(
                "erased_at IS NULL AND finished_at IS NOT NULL AND state = ? AND finished_at BETWEEN ? AND ?"
                " AND open_deliveries = 0 ORDER BY finished_at LIMIT ?",
                (state, since, before, limit),
            )
        ]
        return sorted(found, key=attrgetter("finished_at"))[:limit]

    def records_older(self, before: float, limit: int) -> list[UploadRow]:
        """Erased, and `finished_at` <= before; oldest first."""
        return self._rows.where(
            "erased_at IS NOT NULL AND finished_at <= ? ORDER BY finished_at LIMIT ?", (before, limit)
        )

    def wrapped_otherwise(self, kek_id: str, limit: int) -> list[UploadRow]:
        """Uploads whose key is there and wrapped under another KEK than this."""
        below = self._rows.where("key_id IS NOT NULL AND kek_id < ? LIMIT ?", (kek_id, limit))
        return below or self._rows.where("key_id IS NOT NULL AND kek_id > ? LIMIT ?", (kek_id, limit))

    def page(self, *, states: Sequence[UploadState], after: str, limit: int) -> list[UploadRow]:
        """By upload_id, those behind `after`. Empty `states`: all."""
        if not states:
            return self._rows.where("upload_id > ? ORDER BY upload_id LIMIT ?", (after, limit))
        found = [
            row
            for state in set(states)
            for row in self._rows.where("state = ? AND upload_id > ? ORDER BY upload_id LIMIT ?", (state, after, limit))
        ]
        return sorted(found, key=attrgetter("upload_id"))[:limit]

    def shift_deadlines(self, shift_s: float, not_before: float) -> int:
        """Move `expires_at` of every unfinished upload; none ends before `not_before`. Returns how many."""
        return self._db.execute(
            "UPDATE uploads SET expires_at = max(expires_at + ?, ?) WHERE finished_at IS NULL",
            (float(shift_s), float(not_before)),
        ).rowcount

    def awaited_bytes(self) -> int:
        """Bytes reserved by uploads that still receive, less those that came, from a counter."""
        return self._counter("awaited_bytes")

    def reserved_bytes(self) -> int:
        """Sum over all uploads that aren't erased, from a counter."""
        return self._counter("reserved_bytes")

    def sums_of(self, owner_id: str) -> AccountSums:
        """What an account's uploads take together, from a row that triggers keep."""
        found = self._db.execute(
            "SELECT open_uploads, reserved_bytes FROM account_sums WHERE owner_id = ?", (owner_id,)
        ).fetchone()
        return AccountSums(*found) if found is not None else AccountSums(0, 0)

    def stat_waiting(self, before: float, limit: int) -> list[UploadRow]:
        """Declared `stat`, completed before, neither over nor told to be late; oldest first."""
        return self._rows.where(
            "priority = 'stat' AND completed_at IS NOT NULL AND finished_at IS NULL AND delayed_at IS NULL"
            " AND completed_at <= ? ORDER BY completed_at LIMIT ?",
            (before, limit),
        )

    def survey(self) -> Survey:
        """What there is, by a look-up for each endpoint."""
        counts = {
            (endpoint_id, UploadState(state)): uploads
            for endpoint_id, state, uploads in self._db.execute("SELECT * FROM upload_counts WHERE uploads > 0")
        }
        return Survey(
            counts,
            self._longest("queued_at", UploadState.DELIVERING, counts),
            self._longest("held_at", UploadState.HELD, counts),
            dict(
                self._db.execute(
                    "SELECT endpoint_id, count(*) FROM uploads WHERE delayed_at IS NOT NULL AND finished_at IS NULL"
                    " GROUP BY endpoint_id"
                )
            ),
            self.reserved_bytes(),
            self.awaited_bytes(),
        )

    def _longest(
        self, column: str, state: UploadState, counts: Mapping[tuple[str, UploadState], int]
    ) -> dict[str, float]:
        """Endpoint -> the least of that column, of uploads and deliveries in that state."""
        # The state stands in the text: only so is it known that the partial index has them all.
        found = dict[str, float]()
        for name in self._in_state(state) | {name for name, of in counts if of is state}:
            for table in ("uploads", "deliveries"):
                sql = f"SELECT min({column}) FROM {table} WHERE endpoint_id = ? AND state = '{state}'"  # noqa: S608 # ours
                (at,) = self._db.execute(sql, (name,)).fetchone()
                if at is not None:
                    found[name] = min(at, found.get(name, at))
        return found

    def _in_state(self, state: UploadState) -> set[str]:
        """Endpoints with a delivery in that state: a look-up for each."""
        names = set[str]()
        sql = f"SELECT endpoint_id FROM deliveries WHERE state = '{state}' AND endpoint_id > ? ORDER BY 1 LIMIT 1"  # noqa: S608 # ours
        last = ""
        while row := self._db.execute(sql, (last,)).fetchone():
            (last,) = row
            names.add(last)
        return names

    def empty(self, before: float, limit: int) -> list[UploadRow]:
        """Made before, with room set aside, still receiving, and without a byte; oldest first."""
        return self._rows.where(
            "received_bytes = 0 AND reserved_bytes > 0 AND completed_at IS NULL AND finished_at IS NULL"
            " AND created_at <= ? ORDER BY created_at LIMIT ?",
            (before, limit),
        )

    def _counter(self, name: str) -> int:
        return int(self._db.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()[0])

    def delete(self, upload_id: str) -> None:
        """The record and everything that hangs on it; its keys and notes of delivery too, had they been left."""
        row = self.get(upload_id)
        if row is None:
            return
        of_files = self._db.execute("SELECT key_id FROM files WHERE upload_id = ?", (upload_id,))
        self._keys.delete([key_id for key_id in (row.key_id, *(one for (one,) in of_files)) if key_id is not None])
        self._db.execute("DELETE FROM delivered WHERE receipt_id = ?", (row.receipt_id,))
        self._db.execute("DELETE FROM uploads WHERE upload_id = ?", (upload_id,))


class SqliteFiles:
    """DICOM objects."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows = GroupRows(db, "files", FileRow, "file_id")

    def insert(self, row: FileRow) -> None:
        """:raises Conflict: the id is taken, the `client_mac` is taken in this upload, or the upload is gone."""
        self._rows.insert(row)

    def get(self, file_id: str) -> FileRow | None:
        """The file."""
        return self._rows.get(file_id)

    def save(self, row: FileRow) -> None:
        """:raises NotFound: there is no such file any more."""
        self._rows.save(row)

    def by_client_mac(self, upload_id: str, client_mac: bytes) -> FileRow | None:
        """The file that the client calls so; a removed one too, unless its `client_mac` was taken from it."""
        found = self._rows.alike(
            "upload_id = ? AND client_mac = ?", ("upload_id", "client_mac"), (upload_id, client_mac)
        )
        return found[0] if found else None

    def page(self, upload_id: str, *, after: str = "", limit: int = 1_000_000, parts: bool = False) -> list[FileRow]:
        """Files of an upload by file_id, removed ones too. :param parts: with parts of concatenations."""
        kinds = "" if parts else " AND dialect <> 'part'"
        where = f"upload_id = ? AND file_id > ?{kinds} ORDER BY file_id LIMIT ?"
        return self._rows.where(where, (upload_id, after, limit))

    def counts(self, upload_id: str) -> dict[FileState, int]:
        """How many files are in each state; states that none is in are left out. Kept, not counted."""
        found = self._db.execute("SELECT state, files FROM file_counts WHERE upload_id = ? AND files > 0", (upload_id,))
        return {FileState(state): files for state, files in found}

    def delete(self, file_ids: Sequence[str]) -> None:
        """Drop the rows; their keys are the caller's business."""
        self._db.executemany("DELETE FROM files WHERE file_id = ?", ((one,) for one in file_ids))
