"""Jobs that rest: there is nothing to do until somebody wakes them. Acts over one transaction, on any ledger.

Nothing gets lost between a look and a rest: who has news for a job that runs just now marks it, in the transaction of the
news, and a job that is marked doesn't rest.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.ledger.base import JOBS, Transaction
from gateway.ledger.rows import JobRow

#: Unix seconds: `due_at` of a job that rests; no clock that runs gets there.
AT_REST = 32_503_680_000.0
#: However far a clock was set back and forth, what rests is due behind this.
_LONG_HENCE = AT_REST / 2
#: `last_code` of a job that runs, and that somebody has news for.
NEWS = "news"


def is_at_rest(job: JobRow) -> bool:
    """Nobody runs it, and nobody will before it is woken."""
    return job.lease_by is None and job.due_at > _LONG_HENCE


def rested(job: JobRow, code: str, now: float) -> JobRow:
    """The row of a job that ran, as it is to be saved: at rest, or due at once if there are news.

    What it did went well, so former tries don't count any more.
    """
    return replace(
        job,
        due_at=now if job.last_code == NEWS else AT_REST,
        attempts=0,
        tried_s=0.0,
        lease_by=None,
        lease_until=None,
        last_code=code,
    )


def wake(tx: Transaction, job: JobRow, now: float) -> None:
    """There are news for this job. One that waits to try again is left to that: it looks at everything then."""
    if is_at_rest(job):
        tx.jobs.save(replace(job, due_at=now))
        tx.wake(JOBS)
    elif job.lease_by is not None:
        tx.jobs.save(replace(job, last_code=NEWS))
