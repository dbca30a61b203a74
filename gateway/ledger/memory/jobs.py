"""Jobs in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from gateway.ledger.memory.store import Store
from gateway.ledger.memory.stored import check_upload
from gateway.ledger.rows import URGENCY, JobKind, JobRow


class MemoryJobs:
    """Work to do."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def insert(self, row: JobRow) -> int:
        """Returns the new job_id; none is ever given twice. `owner_id` and `urgency` are filled in: the upload's.

        :raises Conflict: the upload is gone.
        """
        self._store.jobs.check_writable()
        check_upload(self._store, row.upload_id)
        job_id = self._store.next("job_id")
        upload = self._store.uploads.get(row.upload_id)
        assert upload is not None, "it was looked at"
        urgency = URGENCY.get(upload.priority, max(URGENCY.values()))
        self._store.jobs.insert(replace(row, job_id=job_id, owner_id=upload.owner_id, urgency=urgency))
        return job_id

    def get(self, job_id: int) -> JobRow | None:
        """The job."""
        return self._store.jobs.get(job_id)

    def save(self, row: JobRow) -> None:
        """:raises NotFound: there is no such job any more."""
        self._store.jobs.save(row)

    def delete(self, job_id: int) -> None:
        """The work is done, or nobody wants it any more."""
        self._store.jobs.delete(job_id)

    def claim(
        self, now: float, *, by: str, until: float, kinds: Sequence[JobKind], limit: int, owner_id: str | None = None
    ) -> list[JobRow]:
        """Take due jobs whose lease is free or over (`lease_until` <= now): of one account the most urgent first, then
        oldest due; of all by `due_at` alone.
        """
        due = [row for kind in set(kinds) for row in self._due(now, kind) if owner_id in {None, row.owner_id}]
        order = attrgetter("due_at", "job_id") if owner_id is None else attrgetter("urgency", "due_at", "job_id")
        taken = sorted(due, key=order)[:limit]
        claimed = [replace(row, lease_by=by, lease_until=until) for row in taken]
        for row in claimed:
            self._store.jobs.save(row)
        return claimed

    def _due(self, now: float, kind: JobKind) -> list[JobRow]:
        return [
            row
            for row in self._store.jobs.by("kind", kind)
            if row.due_at <= now and (row.lease_until is None or row.lease_until <= now)
        ]

    def owners_due(self, now: float, kind: JobKind) -> list[str]:
        """Accounts of which `claim` finds something; whose job is due longest comes first."""
        return list(dict.fromkeys(row.owner_id for row in sorted(self._due(now, kind), key=attrgetter("due_at"))))

    def renew(self, job_id: int, by: str, until: float) -> bool:
        """False: the lease is somebody else's now."""
        self._store.jobs.check_writable()
        row = self._store.jobs.get(job_id)
        if row is None or row.lease_by != by:
            return False
        self._store.jobs.save(replace(row, lease_until=until))
        return True

    def of_upload(self, upload_id: str, kind: JobKind | None = None) -> list[JobRow]:
        """The upload's jobs, of one kind or all; by job_id."""
        found = (row for row in self._store.jobs.by("upload", upload_id) if kind in {None, row.kind})
        return sorted(found, key=attrgetter("job_id"))

    def drop(self, upload_id: str, kind: JobKind, limit: int) -> int:
        """Delete so many jobs of that kind at most. Returns how many."""
        self._store.jobs.check_writable()
        jobs = self.of_upload(upload_id, kind)[:limit]
        for job in jobs:
            self._store.jobs.delete(job.job_id)
        return len(jobs)

    def next_due(self, kinds: Sequence[JobKind]) -> float | None:
        """The earliest moment at which `claim` may find something (due, and lease free or over)."""
        moments = (
            row.due_at if row.lease_until is None else max(row.due_at, row.lease_until)
            for kind in set(kinds)
            for row in self._store.jobs.by("kind", kind)
        )
        return min(moments, default=None)

    def shift_due(self, shift_s: float, now: float) -> int:
        """Move `due_at` of every free job that is due after `now`; none gets due before it. Returns how many."""
        self._store.jobs.check_writable()
        rows = [row for row in self._store.jobs if row.lease_until is None and row.due_at > now]
        for row in rows:
            self._store.jobs.save(replace(row, due_at=max(row.due_at + shift_s, now)))
        return len(rows)

    def page(self, *, after: int, limit: int) -> list[JobRow]:
        """By job_id, those behind `after`."""
        return self._store.jobs.page(after, limit)
