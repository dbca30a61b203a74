"""Tells of STAT uploads that aren't delivered in time (`alerts.stat_after`), each once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from gateway.clock import Clock
from gateway.delivery.attempt import Announce
from gateway.errors import GatewayError
from gateway.ledger.base import Ledger, Transaction

log = logging.getLogger("relaypacs.telling")

ACTOR = "gateway"
EVERY_S = 5.0
#: Uploads told of in one transaction.
PAGE = 100


class Delays:
    """The look-out. :param after_s: 0: nothing is late."""

    def __init__(self, ledger: Ledger, clock: Clock, announce: Announce, after_s: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._announce = announce
        self._after_s = after_s

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        while self._after_s:
            try:
                await self.run_once()
            except GatewayError as error:
                log.warning("late uploads could not be looked for: %s", error.code)
            await asyncio.sleep(EVERY_S)

    async def run_once(self) -> int:
        """Tell of all that are late now. How many they are. :raises Unavailable: the ledger can't be used."""
        if not self._after_s:
            return 0
        told, now = 0, self._clock.now()
        before = now - self._after_s
        while await self._ledger.read(lambda tx: tx.uploads.stat_waiting(before, 1)):
            told += await self._ledger.write(lambda tx: self._tell(tx, before, now))
        return told

    def _tell(self, tx: Transaction, before: float, now: float) -> int:
        rows = tx.uploads.stat_waiting(before, PAGE)
        for row in rows:
            late = replace(row, delayed_at=now)
            tx.uploads.save(late)
            detail = {"endpoint": row.endpoint_id, "state": str(row.state)}
            tx.audit.append("upload.delayed", at=now, actor=ACTOR, upload_id=row.upload_id, detail=detail)
            self._announce(tx, late, "upload.delayed", now)
            log.error("upload_late upload=%s endpoint=%s state=%s", row.upload_id, row.endpoint_id, row.state)
        return len(rows)
