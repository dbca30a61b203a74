"""Runs, segments and concatenations in SQLite. Every query is a look-up in an index made for it (schema/*.sql)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from gateway.ledger.rows import RunRow, SharedSegmentRow, SharedState
from gateway.ledger.sqlite.group import GroupRows
from gateway.ledger.sqlite.rows import Rows, as_conflict


class SqliteRuns:
    """Where the bytes are."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows = GroupRows(db, "runs", RunRow, "run_id", last="SELECT max(run_id) FROM runs")
        self._shared = Rows(db, "shared_segments", SharedSegmentRow, ("segment_id",))

    def insert(self, row: RunRow) -> int:
        """Returns the new run_id.

        :raises Conflict: its segment was never begun or is forgotten; or it is shared and closed, and no run names that
            entry.
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

    def of_entry(self, segment_id: str, entry_at: int) -> list[RunRow]:
        """What files have of an entry."""
        return self._rows.where("segment_id = ? AND entry_at = ?", (segment_id, entry_at))

    def move_entry(self, segment_id: str, entry_at: int, to_segment_id: str, to_entry_at: int) -> None:
        """An entry lies elsewhere from now on: all that files have of it."""
        self._db.execute(
            "UPDATE runs SET segment_id = ?, entry_at = ?, position = position + ? WHERE segment_id = ? AND entry_at = ?",
            (to_segment_id, to_entry_at, to_entry_at - entry_at, segment_id, entry_at),
        )

    def share(self, upload_id: str, file_id: str) -> None:
        """Segments of this file alone become shared ones that are closed: another file's runs will name them."""
        whose = (upload_id, file_id)
        self._db.execute(
            "INSERT INTO shared_segments SELECT segment_id, '', 'closed' FROM segments"
            " WHERE upload_id = ? AND file_id = ?",
            whose,
        )
        self._db.execute("DELETE FROM segments WHERE upload_id = ? AND file_id = ?", whose)

    def move(self, upload_id: str, file_id: str, to_upload_id: str) -> None:
        """Segments of this file alone are another upload's from now on. :raises Conflict: that one isn't there."""
        with as_conflict():
            self._db.execute(
                "UPDATE segments SET upload_id = ? WHERE upload_id = ? AND file_id = ?",
                (to_upload_id, upload_id, file_id),
            )

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


class SqliteConcats:
    """Which parts a final is put together from."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def insert(self, final_id: str, part_ids: Sequence[str]) -> None:
        """In their order; one may be there more than once."""
        rows = ((final_id, number, part_id) for number, part_id in enumerate(part_ids))
        self._db.executemany("INSERT INTO concatenations VALUES (?, ?, ?)", rows)

    def parts_of(self, final_id: str) -> list[str]:
        """In their order."""
        found = self._db.execute("SELECT part_id FROM concatenations WHERE final_id = ? ORDER BY number", (final_id,))
        return [part_id for (part_id,) in found]

    def finals_of(self, part_id: str) -> list[str]:
        """Each once."""
        found = self._db.execute("SELECT DISTINCT final_id FROM concatenations WHERE part_id = ?", (part_id,))
        return [final_id for (final_id,) in found]
