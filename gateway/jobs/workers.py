"""Workers: they claim due jobs, keep the leases while a handler runs, and write down how it ended.

Accounts take turns: a free place goes to whoever has the fewest jobs of that kind under way, and of those who have as
many to whoever was served longest ago. Within an account the most urgent goes first, then what is due longest.

They know neither what a job does nor why it failed. A handler may delete its own job in its last transaction; the
lease is what gives it the right to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.jobs.backoff import Backoff
from gateway.ledger.base import JOBS, Ledger, Transaction
from gateway.ledger.resting import rested
from gateway.ledger.rows import JobKind, JobRow, replace

log = logging.getLogger("relaypacs.delivery")


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do. `deleted`: the handler has taken the job out itself."""

    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """To be tried again.

    :param due_at: unix seconds.
    :param code: why, for operators.
    :param memory_sealed: what the next attempt must know; None: what the job's row has.
    :param tried_s: seconds to count against `delivery.retry_for`.
    :param counts: whether this was an attempt that failed.
    :param is_over: asked in the transaction that writes it down, from any thread: True: what it waits for came in the
        meantime, and it is due at once. Who wakes those that wait can't find it before.
    """

    due_at: float
    code: str
    memory_sealed: bytes | None = None
    tried_s: float = 0.0
    counts: bool = True
    is_over: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Rest:
    """All is done that can be done now; somebody will wake the job (`gateway/ledger/resting.py`).

    :param code: what it waits for.
    :param memory_sealed: as in `Again`.
    """

    code: str
    memory_sealed: bytes | None = None


Handler = Callable[[JobRow], Awaitable[Done | Again | Rest]]

#: The shortest time between two claims: what many small files want in that time shares a claim and its transaction.
CLAIM_EVERY_S = 0.03


