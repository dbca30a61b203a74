"""Ends the audit trail's older part: events past `audit.retention`, and the files that hold nothing else.

Promises: what is deleted is older than the retention, was exported where there is an export, and leaves a note of the
head that the rest follows, so that the rest can still be checked; deleting is an event itself.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import takewhile
from pathlib import Path

from gateway.audit.files import former_files, last_event
from gateway.clock import Clock
from gateway.errors import GatewayError, Unavailable
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.settings import Setting

log = logging.getLogger("relaypacs.audit")

ACTOR = "gateway"
EVERY_S = 3600.0
PAGE = 500


class AuditRetention:
    """The trail's own purge.

    :param retention_s: age at which an event goes, seconds.
    :param path: `audit.file`; None: no export.
    :param repository: there is one that gets every event: none goes before it has it.
    """

    def __init__(
        self, ledger: Ledger, clock: Clock, retention_s: float, path: Path | None, *, repository: bool = False
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._retention_s = retention_s
        self._path = path
        self._awaited = [Setting.AUDIT_EXPORTED] * (path is not None) + [Setting.AUDIT_SENT] * repository

    async def run(self) -> None:
        """Do what is due every hour, until cancelled."""
        while True:
            try:
                await self.run_once()
            except GatewayError as error:
                log.error("old audit events could not be deleted: %s", error.code)  # noqa: TRY400 # a fault outside
            await asyncio.sleep(EVERY_S)

    async def run_once(self) -> int:
        """Delete what is due. Returns how many events.

        :raises Unavailable: the ledger or a file can't be used.
        """
        before, events = self._clock.now() - self._retention_s, 0
        while deleted := await self._ledger.write(lambda tx: self._prune(tx, before)):
            events += deleted
        try:
            files = await self._delete_files(before)
        except OSError as error:
            raise Unavailable("an old audit file can't be deleted", code="storage_error") from error
        if events or files:
            now, detail = self._clock.now(), {"events": events, "files": files}
            await self._ledger.write(lambda tx: tx.audit.append("audit.pruned", at=now, actor=ACTOR, detail=detail))
        return events

    def _prune(self, tx: Transaction, before: float) -> int:
        limit = min([tx.audit.head()[0], *(_reached(tx, sink) for sink in self._awaited)])
        rows = tx.audit.after(tx.audit.pruned()[0], PAGE)
        old = list(takewhile(lambda row: row.at < before and row.number <= limit, rows))
        return tx.audit.prune(old[-1].number) if old else 0

    async def _delete_files(self, before: float) -> int:
        """Files of past months all of whose events are gone from the ledger by age."""
        if self._path is None:
            return 0
        pruned = (await self._ledger.read(lambda tx: tx.audit.pruned()))[0]
        deleted = 0
        for path in await asyncio.to_thread(former_files, self._path):
            last = await asyncio.to_thread(last_event, path)
            if last is not None and last.at < before and last.number <= pruned:
                await asyncio.to_thread(path.unlink)
                deleted += 1
        return deleted


def _reached(tx: Transaction, sink: Setting) -> int:
    """Number of the last event that is there."""
    if sink is Setting.AUDIT_EXPORTED:
        return int(tx.settings.get(Setting.AUDIT_EXPORTED) or 0)
    return int(tx.settings.get(Setting.AUDIT_SENT) or 0)
