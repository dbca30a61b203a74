"""Wrapped keys in SQLite, kept so that a deleted one can be in no file after the next `scrub`.

`secure_delete` alone doesn't do that: when rows are deleted, SQLite moves their neighbours between pages, and a moved
row leaves a copy in the gap of its old page; is that row deleted later, the copy stays. Here nothing ever moves. Every
key lies in a slot, a row of one fixed size that is never deleted. A key is deleted by overwriting its slot in place,
and a free slot takes the next key; new slots are only ever added at the end.

A key_id is slot + (how often the slot was taken before) * 2**32: never given twice, although slots are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from gateway.errors import NotFound
from gateway.ledger.rows import ServiceKeyRow
from gateway.ledger.sqlite.group import Part, in_shapes, joined, quick_of, several
from gateway.ledger.sqlite.rows import Rows

#: Bytes of a slot: turn (4), length of the key (1; 0: free), the key, zeros. The schema holds it to that.
SLOT_BYTES = 128
#: Bytes of the longest wrapped key.
LONGEST = SLOT_BYTES - 5
_HIGHEST = (1 << 32) - 1
#: Free slots that are looked for together.
_FREE_AT_ONCE = 64


class SqliteKeys(Part):
    """Wrapped keys, and the gateway's own among them.

    :ivar deleted: one was, or was replaced, since somebody set it to False.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self.deleted = False
        self._db = db
        self._service = Rows(db, "service_keys", ServiceKeyRow, ("key_id",))
        self._quick = quick_of(db)
        self._group = joined(db, self)
        self._known: dict[int, bytes] = {}  #: contents of slots
        self._added: dict[int, bytes] = {}
        self._reused: dict[int, bytes] = {}
        self._slots: dict[str, Any] = {}  #: `last`: the highest one; `free`: the highest of the free ones

    def insert(self, wrapped: bytes) -> int:
        """Returns the new key_id; none is ever given twice.

        :raises ValueError: empty, or longer than a slot takes.
        """
        if self._group is None:
            raise NotFound("this connection only reads")
        _content(0, wrapped)  # refused before a slot is taken
        if (slot := self._take_free()) is not None:
            turn = self._slot(slot)[0] + 1
            self._group.put(self._reused, slot, _content(turn, wrapped))
            self._group.put(self._known, slot, _content(turn, wrapped))
            return turn << 32 | slot
        last = self._slots.get("last")
        if last is None:
            last = self._quick("SELECT max(slot) FROM key_slots").fetchone()[0] or 0
        slot = last + 1  # kept with the act that takes it: one that is undone gives it back
        self._group.put(self._slots, "last", slot)
        self._group.put(self._added, slot, _content(0, wrapped))
        self._group.put(self._known, slot, _content(0, wrapped))
        return slot

    def get(self, key_id: int) -> bytes | None:
        """The wrapped key."""
        turn, wrapped = self._slot(key_id & 0xFFFF_FFFF)
        return wrapped if wrapped and turn == key_id >> 32 else None

    def replace(self, key_id: int, wrapped: bytes) -> None:
        """Put the key, wrapped anew, in its place.

        :raises NotFound: there is no such key any more.
        :raises ValueError: as `insert`.
        """
        if self.get(key_id) is None:
            raise NotFound("the key is gone")
        self.deleted = True  # as it was wrapped before
        self._write(key_id & 0xFFFF_FFFF, _content(key_id >> 32, wrapped))

    def delete(self, key_ids: Sequence[int]) -> None:
        """Overwrite them; they are gone from the files after `scrub`. One that is gone already is no error."""
        for key_id in key_ids:
            if self.get(key_id) is not None:
                self.deleted = True
                slot, turn = key_id & 0xFFFF_FFFF, key_id >> 32
                self._write(slot, turn.to_bytes(4, "big").ljust(SLOT_BYTES, b"\0"))
                self._db.execute("INSERT INTO free_key_slots VALUES (?)", (slot,))
                self._ask_again()

    def service(self) -> list[ServiceKeyRow]:
        """The gateway's own keys, oldest first. A handful."""
        return self._service.where("1 ORDER BY created_at, key_id", ())

    def insert_service(self, row: ServiceKeyRow) -> None:
        """Insert, or replace the row with that key_id (its key was wrapped under another KEK)."""
        self._service.put(row)

    def kek_ids(self) -> set[str]:
        """Every KEK that some row still needs."""
        needed = {row.kek_id for row in self.service()}
        last = ""
        while True:  # one look-up per KEK, however many uploads have it
            (found,) = self._db.execute(
                "SELECT min(kek_id) FROM uploads WHERE key_id IS NOT NULL AND kek_id > ?", (last,)
            ).fetchone()
            if found is None:
                return needed
            needed.add(found)
            last = found

    def _slot(self, slot: int) -> tuple[int, bytes]:
        """Turn and key of a slot; no key: free, or never made."""
        content = self._known.get(slot)
        if content is None:
            found = self._quick("SELECT content FROM key_slots WHERE slot = ?", (slot,)).fetchone()
            if found is None:
                return 0, b""
            content = found[0]
            if self._group is not None:
                self._known[slot] = content
        return int.from_bytes(content[:4], "big"), content[5 : 5 + content[4]]

    @property
    def used(self) -> bool:
        """Something waits or is known."""
        return bool(self._known)

    def write(self) -> None:
        """Write what waits."""
        for some in in_shapes(list(self._added.items())):
            sql = several("INSERT INTO key_slots (slot, content) VALUES (?, ?)", len(some))
            self._quick(sql, [value for row in some for value in row])
        for slot, content in self._reused.items():
            self._quick("UPDATE key_slots SET content = ? WHERE slot = ?", (content, slot))
            self._quick("DELETE FROM free_key_slots WHERE slot = ?", (slot,))

    def forget(self) -> None:
        """Nothing waits, nothing is known."""
        for kept in (self._known, self._added, self._reused):
            kept.clear()

    def forget_numbers(self) -> None:
        """Not even which slots are free, and which is the highest."""
        self._slots.clear()

    def _take_free(self) -> int | None:
        """The highest slot that is free; None: there is none."""
        assert self._group is not None
        free = self._slots.get("free")
        if free is None:
            free = tuple(
                slot
                for (slot,) in self._quick(
                    "SELECT slot FROM free_key_slots WHERE slot <= ? ORDER BY slot DESC LIMIT ?",
                    (_HIGHEST, _FREE_AT_ONCE),
                )
            )
        elif not free and self._slots.get("more"):
            self._group.settle()
            self._ask_again()
            return self._take_free()
        self._group.put(self._slots, "more", len(free) == _FREE_AT_ONCE or self._slots.get("more", False))
        self._group.put(self._slots, "free", free[1:])
        return free[0] if free else None

    def _ask_again(self) -> None:
        """Others are free than those that are known."""
        if self._group is not None:
            for name in ("free", "more"):
                self._group.drop(self._slots, name)

    def _write(self, slot: int, content: bytes) -> None:
        self._db.execute("UPDATE key_slots SET content = ? WHERE slot = ?", (content, slot))


def _content(turn: int, wrapped: bytes) -> bytes:
    if not 0 < len(wrapped) <= LONGEST:
        raise ValueError(f"a wrapped key has 1 to {LONGEST} bytes")
    return (turn.to_bytes(4, "big") + bytes([len(wrapped)]) + wrapped).ljust(SLOT_BYTES, b"\0")
