"""Receipts in memory."""

from __future__ import annotations

from gateway.ledger.memory.store import Store
from gateway.ledger.memory.stored import check_upload
from gateway.ledger.rows import DeliveredRow, ReceiptRow


class MemoryReceipts:
    """Proofs, and the index of what was delivered."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def insert(self, row: ReceiptRow) -> None:
        """:raises Conflict: the id is taken, or the upload is gone."""
        self._store.receipts.check_writable()
        check_upload(self._store, row.upload_id)
        self._store.receipts.insert(row)

    def get(self, receipt_id: str) -> ReceiptRow | None:
        """The receipt."""
        return self._store.receipts.get(receipt_id)

    def delivered(self, instance_mac: bytes) -> DeliveredRow | None:
        """What was last delivered under that UID to that endpoint; forgotten with its receipt."""
        return self._store.delivered.get(instance_mac)

    def note_delivered(self, row: DeliveredRow) -> None:
        """Insert or replace; the receipt may be written later."""
        self._store.delivered.put(row)

    def forget_delivered(self, upload_id: str, limit: int) -> int:
        """Drop so many of the notes that hang on the upload's receipts at most. Returns how many."""
        self._store.delivered.check_writable()
        receipts = self._store.receipts.by("upload", upload_id)
        notes = [note for receipt in receipts for note in self._store.delivered.by("receipt", receipt.receipt_id)]
        for note in notes[:limit]:
            self._store.delivered.delete(note.instance_mac)
        return len(notes[:limit])
