"""The second part of `base`: protocols of aggregates that few ask for."""

from __future__ import annotations

from typing import Protocol

from gateway.ledger.rows import DeliveryRow, IdempotencyRow, OutcomeRow, QrRow, RefreshTokenRow


class DeliveryRows(Protocol):
    """The deliveries of uploads that go to several endpoints, and what became of files at each."""

    def insert(self, row: DeliveryRow) -> None:
        """:raises Conflict: the upload has a delivery to that endpoint, or is gone."""

    def get(self, upload_id: str, endpoint_id: str) -> DeliveryRow | None: ...
    def save(self, row: DeliveryRow) -> None: ...

    def of_upload(self, upload_id: str) -> list[DeliveryRow]:
        """By `place`. None: the upload has one endpoint."""

    def outcome(self, file_id: str, endpoint_id: str) -> OutcomeRow | None: ...

    def outcomes(self, file_id: str) -> list[OutcomeRow]:
        """Of a file at every endpoint, by endpoint_id."""

    def put_outcome(self, row: OutcomeRow) -> None:
        """Insert or replace. :raises Conflict: the file is gone."""


class TokenRows(Protocol):
    """Refresh tokens and idempotency keys."""

    def insert(self, row: RefreshTokenRow) -> None: ...
    def get(self, token_hash: bytes) -> RefreshTokenRow | None: ...

    def spend_kin(self, row: RefreshTokenRow) -> None:
        """`row` is being used: its parent and its siblings are spent from now on."""

    def family_lives(self, family_id: str) -> bool:
        """Whether it has a token still."""

    def revoke_family(self, family_id: str) -> None: ...
    def revoke_account(self, account_id: str) -> None: ...

    def revoke_sessions(self, account_id: str, but: str) -> None:
        """End the logins of the account, save the family `but`; its uploads' tokens stay."""

    def revoke_upload(self, upload_id: str) -> None:
        """No refresh token of this upload renews anything any more."""

    def delete_expired(self, now: float, limit: int) -> int:
        """Refresh tokens and idempotency keys past their time."""

    def idempotency(self, principal: str, key_mac: bytes) -> IdempotencyRow | None: ...
    def remember(self, row: IdempotencyRow) -> None: ...


class QrRows(Protocol):
    """QR codes."""

    def insert(self, row: QrRow) -> None: ...
    def get(self, qr_id: str) -> QrRow | None: ...
    def by_token(self, token_hash: bytes) -> QrRow | None: ...
    def save(self, row: QrRow) -> None: ...

    def page(self, *, issuer_id: str | None, after: str, limit: int) -> list[QrRow]:
        """By qr_id, those behind `after`. No issuer: everybody's."""

    def counted_of(self, issuer_id: str, now: float) -> tuple[int, float]:
        """How many codes of an account count (`QrRow.counts_until`), and when the first ceases to; (0, `now`): none."""

    def delete_expired(self, before: float, limit: int) -> int:
        """Drop those whose `expires_at` <= before."""
