"""Refresh tokens and idempotency keys in SQLite. Every query is a look-up in an index made for it (schema/*.sql)."""

from __future__ import annotations

import sqlite3

from gateway.ledger.rows import IdempotencyRow, RefreshTokenRow
from gateway.ledger.sqlite.rows import Rows


class SqliteTokens:
    """Refresh tokens and idempotency keys."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows = Rows(db, "refresh_tokens", RefreshTokenRow, ("token_hash",))
        self._answers = Rows(db, "idempotency", IdempotencyRow, ("principal", "key_mac"))

    def insert(self, row: RefreshTokenRow) -> None:
        """:raises Conflict: the hash is taken, or the upload is gone."""
        self._rows.insert(row)

    def get(self, token_hash: bytes) -> RefreshTokenRow | None:
        """The token; None when it was revoked or has expired and was cleared away."""
        return self._rows.get(token_hash)

    def spend_kin(self, row: RefreshTokenRow) -> None:
        """`row` is being used: its parent and its siblings are spent from now on."""
        if row.parent_hash is None:
            return
        self._db.execute("UPDATE refresh_tokens SET spent = 1 WHERE token_hash = ?", (row.parent_hash,))
        self._db.execute(
            "UPDATE refresh_tokens SET spent = 1 WHERE parent_hash = ? AND +token_hash <> ?",
            (row.parent_hash, row.token_hash),
        )

    def family_lives(self, family_id: str) -> bool:
        """Whether it has a token still."""
        return self._rows.one("family_id = ? LIMIT 1", (family_id,)) is not None

    def revoke_family(self, family_id: str) -> None:
        """Drop every token of the family."""
        self._db.execute("DELETE FROM refresh_tokens WHERE family_id = ?", (family_id,))

    def revoke_account(self, account_id: str) -> None:
        """Drop every token of the account."""
        self._db.execute("DELETE FROM refresh_tokens WHERE account_id = ?", (account_id,))

    def revoke_sessions(self, account_id: str, but: str) -> None:
        """Drop the account's tokens that are no upload's, save those of the family `but`."""
        self._db.execute(
            "DELETE FROM refresh_tokens WHERE account_id = ? AND upload_id IS NULL AND family_id <> ?",
            (account_id, but),
        )

    def revoke_upload(self, upload_id: str) -> None:
        """Drop every token of the upload."""
        self._db.execute("DELETE FROM refresh_tokens WHERE upload_id = ?", (upload_id,))

    def delete_expired(self, now: float, limit: int) -> int:
        """Drop refresh tokens and idempotency keys past their time (`expires_at` <= now), `limit` of each at most."""
        tokens = self._db.execute(
            "DELETE FROM refresh_tokens WHERE token_hash IN"
            " (SELECT token_hash FROM refresh_tokens WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
            (now, limit),
        ).rowcount
        answers = self._db.execute(
            "DELETE FROM idempotency WHERE (principal, key_mac) IN"
            " (SELECT principal, key_mac FROM idempotency WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
            (now, limit),
        ).rowcount
        return tokens + answers

    def idempotency(self, principal: str, key_mac: bytes) -> IdempotencyRow | None:
        """The answer under that key; may be past its time until it is cleared away."""
        return self._answers.get(principal, key_mac)

    def remember(self, row: IdempotencyRow) -> None:
        """Insert or replace.

        :raises Conflict: the upload is gone.
        """
        self._answers.put(row)
