"""When something ends: uploads that went silent, bytes after their receipt, records after their time.

Promises: time in which the gateway didn't run, or in which its clock jumped, counts against nobody's deadline;
nothing is erased but through `erasure.py`; a fault in one upload holds up no other; a run costs look-ups for what is
due, not for what is there.

Running time. Each run writes down when it ran (`retention.last_tick`). A gap since the last one that is longer than
a missed run or two was an outage, or a jump of the clock: nobody can tell, and it doesn't matter. It is written
down (`retention.gaps`), moves the deadlines of unfinished uploads, and is left out when an age is reckoned. Where
the clock went back, what had finished in the lost future is taken to have finished now.

Run by a timer in `serve`, woken by the topic PURGE; and by `relaypacs purge`, also beside a running `serve`. Both
may run at once: each step is a transaction that looks again. Another process can't see which requests write here, so
there the row's `expires_at` decides alone; bytes that come move it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.ledger.base import JOBS, PURGE, Ledger, Transaction
from gateway.ledger.promises import Watch
from gateway.ledger.rows import JobKind, UploadRow
from gateway.ledger.settings import Setting
from gateway.purge.erasure import Erasure, Reason
from gateway.purge.records import record_deleted, record_page_deleted
from gateway.purge.report import PurgeReport
from gateway.states import (
    DEAD_STATES,
    FINISHED_STATES,
    IN_PACS_STATES,
    RECEIVING_STATES,
    UploadEvent,
    UploadState,
    after,
)
from gateway.uploads.completion import wake_delivery

log = logging.getLogger("relaypacs.retention")

ACTOR = "gateway"
#: Rows looked at, or blobs deleted, at once; and files that are only looked at.
PAGE, READ_PAGE = 100, 500
#: A blob without a row is left alone for so long: its upload may be about to write the row down.
ORPHAN_AGE_S = 3600.0
#: How often blobs without a row are looked for: it lists them all.
SWEEP_EVERY_S = 3600.0
#: After an outage no upload ends before its client had so long to come back.
GRACE_S = 600.0
#: A shorter pause between two runs is a slow machine, no outage.
MIN_GAP_S = 300.0
#: The clock may be set back so far, and transactions may be late so much, without anything being made of it.
CLOCK_STEP_S = 60.0
#: Runs that are woken lie so far apart at least.
PAUSE_S = 0.5

#: A stretch of wall-clock time that doesn't count, unix seconds.
Gap = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Times:
    """The configuration's `[retention]` and `uploads.expires`, seconds."""

    interval_s: float
    delivered_s: float
    failed_s: float
    records_s: float
    expires_s: float


