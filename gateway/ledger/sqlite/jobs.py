"""Jobs in SQLite. Every query is a look-up in an index made for it (schema/*.sql)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter

from gateway.ledger.rows import URGENCY, JobKind, JobRow, UploadRow, replace
from gateway.ledger.sqlite.group import GroupRows

LEAST = max(URGENCY.values())


class SqliteJobs:
    """Work to do. A leased job and a free one stand in different indexes: each has its own look-up."""

    def __init__(self, db: sqlite3.Connection, upload_of: Callable[[str], UploadRow | None]) -> None:
        self._db = db
        self._upload_of = upload_of
        self._rows = GroupRows(db, "jobs", JobRow, "job_id", last="SELECT seq FROM sqlite_sequence WHERE name = 'jobs'")

    def insert(self, row: JobRow) -> int:
        """Returns the new job_id; none is ever given twice. `owner_id` and `urgency` are filled in: the upload's.

        :raises Conflict: the upload is gone.
        """
        if (upload := self._upload_of(row.upload_id)) is not None:
            row = replace(row, owner_id=upload.owner_id, urgency=URGENCY.get(upload.priority, LEAST))
        return self._rows.insert(row)

    def get(self, job_id: int) -> JobRow | None:
        """The job."""
        return self._rows.get(job_id)

    def save(self, row: JobRow) -> None:
        """:raises NotFound: there is no such job any more."""
        self._rows.save(row)

    def delete(self, job_id: int) -> None:
        """The work is done, or nobody wants it any more."""
        self._rows.drop(job_id)

    def claim(
        self, now: float, *, by: str, until: float, kinds: Sequence[JobKind], limit: int, owner_id: str | None = None
    ) -> list[JobRow]:
        """Take due jobs whose lease is free or over (`lease_until` <= now): of one account the most urgent first, then
        oldest due; of all by `due_at` alone.
        """
        due: list[JobRow] = []
        for kind in set(kinds):
            if owner_id is None:
                due += self._rows.where(
                    "kind = ? AND lease_until IS NULL AND due_at <= ? ORDER BY due_at LIMIT ?", (kind, now, limit)
                )
            else:
                due += self._due_of(owner_id, kind, now, limit)
            due += [row for row in self._given_up(now, kind) if owner_id in {None, row.owner_id}]
        order = attrgetter("due_at", "job_id") if owner_id is None else attrgetter("urgency", "due_at", "job_id")
        taken = sorted(due, key=order)[:limit]
        self._db.executemany(
            "UPDATE jobs SET lease_by = ?, lease_until = ? WHERE job_id = ?", ((by, until, row.job_id) for row in taken)
        )
        return [replace(row, lease_by=by, lease_until=until) for row in taken]

    def _due_of(self, owner_id: str, kind: JobKind, now: float, limit: int) -> Iterable[JobRow]:
        """Of one account; what is urgent has an index of its own, for it is little."""
        free = "lease_until IS NULL AND due_at <= ? ORDER BY due_at LIMIT ?"
        found = self._rows.where(f"kind = ? AND owner_id = ? AND {free}", (kind, owner_id, now, limit))
        for urgency in range(LEAST):
            where = f"kind = ? AND owner_id = ? AND urgency = ? AND urgency < 2 AND {free}"
            found += self._rows.where(where, (kind, owner_id, urgency, now, limit))
        return {row.job_id: row for row in found}.values()

    def _given_up(self, now: float, kind: JobKind) -> list[JobRow]:
        """As many as a dead process held: no limit, to have the oldest among them."""
        return self._rows.where("kind = ? AND lease_until <= ? AND +due_at <= ?", (kind, now, now))

    def owners_due(self, now: float, kind: JobKind) -> list[str]:
        """Accounts of which `claim` finds something; whose job is due longest comes first. A look-up for each."""
        first: dict[str, float] = {}
        where, after = "owner_id >= ?", ""
        while found := self._db.execute(
            f"SELECT owner_id, due_at FROM jobs WHERE kind = ? AND {where} AND lease_until IS NULL"  # noqa: S608 # ours
            " ORDER BY owner_id, due_at LIMIT 1",
            (kind, after),
        ).fetchone():
            where, (after, due_at) = "owner_id > ?", found
            if due_at <= now:
                first[after] = due_at
        for row in self._given_up(now, kind):
            first[row.owner_id] = min(row.due_at, first.get(row.owner_id, row.due_at))
        return sorted(first, key=lambda owner_id: first[owner_id])

    def renew(self, job_id: int, by: str, until: float) -> bool:
        """False: the lease is somebody else's now."""
        return bool(
            self._db.execute(
                "UPDATE jobs SET lease_until = ? WHERE job_id = ? AND lease_by = ?", (until, job_id, by)
            ).rowcount
        )

    def of_upload(self, upload_id: str, kind: JobKind | None = None) -> list[JobRow]:
        """The upload's jobs, of one kind or all; by job_id."""
        if kind is None:
            return self._rows.where("upload_id = ? ORDER BY job_id", (upload_id,))
        return self._rows.alike("upload_id = ? AND kind = ? ORDER BY job_id", ("upload_id", "kind"), (upload_id, kind))

    def drop(self, upload_id: str, kind: JobKind, limit: int) -> int:
        """Delete so many jobs of that kind at most. Returns how many."""
        return self._db.execute(
            "DELETE FROM jobs WHERE job_id IN (SELECT job_id FROM jobs WHERE upload_id = ? AND kind = ? LIMIT ?)",
            (upload_id, kind, limit),
        ).rowcount

    def next_due(self, kinds: Sequence[JobKind]) -> float | None:
        """The earliest moment at which `claim` may find something (due, and lease free or over)."""
        moments = []
        for kind in set(kinds):
            for sql in (
                "SELECT min(due_at) FROM jobs WHERE kind = ? AND lease_until IS NULL",
                "SELECT min(max(due_at, lease_until)) FROM jobs WHERE kind = ? AND lease_until IS NOT NULL",
            ):
                moments += [moment for (moment,) in self._db.execute(sql, (kind,)) if moment is not None]
        return min(moments, default=None)

    def shift_due(self, shift_s: float, now: float) -> int:
        """Move `due_at` of every free job that is due after `now`; none gets due before it. Returns how many."""
        query = "UPDATE jobs SET due_at = max(due_at + ?, ?) WHERE kind = ? AND lease_until IS NULL AND due_at > ?"
        return sum(self._db.execute(query, (float(shift_s), float(now), kind, float(now))).rowcount for kind in JobKind)

    def page(self, *, after: int, limit: int) -> list[JobRow]:
        """By job_id, those behind `after`."""
        return self._rows.where("job_id > ? ORDER BY job_id LIMIT ?", (after, limit))
