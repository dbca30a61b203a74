"""The end of an upload's record, page by page. Transactions only."""

from __future__ import annotations

from gateway.ledger.base import Transaction
from gateway.purge.erasure import is_unfinished

ACTOR = "gateway"
#: Rows that one transaction deletes.
PAGE = 100


def record_page_deleted(tx: Transaction, upload_id: str) -> bool:
    """Delete a page of what hangs on a record that may go, so that its own end is a short act. False: nothing is left."""
    if not _may_go(tx, upload_id):
        return False
    files = tx.files.page(upload_id, limit=PAGE, parts=True)
    tx.keys.delete([file.key_id for file in files if file.key_id is not None])
    tx.files.delete([file.file_id for file in files])
    return bool(tx.receipts.forget_delivered(upload_id, PAGE) + len(files))


def _may_go(tx: Transaction, upload_id: str) -> bool:
    """Where sealed bytes are there still, `Erasure.resume` needs the record to find them."""
    upload = tx.uploads.get(upload_id)
    erased = upload is not None and upload.erased_at is not None
    return erased and not tx.runs.segment_ids(upload_id) and not is_unfinished(tx, upload_id)


def record_deleted(tx: Transaction, upload_id: str, now: float) -> bool:
    """Delete the record, and write that down. False: it is gone, or must not go yet."""
    if not _may_go(tx, upload_id):
        return False
    tx.uploads.delete(upload_id)
    tx.audit.append("record.deleted", at=now, actor=ACTOR, upload_id=upload_id)
    return True
