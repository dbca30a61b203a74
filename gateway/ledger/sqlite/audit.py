"""The chained audit trail in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping

from gateway.errors import Unavailable
from gateway.ledger import chain
from gateway.ledger.base import AUDIT
from gateway.ledger.rows import AuditRow
from gateway.ledger.settings import Setting
from gateway.ledger.sqlite.rows import Rows
from gateway.ledger.sqlite.settings import SqliteSettings

#: Shared default of `append`; nobody writes to it.
_NOTHING: Mapping[str, object] = {}


class SqliteAudit:
    """The chained trail.

    The head is read in the transaction that appends: another process may have appended since the last one.
    """

    def __init__(self, db: sqlite3.Connection, wake: Callable[[str], None]) -> None:
        self._db = db
        self._wake = wake
        self._rows = Rows(db, "audit", AuditRow, ("number",))
        self._settings = SqliteSettings(db)
        self.key: bytes | None = None

    def append(
        self,
        event: str,
        *,
        at: float,
        actor: str,
        upload_id: str | None = None,
        detail: Mapping[str, object] = _NOTHING,
    ) -> AuditRow:
        """Chain an event to the head, in this transaction; wakes `AUDIT`.

        :raises Unavailable: the chain's key was not handed over yet.
        """
        if self.key is None:
            raise Unavailable("the audit trail's key isn't there yet")
        number, mac = self.head()
        row = chain.link(self.key, number, mac, event=event, at=at, actor=actor, upload_id=upload_id, detail=detail)
        self._rows.insert(row)
        self._db.execute("UPDATE audit_head SET number = ?, mac = ?", (row.number, row.mac))
        self._wake(AUDIT)
        return row

    def after(self, number: int, limit: int) -> list[AuditRow]:
        """Events behind `number`, in order."""
        return self._rows.where("number > ? ORDER BY number LIMIT ?", (number, limit))

    def head(self) -> tuple[int, bytes]:
        """Number and MAC of the last event; (0, b"") before the first."""
        number, mac = self._db.execute("SELECT number, mac FROM audit_head").fetchone()
        return number, mac

    def prune(self, up_to: int) -> int:
        """Delete events up to that number, but never the last one, and note the head that the rest follows.

        :raises Unavailable: the chain's key was not handed over yet.
        """
        if self.key is None:
            raise Unavailable("the audit trail's key isn't there yet")
        last = self._rows.one("number <= ? AND number < ? ORDER BY number DESC LIMIT 1", (up_to, self.head()[0]))
        if last is None:
            return 0
        mark = last.number, last.mac
        said = [last.number, last.mac.hex(), chain.seal(self.key, chain.PRUNED, mark).hex()]
        self._settings.put(Setting.AUDIT_PRUNED, json.dumps(said))
        return self._db.execute("DELETE FROM audit WHERE number <= ?", (last.number,)).rowcount

    def pruned(self) -> tuple[int, bytes, bytes]:
        """Number, MAC and seal of the last deleted event; (0, b"", b""): none was."""
        said = self._settings.get(Setting.AUDIT_PRUNED)
        if said is None:
            return 0, b"", b""
        number, mac, seal = json.loads(said)
        return int(number), bytes.fromhex(mac), bytes.fromhex(seal)
