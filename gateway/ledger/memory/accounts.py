"""Accounts and QR codes in memory."""

from __future__ import annotations

from operator import attrgetter

from gateway.ledger.memory.store import Store
from gateway.ledger.rows import AccountRow, QrRow


class MemoryAccounts:
    """Local accounts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def insert(self, row: AccountRow) -> None:
        """:raises Conflict: the name is taken."""
        self._store.accounts.insert(row)

    def get(self, account_id: str) -> AccountRow | None:
        """The account."""
        return self._store.accounts.get(account_id)

    def by_name(self, name_mac: bytes) -> AccountRow | None:
        """The account of that name."""
        return self._store.accounts.one("name", name_mac)

    def save(self, row: AccountRow) -> None:
        """:raises NotFound: there is no such account."""
        self._store.accounts.save(row)

    def all(self) -> list[AccountRow]:
        """Every account, oldest first."""
        return sorted(self._store.accounts, key=attrgetter("created_at", "account_id"))


class MemoryQrCodes:
    """QR codes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def insert(self, row: QrRow) -> None:
        """:raises Conflict: the id or the hash is taken."""
        self._store.qr_codes.insert(row)

    def get(self, qr_id: str) -> QrRow | None:
        """The code."""
        return self._store.qr_codes.get(qr_id)

    def by_token(self, token_hash: bytes) -> QrRow | None:
        """The code whose token has this hash."""
        return self._store.qr_codes.one("token", token_hash)

    def save(self, row: QrRow) -> None:
        """:raises NotFound: there is no such code any more."""
        self._store.qr_codes.save(row)

    def counted_of(self, issuer_id: str, now: float) -> tuple[int, float]:
        """How many codes of an account count (`QrRow.counts_until`), and when the first ceases to; (0, `now`): none."""
        ends = [row.counts_until for row in self._store.qr_codes.by("issuer", issuer_id) if row.counts_until > now]
        return len(ends), min(ends, default=now)

    def page(self, *, issuer_id: str | None, after: str, limit: int) -> list[QrRow]:
        """By qr_id, those behind `after`. No issuer: everybody's."""
        return self._store.qr_codes.page(after, limit, of=None if issuer_id is None else ("issuer", issuer_id))

    def delete_expired(self, before: float, limit: int) -> int:
        """Drop those whose `expires_at` <= before."""
        self._store.qr_codes.check_writable()
        rows = [row for row in self._store.qr_codes if row.expires_at <= before]
        rows = sorted(rows, key=attrgetter("expires_at"))[:limit]
        for row in rows:
            self._store.qr_codes.delete(row.qr_id)
        return len(rows)
