"""What the acts of one transaction have read and written, so that many of them cost few statements.

Each statement lets other threads have Python's lock, and to get it back takes as long as they please: a group of appends
with twenty statements each waits hundreds of times. So a row that is read is kept until the transaction ends, and rows
that are written go to SQLite together, a table at a time, before the commit and before any other statement: whoever asks
by anything but a row's key sees all that was written. The highest numbers, and the head of the trail, are kept from one
transaction to the next, until another process has written.

An act that raises is undone here, if none of what it wrote has gone to SQLite yet.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gateway.errors import Conflict
from gateway.ledger.rows import replace
from gateway.ledger.sqlite.rows import Rows, as_conflict, marks

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")

#: Rows that share a statement: few shapes of it, so that SQLite's cache has them all.
_AT_ONCE = (16, 8, 7, 6, 5, 4, 3, 2, 1)
_ABSENT: Any = object()


class WritingConnection(sqlite3.Connection):
    """The connection that writes. Whatever waits to be written goes before any statement but `quick`."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.group = Group(self)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """As the connection's own, after what waits."""
        self.group.settle()
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """As the connection's own, after what waits."""
        self.group.settle()
        return super().executemany(sql, parameters)

    def quick(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """A statement that neither asks for rows that may wait, nor changes rows that are kept."""
        return super().execute(sql, parameters)


def quick_of(db: sqlite3.Connection) -> Callable[..., sqlite3.Cursor]:
    """`WritingConnection.quick`; on a connection that only reads nothing ever waits."""
    return db.quick if isinstance(db, WritingConnection) else db.execute


class Group:
    """The rows of one transaction, by table; in the order in which tables refer to each other.

    :ivar failed: what waited was refused by SQLite.
    :ivar of_others: changes that SQLite was told of for the acts before the present one, while that ran.
    """

    def __init__(self, db: WritingConnection) -> None:
        self.parts: list[Part] = []
        self.failed = False
        self.of_others = 0
        self._db = db
        self._journal: list[tuple[dict[Any, Any], Any, Any]] = []
        self._mark = 0
        self._data_version = 0

    def put(self, values: dict[Any, Any], key: Any, value: Any) -> None:
        """Set a value in a way that `undo_act` takes back."""
        self._journal.append((values, key, values.get(key, _ABSENT)))
        values[key] = value

    def drop(self, values: dict[Any, Any], key: Any) -> None:
        """Take a value out, if it is there, in a way that `undo_act` takes back."""
        if key in values:
            self._journal.append((values, key, values.pop(key)))

    def begin(self) -> None:
        """A transaction has begun, and nobody else writes: what is kept from the one before is true if nobody else did."""
        (data_version,) = self._db.quick("PRAGMA data_version").fetchone()
        if data_version != self._data_version:
            self._data_version = data_version
            self.forget()

    def begin_act(self) -> None:
        """What comes now is another act's."""
        self._mark, self.of_others = len(self._journal), 0

    def undo_act(self) -> None:
        """Take back what the present act has written and what waits still."""
        while len(self._journal) > self._mark:
            values, key, before = self._journal.pop()
            if before is _ABSENT:
                values.pop(key, None)
            else:
                values[key] = before

    def settle(self) -> None:
        """Write all that waits, and forget what was read.

        :raises Conflict: a row is there already, or what it belongs to is gone; nobody knows whose it was.
        """
        if not any(part.used for part in self.parts):
            return
        only_of_others = len(self._journal) <= self._mark
        before = self._db.total_changes
        try:
            for part in self.parts:
                part.write()
        except BaseException:
            self.failed = True
            raise
        finally:
            self.forget(failed=self.failed, numbers=self.failed)
        if only_of_others:
            self.of_others += self._db.total_changes - before

    def forget(self, *, failed: bool = False, numbers: bool = True) -> None:
        """All was written, or undone: nothing waits, and nothing is known. :param numbers: nor the highest numbers."""
        for part in self.parts:
            part.forget()
            if numbers:
                part.forget_numbers()
        self._journal.clear()
        self._mark = 0
        self.failed = failed


class Part:
    """What a group holds of one table."""

    @property
    def used(self) -> bool:
        """Something waits or is known."""
        raise NotImplementedError

    def write(self) -> None:
        """Write what waits."""
        raise NotImplementedError

    def forget(self) -> None:
        """Nothing waits, nothing is known."""
        raise NotImplementedError

    def forget_numbers(self) -> None:
        """Not even what is kept from one transaction to the next."""
        raise NotImplementedError


def joined(db: sqlite3.Connection, part: Part) -> Group | None:
    """The connection's group, with `part` in it from now on; None: the connection only reads."""
    if not isinstance(db, WritingConnection):
        return None
    db.group.parts.append(part)
    return db.group


class GroupRows(Rows[R], Part, Generic[R]):
    """`Rows` whose rows are kept, and written together, on a connection that writes.

    :param last: SQL for the highest number given so far, where a number is the key.
    """

    def __init__(self, db: sqlite3.Connection, table: str, row: type[R], key: str, *, last: str = "") -> None:
        super().__init__(db, table, row, (key,))
        self._key = key
        self._drop_sql = f"DELETE FROM {table} WHERE {key} IN "  # noqa: S608 # names of our own
        self._last = last
        self._next = 0
        self._known: dict[Any, R | None] = {}  #: None: it isn't there
        self._new: dict[Any, R] = {}
        self._changed: dict[Any, R] = {}
        self._dropped: dict[Any, None] = {}
        self._none: set[Any] = set()  #: questions that SQLite has no row for
        self._quick = quick_of(db)
        self._group = joined(db, self)

    @property
    def used(self) -> bool:
        """Something waits or is known."""
        return bool(self._known or self._none)

    def alike(self, where: str, names: Sequence[str], values: tuple[Any, ...]) -> list[R]:
        """Rows with these values, by key. :param where: the same in SQL."""
        if self._group is None:
            return self.where(where, values)
        asked = (where, values)
        found: dict[Any, R] = {}
        if asked not in self._none:
            for raw in self._quick(self._sql(where), values):
                read = self._made(raw)
                key = getattr(read, self._key)
                if (row := self._known.setdefault(key, read)) is not None:
                    found[key] = row
            if not found:
                self._none.add(asked)
        of = attrgetter(*names)
        found |= {key: row for rows in (self._new, self._changed) for key, row in rows.items() if of(row) == values}
        return [found[key] for key in sorted(found) if of(found[key]) == values]

    def where(self, where: str, values: Iterable[object]) -> list[R]:
        """All rows that `where` (and what follows it) selects."""
        return [self._kept(row) for row in super().where(where, values)]

    def one(self, where: str, values: Iterable[object]) -> R | None:
        """The first row that `where` (and what follows it) selects."""
        row = super().one(where, values)
        return None if row is None else self._kept(row)

    def _kept(self, row: R) -> R:
        """Read after all that waited was written: it is the present one."""
        if self._group is not None:
            self._known[getattr(row, self._key)] = row
        return row

    def insert(self, row: R) -> int:
        """Returns the number that was given; 0 where the key is no number.

        :raises Conflict: as `Rows.insert`; of what isn't known yet, when all is written.
        """
        group, key = self._group, getattr(row, self._key)
        if self._last:
            key = self._number()
            row = replace(row, **{self._key: key})
        if group is None:
            return super().insert(row)
        if self._known.get(key) is not None:
            raise Conflict("such a record is there already")
        group.put(self._known, key, row)
        group.put(self._new, key, row)
        return key if self._last else 0

    def get(self, *key: object) -> R | None:
        """The row with that key."""
        if self._group is None:
            return super().get(*key)
        (wanted,) = key
        if wanted not in self._known:
            found = self._quick(self._get, key).fetchone()
            self._known[wanted] = None if found is None else self._made(found)
        return self._known[wanted]

    def save(self, row: R) -> None:
        """Write every field back. :raises NotFound, Conflict: as `Rows.save`."""
        group, key = self._group, getattr(row, self._key)
        if group is None or self._known.get(key) is None:
            super().save(row)
            return
        group.put(self._new if key in self._new else self._changed, key, row)
        group.put(self._known, key, row)

    def drop(self, key: object) -> None:
        """Delete the row with that key, if it is there. Not for tables that others refer to."""
        if self._group is None:
            self._db.execute(f"{self._drop_sql}(?)", (key,))
            return
        self._group.put(self._dropped, key, None)
        for rows in (self._new, self._changed):
            self._group.drop(rows, key)
        self._group.put(self._known, key, None)

    def write(self) -> None:
        """Write what waits."""
        with as_conflict():
            self._write(self.insert_sql, self._new.values())
            self._write(self.upsert_sql, self._changed.values())
        for some in in_shapes(list(self._dropped)):
            self._quick(f"{self._drop_sql}({marks(len(some))})", some)

    def forget_numbers(self) -> None:
        """Not even the highest number."""
        self._next = 0

    def forget(self) -> None:
        """Nothing waits, nothing is known."""
        for kept in (self._known, self._new, self._changed, self._dropped, self._none):
            kept.clear()

    def _number(self) -> int:
        if not self._next:
            found = self._quick(self._last).fetchone()
            self._next = (found[0] or 0) if found is not None else 0
        self._next += 1
        return self._next

    def _write(self, sql: str, rows: Iterable[R]) -> None:
        for some in in_shapes([self.values_of(row) for row in rows]):
            self._quick(several(sql, len(some)), [value for row in some for value in row])


def in_shapes(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The rows in lists as long as one of a few lengths."""
    at = 0
    for size in _AT_ONCE:
        while len(rows) - at >= size:
            yield rows[at : at + size]
            at += size


_SEVERAL: dict[tuple[str, int], str] = {}


def several(sql: str, count: int) -> str:
    """`INSERT .. VALUES (..)` for so many rows."""
    if count == 1:
        return sql
    found = _SEVERAL.get((sql, count))
    if found is None:
        before, values, rest = sql.partition("VALUES ")
        row, closing, end = rest.partition(")")
        one = row + closing
        found = _SEVERAL[sql, count] = before + values + ", ".join([one] * count) + end
    return found
