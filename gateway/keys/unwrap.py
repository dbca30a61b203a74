"""An upload's own key, as its row and the ledger's keys give it."""

from __future__ import annotations

from gateway.ledger.base import Transaction
from gateway.ledger.rows import UploadRow
from gateway.spool import KeyRing, UploadKey


def upload_key(tx: Transaction, ring: KeyRing, upload: UploadRow) -> UploadKey | None:
    """None: it is erased. :raises ConfigError, Damaged: as `KeyRing.unwrap`."""
    return unwrapped(ring, upload, tx.keys.get(upload.key_id) if upload.key_id is not None else None)


def unwrapped(ring: KeyRing, upload: UploadRow, wrapped: bytes | None) -> UploadKey | None:
    """`upload_key` of a wrapped key that was read before."""
    if upload.key_id is None or wrapped is None:
        return None
    return UploadKey.unwrap(ring, upload.upload_id, upload.kek_id, wrapped)
