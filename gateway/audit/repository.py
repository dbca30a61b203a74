"""Sends the audit trail to a repository, by number, each event at least once.

The trail is in the ledger, and the ledger knows how far the repository has it: after a crash between the two, one batch
comes twice, with the same numbers. Beside the files (`export.py`), not instead of them.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial

from gateway.audit.dicom import to_xml
from gateway.audit.syslog import SyslogReceiver, frame
from gateway.errors import Unavailable
from gateway.ledger.base import AUDIT, Ledger, Transaction
from gateway.ledger.rows import AuditRow
from gateway.ledger.settings import Setting

#: Events of one connection.
BATCH = 200
#: Other processes' events wake no watch: how often they are looked for.
LOOK_EVERY_S = 5.0
#: A repository that hangs up without TLS's close is sent a batch so often; then that is taken for its way to close.
DOUBTS = 3
#: The shortest time between two connections.
SEND_EVERY_S = 1.0


class AuditRepository:
    """One trail into one repository; one process sends at a time.

    :param source_id: AuditSourceID: which gateway this is.
    """

    def __init__(self, ledger: Ledger, receiver: SyslogReceiver, source_id: str) -> None:
        self._ledger = ledger
        self._receiver = receiver
        self._source_id = source_id
        self._hostname = socket.gethostname()
        self._doubts = 0  #: how often the present batch was read to nobody knows where

    async def run(self) -> None:
        """Send whatever comes, until cancelled. :raises Unavailable: it doesn't take them; it may be run again."""
        with self._ledger.watch(AUDIT) as watch:
            while True:
                await self.catch_up()
                await asyncio.sleep(SEND_EVERY_S)
                await watch.changed(LOOK_EVERY_S)

    async def catch_up(self) -> int:
        """Send everything that is there now. Returns how many events. :raises Unavailable: as `run`."""
        sent = 0
        while rows := await self._ledger.read(_unsent):
            self._doubts = (
                0 if await asyncio.to_thread(self._receiver.send, map(self._frame, rows)) else self._doubts + 1
            )
            if 0 < self._doubts < DOUBTS:
                raise Unavailable("the audit repository hangs up before it has closed")
            self._doubts = 0
            await self._ledger.write(partial(_note, number=rows[-1].number))
            sent += len(rows)
        return sent

    def _frame(self, row: AuditRow) -> bytes:
        xml = to_xml(row, source_id=self._source_id)
        return frame(xml, at=row.at, hostname=self._hostname, number=row.number)


def _unsent(tx: Transaction) -> list[AuditRow]:
    return tx.audit.after(int(tx.settings.get(Setting.AUDIT_SENT) or 0), BATCH)


def _note(tx: Transaction, number: int) -> None:
    tx.settings.put(Setting.AUDIT_SENT, str(number))
