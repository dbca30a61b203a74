"""However workers claim, renew, put off and finish while the clock moves, no job has two holders at once."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from gateway.ledger.rows import JobKind, JobRow
from gateway.ledger.sqlite.connection import _migrations
from gateway.ledger.sqlite.jobs import SqliteJobs
from gateway.ledger.sqlite.keys import SqliteKeys
from gateway.ledger.sqlite.uploads import SqliteUploads
from tests.ledger_rows import job_row

LEASE_S = 10.0
WORKERS = st.sampled_from(["one", "two", "three"])
KINDS = st.lists(st.sampled_from(list(JobKind)), unique=True)


class Leases(RuleBasedStateMachine):
    """Beside the ledger, the model: who may believe to hold which job until when, and when each job is due."""

    job_ids = Bundle("job_ids")

    def __init__(self) -> None:
        super().__init__()
        self.db = sqlite3.connect(":memory:")
        for migration in _migrations():
            self.db.executescript(migration)
        self.jobs = SqliteJobs(self.db, SqliteUploads(self.db, SqliteKeys(self.db)).get)
        self.now = 100.0
        self.due: dict[int, tuple[JobKind, float]] = {}
        self.held: dict[int, tuple[str, float]] = {}

    def teardown(self) -> None:
        self.db.close()

    def holder(self, job_id: int) -> str | None:
        by, until = self.held.get(job_id, ("", 0.0))
        return by if until > self.now else None

    @rule(target=job_ids, kind=st.sampled_from(list(JobKind)), in_s=st.integers(-20, 20))
    def insert(self, kind: JobKind, in_s: int) -> int:
        job_id = self.jobs.insert(job_row("u", due_at=self.now + in_s, kind=kind))
        assert job_id not in self.due
        self.due[job_id] = kind, self.now + in_s
        return job_id

    @rule(by=WORKERS, kinds=KINDS, limit=st.integers(1, 4))
    def claim(self, by: str, kinds: list[JobKind], limit: int) -> None:
        free = [job_id for job_id, (kind, _) in self.due.items() if kind in kinds and self.holder(job_id) is None]
        expected = sorted((self.due[one][1], one) for one in free if self.due[one][1] <= self.now)[:limit]
        claimed = self.jobs.claim(self.now, by=by, until=self.now + LEASE_S, kinds=kinds, limit=limit)
        assert [(job.due_at, job.job_id) for job in claimed] == expected
        self.held.update({job.job_id: (by, self.now + LEASE_S) for job in claimed})

    @rule(job_id=job_ids, by=WORKERS)
    def renew(self, job_id: int, by: str) -> None:
        renewed = self.jobs.renew(job_id, by, self.now + LEASE_S)
        if renewed:  # also after its end, as long as nobody else has taken it
            assert self.holder(job_id) in {by, None}
            assert self.held[job_id][0] == by
            self.held[job_id] = by, self.now + LEASE_S
        else:
            assert self.holder(job_id) != by

    @rule(job_id=job_ids, in_s=st.integers(0, 30))
    def put_off(self, job_id: int, in_s: int) -> None:
        job = self.own(job_id)
        if job is not None:
            self.jobs.save(replace(job, due_at=self.now + in_s, lease_by=None, lease_until=None))
            self.due[job_id] = job.kind, self.now + in_s
            del self.held[job_id]

    @rule(job_id=job_ids)
    def finish(self, job_id: int) -> None:
        if self.own(job_id) is not None:
            self.jobs.delete(job_id)
            del self.due[job_id], self.held[job_id]

    @rule(seconds=st.sampled_from([0.5, 3.0, LEASE_S, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    def own(self, job_id: int) -> JobRow | None:
        """The job, if somebody holds it now and so may act on it."""
        return self.jobs.get(job_id) if self.holder(job_id) is not None else None

    @invariant()
    def next_due_is_the_first_moment_at_which_something_can_be_claimed(self) -> None:
        for kinds in ([JobKind.CHECK], list(JobKind)):
            moments = [
                max(due_at, self.held[job_id][1] if job_id in self.held else due_at)
                for job_id, (kind, due_at) in self.due.items()
                if kind in kinds
            ]
            assert self.jobs.next_due(kinds) == min(moments, default=None)


Leases.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLeases = Leases.TestCase
