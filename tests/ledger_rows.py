"""Rows with everything in them that the ledger asks for; tests name what matters to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.ledger.rows import (
    AccountRow,
    DeliveryRow,
    Dialect,
    FileRow,
    JobKind,
    JobRow,
    QrRow,
    RefreshTokenRow,
    RunRow,
    UploadRow,
)
from gateway.states import FileState, UploadState


def account_row(account_id: str, **known: Any) -> AccountRow:
    return replace(
        AccountRow(
            account_id=account_id,
            name_mac=account_id.encode(),
            name_sealed=b"",
            role="uploader",
            password_hash="",
            disabled_at=None,
            created_at=0.0,
        ),
        **known,
    )


def upload_row(upload_id: str, *, now: float, **known: Any) -> UploadRow:
    return replace(
        UploadRow(
            upload_id=upload_id,
            owner_id="a" * 32,
            endpoint_id="main",
            single=False,
            state=UploadState.OPEN,
            epoch=0,
            key_id=None,
            kek_id="k1",
            total_files=1,
            total_size_bytes=1,
            reserved_bytes=0,
            chunk_size=4 << 20,
            live_files=0,
            planned_bytes=0,
            received_bytes=0,
            whole_files=0,
            whole_bytes=0,
            meta_sealed=None,
            skipped_sealed=None,
            warnings_sealed=None,
            studies_sealed=None,
            held_codes="",
            receipt_id=None,
            created_at=now,
            active_at=now,
            expires_at=now + 86400.0,
            completed_at=None,
            finished_at=None,
            erased_at=None,
        ),
        **known,
    )


def file_row(file_id: str, upload_id: str, **known: Any) -> FileRow:
    return replace(
        FileRow(
            file_id=file_id,
            upload_id=upload_id,
            dialect=Dialect.TAIL,
            state=FileState.RECEIVING,
            client_mac=None,
            client_id_sealed=None,
            meta_sealed=None,
            key_id=None,
            length=None,
            offset=0,
            total_chunks=None,
            chunks=0,
            highest_chunk=-1,
            sealed_bytes=0,
            facts_sealed=None,
            outcome_sealed=None,
            created_at=0.0,
            whole_at=None,
            bytes_sealed=None,
        ),
        **known,
    )


def run_row(file_id: str, segment_id: str, **known: Any) -> RunRow:
    return replace(
        RunRow(
            run_id=0,
            file_id=file_id,
            segment_id=segment_id,
            start=0,
            length=0,
            position=0,
            first_frame=0,
            content_mac=None,
            entry_at=0,
            entry_id=segment_id,
            sealed_bytes=0,
        ),
        **known,
    )


def job_row(upload_id: str, *, due_at: float, **known: Any) -> JobRow:
    return replace(
        JobRow(
            job_id=0,
            kind=JobKind.DELIVER,
            upload_id=upload_id,
            file_id=None,
            due_at=due_at,
            attempts=0,
            tried_s=0.0,
            lease_by=None,
            lease_until=None,
            memory_sealed=None,
            last_code="",
        ),
        **known,
    )


def delivery_row(upload_id: str, endpoint_id: str, *, place: int, **known: Any) -> DeliveryRow:
    row = DeliveryRow(
        upload_id,
        endpoint_id,
        place,
        True,
        UploadState.DELIVERING,
        "",
        "",
        "",
        None,
        None,
        None,
        None,
        None,
        None,
        None,
    )
    return replace(row, **known)


def token_row(token_hash: bytes, **known: Any) -> RefreshTokenRow:
    return replace(
        RefreshTokenRow(
            token_hash=token_hash,
            family_id="f" * 32,
            parent_hash=None,
            account_id="a" * 32,
            upload_id=None,
            spent=False,
            issued_at=0.0,
            expires_at=100.0,
        ),
        **known,
    )


def qr_row(qr_id: str, **known: Any) -> QrRow:
    """A QR code that nobody has used."""
    row = QrRow(qr_id, qr_id.encode(), "a", "main", None, None, b"sealed", None, 1.0, 2.0, None, None, None)
    return replace(row, **known)