class Retention:
    """The purge.

    :param orphans: gives the names of blobs last written before a time (unix seconds); blocks.
    :param delete: removes blobs; blocks.
    :param turn: True inside: nobody copies blobs just now.
    """

    def __init__(
        self,
        ledger: Ledger,
        erasure: Erasure,
        clock: Clock,
        times: Times,
        *,
        orphans: Callable[[float], Iterator[str]],
        delete: Callable[[Sequence[str]], None],
        turn: Callable[[], AbstractContextManager[bool]] = lambda: nullcontext(True),
    ) -> None:
        self._ledger = ledger
        self._turn = turn
        self._erasure = erasure
        self._clock = clock
        self._times = times
        self._orphans = orphans
        self._delete = delete
        self._swept_at: float | None = None  #: monotonic
        self._stripped_until = 0.0  #: files that the PACS has are erased of all that finished before
        self._scrub_due = True  #: also for what an earlier process may have left

    async def run(self, stop: asyncio.Event) -> None:
        """Run every `interval_s`, and when something may be erased, until `stop`."""
        with self._ledger.watch(PURGE) as watch:
            while not stop.is_set():
                try:
                    report = await self.run_once()
                except GatewayError as error:
                    log.error("the purge could not run: %s", error.code)  # noqa: TRY400 # a fault outside, no bug
                else:
                    if report.faults:
                        log.warning("the purge could not do everything: %s", ", ".join(sorted(set(report.faults))))
                await _either(stop.wait(), asyncio.sleep(PAUSE_S))
                await _either(stop.wait(), self._due(watch))

    async def _due(self, watch: Watch) -> None:
        await watch.changed(self._times.interval_s)

    async def run_once(self) -> PurgeReport:
        """Do all that is due now. Faults of single uploads are in the report.

        While a backup is being made nothing is done; the next run does it.

        :raises Unavailable: the ledger can't be used.
        """
        with self._turn() as mine:
            return await self._run() if mine else PurgeReport(faults=["backup_under_way"])

    async def _run(self) -> PurgeReport:
        report = PurgeReport()
        gaps = await self._tick()
        await self._step(report, self._resume(report))
        await self._expire(report)
        await self._erase_finished(report, gaps)
        await self._strip(report, gaps)
        await self._delete_records(report, gaps)
        report.tokens = await self._delete_tokens()
        await self._step(report, self._erasure.tidy())
        await self._step(report, self._sweep(report))
        if report.files or report.uploads or report.records or report.tokens:
            self._scrub_due = True
        if self._scrub_due or self._ledger.scrub_due:
            report.scrubbed = await self._erasure.scrub()
            self._scrub_due = not report.scrubbed
        return report

    async def _tick(self) -> list[Gap]:
        """Write down that the gateway runs, and what it has missed. Returns all gaps that still matter."""
        now, times = self._clock.now(), self._times
        last = await self._ledger.read(lambda tx: tx.settings.get(Setting.RETENTION_LAST_TICK))
        if last is not None and now < float(last) - CLOCK_STEP_S:
            await self._redate(now)
            self._stripped_until = 0.0

        def act(tx: Transaction) -> list[Gap]:
            last_at = float(tx.settings.get(Setting.RETENTION_LAST_TICK) or now)
            gaps: list[Gap] = [
                (start, end) for start, end in json.loads(tx.settings.get(Setting.RETENTION_GAPS) or "[]") if end <= now
            ]
            gap_s = now - last_at
            if gap_s > max(10 * times.interval_s, MIN_GAP_S) or gap_s < -CLOCK_STEP_S:
                tx.uploads.shift_deadlines(gap_s, now + min(times.expires_s, GRACE_S))
                if gap_s < 0:  # what was to be tried again in a minute shall not wait for the lost day
                    tx.jobs.shift_due(gap_s, now)
                    tx.wake(JOBS)
                tx.audit.append("retention.gap", at=now, actor=ACTOR, detail={"gap_s": round(gap_s)})
                gaps = [*gaps, (last_at, now)] if gap_s > 0 else gaps
            elif gap_s < 0:
                return gaps  # another process was here just now
            longest_s = max(times.delivered_s, times.failed_s, times.records_s)
            gaps = [gap for gap in gaps if gap[1] > running_before(now, longest_s, gaps)]
            tx.settings.put(Setting.RETENTION_GAPS, json.dumps(gaps))
            tx.settings.put(Setting.RETENTION_LAST_TICK, repr(now))
            return gaps

        return await self._ledger.write(act)

    async def _redate(self, now: float) -> None:
        """The clock went back: what had finished in the future has finished now. Looks at every record, once."""

        def act(tx: Transaction, after_id: str) -> str | None:
            page = tx.uploads.page(states=sorted(FINISHED_STATES | DEAD_STATES), after=after_id, limit=PAGE)
            for row in page:
                if row.finished_at is not None and row.finished_at > now:
                    tx.uploads.save(replace(row, finished_at=now))
            return page[-1].upload_id if page else None

        after_id: str | None = ""
        while after_id is not None:
            after_id = await self._ledger.write(partial(act, after_id=after_id))

    async def _step(self, report: PurgeReport, act: Awaitable[None]) -> bool:
        """Do one thing; a fault is noted and doesn't end the run."""
        try:
            await act
        except GatewayError as error:
            report.faults.append(error.code)
            return False
        return True

    async def _each(
        self,
        report: PurgeReport,
        due: Callable[[int, Transaction], list[UploadRow]],
        act: Callable[[UploadRow], Awaitable[None]],
    ) -> None:
        """Do `act` to every upload that is due, once: those that fail or are left for later don't end the others."""
        met: set[str] = set()
        left = 0  #: met and due still: they come first in every answer
        while True:
            rows = await self._ledger.read(partial(due, PAGE + left))
            left = sum(row.upload_id in met for row in rows)
            fresh = [row for row in rows if row.upload_id not in met]
            if not fresh:
                return
            for row in fresh:
                met.add(row.upload_id)
                await self._step(report, act(row))

    async def _resume(self, report: PurgeReport) -> None:
        report.uploads += await self._erasure.resume()

    async def _expire(self, report: PurgeReport) -> None:
        now = self._clock.now()

        async def act(row: UploadRow) -> None:
            # Bytes are on their way: the row hears of them when they are durable.
            if await self._erasure.being_written(row.upload_id):
                return
            if await self._ledger.write(partial(_expired, upload_id=row.upload_id, now=now)):
                report.expired += 1
                await self._erase(report, Reason.EXPIRED, row)

        await self._each(report, lambda limit, tx: tx.uploads.expired(now, limit), act)

    async def _erase_finished(self, report: PurgeReport, gaps: Sequence[Gap]) -> None:
        now, times = self._clock.now(), self._times
        for states, before, reason in (
            ([UploadState.CANCELLED], math.inf, Reason.CANCELLED),
            ([UploadState.EXPIRED], math.inf, Reason.EXPIRED),
            ([UploadState.SUCCESS], running_before(now, times.delivered_s, gaps), Reason.DELIVERED),
            (
                [UploadState.PARTIAL, UploadState.FAILED],
                running_before(now, times.failed_s, gaps),
                Reason.RETENTION,
            ),
        ):
            await self._each(
                report, partial(_finished, states=states, before=before), partial(self._erase, report, reason)
            )

    async def _erase(self, report: PurgeReport, reason: Reason, row: UploadRow) -> None:
        report.add(await self._erasure.erase_upload(row.upload_id, reason))
        report.uploads += 1

    async def _strip(self, report: PurgeReport, gaps: Sequence[Gap]) -> None:
        """Erase what the PACS has of partial uploads; the rest stays for a retry."""
        now = self._clock.now()
        before = running_before(now, self._times.delivered_s, gaps)
        since, faults = self._stripped_until, len(report.faults)
        met: set[str] = set()  # of those that finished at `since`
        while True:
            limit = PAGE + len(met)
            due = partial(_finished, limit, states=[UploadState.PARTIAL], before=before, since=since)
            rows = await self._ledger.read(due)
            fresh = [row for row in rows if row.upload_id not in met]
            if not fresh:
                break
            for row in fresh:
                await self._step(report, self._strip_one(report, row.upload_id))
            since = fresh[-1].finished_at or since
            met = {row.upload_id for row in rows if row.finished_at == since}
        if len(report.faults) == faults:
            # Not up to now: a transaction that is committed later may bear an earlier time.
            self._stripped_until = max(self._stripped_until, min(since, now - CLOCK_STEP_S))

    async def _strip_one(self, report: PurgeReport, upload_id: str) -> None:
        file_ids, last = list[str](), ""
        while page := await self._ledger.read(partial(_strippable, upload_id=upload_id, after=last)):
            last, found = page
            file_ids += found
        if file_ids:
            report.add(await self._erasure.erase_files(upload_id, file_ids, Reason.DELIVERED))

    async def _delete_records(self, report: PurgeReport, gaps: Sequence[Gap]) -> None:
        now = self._clock.now()
        before = running_before(now, self._times.records_s, gaps)

        async def act(row: UploadRow) -> None:
            while await self._ledger.write(partial(record_page_deleted, upload_id=row.upload_id)):
                pass
            report.records += await self._ledger.write(partial(record_deleted, upload_id=row.upload_id, now=now))

        await self._each(report, lambda limit, tx: tx.uploads.records_older(before, limit), act)

    async def _delete_tokens(self) -> int:
        now, deleted = self._clock.now(), 0
        while count := await self._ledger.write(lambda tx: tx.tokens.delete_expired(now, PAGE)):
            deleted += count
        before = now - self._times.records_s
        while await self._ledger.write(lambda tx: tx.qr_codes.delete_expired(before, PAGE)):
            pass
        return deleted

    async def _sweep(self, report: PurgeReport) -> None:
        """Delete blobs without a row. A segment is written down before its blob is made, so nobody misses them."""
        started_at = self._clock.monotonic()
        if self._swept_at is not None and started_at - self._swept_at < SWEEP_EVERY_S:
            return
        names, orphans = self._orphans(self._clock.now() - ORPHAN_AGE_S), list[str]()
        while batch := await asyncio.to_thread(lambda: list(islice(names, 10 * PAGE))):
            orphans += await self._ledger.read(partial(_unknown, names=batch))
        for start in range(0, len(orphans), PAGE):
            await asyncio.to_thread(self._delete, orphans[start : start + PAGE])
        if orphans:
            now, detail = self._clock.now(), {"blobs": len(orphans)}
            await self._ledger.write(lambda tx: tx.audit.append("spool.swept", at=now, actor=ACTOR, detail=detail))
        report.orphans += len(orphans)
        self._swept_at = started_at


