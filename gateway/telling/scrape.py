"""One scrape: events counted, what is there looked up, everything said. Its cost doesn't grow with the ledger."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import Survey
from gateway.ledger.settings import Setting
from gateway.states import UploadState
from gateway.telling.metrics import Metrics
from gateway.telling.trail import TrailCounts

log = logging.getLogger("relaypacs.telling")

#: How often the loop's lag is looked at.
LAG_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Beside:
    """What isn't in the ledger. Sizes in bytes.

    :param conditions: endpoint_id -> `up`, `down` or `misconfigured`.
    :param free_bytes: of the spool's disk; blocks.
    :param exports: the trail goes into a file.
    :param sends: it goes to a repository.
    """

    conditions: Callable[[], Mapping[str, str]]
    free_bytes: Callable[[], int]
    spool_max_bytes: int
    exports: bool
    sends: bool


@dataclass(frozen=True, slots=True)
class _Looked:
    survey: Survey
    purge_at: float
    unexported: int
    unsent: int


class Scrape:
    """Answers `GET /metrics`."""

    def __init__(self, ledger: Ledger, clock: Clock, metrics: Metrics, trail: TrailCounts, site: Beside) -> None:
        self._ledger = ledger
        self._clock = clock
        self._metrics = metrics
        self._trail = trail
        self._site = site
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, accept: str) -> tuple[bytes, str]:
        """The text and its Content-Type; what can't be looked up just now is as it was seen last.

        :param accept: the request's.
        """
        async with self._one_at_a_time:
            try:
                await self._trail.catch_up()
                self._tell(await self._ledger.read(_look), await asyncio.to_thread(self._site.free_bytes))
            except (GatewayError, OSError) as error:
                code = error.code if isinstance(error, GatewayError) else "storage_error"
                log.warning("a scrape could not look up everything: %s", code)
            return await asyncio.to_thread(self._metrics.text, accept)

    def _tell(self, seen: _Looked, free_bytes: int) -> None:
        metrics, now, survey = self._metrics, self._clock.now(), seen.survey
        conditions = self._site.conditions()
        metrics.uploads.clear()
        for endpoint_id, state in {*product(conditions, UploadState), *survey.uploads}:
            metrics.uploads.labels(endpoint_id, state).set(survey.uploads.get((endpoint_id, state), 0))
        for gauge, since in ((metrics.queue_age, survey.queued_since), (metrics.hold_age, survey.held_since)):
            gauge.clear()
            for endpoint_id in {*conditions, *since}:
                gauge.labels(endpoint_id).set(max(now - since.get(endpoint_id, now), 0.0))
        metrics.stat_late.clear()
        for endpoint_id in {*conditions, *survey.delayed}:
            metrics.stat_late.labels(endpoint_id).set(survey.delayed.get(endpoint_id, 0))
        for endpoint_id, condition in conditions.items():
            for name in ("up", "down", "misconfigured"):
                metrics.condition.labels(endpoint_id, name).set(name == condition)
        metrics.spool_reserved.set(survey.reserved_bytes)
        metrics.spool_awaited.set(survey.awaited_bytes)
        metrics.spool_max.set(self._site.spool_max_bytes)
        metrics.spool_free.set(free_bytes)
        metrics.reserve_held.set(self._ledger.reserve.held)
        metrics.purge_at.set(seen.purge_at)
        metrics.audit_behind.set(seen.unexported if self._site.exports else 0)
        metrics.audit_unsent.set(seen.unsent if self._site.sends else 0)


def _look(tx: Transaction) -> _Looked:
    exported = int(tx.settings.get(Setting.AUDIT_EXPORTED) or 0)
    purge_at = float(tx.settings.get(Setting.RETENTION_LAST_TICK) or 0.0)
    sent, head = int(tx.settings.get(Setting.AUDIT_SENT) or 0), tx.audit.head()[0]
    return _Looked(tx.uploads.survey(), purge_at, head - exported, head - sent)


async def watch_lag(metrics: Metrics) -> None:
    """Note how late the loop wakes a timer, until cancelled."""
    while True:
        due_at = time.perf_counter() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        metrics.lagged(max(time.perf_counter() - due_at, 0.0))
