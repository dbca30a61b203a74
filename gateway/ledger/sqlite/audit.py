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
from gateway.ledger.sqlite.group import Part, in_shapes, joined, quick_of, several
from gateway.ledger.sqlite.rows import Rows
from gateway.ledger.sqlite.settings import SqliteSettings

#: Shared default of `append`; nobody writes to it.
_NOTHING: Mapping[str, object] = {}


class SqliteAudit(Part):
    """The chained trail.

    The head is read in the transaction that appends: another process may have appended since the last one.
    """

    def __init__(self, db: sqlite3.Connection, wake: Callable[[str], None]) -> None:
        self._db = db
        self._wake = wake
        self._rows = Rows(db, "audit", AuditRow, ("number",))
        self._settings = SqliteSettings(db)
        self._quick = quick_of(db)
        self._group = joined(db, self)
        self._waiting: dict[int, AuditRow] = {}
        self._head: dict[str, tuple[int, bytes]] = {}  #: under "head", once it is known; nobody else sets it
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
        if self._group is None:
            self._rows.insert(row)
        else:
            self._group.put(self._waiting, row.number, row)
            self._group.put(self._head, "head", (row.number, row.mac))
        self._wake(AUDIT)
        return row

    def after(self, number: int, limit: int) -> list[AuditRow]:
        """Events behind `number`, in order."""
        return self._rows.where("number > ? ORDER BY number LIMIT ?", (number, limit))

    def head(self) -> tuple[int, bytes]:
        """Number and MAC of the last event; (0, b"") before the first."""
        head = self._head.get("head")
        if head is None:
            number, mac = self._quick("SELECT number, mac FROM audit_head").fetchone()
            head = number, mac
            if self._group is not None:
                self._head["head"] = head
        return head

    @property
    def used(self) -> bool:
        """Something waits or is known."""
        return bool(self._waiting)

    def write(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        for some in in_shapes([self._rows.values_of(row) for row in self._waiting.values()]):
            self._quick(several(self._rows.insert_sql, len(some)), [value for row in some for value in row])
        self._quick("UPDATE audit_head SET number = ?, mac = ?", self._head["head"])

    def forget(self) -> None:
        """Nothing waits, nothing is known."""
        self._waiting.clear()

    def forget_numbers(self) -> None:
        """Not even the head."""
        self._head.clear()

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
