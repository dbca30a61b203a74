"""The chained audit trail and the settings in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.errors import Unavailable
from gateway.ledger import chain
from gateway.ledger.base import AUDIT
from gateway.ledger.memory.store import Named, Store
from gateway.ledger.rows import AuditRow

#: Shared default of `append`; nobody writes to it.
_NOTHING: Mapping[str, object] = {}
#: Facts of the trail.
_HEAD, _PRUNED = "audit_head", "audit_pruned"


class MemoryAudit:
    """The chained trail.

    :param key: None: it wasn't handed over yet.
    """

    def __init__(self, store: Store, wake: Callable[[str], None], key: bytes | None = None) -> None:
        self._store = store
        self._wake = wake
        self.key = key

    def append(
        self,
        event: str,
        *,
        at: float,
        actor: str,
        upload_id: str | None = None,
        detail: Mapping[str, object] = _NOTHING,
    ) -> AuditRow:
        """Chain an event to the head, in this transaction; wakes `AUDIT`.

        :raises Unavailable: the chain's key was not handed over yet.
        """
        self._store.audit.check_writable()
        number, mac = self.head()
        row = chain.link(
            self._known_key(), number, mac, event=event, at=at, actor=actor, upload_id=upload_id, detail=detail
        )
        self._store.audit.insert(row)
        self._store.facts.put(Named(_HEAD, (row.number, row.mac)))
        self._wake(AUDIT)
        return row

    def after(self, number: int, limit: int) -> list[AuditRow]:
        """Events behind `number`, in order."""
        first = max(number, self.pruned()[0]) + 1
        numbers = range(first, min(self.head()[0], first + limit - 1) + 1)
        return [row for row in map(self._store.audit.get, numbers) if row is not None]

    def head(self) -> tuple[int, bytes]:
        """Number and MAC of the last event; (0, b"") before the first."""
        number, mac = self._store.fact(_HEAD, chain.START)
        return number, mac

    def prune(self, up_to: int) -> int:
        """Delete events up to that number, but never the last one, and note the head that the rest follows.

        :raises Unavailable: the chain's key was not handed over yet.
        """
        self._store.audit.check_writable()
        key, first = self._known_key(), self.pruned()[0] + 1
        last = self._store.audit.get(min(up_to, self.head()[0] - 1))
        if last is None:
            return 0
        mark = last.number, last.mac
        self._store.facts.put(Named(_PRUNED, (*mark, chain.seal(key, chain.PRUNED, mark))))
        return sum(self._store.audit.delete(number) for number in range(first, last.number + 1))

    def pruned(self) -> tuple[int, bytes, bytes]:
        """Number, MAC and seal of the last deleted event; (0, b"", b""): none was."""
        number, mac, seal = self._store.fact(_PRUNED, (0, b"", b""))
        return number, mac, seal

    def _known_key(self) -> bytes:
        if self.key is None:
            raise Unavailable("the audit trail's key isn't there yet")
        return self.key


class MemorySettings:
    """A few facts of the gateway itself."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, name: str) -> str | None:
        """The value under that name."""
        found = self._store.settings.get(name)
        return None if found is None else found.value

    def put(self, name: str, value: str) -> None:
        """Insert or replace."""
        self._store.settings.put(Named(name, value))
