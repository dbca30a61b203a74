"""Counts what the audit trail tells: each change of an upload is an event, written in the transaction that made it.

So counters can't miss one, whoever acted: a request, a worker, the purge, or a command beside the gateway. They begin
with the process. What has been read is not read again; who looks seldom reads more at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.errors import GatewayError
from gateway.ledger.base import AUDIT, Ledger, Transaction
from gateway.ledger.rows import AuditRow
from gateway.telling.metrics import OUTCOMES, Metrics

log = logging.getLogger("relaypacs.telling")

#: Events that are read at once.
PAGE = 500
#: Events lie so close in a busy minute: what comes in that time is read together.
PAUSE_S = 1.0
#: Other processes' events wake no watch.
LOOK_EVERY_S = 10.0
#: Events of which more is told than how many there were.
_COUNTED = frozenset(
    {"upload.opened", "file.whole", "upload.held", "upload.delivered", "upload.purged", "files.purged"}
)


class TrailCounts:
    """The reader. :param after: number of the last event that doesn't count."""

    def __init__(self, ledger: Ledger, metrics: Metrics, after: int) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._after = after
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Count what comes, until cancelled."""
        with self._ledger.watch(AUDIT) as watch:
            while True:
                try:
                    await self.catch_up()
                except GatewayError as error:
                    log.warning("events could not be counted: %s", error.code)
                await asyncio.sleep(PAUSE_S)
                await watch.changed(LOOK_EVERY_S)

    async def catch_up(self) -> None:
        """Count everything that there is now. :raises Unavailable: the ledger can't be read."""
        async with self._one_at_a_time:
            while page := await self._ledger.read(partial(_page, after=self._after)):
                for event, count in Counter(row.event for row, _ in page).items():
                    self._metrics.events.labels(event).inc(count)
                for row, queued_at in page:
                    if row.event in _COUNTED:
                        self._count(row, queued_at)
                self._after = page[-1][0].number

    def _count(self, row: AuditRow, queued_at: float | None) -> None:
        metrics, detail = self._metrics, json.loads(row.detail)
        match row.event:
            case "upload.opened":
                metrics.uploads_opened.labels(detail["endpoint"]).inc()
            case "file.whole":
                metrics.files_whole.inc()
                metrics.file_bytes.inc(detail["size_bytes"])
            case "upload.held":
                for code in detail["codes"]:
                    metrics.uploads_held.labels(code).inc()
            case "upload.delivered":
                self._ended(detail, row.at, queued_at)
            case "upload.purged" | "files.purged":
                metrics.purged_files.labels(detail["reason"]).inc(detail["files"])
                metrics.purged_bytes.labels(detail["reason"]).inc(detail["bytes"])

    def _ended(self, detail: Mapping[str, Any], at: float, queued_at: float | None) -> None:
        endpoint_id, state = detail["endpoint"], detail["state"]
        self._metrics.uploads_ended.labels(endpoint_id, state).inc()
        for outcome in OUTCOMES:
            if count := detail.get(outcome, 0):
                self._metrics.instances.labels(endpoint_id, outcome).inc(count)
        if queued_at is not None:
            self._metrics.delivery.labels(endpoint_id, state).observe(max(at - queued_at, 0.0))


def _page(tx: Transaction, after: int) -> list[tuple[AuditRow, float | None]]:
    """The next events; with a delivery's end the time since which it was on its way."""
    return [(row, _queued_at(tx, row)) for row in tx.audit.after(after, PAGE)]


def _queued_at(tx: Transaction, row: AuditRow) -> float | None:
    if row.event != "upload.delivered" or row.upload_id is None:
        return None
    delivery = tx.deliveries.get(row.upload_id, json.loads(row.detail)["endpoint"])
    if delivery is not None:
        return delivery.queued_at
    upload = tx.uploads.get(row.upload_id)
    return None if upload is None else upload.queued_at
