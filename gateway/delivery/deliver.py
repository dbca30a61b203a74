"""The delivery of one upload, step by step, each of them repeatable.

check -> hold? -> look, send, write down -> the notes likewise -> look again -> receipt. Where instances leave while
others come (`streams.py`), the first of these steps are done again and again before the upload is complete. The state
of the upload and of its files in the ledger is all that a step goes by; a crash at any line re-runs a step at most.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from gateway.delivery.attempt import Attempt, Stop, Superseded, Tools, is_receiving, same
from gateway.delivery.breaker import Condition
from gateway.delivery.check import Checks, needs_check
from gateway.delivery.commit import commit, is_to_commit
from gateway.delivery.endpoint import WAITS_FOR_ENDPOINT, WorkingEndpoint
from gateway.delivery.finish import HELD, fail_pending, finish
from gateway.delivery.hold import Mismatch, MustBeHeld, identify
from gateway.delivery.items import Item, Memory, item_of
from gateway.delivery.notes import add_notes, withdraw_notes
from gateway.delivery.routes import DeliveryRoute
from gateway.delivery.routing import Routing
from gateway.delivery.send import send
from gateway.delivery.streams import COMPLETE, NEXT, Streams, cleared_by
from gateway.delivery.threads import in_thread
from gateway.delivery.verify import confirm, give_up, verify
from gateway.delivery.way import Way
from gateway.jobs.workers import Again, Done, Rest
from gateway.keys.unwrap import unwrapped
from gateway.ledger.base import Transaction
from gateway.ledger.rows import FileRow, JobRow, UploadRow
from gateway.spool import ServiceKeys, UploadKey
from gateway.states import FileState
from hooks.contract import Stopped, TargetDown, TargetMisconfigured

log = logging.getLogger("relaypacs.delivery")

PAGE = 500
#: An endpoint that the configuration no longer has: looked for again after so long.
NO_ENDPOINT_RETRY_S = 60.0
#: A job that was stopped because the process ends is not due before that has ended.
DRAIN_PAUSE_S = 1.0
#: A job whose upload was stopped under it looks once more after so long, and finds nothing to deliver.
SETTLE_AFTER_S, SUPERSEDED = 30.0, "superseded"
#: For so long a job waits for the checks of its files; then its place is somebody else's, for at least the pause.
CHECKING_S = 5.0
CHECKING_PAUSE_S = 0.5


#: What a target calls an answer that is none.
UNREADABLE = "not_dicom_json"
#: Where a PACS can't be asked either, the same bytes aren't sent more often than that for such an answer.
MOST_UNREAD = 5


class Deliver:
    """The handler of `JobKind.DELIVER`."""

    def __init__(
        self,
        tools: Tools,
        checks: Checks,
        endpoints: Mapping[str, WorkingEndpoint],
        routes: Sequence[DeliveryRoute] = (),
        streams: Streams | None = None,
    ) -> None:
        self._tools = tools
        self._streams = streams or Streams()
        self._routing = Routing(tools, routes)
        self._checks = checks
        self._endpoints = endpoints
        self._stops: set[Stop] = set()
        self._draining = False

    def drain(self) -> None:
        """The process is about to end: what runs stops at its next MiB, and is due at once for the next one."""
        self._draining = True
        for stop in self._stops:
            stop.set()

    async def __call__(self, job: JobRow) -> Done | Again | Rest:
        """One attempt."""
        outcome = await self._one(job)
        if isinstance(outcome, Done) or outcome.code == SUPERSEDED:
            self._streams.forget(job.upload_id)
            for name, endpoint in self._endpoints.items():
                if job.endpoint_id in {"", name}:
                    endpoint.under_way.leave(job.upload_id)
        return outcome

    async def _one(self, job: JobRow) -> Done | Again | Rest:
        upload, key = await self._open(job)
        if upload is None or key is None:
            await self._tools.settling.settle(Way(job.upload_id, job.endpoint_id))
            return Done()
        streams = is_receiving(upload)
        if streams and (upload.held_reasons or not self._streams.has(upload)):
            return Rest(HELD if upload.held_reasons else COMPLETE)
        if self._routing.is_due(job, upload):
            return await self._routed(job, upload, key)
        endpoint = self._endpoints.get(upload.endpoint_id)
        if streams and (endpoint is None or not endpoint.config.streams):
            return Rest(COMPLETE)
        if endpoint is None:
            log.error("endpoint_unknown upload=%s endpoint=%s", upload.upload_id, upload.endpoint_id)
            return Again(self._tools.clock.now() + NO_ENDPOINT_RETRY_S, "endpoint_unknown", counts=False)
        if job.memory_sealed is not None and job.tried_s < self._tools.settings.retry_for_s:
            # It is known to need the PACS: while that is known not to work, nothing is read for it.
            wait_s = endpoint.breaker.wait_s()
            if wait_s > 0:
                return self._waits(endpoint, wait_s, counts=not streams)
        began = self._tools.clock.monotonic()
        if not streams and not await self._checked(upload):
            return Again(self._tools.clock.now() + CHECKING_PAUSE_S, "checking", counts=False)
        attempt = Attempt(
            self._tools,
            job,
            upload,
            key,
            endpoint,
            Memory.of(self._tools.keys, job),
            [],
            Stop(self._tools.ledger, Way(job.upload_id, job.endpoint_id), upload),
            began,
        )
        try:
            again = await self._attempt(attempt)
        except Superseded:
            # If it was cancelled, whoever did that settles it, and drops this job; should the process end before, the
            # job does.
            return Again(self._tools.clock.now() + SETTLE_AFTER_S, SUPERSEDED, counts=False)
        return Done(deleted=True) if again is None else again

    async def _routed(self, job: JobRow, upload: UploadRow, key: UploadKey) -> Done | Again | Rest:
        """Its endpoints are chosen; if it is one, the attempt goes on."""
        streams = is_receiving(upload)
        if not streams and not await self._checked(upload):
            return Again(self._tools.clock.now() + CHECKING_PAUSE_S, "checking", counts=False)
        try:
            if streams:
                return await self._one(job) if await self._routing.early(job, upload, key) else Rest(COMPLETE)
            gave_way = await self._routing(job, upload, key)
        except Superseded:
            return Again(self._tools.clock.now() + SETTLE_AFTER_S, SUPERSEDED, counts=False)
        return Done(deleted=True) if gave_way else await self._one(job)

    async def _open(self, job: JobRow) -> tuple[UploadRow | None, UploadKey | None]:
        def act(tx: Transaction) -> tuple[UploadRow, bytes | None] | None:
            upload = Way(job.upload_id, job.endpoint_id).upload(tx)
            if upload is None or not same(upload, upload) or upload.key_id is None:
                return None
            return upload, tx.keys.get(upload.key_id)

        found = await self._tools.ledger.read(act)
        if found is None:
            return None, None
        upload, wrapped = found
        return upload, unwrapped(self._tools.ring, upload, wrapped)

    async def _checked(self, upload: UploadRow) -> bool:
        """Whether every file has its verdict. This job's place is given to others before they have waited long."""
        unjudged, last = list[str](), ""
        while rows := await self._tools.ledger.read(partial(_page, upload.upload_id, last)):
            unjudged += [row.file_id for row in rows if needs_check(row)]
            last = rows[-1].file_id
        try:
            async with asyncio.timeout(CHECKING_S):
                await self._checks.ensure_all(upload.owner_id, upload.upload_id, unjudged)
        except TimeoutError:
            return False
        return True

    async def _load(self, attempt: Attempt) -> None:
        if is_receiving(attempt.upload):
            attempt.memory.streamed = True
            await self._streams.load(attempt)
            return
        attempt.looks = self._streams.forget(attempt.upload.upload_id)
        last, way = "", attempt.way
        while rows := await self._tools.ledger.read(partial(way.page, after=last, limit=PAGE)):
            attempt.items += await in_thread(partial(_items, rows, attempt.key, self._tools.keys))
            last = rows[-1].file_id
        attempt.items.sort(key=lambda item: (item.whole_at, item.file_id))
        if attempt.memory.streamed:
            attempt.cleared = cleared_by(attempt.items)

    async def _attempt(self, attempt: Attempt) -> Again | Rest | None:
        """None: the upload has come to an end, or is held."""
        await self._load(attempt)
        attempt.memory.receipt_id = attempt.memory.receipt_id or secrets.token_hex(16)
        streams = is_receiving(attempt.upload)
        if streams and not attempt.items and not attempt.twins:
            return Rest(NEXT)
        if not streams and attempt.job.tried_s >= self._tools.settings.retry_for_s:
            await self._gave_up(attempt)
            return None
        if not streams and not _needs_pacs(attempt):
            await finish(attempt)
            return None
        wait_s = 0.0 if attempt.job.memory_sealed is not None else attempt.endpoint.breaker.wait_s()
        if wait_s > 0:
            return self._waits(attempt.endpoint, wait_s, counts=not streams)
        async with attempt.stop as stop:
            self._stops.add(stop)
            try:
                if self._draining:
                    raise Stopped
                return await (self._stream(attempt) if streams else self._through(attempt))
            except Stopped:
                return self._pause(attempt, DRAIN_PAUSE_S if self._draining else 0.0, "stopped")
            except TargetDown as error:
                log.warning("target_down upload=%s code=%s", attempt.upload.upload_id, error.code)
                backoff = self._tools.settings.backoff
                wait_s = backoff.wait_s(attempt.job.attempts + 1, error.retry_after_s)
                if error.code == UNREADABLE and attempt.memory.blind:
                    attempt.memory.unread += 1
                    if attempt.memory.unread >= MOST_UNREAD and not streams:
                        fail_pending(attempt, "not_acknowledged")
                        return await self._looked_after(attempt)
                    wait_s = max(wait_s, backoff.ceiling_s(attempt.memory.unread))
                return self._pause(attempt, wait_s, f"{WAITS_FOR_ENDPOINT}{error.code}", failed=True)
            except TargetMisconfigured as error:
                return self._pause(attempt, self._tools.settings.probe_s, f"{WAITS_FOR_ENDPOINT}{error.code}")
            finally:
                self._stops.discard(stop)
                attempt.endpoint.breaker.withdrew()
                self._streams.note(attempt)

    def _waits(self, endpoint: WorkingEndpoint, wait_s: float, *, counts: bool) -> Again:
        """Without trying. While the endpoint is down this counts as trying, while it is misconfigured it doesn't.

        :param counts: the upload is complete.
        """
        breaker = endpoint.breaker
        tried_s = wait_s if counts and breaker.condition is Condition.DOWN else 0.0
        code = f"{WAITS_FOR_ENDPOINT}{breaker.code}"
        due_at = self._tools.clock.now() + wait_s
        return Again(due_at, code, tried_s=tried_s, counts=False, is_over=endpoint.came_up())

    def _pause(self, attempt: Attempt, wait_s: float, code: str, *, failed: bool = False) -> Again:
        """To go on later; `failed`: this was a try."""
        counts = failed and not is_receiving(attempt.upload)
        tried_s = self._tools.clock.monotonic() - attempt.began + wait_s if counts else 0.0
        again = Again(self._tools.clock.now() + wait_s, code, attempt.sealed_memory(), tried_s, counts=failed)
        return replace(again, is_over=attempt.endpoint.came_up()) if code.startswith(WAITS_FOR_ENDPOINT) else again

    async def _stream(self, attempt: Attempt) -> Again | Rest | None:
        """Send what is ready of an upload of which more comes. None: it is held."""
        try:
            await identify(attempt)
        except MustBeHeld:
            return None
        except Mismatch:  # at its completion it is said again, and what hasn't left by then fails
            return Rest(COMPLETE, attempt.sealed_memory())
        if not await send(attempt):
            wait_s = self._tools.settings.backoff.wait_s(attempt.job.attempts + 1)
            return self._pause(attempt, wait_s, "pacs_busy", failed=True)
        self._streams.found(attempt, await confirm(attempt, self._streams.named(attempt)))
        return Rest(NEXT, attempt.sealed_memory())

    async def _through(self, attempt: Attempt) -> Again | None:
        try:
            await identify(attempt)
        except MustBeHeld:
            return None
        except Mismatch:
            fail_pending(attempt, "study_mismatch")
            return await self._looked_after(attempt)
        await withdraw_notes(attempt)
        all_sent = await send(attempt)
        if all_sent and await add_notes(attempt):
            all_sent = await send(attempt)
        if not all_sent:
            wait_s = self._tools.settings.backoff.wait_s(attempt.job.attempts + 1)
            return self._pause(attempt, wait_s, "pacs_busy", failed=True)
        return await self._looked_after(attempt)

    async def _looked_after(self, attempt: Attempt) -> Again | None:
        """Nothing more is sent: is it there? Then the receipt."""
        pause_s = await verify(attempt)
        if pause_s is not None:
            return self._pause(attempt, pause_s, "verifying")
        pause_s = await commit(attempt)
        if pause_s is not None:
            return self._pause(attempt, pause_s, "committing")
        await finish(attempt)
        return None

    async def _gave_up(self, attempt: Attempt) -> None:
        give_up(attempt)
        fail_pending(attempt, "gave_up")
        await finish(attempt)


def _needs_pacs(attempt: Attempt) -> bool:
    return is_to_commit(attempt) or any(item.pending or item.acknowledged for item in attempt.items)


def _page(upload_id: str, last: str, tx: Transaction) -> list[FileRow]:
    return tx.files.page(upload_id, after=last, limit=PAGE)


def _items(rows: Sequence[FileRow], key: UploadKey, keys: ServiceKeys) -> list[Item]:
    return [item_of(row, key, keys) for row in rows if row.state is not FileState.REMOVED]
