"""A few facts of the gateway itself in SQLite."""

from __future__ import annotations

import sqlite3


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
