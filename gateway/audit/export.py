"""Copies the audit trail into files of JSON lines, by number, each event at least once.

The trail itself is in the ledger; the files are for whoever collects logs, and show what the chain alone can't: an
older state of the whole ledger. Each month has a file, which opens with the head of the one before. A line is written
and synced before the ledger is told so. After a crash between the two, the file's last whole line says how far it
really got; without a file to ask (moved away), one batch may come twice.
It knows the trail and the files, nothing of what the events mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from gateway.audit import files
from gateway.audit.files import month_of
from gateway.errors import Unavailable
from gateway.ledger.base import AUDIT, Ledger, Transaction
from gateway.ledger.chain import START, Head
from gateway.ledger.rows import AuditRow
from gateway.ledger.settings import Setting

T = TypeVar("T")

#: Events per write.
BATCH = 500
#: Other processes' events wake no watch: how often they are looked for.
LOOK_EVERY_S = 5.0
#: The shortest time between two exports: what happens in that time shares a sync of the file.
EXPORT_EVERY_S = 0.25


class AuditExport:
    """One trail into its files; one process exports at a time.

    :param path: the present file, made with mode 0600; may be moved away at any time, then a new one is begun.
    :param key: of the trail; the files' openings are sealed with it.
    """

    def __init__(self, ledger: Ledger, path: Path, key: bytes) -> None:
        self._ledger = ledger
        self._path = path
        self._key = key
        self._done: int | None = None  # number of the last exported event, once it is known
        self._month: str | None = None  # of the present file's first event; None: there is none

    async def run(self) -> None:
        """Export whatever comes, until cancelled.

        :raises Unavailable: a file or the ledger can't be written; it may be run again.
        """
        now = asyncio.get_running_loop().time
        with self._ledger.watch(AUDIT) as watch:
            while True:
                next_at = now() + EXPORT_EVERY_S
                await self.catch_up()
                await watch.changed(LOOK_EVERY_S)
                await asyncio.sleep(max(0.0, next_at - now()))  # what comes until then shares the export

    async def catch_up(self) -> int:
        """Export everything that is there now. Returns how many events.

        :raises Unavailable: as `run`.
        """
        if self._done is None:
            self._done = await self._find_end()
        exported = 0
        while True:
            rows, before = await self._ledger.read(partial(_after, number=self._done))
            if not rows:
                return exported
            try:
                rows = await _to_its_end(asyncio.to_thread(self._written, rows, before))
            except OSError as error:
                self._done = None  # how much of it got there is asked of the file next time
                raise Unavailable("the audit file can't be written", code="storage_error") from error
            except asyncio.CancelledError:
                self._done = None
                raise
            self._done = rows[-1].number
            await self._note(self._done)
            exported += len(rows)

    def _written(self, rows: list[AuditRow], before: Head) -> list[AuditRow]:
        """Those of `rows` that were written: as many as belong to one month."""
        first = month_of(rows[0].at)
        if self._month is not None and first > self._month:
            if self._path.exists():
                files.retire(self._path, self._month)
            self._month = None
        month = self._month or first  # a clock that was set back opens no file of the past
        rows = list(takewhile(lambda row: month_of(row.at) <= month, rows))
        if files.append(self._path, rows, self._key, before):
            month = first
        self._month = month
        return rows

    async def _find_end(self) -> int:
        """The number of the last event that is in the files for sure."""
        noted = int(await self._ledger.read(lambda tx: tx.settings.get(Setting.AUDIT_EXPORTED)) or 0)
        try:
            last, first = await asyncio.to_thread(lambda: (files.mend(self._path), files.first_event(self._path)))
        except OSError as error:
            raise Unavailable("the audit file can't be read", code="storage_error") from error
        self._month = None if first is None else month_of(first.at)
        if last is None or last.number <= noted:
            return noted
        # The file is ahead. Believed only if its line is this trail's: it may be another gateway's file.
        ours = await self._ledger.read(lambda tx: tx.audit.after(last.number - 1, 1))
        return last.number if ours and ours[0].mac == last.mac else noted

    async def _note(self, number: int) -> None:
        await self._ledger.write(lambda tx: tx.settings.put(Setting.AUDIT_EXPORTED, str(number)))


async def _to_its_end(act: Coroutine[None, None, T]) -> T:
    """A thread can't be cancelled: who is cancelled waits for it, so that no two write at once."""
    task = asyncio.ensure_future(act)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _after(tx: Transaction, number: int) -> tuple[list[AuditRow], Head]:
    """The next events, and the head before them."""
    return tx.audit.after(number, BATCH), _head_at(tx, number)


def _head_at(tx: Transaction, number: int) -> Head:
    """Number and MAC of that event, or of the last deleted one where it is gone."""
    found = tx.audit.after(number - 1, 1)
    if number and found and found[0].number == number:
        return number, found[0].mac
    pruned = tx.audit.pruned()
    return (pruned[0], pruned[1]) if number else START
