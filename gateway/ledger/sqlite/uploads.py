"""Uploads, files and runs in SQLite. Every query is a look-up in an index made for it (schema/*.sql)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from gateway.ledger.rows import AccountSums, FileRow, RunRow, SharedSegmentRow, SharedState, Survey, UploadRow
from gateway.ledger.sqlite.keys import SqliteKeys
from gateway.ledger.sqlite.rows import Rows, as_conflict
from gateway.states import RECEIVING_STATES, FileState, UploadState


class SqliteUploads:
    """Submissions."""

    def __init__(self, db: sqlite3.Connection, keys: SqliteKeys) -> None:
        self._db = db
        self._keys = keys
        self._rows = Rows(db, "uploads", UploadRow, ("upload_id",))

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
        """In one of `states`, since <= `finished_at` <= before, `erased_at` empty; oldest first."""
        found = [
            row
            for state in set(states)
            for row in self._rows.where(
                "erased_at IS NULL AND finished_at IS NOT NULL AND state = ? AND finished_at BETWEEN ? AND ?"
                " ORDER BY finished_at LIMIT ?",
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
        """Endpoint -> the least of that column, of uploads in that state."""
        # The state stands in the text: only so is it known that the partial index has them all.
        sql = f"SELECT min({column}) FROM uploads WHERE endpoint_id = ? AND state = '{state}'"  # noqa: S608 # ours
        found = {name: self._db.execute(sql, (name,)).fetchone()[0] for name, of in counts if of is state}
        return {name: at for name, at in found.items() if at is not None}

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
        self._rows = Rows(db, "files", FileRow, ("file_id",))

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
        return self._rows.one("upload_id = ? AND client_mac = ?", (upload_id, client_mac))

    def page(self, upload_id: str, *, after: str = "", limit: int = 1_000_000) -> list[FileRow]:
        """Files of an upload by file_id, removed ones too."""
        return self._rows.where("upload_id = ? AND file_id > ? ORDER BY file_id LIMIT ?", (upload_id, after, limit))

    def counts(self, upload_id: str) -> dict[FileState, int]:
        """How many files are in each state; states that none is in are left out. Kept, not counted."""
        found = self._db.execute("SELECT state, files FROM file_counts WHERE upload_id = ? AND files > 0", (upload_id,))
        return {FileState(state): files for state, files in found}

    def delete(self, file_ids: Sequence[str]) -> None:
        """Drop the rows; their keys are the caller's business."""
        self._db.executemany("DELETE FROM files WHERE file_id = ?", ((one,) for one in file_ids))


