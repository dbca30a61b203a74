"""QR codes in SQLite."""

from __future__ import annotations

import sqlite3

from gateway.ledger.rows import QrRow
from gateway.ledger.sqlite.rows import Rows


class SqliteQrCodes:
    """QR codes."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows = Rows(db, "qr_codes", QrRow, ("qr_id",))

    def insert(self, row: QrRow) -> None:
        """:raises Conflict: the id or the hash is taken."""
        self._rows.insert(row)

    def get(self, qr_id: str) -> QrRow | None:
        """The code."""
        return self._rows.get(qr_id)

    def by_token(self, token_hash: bytes) -> QrRow | None:
        """The code whose token has this hash."""
        return next(iter(self._rows.where("token_hash = ?", (token_hash,))), None)

    def save(self, row: QrRow) -> None:
        """:raises NotFound: there is no such code any more."""
        self._rows.save(row)

    def page(self, *, issuer_id: str | None, after: str, limit: int) -> list[QrRow]:
        """By qr_id, those behind `after`. No issuer: everybody's."""
        if issuer_id is None:
            return self._rows.where("qr_id > ? ORDER BY qr_id LIMIT ?", (after, limit))
        return self._rows.where("issuer_id = ? AND qr_id > ? ORDER BY qr_id LIMIT ?", (issuer_id, after, limit))

    def counted_of(self, issuer_id: str, now: float) -> tuple[int, float]:
        """How many codes of an account count (`QrRow.counts_until`), and when the first ceases to; (0, `now`): none."""
        count, first = self._db.execute(
            "SELECT count(*), min(max(expires_at, created_at + 86400.0)) FROM qr_codes"
            " WHERE issuer_id = ? AND max(expires_at, created_at + 86400.0) > ? AND used_at IS NULL",
            (issuer_id, now),
        ).fetchone()
        return count, now if first is None else first

    def delete_expired(self, before: float, limit: int) -> int:
        """Drop those whose `expires_at` <= before."""
        return self._db.execute(
            "DELETE FROM qr_codes WHERE qr_id IN"
            " (SELECT qr_id FROM qr_codes WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
            (before, limit),
        ).rowcount
