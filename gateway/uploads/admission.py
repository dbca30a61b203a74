"""Opening an upload: its row, its key, and its room in the spool. Transactions only."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.errors import SpoolFull, TooLarge, TooMany, Unprocessable
from gateway.keys.columns import Column
from gateway.keys.rotation import active_kek
from gateway.ledger.base import Transaction
from gateway.ledger.rows import UploadRow
from gateway.spool import KeyRing, UploadKey
from gateway.states import UploadState
from gateway.uploads.completion import Timing
from gateway.uploads.reservations import needed_bytes, reserved, room_of

#: Above this share of `spool.max_bytes` no new upload is taken; begun ones go on.
ADMIT_SHARE = 0.85
#: Parts of lost answers may take so many times what a QR code's upload declared.
QR_PARTS_SHARE = 3
#: An account's uploads come to an end by deliveries, cancellations and lapses: somewhat later it is worth asking again.
RETRY_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What an upload may be, and the uploads of one account together. Sizes in bytes."""

    chunk_size: int
    max_file_size: int
    max_upload_size: int
    max_files: int
    spool_max_bytes: int
    open_uploads: int = 1000
    reserved_share: float = 0.5


@dataclass(frozen=True, slots=True)
class Wish:
    """An upload that somebody wants to open."""

    owner_id: str
    actor: str
    endpoint_id: str
    single: bool
    total_files: int
    total_size_bytes: int
    meta: Mapping[str, object]  #: study_metadata, clinical_notes, uploader
    by_qr: bool = False

    @property
    def priority(self) -> str:
        """As declared in `study_metadata`; empty: it wasn't."""
        said = self.meta.get("study_metadata")
        return str(said.get("priority", "")) if isinstance(said, Mapping) else ""


def new_id() -> str:
    """32 random lower hex digits."""
    return secrets.token_hex(16)


def check_size(wish: Wish, limits: Limits) -> None:
    """:raises TooLarge, Unprocessable: more than the configuration allows."""
    if wish.total_files > limits.max_files:
        raise Unprocessable(
            "total_files is over the limit", code="invalid_field", field="total_files", limit=limits.max_files
        )
    if wish.total_size_bytes > limits.max_upload_size:
        raise TooLarge("the upload is larger than uploads.max_upload_size", code="upload_too_large")
    if wish.single and wish.total_size_bytes > limits.max_file_size:
        raise TooLarge("the file is larger than uploads.max_file_size", code="file_too_large")


def check_spool(tx: Transaction, size_bytes: int, limits: Limits, room_bytes: int) -> None:
    """Whether so much of the spool may be set aside for anybody. :raises SpoolFull: it may not."""
    if tx.uploads.reserved_bytes() + size_bytes > limits.spool_max_bytes * ADMIT_SHARE:
        raise SpoolFull("the spool has no room for an upload of this size")
    if tx.uploads.awaited_bytes() + size_bytes > room_bytes:
        raise SpoolFull("the spool's disk has no room for an upload of this size")


def _check_room(tx: Transaction, owner_id: str, size_bytes: int, limits: Limits, room_bytes: int) -> None:
    """Whether so much of the spool may be set aside for an account. :raises SpoolFull, TooMany: it may not."""
    check_spool(tx, size_bytes, limits, room_bytes)
    if tx.uploads.sums_of(owner_id).reserved_bytes + size_bytes > limits.spool_max_bytes * limits.reserved_share:
        raise _quota("the uploads of this account take their share of the spool", "limits.reserved_share")


def _quota(detail: str, limit: str) -> TooMany:
    return TooMany(detail, code="quota_exceeded", limit=limit, retry_after_s=RETRY_AFTER_S)


def reserve_again(tx: Transaction, upload_id: str, limits: Limits, room_bytes: int) -> None:
    """Set the room of an upload aside again, if that has lapsed: its first byte is about to come.

    :raises SpoolFull, TooMany: there is no room; the upload stays as it is.
    """
    upload = tx.uploads.get(upload_id)
    if upload is None or upload.reserved_bytes:
        return
    row = reserved(upload)
    _check_room(tx, row.owner_id, row.reserved_bytes, limits, room_bytes)
    tx.uploads.save(row)


def reserve_more(tx: Transaction, upload: UploadRow, limits: Limits) -> UploadRow:
    """The upload of a part, or of a file whose length nobody told, with the room that it takes by now; the row is the
    caller's to save.

    :raises SpoolFull, TooMany: the spool has no more, or the account has its part.
    :raises TooLarge: it has become larger than an upload may be.
    """
    if upload.total_size_bytes > limits.max_upload_size:
        raise TooLarge("the upload is larger than uploads.max_upload_size", code="upload_too_large")
    if upload.by_qr and upload.planned_bytes + upload.part_bytes > QR_PARTS_SHARE * upload.total_size_bytes:
        raise _quota("parts take more than a QR code gives", "limits.qr_max_bytes")
    more = room_of(upload) - upload.reserved_bytes
    if more <= 0:
        return upload
    if tx.uploads.reserved_bytes() + more > limits.spool_max_bytes:
        raise SpoolFull("the spool has no room for more of this file")
    if tx.uploads.sums_of(upload.owner_id).reserved_bytes + more > limits.spool_max_bytes * limits.reserved_share:
        raise _quota("the uploads of this account take their share of the spool", "limits.reserved_share")
    return replace(upload, reserved_bytes=upload.reserved_bytes + more)


def create_upload(
    tx: Transaction, ring: KeyRing, wish: Wish, limits: Limits, timing: Timing, now: float, room_bytes: int
) -> UploadRow:
    """Write a new upload and set its room aside.

    :param room_bytes: of the medium, what uploads may still fill; part of it is promised to those that are under way.
    :raises SpoolFull, TooMany: there is no room, or the account has its part; nothing was written.
    """
    if tx.uploads.sums_of(wish.owner_id).open_uploads >= limits.open_uploads:
        raise _quota("this account has too many unfinished uploads", "limits.open_uploads")
    reserved_bytes = needed_bytes(wish.total_size_bytes, wish.total_files)
    _check_room(tx, wish.owner_id, reserved_bytes, limits, room_bytes)
    upload_id = new_id()
    key, wrapped, kek_id = UploadKey.create(ring, upload_id, kek_id=active_kek(tx, ring))
    row = UploadRow(
        upload_id=upload_id,
        owner_id=wish.owner_id,
        endpoint_id=wish.endpoint_id,
        single=wish.single,
        state=UploadState.OPEN,
        epoch=1,
        key_id=tx.keys.insert(wrapped),
        kek_id=kek_id,
        total_files=wish.total_files,
        total_size_bytes=wish.total_size_bytes,
        reserved_bytes=reserved_bytes,
        chunk_size=limits.chunk_size,
        live_files=0,
        planned_bytes=0,
        received_bytes=0,
        whole_files=0,
        whole_bytes=0,
        meta_sealed=key.meta.seal_json(dict(wish.meta), context=Column.UPLOAD_META.of(upload_id)),
        skipped_sealed=None,
        warnings_sealed=None,
        studies_sealed=None,
        held_codes="",
        receipt_id=None,
        created_at=now,
        active_at=now,
        expires_at=timing.expires_at(now),
        completed_at=None,
        finished_at=None,
        erased_at=None,
        by_qr=wish.by_qr,
        priority=wish.priority,
    )
    tx.uploads.insert(row)
    tx.audit.append(
        "upload.opened",
        at=now,
        actor=wish.actor,
        upload_id=upload_id,
        detail={"endpoint": wish.endpoint_id, "files": wish.total_files, "size_bytes": wish.total_size_bytes},
    )
    return row
