"""Tables in memory: indexes, undo and snapshots, whatever happens in between."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Conflict, NotFound
from gateway.ledger.base import ReadOnly
from gateway.ledger.memory.tables import Table, Undo


@dataclass(frozen=True)
class Row:
    key: int
    mark: str | None
    name: int | None = None


def made(undo: Undo) -> Table[Row]:
    return Table(undo, attrgetter("key"), {"mark": attrgetter("mark"), "name": attrgetter("name")}, unique=["name"])


def seen(table: Table[Row]) -> tuple[list[Row], dict[str, Any]]:
    """All rows, and what each index has."""
    marks = {
        name: {mark: sorted(r.key for r in table.by(name, mark)) for mark in table.marked(name)}
        for name in ("mark", "name")
    }
    return table.page(-1, 1000), marks


def expected(rows: dict[int, Row]) -> tuple[list[Row], dict[str, Any]]:
    marks: dict[str, Any] = {"mark": {}, "name": {}}
    for row in sorted(rows.values(), key=attrgetter("key")):
        for name, of in marks.items():
            if (mark := getattr(row, name)) is not None:
                of.setdefault(mark, []).append(row.key)
    return [rows[key] for key in sorted(rows)], marks


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "delete", "commit", "undo", "snapshot", "let go"]),
        st.integers(0, 5),
        st.sampled_from(["a", "b", None]),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_a_table_its_indexes_and_its_snapshots_say_the_same_after_any_steps(steps):
    undo = Undo()
    table, now, committed = made(undo), dict[int, Row](), dict[int, Row]()
    snapshots: list[tuple[Table[Row], dict[int, Row]]] = []
    for step, key, mark in steps:
        if step == "put":
            now[key] = Row(key, mark)
            table.put(now[key])
        elif step == "delete":
            assert table.delete(key) is (now.pop(key, None) is not None)
        elif step == "commit":
            undo.commit()
            committed = dict(now)
        elif step == "undo":
            undo.undo()
            now = dict(committed)
        elif step == "snapshot":
            snapshots.append((table.snapshot(), dict(now)))
        else:
            snapshots.clear()
            table.unshare()
        assert seen(table) == expected(now)
        for snapshot, then in snapshots:
            assert seen(snapshot) == expected(then)


def test_a_mark_that_is_taken_once_is_refused_to_another_row_and_nothing_changes():
    table = made(Undo())
    table.insert(Row(1, None, 7))
    for refused in (lambda: table.insert(Row(2, None, 7)), lambda: table.insert(Row(1, None))):
        with pytest.raises(Conflict):
            refused()
    with pytest.raises(NotFound):
        table.save(Row(3, None))
    table.save(Row(1, "a", 7))
    assert seen(table) == expected({1: Row(1, "a", 7)})


def test_a_snapshot_can_not_be_written():
    table = made(Undo())
    table.insert(Row(1, "a"))
    snapshot = table.snapshot()
    for write in (lambda: snapshot.put(Row(2, "b")), lambda: snapshot.delete(1), lambda: snapshot.save(Row(1, "c"))):
        with pytest.raises(ReadOnly):
            write()
    assert seen(snapshot) == seen(table)