def running_before(now: float, duration_s: float, gaps: Sequence[Gap]) -> float:
    """The moment after which the gateway has run for `duration_s` until `now`.

    :param gaps: stretches that don't count, in order, none beyond `now`.
    """
    at, rest_s = now, duration_s
    for start, end in reversed(gaps):
        if at - end >= rest_s:
            break
        rest_s -= at - end
        at = start
    return at - rest_s


def _expired(tx: Transaction, upload_id: str, now: float) -> bool:
    """Expire an upload, unless it is over, lives again, or only waits for its completion."""
    upload = tx.uploads.get(upload_id)
    if upload is None or upload.state not in RECEIVING_STATES or upload.expires_at > now:
        return False
    account = tx.accounts.get(upload.owner_id)
    disabled = account is not None and account.disabled_at is not None
    if not disabled and (completing := tx.jobs.of_upload(upload_id, JobKind.COMPLETE)):
        # All is there but the word `complete`: at the latest now the gateway says it.
        tx.jobs.save(replace(completing[0], due_at=min(completing[0].due_at, now)))
        tx.wake(JOBS)
        return False
    state = after(upload.state, UploadEvent.EXPIRE)
    tx.uploads.save(replace(upload, state=state, epoch=upload.epoch + 1, finished_at=now))
    tx.audit.append("upload.expired", at=now, actor=ACTOR, upload_id=upload_id)
    wake_delivery(tx, upload_id, now)  # it says what the PACS has of it
    tx.wake(upload_id)
    return True


def _finished(
    limit: int, tx: Transaction, *, states: Sequence[UploadState], before: float, since: float = 0.0
) -> list[UploadRow]:
    return tx.uploads.finished_unerased(states, before, limit, since=since)


def _strippable(tx: Transaction, upload_id: str, after: str) -> tuple[str, list[str]] | None:
    """Of a page of files: the last one, and those that the PACS has and whose bytes are there. None: there are no more."""
    page = tx.files.page(upload_id, after=after, limit=READ_PAGE)
    if not page:
        return None
    found = [file.file_id for file in page if file.state in IN_PACS_STATES and file.key_id is not None]
    return page[-1].file_id, found


def _unknown(tx: Transaction, names: Sequence[str]) -> list[str]:
    return [name for name in names if not tx.runs.knows_segment(name)]


async def _either(*acts: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of them; the others are cancelled."""
    tasks = [asyncio.ensure_future(act) for act in acts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
