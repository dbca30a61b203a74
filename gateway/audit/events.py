"""Events of the gateway itself: start, stop, its configuration, and refusals, which are counted.

Promises: whoever isn't let in can't fill the trail: refusals are one event a minute, with a count, for each code, account
and address, of which `MAX_KEYS` are told apart; what is said of the configuration is a digest of it without its secrets.
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
EVERY_S = 60.0
#: Refusals that are told apart between two events; more are counted by their code alone.
MAX_KEYS = 10_000
#: Events that share a transaction.
EVENTS_AT_ONCE = 200


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
    """Requests that were refused since the last events, by code, account and address."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._since = clock.now()
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def note(self, code: str, account: str = "", address: str = "") -> None:
        """Count a refusal.

        :param account: its id, or the keyed name that somebody gave; empty: nobody said.
        """
        key = (code, account, address)
        if key not in self._counts and len(self._counts) >= MAX_KEYS:
            key = (code, "", "")
        self._counts[key] += 1

    async def run(self) -> None:
        """Write them down every minute, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.flush()
            except GatewayError as error:
                log.error("refusals could not be written down: %s", error.code)  # noqa: TRY400 # a fault outside

    async def flush(self) -> None:
        """`refusals.counted`, one for each. :raises Unavailable: they are counted on, and written next time."""
        now = self._clock.now()
        for_s, self._since = round(now - self._since), now
        left = list(self._counts.items())
        while left:
            some, left = left[:EVENTS_AT_ONCE], left[EVENTS_AT_ONCE:]

            def act(tx: Transaction, some: list[tuple[tuple[str, str, str], int]] = some) -> None:
                for (code, account, address), count in some:
                    detail = {"code": code, "count": count, "for_s": for_s}
                    known = {"account": account, "address": address}
                    detail |= {name: value for name, value in known.items() if value}
                    tx.audit.append("refusals.counted", at=now, actor=ACTOR, detail=detail)

            await self._ledger.write(act)
            for key, count in some:
                self._counts[key] -= count
                if not self._counts[key]:
                    del self._counts[key]
