"""Tables of frozen rows with indexes, an undo log, and snapshots that cost nothing until somebody writes beside them.

A table is a dict; an index is a dict of dicts that serve as ordered sets. A snapshot shares them; whoever writes while
one is in use copies what it changes first. What was changed since the last commit can be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from heapq import nsmallest
from typing import Any, Generic, TypeVar

from gateway.errors import Conflict, NotFound
from gateway.ledger.promises import ReadOnly

R = TypeVar("R")

#: What a row is found by in an index; None: it isn't in it.
Mark = Callable[[R], Hashable]


class Undo:
    """What was changed since the last commit, in order."""

    def __init__(self) -> None:
        self._log: list[tuple[Table[Any], Any, Any]] = []

    def note(self, table: Table[Any], key: Any, before: Any) -> None:
        """The row that `key` had, None: none."""
        self._log.append((table, key, before))

    def commit(self) -> None:
        """From now on there is nothing to undo."""
        self._log.clear()

    def undo(self) -> None:
        """Everything as it was at the last commit."""
        while self._log:
            table, key, before = self._log.pop()
            table.place(key, before)


class Table(Generic[R]):
    """Rows by their key.

    :param undo: None: a snapshot, which can't be written.
    :param marks: an index each, by its name.
    :param unique: indexes in which a mark is taken once.
    """

    def __init__(
        self,
        undo: Undo | None,
        key: Callable[[R], Any],
        marks: Mapping[str, Mark[R]] | None = None,
        unique: Iterable[str] = (),
    ) -> None:
        self._undo = undo
        self._key = key
        self._marks = dict(marks or {})
        self._unique = frozenset(unique)
        self._rows: dict[Any, R] = {}
        self._index: dict[str, dict[Hashable, dict[Any, None]]] = {name: {} for name in self._marks}
        self._shared = False
        self._owned: set[tuple[str, Hashable]] | None = None  #: sets copied since a snapshot began; None: all are ours

    def snapshot(self) -> Table[R]:
        """The table as it is now, whatever becomes of this one."""
        found: Table[R] = Table(None, self._key)
        found._marks, found._unique = self._marks, self._unique
        found._rows, found._index = self._rows, self._index
        self._shared = True
        return found

    def unshare(self) -> None:
        """No snapshot is in use any more."""
        self._shared, self._owned = False, None

    def check_writable(self) -> None:
        """:raises ReadOnly: this is a snapshot."""
        if self._undo is None:
            raise ReadOnly("an act of a read tried to write")

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[R]:
        return iter(self._rows.values())

    def get(self, key: Any) -> R | None:
        """The row with that key."""
        return self._rows.get(key)

    def by(self, index: str, mark: Hashable) -> list[R]:
        """The rows that an index has under that mark, in no order."""
        return [self._rows[key] for key in self._index[index].get(mark, ())]

    def one(self, index: str, mark: Hashable) -> R | None:
        """One of them."""
        return next(iter(self.by(index, mark)), None)

    def count(self, index: str, mark: Hashable) -> int:
        """How many they are."""
        return len(self._index[index].get(mark, ()))

    def marked(self, index: str) -> list[Hashable]:
        """Every mark that a row has."""
        return list(self._index[index])

    def page(self, after: Any, limit: int, *, of: tuple[str, Hashable] | None = None) -> list[R]:
        """By key, those behind `after`. :param of: only those under that mark of that index."""
        keys: Iterable[Any] = self._rows if of is None else self._index[of[0]].get(of[1], ())
        return [self._rows[key] for key in nsmallest(limit, (key for key in keys if key > after))]

    def insert(self, row: R) -> None:
        """:raises Conflict: its key, or a mark that is taken once, is there already."""
        self.check_writable()
        if self._key(row) in self._rows:
            raise Conflict("such a record is there already")
        self.put(row)

    def save(self, row: R) -> None:
        """:raises NotFound: no row has that key. :raises Conflict: as `insert`."""
        self.check_writable()
        if self._key(row) not in self._rows:
            raise NotFound("the record is gone")
        self.put(row)

    def put(self, row: R) -> None:
        """Insert, or replace the row with that key. :raises Conflict: a mark that is taken once is another row's."""
        self.check_writable()
        key = self._key(row)
        for name in self._unique:
            mark = self._marks[name](row)
            if mark is not None and any(other != key for other in self._index[name].get(mark, ())):
                raise Conflict("such a record is there already")
        self._change(key, row)

    def delete(self, key: Any) -> bool:
        """Whether it was there."""
        self.check_writable()
        if key not in self._rows:
            return False
        self._change(key, None)
        return True

    def _change(self, key: Any, row: R | None) -> None:
        if self._undo is not None:
            self._undo.note(self, key, self._rows.get(key))
        self.place(key, row)

    def place(self, key: Any, row: R | None) -> None:
        """Put the row there, None: take it away; nothing is looked at and nothing noted."""
        if self._shared:
            self._rows = dict(self._rows)
            self._index = {name: dict(sets) for name, sets in self._index.items()}
            self._shared, self._owned = False, set()
        before = self._rows.get(key)
        if row is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = row
        for name, mark_of in self._marks.items():
            old = None if before is None else mark_of(before)
            new = None if row is None else mark_of(row)
            if old != new:
                self._unmark(name, old, key)
                self._mark(name, new, key)

    def _mark(self, name: str, mark: Hashable, key: Any) -> None:
        if mark is not None:
            self._own(name, mark)[key] = None

    def _unmark(self, name: str, mark: Hashable, key: Any) -> None:
        if mark is not None:
            marked = self._own(name, mark)
            marked.pop(key, None)
            if not marked:
                del self._index[name][mark]

    def _own(self, name: str, mark: Hashable) -> dict[Any, None]:
        """The set of a mark, copied first if a snapshot has it, too."""
        sets = self._index[name]
        found = sets.get(mark)
        if found is None or (self._owned is not None and (name, mark) not in self._owned):
            found = sets[mark] = dict(found or {})
            if self._owned is not None:
                self._owned.add((name, mark))
        return found