class SqliteRuns:
    """Where the bytes are."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows = Rows(db, "runs", RunRow, ("run_id",), serial=True)
        self._shared = Rows(db, "shared_segments", SharedSegmentRow, ("segment_id",))

    def insert(self, row: RunRow) -> int:
        """Returns the new run_id.

        :raises Conflict: its segment was never begun, is forgotten, or is shared and closed.
        """
        return self._rows.insert(row)

    def extend(self, run_id: int, length: int, sealed_bytes: int) -> None:
        """Set the run's length, and its entry's."""
        self._db.execute(
            "UPDATE runs SET length = ?, sealed_bytes = ? WHERE run_id = ?", (length, sealed_bytes, run_id)
        )

    def of_file(self, file_id: str) -> list[RunRow]:
        """By start."""
        return self._rows.where("file_id = ? ORDER BY start", (file_id,))

    def at(self, file_id: str, start: int) -> RunRow | None:
        """The run that begins at `start`; the last written, should there be several."""
        return self._rows.one("file_id = ? AND start = ? ORDER BY run_id DESC LIMIT 1", (file_id, start))

    def segment_ids(self, upload_id: str, file_id: str | None = None) -> list[str]:
        """Every segment ever begun for the upload (or one file) alone, with or without runs."""
        if file_id is None:
            found: Iterable[tuple[str]] = self._db.execute(
                "SELECT segment_id FROM segments WHERE upload_id = ?", (upload_id,)
            )
        else:
            found = self._db.execute(
                "SELECT segment_id FROM segments WHERE upload_id = ? AND file_id = ?", (upload_id, file_id)
            )
        return [segment_id for (segment_id,) in found]

    def begin_segment(self, segment_id: str, file_id: str, upload_id: str) -> None:
        """A segment is written down before its blob is made.

        :raises Conflict: the id is taken, or the upload is gone.
        """
        with as_conflict():
            self._db.execute("INSERT INTO segments VALUES (?, ?, ?)", (segment_id, file_id, upload_id))

    def begin_shared(self, segment_id: str, session_id: str) -> None:
        """The same of one that files share. :raises Conflict: the id is taken."""
        self._shared.insert(SharedSegmentRow(segment_id, session_id, SharedState.OPEN))

    def close_shared(self, segment_ids: Sequence[str]) -> None:
        """No run is added to these any more."""
        self._db.executemany(
            "UPDATE shared_segments SET state = 'closed' WHERE segment_id = ? AND state = 'open'",
            ((one,) for one in segment_ids),
        )

    def close_sessions(self, but: str) -> None:
        """The same of all that other sessions have left open."""
        self._db.execute("UPDATE shared_segments SET state = 'closed' WHERE state = 'open' AND session_id <> ?", (but,))

    def set_tidy(self, segment_ids: Sequence[str], *, tidy: bool) -> None:
        """Of those that are closed: whether all that no run names was given back."""
        before, now = (SharedState.CLOSED, SharedState.TIDY) if tidy else (SharedState.TIDY, SharedState.CLOSED)
        self._db.executemany(
            "UPDATE shared_segments SET state = ? WHERE segment_id = ? AND state = ?",
            ((now, one, before) for one in segment_ids),
        )

    def shared(self, state: SharedState) -> list[SharedSegmentRow]:
        """Those that files share, of one state."""
        return self._shared.where("state = ? ORDER BY segment_id", (state,))

    def sharing(self, segment_id: str) -> SharedState | None:
        """The state of a segment that files share; None: it isn't one."""
        row = self._shared.get(segment_id)
        return None if row is None else row.state

    def names_any(self, segment_id: str) -> bool:
        """Whether a run is in the segment."""
        return self._db.execute("SELECT 1 FROM runs WHERE segment_id = ? LIMIT 1", (segment_id,)).fetchone() is not None

    def idle_shared(self, limit: int) -> list[str]:
        """So many at most of those that are closed and have no run."""
        found = self._db.execute(
            "SELECT segment_id FROM shared_segments AS shared WHERE state IN ('closed', 'tidy')"
            " AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.segment_id = shared.segment_id) LIMIT ?",
            (limit,),
        )
        return [segment_id for (segment_id,) in found]

    def of_segment(self, segment_id: str) -> list[RunRow]:
        """By entry, then start."""
        return self._rows.where("segment_id = ? ORDER BY entry_at, start", (segment_id,))

    def delete(self, run_ids: Sequence[int]) -> None:
        """Drop runs whose bytes are gone."""
        self._db.executemany("DELETE FROM runs WHERE run_id = ?", ((one,) for one in run_ids))

    def knows_segment(self, segment_id: str) -> bool:
        """Whether the segment was begun and isn't forgotten."""
        found = self._db.execute(
            "SELECT 1 FROM segments WHERE segment_id = ?1 UNION ALL"
            " SELECT 1 FROM shared_segments WHERE segment_id = ?1",
            (segment_id,),
        )
        return found.fetchone() is not None

    def forget(self, segment_ids: Sequence[str]) -> None:
        """The blobs are gone: drop the segments and their runs."""
        for table in ("segments", "shared_segments"):
            self._db.executemany(
                f"DELETE FROM {table} WHERE segment_id = ?",  # noqa: S608 # names of our own
                ((one,) for one in segment_ids),
            )
