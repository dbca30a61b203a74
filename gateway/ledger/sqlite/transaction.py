"""The transaction that has all aggregates over one SQLite connection."""

from __future__ import annotations

import sqlite3

from gateway.ledger.sqlite.accounts import SqliteAccounts
from gateway.ledger.sqlite.audit import SqliteAudit
from gateway.ledger.sqlite.deliveries import SqliteDeliveries
from gateway.ledger.sqlite.jobs import SqliteJobs
from gateway.ledger.sqlite.keys import SqliteKeys
from gateway.ledger.sqlite.qr import SqliteQrCodes
from gateway.ledger.sqlite.receipts import SqliteReceipts
from gateway.ledger.sqlite.settings import SqliteSettings
from gateway.ledger.sqlite.stored import SqliteConcats, SqliteRuns
from gateway.ledger.sqlite.tokens import SqliteTokens
from gateway.ledger.sqlite.uploads import SqliteFiles, SqliteUploads


class SqliteTransaction:
    """All aggregates over one connection. It serves one act after the other: an act keeps no hold of it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._woken: set[str] = set()
        keys = SqliteKeys(db)
        self.uploads = SqliteUploads(db, keys)
        self.files = SqliteFiles(db)
        self.runs = SqliteRuns(db)
        self.concats = SqliteConcats(db)
        self.jobs = SqliteJobs(db, self.uploads.get)
        self.deliveries = SqliteDeliveries(db)
        self.receipts = SqliteReceipts(db)
        self.tokens = SqliteTokens(db)
        self.qr_codes = SqliteQrCodes(db)
        self.accounts = SqliteAccounts(db)
        self.audit = SqliteAudit(db, self.wake)
        self.keys = keys
        self.settings = SqliteSettings(db)

    def wake(self, topic: str) -> None:
        """After the commit, wake whoever watches `topic`."""
        self._woken.add(topic)

    def take_woken(self) -> set[str]:
        """The topics since this was last asked."""
        woken, self._woken = self._woken, set()
        return woken
