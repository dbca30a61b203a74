"""Wrapped keys in memory."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from gateway.errors import NotFound
from gateway.ledger.memory.store import Named, Store
from gateway.ledger.rows import ServiceKeyRow


class MemoryKeys:
    """Wrapped keys, and the gateway's own among them.

    :ivar deleted: one was, or was replaced, since somebody set it to False.
    """

    def __init__(self, store: Store) -> None:
        self.deleted = False
        self._store = store

    def insert(self, wrapped: bytes) -> int:
        """Returns the new key_id; none is ever given twice."""
        self._store.keys.check_writable()
        key_id = self._store.next("key_id")
        self._store.keys.insert(Named(key_id, wrapped))
        return key_id

    def get(self, key_id: int) -> bytes | None:
        """The wrapped key."""
        found = self._store.keys.get(key_id)
        return None if found is None else found.value

    def replace(self, key_id: int, wrapped: bytes) -> None:
        """Put the key, wrapped anew, in its place. :raises NotFound: there is no such key any more."""
        self._store.keys.check_writable()
        if self.get(key_id) is None:
            raise NotFound("the key is gone")
        self.deleted = True
        self._store.keys.put(Named(key_id, wrapped))

    def delete(self, key_ids: Sequence[int]) -> None:
        """One that is gone already is no error."""
        for key_id in key_ids:
            self.deleted = self.deleted or self.get(key_id) is not None
            self._store.keys.delete(key_id)

    def service(self) -> list[ServiceKeyRow]:
        """The gateway's own keys, oldest first."""
        return sorted(self._store.service_keys, key=attrgetter("created_at", "key_id"))

    def insert_service(self, row: ServiceKeyRow) -> None:
        """Insert, or replace the row with that key_id (its key was wrapped under another KEK)."""
        self._store.service_keys.put(row)

    def kek_ids(self) -> set[str]:
        """Every KEK that some row still needs."""
        return {row.kek_id for row in self.service()} | {str(mark) for mark in self._store.uploads.marked("kek")}
