"""Keys as the ledger's rows give them: an upload's own, and those that a final has of its parts."""

from __future__ import annotations

from gateway.keys.columns import Column
from gateway.ledger.base import Transaction
from gateway.ledger.rows import UploadRow
from gateway.spool import FileKey, KeyRing, UploadKey


def upload_key(tx: Transaction, ring: KeyRing, upload: UploadRow) -> UploadKey | None:
    """None: it is erased. :raises ConfigError, Damaged: as `KeyRing.unwrap`."""
    return unwrapped(ring, upload, tx.keys.get(upload.key_id) if upload.key_id is not None else None)


def unwrapped(ring: KeyRing, upload: UploadRow, wrapped: bytes | None) -> UploadKey | None:
    """`upload_key` of a wrapped key that was read before."""
    if upload.key_id is None or wrapped is None:
        return None
    return UploadKey.unwrap(ring, upload.upload_id, upload.kek_id, wrapped)


def sources_of(key: FileKey, file_id: str, sealed: bytes | None) -> dict[str, FileKey]:
    """Keys of the parts whose entries a file's runs name; empty of a file that isn't put together.

    :raises Damaged: they aren't this file's.
    """
    return {} if sealed is None else key.open_sources(sealed, context=Column.FILE_SOURCES.of(file_id))
