"""What opens an upload in an account's stead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.ledger.base import Transaction
from gateway.ledger.rows import UploadRow


class Ticket(Protocol):
    """A right to open one upload, used up in the transaction that opens it."""

    @property
    def principal(self) -> str:
        """Whose Idempotency-Keys they are."""

    @property
    def expected(self) -> Mapping[str, str]:
        """What the files must say, checked before anything is sent."""

    def check(self, tx: Transaction) -> None:
        """It may still ask, were it only for what it has opened. :raises Unauthorized: it was revoked."""

    def admit(self, tx: Transaction) -> UploadRow | None:
        """The upload to open again, or None: a new one. :raises Unauthorized: it is used up."""

    def redeemed(self, tx: Transaction, upload: UploadRow, now: float) -> None:
        """It has opened this upload."""
