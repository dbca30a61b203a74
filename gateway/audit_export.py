"""Copies the audit trail into a file of JSON lines, by number, each event at least once.

The trail itself is in the ledger; the file is for whoever collects logs, and shows what the chain alone can't: an
older state of the whole ledger. A line is written and synced before the ledger is told so. After a crash between the
two, the file's last whole line says how far it really got; without a file to ask (rotated away), one batch may come
twice. Lines are complete: a torn one, left by a crash, is cut off before the next is written.
It knows the trail and the file, nothing of what the events mean.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from gateway.audit_chain import from_line, to_line
from gateway.errors import Malformed, Unavailable
from gateway.ledger.base import AUDIT, Ledger
from gateway.ledger.rows import AuditRow

#: The ledger's setting that holds the number of the last exported event.
SETTING = "audit_exported"
#: Events per write.
BATCH = 500
#: Other processes' events wake no watch: how often they are looked for.
LOOK_EVERY_S = 5.0
#: Longer than any line: how much of the file's end is read to find the last whole one.
TAIL_BYTES = 1 << 20


class AuditExport:
    """One trail into one file; one process exports at a time.

    :param path: made with mode 0600; may be moved away (rotated) at any time, then a new one is begun.
    """

    def __init__(self, ledger: Ledger, path: Path) -> None:
        self._ledger = ledger
        self._path = path
        self._done: int | None = None  # number of the last exported event, once it is known

    async def run(self) -> None:
        """Export whatever comes, until cancelled.

        :raises Unavailable: the file or the ledger can't be written; it may be run again.
        """
        with self._ledger.watch(AUDIT) as watch:
            while True:
                await self.catch_up()
                await watch.changed(LOOK_EVERY_S)

    async def catch_up(self) -> int:
        """Export everything that is there now. Returns how many events.

        :raises Unavailable: as `run`.
        """
        if self._done is None:
            self._done = await self._find_end()
        exported = 0
        while rows := await self._rows_after(self._done):
            try:
                await asyncio.to_thread(_append, self._path, rows)
            except OSError as error:
                self._done = None  # how much of it got there is asked of the file next time
                raise Unavailable("the audit file can't be written", code="storage_error") from error
            self._done = rows[-1].number
            await self._note(self._done)
            exported += len(rows)
        return exported

    async def _find_end(self) -> int:
        """The number of the last event that is in the file for sure."""
        noted = int(await self._ledger.read(lambda tx: tx.settings.get(SETTING)) or 0)
        try:
            last = await asyncio.to_thread(_mend, self._path)
        except OSError as error:
            raise Unavailable("the audit file can't be read", code="storage_error") from error
        if last is None or last.number <= noted:
            return noted
        # The file is ahead. Believed only if its line is this trail's: it may be another gateway's file.
        ours = await self._rows_after(last.number - 1, limit=1)
        return last.number if ours and ours[0].mac == last.mac else noted

    async def _note(self, number: int) -> None:
        await self._ledger.write(lambda tx: tx.settings.put(SETTING, str(number)))

    async def _rows_after(self, number: int, limit: int = BATCH) -> list[AuditRow]:
        return await self._ledger.read(lambda tx: tx.audit.after(number, limit))


def _append(path: Path, rows: Sequence[AuditRow]) -> None:
    """Write the lines at the file's end and return when they are on the disk."""
    made = not path.exists()
    if made:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        lines = memoryview(b"".join(to_line(row) for row in rows))
        while lines:
            lines = lines[os.write(handle, lines) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    if made:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _mend(path: Path) -> AuditRow | None:
    """Cut a torn last line off; the event of the last whole line, if there is one that can be read."""
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return None
    with file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        tail = file.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        if whole or len(tail) == size:
            file.truncate(size - len(tail) + len(whole))
    try:
        return from_line(whole.rstrip(b"\n").rpartition(b"\n")[2]) if whole else None
    except Malformed:
        return None
