"""Frozen rows in and out of SQLite tables whose columns bear the fields' names.

A new column is one field in `rows.py` and one migration; nothing here knows any table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

from gateway.errors import Conflict, NotFound

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")


def marks(count: int) -> str:
    """`?` for each of `count` values of an IN list."""
    return ", ".join("?" * count)


class Rows(Generic[R]):
    """One table, over one connection.

    :param key: the columns that name a row.
    :param serial: the (single) key column is given by SQLite on insert; the row's own value is not looked at.
    """

    def __init__(
        self, db: sqlite3.Connection, table: str, row: type[R], key: Sequence[str], *, serial: bool = False
    ) -> None:
        self._db = db
        self._row = row
        hints = get_type_hints(row)
        names = [field.name for field in fields(row)]
        rest = [name for name in names if name not in key]
        given = rest if serial else names
        where = " AND ".join(f'"{name}" = ?' for name in key)
        # Names in this SQL are those of our own tables and dataclasses; values are always bound.
        self._select = f"SELECT {_quoted(names)} FROM {table}"  # noqa: S608 # see above
        self._get = f"{self._select} WHERE {where}"
        self.insert_sql = f"INSERT INTO {table} ({_quoted(given)}) VALUES ({marks(len(given))})"  # noqa: S608 # see above
        excluded = ", ".join(f'"{name}" = excluded."{name}"' for name in rest)
        self.upsert_sql = f"{self.insert_sql} ON CONFLICT ({_quoted(key)}) DO UPDATE SET {excluded}"
        assigned = ", ".join(f'"{name}" = ?' for name in rest)
        self._update = f"UPDATE {table} SET {assigned} WHERE {where}"  # noqa: S608 # see above
        self.values_of: Callable[[R], tuple[Any, ...]] = attrgetter(*given)
        self._updated: Callable[[R], tuple[Any, ...]] = attrgetter(*rest, *key)
        self._special = [(i, hints[n]) for i, n in enumerate(names) if _is_special(hints[n])]
        self._full: dict[str, str] = {}

    def insert(self, row: R) -> int:
        """Returns the rowid.

        :raises Conflict: a row with that key (or another unique value) is there, or one that it hangs on isn't.
        """
        with as_conflict():
            return self._db.execute(self.insert_sql, self.values_of(row)).lastrowid or 0

    def put(self, row: R) -> None:
        """Insert, or replace the row with that key.

        :raises Conflict: a row that it hangs on isn't there.
        """
        with as_conflict():
            self._db.execute(self.upsert_sql, self.values_of(row))

    def get(self, *key: object) -> R | None:
        """The row with that key."""
        return self._one(self._get, key)

    def save(self, row: R) -> None:
        """Write every field back.

        :raises NotFound: no row has that key.
        :raises Conflict: as `insert`.
        """
        with as_conflict():
            changed = self._db.execute(self._update, self._updated(row)).rowcount
        if not changed:
            raise NotFound("the record is gone")

    def one(self, where: str, values: Iterable[object]) -> R | None:
        """The first row that `where` (and what follows it) selects."""
        return self._one(self._sql(where), values)

    def where(self, where: str, values: Iterable[object]) -> list[R]:
        """All rows that `where` (and what follows it) selects."""
        return [self._made(found) for found in self._db.execute(self._sql(where), tuple(values))]

    def _sql(self, where: str) -> str:
        full = self._full.get(where)
        if full is None:
            full = self._full[where] = f"{self._select} WHERE {where}"
        return full

    def _one(self, sql: str, values: Iterable[object]) -> R | None:
        found = self._db.execute(sql, tuple(values)).fetchone()
        return None if found is None else self._made(found)

    def _made(self, found: tuple[Any, ...]) -> R:
        if not self._special:
            return self._row(*found)
        values = list(found)
        for i, made_of in self._special:
            values[i] = made_of(values[i])
        return self._row(*values)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _is_special(hint: object) -> bool:
    """Whether SQLite gives back another type than the field has (enums and flags; both are never null)."""
    return isinstance(hint, type) and (issubclass(hint, Enum) or hint is bool)


_TAKEN = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
}


class as_conflict(AbstractContextManager[None]):  # noqa: N801 # used as a statement, like contextlib.suppress
    """Broken uniqueness or reference is the caller's conflict; any other broken constraint is a bug and stays itself.

    :raises Conflict: see above.
    """

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, sqlite3.IntegrityError):
            return
        if error.sqlite_errorcode in _TAKEN:
            raise Conflict("such a record is there already") from error
        if error.sqlite_errorcode in (sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, sqlite3.SQLITE_CONSTRAINT_TRIGGER):
            raise Conflict("the record that this one belongs to is gone") from error
