"""A PACS as delivery sees it: its target, its breaker, and how much of it may be used at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar
from weakref import WeakValueDictionary

from gateway.clock import Clock
from gateway.delivery.breaker import Breaker, Condition
from gateway.delivery.threads import in_thread
from gateway.delivery.underway import UnderWay
from gateway.jobs.backoff import Backoff
from gateway.ledger.base import JOBS, Ledger, Transaction
from gateway.ledger.rows import JobKind, JobRow
from hooks.contract import Committing, Stopped, Target, TargetDown, TargetError, TargetMisconfigured

log = logging.getLogger("relaypacs.delivery")
T = TypeVar("T")
#: Hears of each request to a PACS: endpoint_id, how it went, seconds.
Asked = Callable[[str, str, float], None]

ACTOR = "gateway"
#: `last_code` of a job that waits for its endpoint; the rest of it is the target's own code.
WAITS_FOR_ENDPOINT = "endpoint_"
_HASTENED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class EndpointTarget:
    """What the configuration says of an endpoint (CONTRACT 4).

    :param identity: `check` or `as-is`.
    :param if_unknown: `warn` or `hold`, where it can't be checked or there is nothing to compare.
    :param committing: is asked for storage commitment; None: it isn't.
    :param takes_notes: clinical notes go into the study.
    :param tells_notes: they go out in another way: none is missed in the study.
    :param streams: each instance leaves as soon as it is valid, not before the upload is complete.
    :param connections: requests at once, over all uploads.
    """

    target: Target
    identity: str = "check"
    if_unknown: str = "warn"
    verify: bool = True
    verify_for_s: float = 600.0
    takes_notes: bool = True
    tells_notes: bool = False
    connections: int = 4
    batch_instances: int = 10
    batch_bytes: int = 16 << 20
    committing: Committing | None = None
    streams: bool = False


class WorkingEndpoint:
    """One endpoint at work."""

    def __init__(
        self,
        endpoint_id: str,
        config: EndpointTarget,
        ledger: Ledger,
        clock: Clock,
        backoff: Backoff,
        probe_s: float,
        asked: Asked = lambda _endpoint_id, _result, _seconds: None,
    ) -> None:
        self.endpoint_id = endpoint_id
        self.config = config
        self.breaker = Breaker(clock, backoff, probe_s=probe_s)
        self.batch_bytes = config.batch_bytes  #: goes down when the PACS says 413
        self.under_way = UnderWay()
        self._ledger = ledger
        self._clock = clock
        self._asked = asked
        self.seats = asyncio.Semaphore(config.connections)  #: one is held for each request
        self._studies: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def target(self) -> Target:
        """The PACS's hook."""
        return self.config.target

    def came_up(self) -> Callable[[], bool]:
        """Says, from any thread, whether the endpoint has come up again since now."""
        breaker, before = self.breaker, self.breaker.recoveries
        return lambda: breaker.recoveries != before

    def study(self, study_instance_uid: str) -> asyncio.Lock:
        """Held from the look at a study until what was sent of it is written down: of two uploads with the same
        instance the second sees what the first did.
        """
        lock = self._studies.get(study_instance_uid)
        if lock is None:
            lock = self._studies[study_instance_uid] = asyncio.Lock()
        return lock

    async def ask(self, act: Callable[[], T], *, storing: bool = False) -> T:
        """Call the target in a thread, and let the breaker know how it went.

        :param storing: it is asked to store.
        :raises TargetError: as the target does.
        """
        async with self.seats:
            return await self.ask_seated(act, storing=storing)

    async def ask_seated(self, act: Callable[[], T], *, storing: bool = False) -> T:
        """As `ask`, for who has one of the `seats` already."""
        try:
            answer = await self._timed(act)
        except TargetDown as error:
            if self.breaker.failed(error.code, error.retry_after_s, storing=storing):
                await self._note("endpoint.down", error.code)
            raise
        except TargetMisconfigured as error:
            if self.breaker.refused(error.code, storing=storing):
                await self._note("endpoint.misconfigured", error.code)
            raise
        except Stopped:
            self.breaker.withdrew()
            raise
        except TargetError:
            await self._answered(storing)
            raise
        except BaseException:
            self.breaker.withdrew()
            raise
        await self._answered(storing)
        return answer

    async def _timed(self, act: Callable[[], T]) -> T:
        began, result = self._clock.monotonic(), "answered"
        try:
            return await in_thread(act)
        except TargetDown:
            result = "down"
            raise
        except TargetMisconfigured:
            result = "misconfigured"
            raise
        except Stopped:
            result = "stopped"
            raise
        except TargetError:
            result = "refused"
            raise
        finally:
            self._asked(self.endpoint_id, result, self._clock.monotonic() - began)

    async def _answered(self, storing: bool) -> None:
        if self.breaker.answered(storing=storing):
            await self._note("endpoint.up", "")

    async def _note(self, event: str, code: str) -> None:
        """One event for the change of an endpoint; if it is up again, who waits for it is due."""
        level = logging.INFO if self.breaker.condition is Condition.UP else logging.ERROR
        log.log(level, "%s endpoint=%s code=%s", event, self.endpoint_id, code)
        now = self._clock.now()

        def act(tx: Transaction) -> None:
            detail = {"endpoint": self.endpoint_id} | ({"code": code} if code else {})
            tx.audit.append(event, at=now, actor=ACTOR, detail=detail)

        await self._ledger.write(act)
        if event == "endpoint.up":
            await hasten(self._ledger, now, self.endpoint_id)


async def hasten(ledger: Ledger, now: float, endpoint_id: str | None = None) -> None:
    """Deliveries that are due later, because their endpoint didn't work, are due now. (Those that aren't written down as
    such yet find out by `came_up`.)

    :param endpoint_id: only those to it. None: all; the process begins, and whoever mended an endpoint's configuration
        and started it again shall not wait.
    """
    last: int | None = 0
    while last is not None:
        last = await ledger.write(partial(_hasten_page, after=last, now=now, endpoint_id=endpoint_id))


def _hasten_page(tx: Transaction, after: int, now: float, endpoint_id: str | None) -> int | None:
    """The number of the last job looked at; None: there are no more."""
    page = tx.jobs.page(after=after, limit=_HASTENED_AT_ONCE)
    for job in filter(partial(_waits, now=now), page):
        upload = tx.uploads.get(job.upload_id)
        if upload is not None and endpoint_id in {None, job.endpoint_id or upload.endpoint_id}:
            tx.jobs.save(replace(job, due_at=now))
            tx.wake(JOBS)
    return page[-1].job_id if page else None


def _waits(job: JobRow, now: float) -> bool:
    waits = job.kind is JobKind.DELIVER and job.lease_by is None and job.due_at > now
    return waits and job.last_code.startswith(WAITS_FOR_ENDPOINT)
