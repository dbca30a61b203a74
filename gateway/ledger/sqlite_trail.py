"""The audit trail, wrapped keys and settings in SQLite, and the transaction that has all aggregates."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from gateway import audit_chain
from gateway.errors import NotFound, Unavailable
from gateway.ledger.rows import AuditRow, ServiceKeyRow
from gateway.ledger.sqlite_rows import Rows
from gateway.ledger.sqlite_uploads import SqliteFiles, SqliteRuns, SqliteUploads
from gateway.ledger.sqlite_work import SqliteAccounts, SqliteJobs, SqliteReceipts, SqliteTokens

#: Shared default of `append`; nobody writes to it.
_NOTHING: Mapping[str, object] = {}


class SqliteAudit:
    """The chained trail.

    The head is read in the transaction that appends: another process may have appended since the last one.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows = Rows(db, "audit", AuditRow, ("number",))
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
        """Chain an event to the head, in this transaction.

        :raises Unavailable: the chain's key was not handed over yet.
        """
        if self.key is None:
            raise Unavailable("the audit trail's key isn't there yet")
        number, mac = self.head()
        row = audit_chain.link(
            self.key, number, mac, event=event, at=at, actor=actor, upload_id=upload_id, detail=detail
        )
        self._rows.insert(row)
        self._db.execute("UPDATE audit_head SET number = ?, mac = ?", (row.number, row.mac))
        return row

    def after(self, number: int, limit: int) -> list[AuditRow]:
        """Events behind `number`, in order."""
        return self._rows.where("number > ? ORDER BY number LIMIT ?", (number, limit))

    def head(self) -> tuple[int, bytes]:
        """Number and MAC of the last event; (0, b"") before the first."""
        number, mac = self._db.execute("SELECT number, mac FROM audit_head").fetchone()
        return number, mac


class SqliteKeys:
    """Wrapped keys, in a narrow table of their own so that a deleted one leaves nothing in the file."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._service = Rows(db, "service_keys", ServiceKeyRow, ("key_id",))

    def insert(self, wrapped: bytes) -> int:
        """Returns the new key_id; none is ever given twice."""
        return self._db.execute("INSERT INTO keys (wrapped) VALUES (?)", (wrapped,)).lastrowid or 0

    def get(self, key_id: int) -> bytes | None:
        """The wrapped key."""
        found = self._db.execute("SELECT wrapped FROM keys WHERE key_id = ?", (key_id,)).fetchone()
        return None if found is None else found[0]

    def replace(self, key_id: int, wrapped: bytes) -> None:
        """Put the key, wrapped anew, in its place.

        :raises NotFound: there is no such key any more.
        """
        if not self._db.execute("UPDATE keys SET wrapped = ? WHERE key_id = ?", (wrapped, key_id)).rowcount:
            raise NotFound("the key is gone")

    def delete(self, key_ids: Sequence[int]) -> None:
        """Overwritten now (secure_delete); gone from the files after `scrub`."""
        self._db.executemany("DELETE FROM keys WHERE key_id = ?", ((one,) for one in key_ids))

    def service(self) -> list[ServiceKeyRow]:
        """The gateway's own keys, oldest first. A handful."""
        return self._service.where("1 ORDER BY created_at, key_id", ())

    def insert_service(self, row: ServiceKeyRow) -> None:
        """Insert, or replace the row with that key_id (its key was wrapped under another KEK)."""
        self._service.put(row)

    def kek_ids(self) -> set[str]:
        """Every KEK that some row still needs."""
        needed = {row.kek_id for row in self.service()}
        last = ""
        while True:  # one look-up per KEK, however many uploads have it
            (found,) = self._db.execute(
                "SELECT min(kek_id) FROM uploads WHERE key_id IS NOT NULL AND kek_id > ?", (last,)
            ).fetchone()
            if found is None:
                return needed
            needed.add(found)
            last = found


class SqliteSettings:
    """A few facts of the gateway itself."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def get(self, name: str) -> str | None:
        """The value under that name."""
        found = self._db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return None if found is None else found[0]

    def put(self, name: str, value: str) -> None:
        """Insert or replace."""
        self._db.execute(
            "INSERT INTO settings VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (name, value)
        )


class SqliteTransaction:
    """All aggregates over one connection. It serves one act after the other: an act keeps no hold of it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.uploads = SqliteUploads(db)
        self.files = SqliteFiles(db)
        self.runs = SqliteRuns(db)
        self.jobs = SqliteJobs(db)
        self.receipts = SqliteReceipts(db)
        self.tokens = SqliteTokens(db)
        self.accounts = SqliteAccounts(db)
        self.audit = SqliteAudit(db)
        self.keys = SqliteKeys(db)
        self.settings = SqliteSettings(db)
        self._woken: set[str] = set()

    def wake(self, topic: str) -> None:
        """After the commit, wake whoever watches `topic`."""
        self._woken.add(topic)

    def take_woken(self) -> set[str]:
        """The topics since this was last asked."""
        woken, self._woken = self._woken, set()
        return woken
