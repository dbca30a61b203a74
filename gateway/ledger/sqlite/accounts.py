"""Accounts in SQLite."""

from __future__ import annotations

import sqlite3

from gateway.ledger.rows import AccountRow
from gateway.ledger.sqlite.rows import Rows


class SqliteAccounts:
    """Local accounts."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._rows = Rows(db, "accounts", AccountRow, ("account_id",))

    def insert(self, row: AccountRow) -> None:
        """:raises Conflict: the name is taken."""
        self._rows.insert(row)

    def get(self, account_id: str) -> AccountRow | None:
        """The account."""
        return self._rows.get(account_id)

    def by_name(self, name_mac: bytes) -> AccountRow | None:
        """The account of that name."""
        return self._rows.one("name_mac = ?", (name_mac,))

    def save(self, row: AccountRow) -> None:
        """:raises NotFound: there is no such account."""
        self._rows.save(row)

    def all(self) -> list[AccountRow]:
        """Every account, oldest first. There are as many as people, so this one is a walk."""
        return self._rows.where("1 ORDER BY created_at, account_id", ())
