"""Events of the gateway itself: start, stop, its configuration, and refusals, which are counted.

Promises: whoever isn't let in can't fill the trail: refusals are one event an hour with a count for each code; what is
said of the configuration is a digest of it without its secrets.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.settings import Setting

log = logging.getLogger("relaypacs.audit")

ACTOR = "gateway"
EVERY_S = 3600.0


async def note_start(ledger: Ledger, clock: Clock, *, version: str, config_sha256: str) -> None:
    """`gateway.started` and `config.loaded`.

    :param config_sha256: hex digest of the effective configuration, its secrets left out.
    """
    now = clock.now()

    def act(tx: Transaction) -> None:
        tx.audit.append("gateway.started", at=now, actor=ACTOR, detail={"version": version})
        former = tx.settings.get(Setting.CONFIG_SHA256)
        detail = {"sha256": config_sha256, "changed": former not in (None, config_sha256)}
        tx.audit.append("config.loaded", at=now, actor=ACTOR, detail=detail)
        tx.settings.put(Setting.CONFIG_SHA256, config_sha256)

    await ledger.write(act)


async def note_stop(ledger: Ledger, clock: Clock) -> None:
    """`gateway.stopped`: it ended in good order."""
    now = clock.now()
    await ledger.write(lambda tx: tx.audit.append("gateway.stopped", at=now, actor=ACTOR))


class Refusals:
    """Requests that were refused, by code, since the last event.

    :ivar counts: to be counted up by whoever refuses.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._since = clock.now()
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Write them down every hour, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.flush()
            except GatewayError as error:
                log.error("refusals could not be written down: %s", error.code)  # noqa: TRY400 # a fault outside

    async def flush(self) -> None:
        """`refusals.counted`, if there were any. :raises Unavailable: they are counted on, and written next time."""
        counts, since, now = dict(self.counts), self._since, self._clock.now()
        if not counts:
            return
        detail = {"codes": counts, "for_s": round(now - since)}
        await self._ledger.write(lambda tx: tx.audit.append("refusals.counted", at=now, actor=ACTOR, detail=detail))
        self.counts.subtract(counts)
        self.counts = +self.counts
        self._since = now