class Workers:
    """Runs jobs with the handlers it is given.

    :param concurrency: jobs of a kind at once; a kind that isn't named: 2.
    :param lease_s: for how long a claim holds without being renewed.
    :param poll_s: the longest time between two looks, if no commit wakes it.
    """

    def __init__(
        self,
        ledger: Ledger,
        handlers: Mapping[JobKind, Handler],
        clock: Clock,
        *,
        concurrency: Mapping[JobKind, int] | None = None,
        backoff: Backoff | None = None,
        lease_s: float = 60.0,
        poll_s: float = 2.0,
    ) -> None:
        self._ledger = ledger
        self._handlers = dict(handlers)
        self._clock = clock
        self._concurrency = dict(concurrency or {})
        self._backoff = backoff or Backoff()
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._name = secrets.token_hex(8)
        self._running: dict[int, tuple[JobRow, asyncio.Task[None]]] = {}
        self._served = {kind: dict[str, int]() for kind in handlers}  #: when an account was last, by number of claim
        self._claims = 0
        self._nudge = asyncio.Event()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, alone: bool = True) -> None:
        """Begin.

        :param alone: this process is the only one that works on the ledger (one gateway, CONTRACT 4
            `server.workers`): leases that a former process left are void.
        """
        if alone:
            await self._ledger.write(_free_leases)
        self._tasks = [
            asyncio.create_task(self._watch(), name="delivery-watch"),
            asyncio.create_task(self._loop(), name="delivery-claim"),
            asyncio.create_task(self._renew(), name="delivery-renew"),
        ]

    async def stop(self, grace_s: float = 10.0) -> None:
        """Claim nothing more; let handlers end for `grace_s`, then cancel them. Their jobs stay, due at once."""
        self._stopping = True
        self._nudge.set()
        running = [task for _, task in self._running.values()]
        if running:
            await asyncio.wait(running, timeout=grace_s)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run_due(self) -> None:
        """Run what is due now, and what becomes due by it, to its end; without `start`."""
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                wait_s = await self._claim()
                running.update(task for _, task in self._running.values())
                if running:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.gather(*done)
                elif wait_s > 0:
                    return
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _watch(self) -> None:
        with self._ledger.watch(JOBS) as watch:
            while True:
                if await watch.changed():
                    self._nudge.set()

    async def _loop(self) -> None:
        now = asyncio.get_running_loop().time
        while not self._stopping:
            self._nudge.clear()
            next_at = now() + CLAIM_EVERY_S
            try:
                wait_s = await self._claim()
            except GatewayError as error:
                log.warning("claim_failed code=%s", error.code)
                wait_s = self._poll_s
            if wait_s > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._nudge.wait(), wait_s)
            await asyncio.sleep(max(0.0, next_at - now()))  # what comes until then shares the claim

    async def _claim(self) -> float:
        """Start what is due and has room; returns how long to wait for more."""
        room = self._room()
        if not room:
            return self._poll_s
        due_at = await self._ledger.read(lambda tx: tx.jobs.next_due(list(room)))
        now = self._clock.now()
        if due_at is None or due_at > now:
            return self._poll_s if due_at is None else min(self._poll_s, max(due_at - now, 0.01))

        under_way = {
            kind: Counter(job.owner_id for job, _ in self._running.values() if job.kind is kind) for kind in room
        }

        def act(tx: Transaction) -> list[JobRow]:
            return [
                job for kind, limit in room.items() for job in self._take_turns(tx, now, kind, limit, under_way[kind])
            ]

        claimed = await self._ledger.write(act)
        self._claims += 1
        for job in claimed:
            self._served[job.kind][job.owner_id] = self._claims
            if job.job_id not in self._running:
                task = asyncio.create_task(self._run(job), name=f"job-{job.job_id}")
                self._running[job.job_id] = (job, task)
        return 0.0

    def _take_turns(
        self, tx: Transaction, now: float, kind: JobKind, limit: int, under_way: Counter[str]
    ) -> list[JobRow]:
        """Claim up to `limit` jobs, for one account after the other. :param under_way: jobs of each account."""
        owners = tx.jobs.owners_due(now, kind)
        served = self._served[kind]
        for owner_id in served.keys() - set(owners):  # who waits for nothing has saved nothing up, and owes nothing
            del served[owner_id]
        running = under_way.copy()
        claimed: list[JobRow] = []
        while owners and len(claimed) < limit:
            owner_id = min(owners, key=lambda one: (running[one], served.get(one, 0)))
            most = limit - len(claimed) if len(owners) == 1 else 1
            until = now + self._lease_s
            jobs = tx.jobs.claim(now, by=self._name, until=until, kinds=[kind], limit=most, owner_id=owner_id)
            if len(jobs) < most:
                owners.remove(owner_id)
            running[owner_id] += len(jobs)
            claimed += jobs
        return claimed

    def _room(self) -> dict[JobKind, int]:
        if self._stopping:
            return {}
        busy = [job.kind for job, _ in self._running.values()]
        room = {kind: self._concurrency.get(kind, 2) - busy.count(kind) for kind in self._handlers}
        return {kind: limit for kind, limit in room.items() if limit > 0}

    async def _run(self, job: JobRow) -> None:
        try:
            await self._write_down(job, await self._handle(job))
        except asyncio.CancelledError:
            await self._write_down(job, Again(self._clock.now(), "interrupted", counts=False))
            raise
        finally:
            self._running.pop(job.job_id, None)
            self._nudge.set()

    async def _handle(self, job: JobRow) -> Done | Again | Rest:
        began = self._clock.monotonic()
        try:
            return await self._handlers[job.kind](job)
        except Exception as error:  # noqa: BLE001 # the edge of a job: it is parked, and tried again
            code = error.code if isinstance(error, GatewayError) else "internal_error"
            log.error(  # noqa: TRY400 # a traceback would carry values
                "job_broke kind=%s job=%d upload=%s error=%s code=%s",
                job.kind, job.job_id, job.upload_id, type(error).__name__, code,
            )  # fmt: skip
            wait_s = self._backoff.wait_s(job.attempts + 1)
            took_s = self._clock.monotonic() - began
            return Again(self._clock.now() + wait_s, code, tried_s=took_s + wait_s)

    async def _write_down(self, job: JobRow, result: Done | Again | Rest) -> None:
        if isinstance(result, Done) and result.deleted:
            return

        def act(tx: Transaction) -> None:
            row = tx.jobs.get(job.job_id)
            if row is None or row.lease_by != self._name:
                return
            if isinstance(result, Done):
                tx.jobs.delete(row.job_id)
                return
            if isinstance(result, Rest):
                rest = rested(row, result.code, self._clock.now())
                tx.jobs.save(replace(rest, memory_sealed=result.memory_sealed or row.memory_sealed))
                return
            tx.jobs.save(
                replace(
                    row,
                    due_at=self._clock.now() if result.is_over() else result.due_at,
                    attempts=row.attempts + result.counts,
                    tried_s=row.tried_s + result.tried_s,
                    lease_by=None,
                    lease_until=None,
                    memory_sealed=row.memory_sealed if result.memory_sealed is None else result.memory_sealed,
                    last_code=result.code,
                )
            )

        try:
            await self._ledger.write(act)
        except GatewayError as error:
            # The lease runs out by itself, and the job is claimed again: a step is done twice, which it may.
            log.warning("job_not_written job=%d code=%s", job.job_id, error.code)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            mine = list(self._running)
            if not mine:
                continue
            until = self._clock.now() + self._lease_s

            def act(tx: Transaction, mine: list[int] = mine, until: float = until) -> list[int]:
                return [job_id for job_id in mine if not tx.jobs.renew(job_id, self._name, until)]

            try:
                lost = await self._ledger.write(act)
            except GatewayError as error:
                log.warning("leases_not_renewed code=%s", error.code)
                continue
            for job_id in lost:
                if (running := self._running.get(job_id)) is not None:
                    log.warning("lease_lost job=%d", job_id)
                    running[1].cancel()


def _free_leases(tx: Transaction) -> None:
    last = 0
    while page := tx.jobs.page(after=last, limit=500):
        for job in page:
            if job.lease_by is not None:
                tx.jobs.save(replace(job, lease_by=None, lease_until=None))
        last = page[-1].job_id
