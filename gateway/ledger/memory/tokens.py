"""Refresh tokens and idempotency keys in memory."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

from gateway.ledger.memory.store import Store
from gateway.ledger.memory.stored import check_upload
from gateway.ledger.rows import IdempotencyRow, RefreshTokenRow


class MemoryTokens:
    """Refresh tokens and idempotency keys."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def insert(self, row: RefreshTokenRow) -> None:
        """:raises Conflict: the hash is taken, or the upload is gone."""
        self._store.refresh_tokens.check_writable()
        check_upload(self._store, row.upload_id)
        self._store.refresh_tokens.insert(row)

    def get(self, token_hash: bytes) -> RefreshTokenRow | None:
        """The token; None when it was revoked or has expired and was cleared away."""
        return self._store.refresh_tokens.get(token_hash)

    def spend_kin(self, row: RefreshTokenRow) -> None:
        """`row` is being used: its parent and its siblings are spent from now on."""
        self._store.refresh_tokens.check_writable()
        if row.parent_hash is None:
            return
        parent = self._store.refresh_tokens.get(row.parent_hash)
        kin = [*self._store.refresh_tokens.by("parent", row.parent_hash), *([] if parent is None else [parent])]
        for one in kin:
            if one.token_hash != row.token_hash:
                self._store.refresh_tokens.save(replace(one, spent=True))

    def family_lives(self, family_id: str) -> bool:
        """Whether it has a token still."""
        return self._store.refresh_tokens.count("family", family_id) > 0

    def revoke_family(self, family_id: str) -> None:
        """Drop every token of the family."""
        self._drop("family", family_id)

    def revoke_account(self, account_id: str) -> None:
        """Drop every token of the account."""
        self._drop("account", account_id)

    def revoke_sessions(self, account_id: str, but: str) -> None:
        """Drop the account's tokens that are no upload's, save those of the family `but`."""
        self._store.refresh_tokens.check_writable()
        for row in self._store.refresh_tokens.by("account", account_id):
            if row.upload_id is None and row.family_id != but:
                self._store.refresh_tokens.delete(row.token_hash)

    def revoke_upload(self, upload_id: str) -> None:
        """Drop every token of the upload."""
        self._drop("upload", upload_id)

    def _drop(self, index: str, mark: str) -> None:
        self._store.refresh_tokens.check_writable()
        for row in self._store.refresh_tokens.by(index, mark):
            self._store.refresh_tokens.delete(row.token_hash)

    def delete_expired(self, now: float, limit: int) -> int:
        """Drop refresh tokens and idempotency keys past their time (`expires_at` <= now), `limit` of each at most."""
        self._store.refresh_tokens.check_writable()
        oldest = attrgetter("expires_at")
        tokens = sorted((row for row in self._store.refresh_tokens if row.expires_at <= now), key=oldest)[:limit]
        answers = sorted((row for row in self._store.idempotency if row.expires_at <= now), key=oldest)[:limit]
        for token in tokens:
            self._store.refresh_tokens.delete(token.token_hash)
        for answer in answers:
            self._store.idempotency.delete((answer.principal, answer.key_mac))
        return len(tokens) + len(answers)

    def idempotency(self, principal: str, key_mac: bytes) -> IdempotencyRow | None:
        """The answer under that key; may be past its time until it is cleared away."""
        return self._store.idempotency.get((principal, key_mac))

    def remember(self, row: IdempotencyRow) -> None:
        """Insert or replace.

        :raises Conflict: the upload is gone.
        """
        self._store.idempotency.check_writable()
        check_upload(self._store, row.upload_id)
        self._store.idempotency.put(row)
