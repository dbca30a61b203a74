"""Receipts in SQLite. Every query is a look-up in an index made for it (schema/*.sql)."""

from __future__ import annotations

import sqlite3

from gateway.ledger.rows import DeliveredRow, ReceiptRow
from gateway.ledger.sqlite.rows import Rows


class SqliteReceipts:
    """Proofs, and the index of what was delivered."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows = Rows(db, "receipts", ReceiptRow, ("receipt_id",))
        self._delivered = Rows(db, "delivered", DeliveredRow, ("instance_mac",))

    def insert(self, row: ReceiptRow) -> None:
        """:raises Conflict: the id is taken, or the upload is gone."""
        self._rows.insert(row)

    def get(self, receipt_id: str) -> ReceiptRow | None:
        """The receipt."""
        return self._rows.get(receipt_id)

    def delivered(self, instance_mac: bytes) -> DeliveredRow | None:
        """What was last delivered under that UID to that endpoint; forgotten with its receipt."""
        return self._delivered.get(instance_mac)

    def note_delivered(self, row: DeliveredRow) -> None:
        """Insert or replace; the receipt may be written later."""
        self._delivered.put(row)

    def forget_delivered(self, upload_id: str, limit: int) -> int:
        """Drop so many of the notes that hang on the upload's receipts at most. Returns how many."""
        return self._db.execute(
            "DELETE FROM delivered WHERE instance_mac IN (SELECT delivered.instance_mac FROM receipts"
            " JOIN delivered USING (receipt_id) WHERE receipts.upload_id = ? LIMIT ?)",
            (upload_id, limit),
        ).rowcount
