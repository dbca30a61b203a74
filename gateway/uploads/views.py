"""What the gateway says of an upload: rows unsealed into the JSON of the answers. Knows no HTTP.

Sealed under the records key: what outlives the bytes (CONTRACT 2.2 status, files, warnings, receipt).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.clock import rfc3339
from gateway.errors import Gone
from gateway.keys.columns import Column
from gateway.ledger.rows import DeliveryRow, FileRow, ReceiptRow, UploadRow
from gateway.receipts.packing import unpacked
from gateway.spool import Sealer
from gateway.states import DEAD_STATES, RECEIVING_STATES, FileState
from gateway.states import WHOLE_STATES as RECEIVED_STATES


class Views:
    """Reads and writes the sealed columns that outlive an upload's bytes."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal(self, value: Any, column: Column, row_id: str) -> bytes:
        """A JSON value, sealed for its place."""
        return self._sealer.seal_json(value, context=column.of(row_id))

    def _open(self, blob: bytes | None, column: Column, row_id: str, default: Any) -> Any:
        return default if blob is None else self._sealer.open_json(blob, context=column.of(row_id))

    def warnings(self, upload: UploadRow, *, named: bool = True) -> list[dict[str, Any]]:
        """`{code, file_id?, sop_instance_uid?, message}` each. :param named: with what the client calls its files."""
        found: list[dict[str, Any]] = self._open(upload.warnings_sealed, Column.UPLOAD_WARNINGS, upload.upload_id, [])
        return found if named else [{name: one[name] for name in one if name != "file_id"} for one in found]

    def with_warnings(self, upload: UploadRow, warnings: list[dict[str, Any]]) -> UploadRow:
        """The upload with these warnings."""
        return replace(upload, warnings_sealed=self.seal(warnings, Column.UPLOAD_WARNINGS, upload.upload_id))

    def studies(self, upload: UploadRow) -> list[dict[str, Any]]:
        """Outcome per study, once known."""
        found: list[dict[str, Any]] = self._open(upload.studies_sealed, Column.UPLOAD_STUDIES, upload.upload_id, [])
        return found

    def jws(self, row: ReceiptRow) -> str:
        """A receipt, compact JWS."""
        return unpacked(self._sealer.open(row.jws_sealed, context=Column.RECEIPT_JWS.of(row.receipt_id)))

    def raise_if_dead(self, upload: UploadRow, *, named: bool = True) -> None:
        """:raises Gone: with `state`, `pacs_receipt_id` and `warnings` (CONTRACT 2)."""
        if upload.state in DEAD_STATES:
            raise Gone(
                f"the upload is {upload.state}",
                code="upload_gone",
                state=str(upload.state),
                pacs_receipt_id=upload.receipt_id,
                warnings=self.warnings(upload, named=named),
            )

    def raise_if_file_dead(self, upload: UploadRow, file: FileRow) -> None:
        """:raises Gone: the upload is dead, or the file was removed or damaged."""
        self.raise_if_dead(upload)
        if file.state in (FileState.REMOVED, FileState.LOST):
            lost = file.state is FileState.LOST
            raise Gone(
                "stored bytes of this file are damaged" if lost else "the file was removed",
                code="data_lost" if lost else "file_gone",
                state=str(file.state),
                pacs_receipt_id=upload.receipt_id,
                warnings=self.warnings(upload),
            )

    def result(self, upload: UploadRow, deliveries: Sequence[DeliveryRow] = ()) -> dict[str, Any]:
        """The answer of `complete` to a finished upload."""
        return _several(deliveries) | {
            "status": str(upload.state),
            "upload_id": upload.upload_id,
            "pacs_receipt_id": upload.receipt_id,
            "warnings": self.warnings(upload),
            "studies": self.studies(upload),
        }

    def status(
        self,
        upload: UploadRow,
        counts: Mapping[FileState, int],
        deliveries: Sequence[DeliveryRow] = (),
        *,
        named: bool,
    ) -> dict[str, Any]:
        """The answer of `GET status`. :param named: with what the client calls its files."""
        total = upload.total_size_bytes
        # Of parts that were sent twice, or for nothing, more bytes may have come than were declared.
        percent = min(round(100 * upload.received_bytes / total, 1), 100.0) if total else 100.0
        if upload.single and upload.state in RECEIVING_STATES:
            percent = min(percent, 99.9)  # it grows with the bytes of a file whose length isn't told
        held = {"held_reasons": upload.held_reasons} if upload.held_reasons else {}
        return (
            {
                "upload_id": upload.upload_id,
                "endpoint_id": upload.endpoint_id,
                "state": str(upload.state),
                "progress_percent": percent,
                "uploaded_bytes": upload.received_bytes,
                "total_bytes": total,
                "files": {str(state): count for state, count in counts.items() if state is not FileState.REMOVED},
                "studies": self.studies(upload),
                "pacs_receipt_id": upload.receipt_id,
                "warnings": self.warnings(upload, named=named),
                "expires_at": rfc3339(upload.expires_at),
            }
            | held
            | _several(deliveries)
        )

    def file(self, row: FileRow, *, named: bool) -> dict[str, Any]:
        """One file of `GET files`. :param named: as its client calls it; else by our own id."""
        client_id = row.client_id_sealed if named else None
        return {
            "file_id": self._sealer.open(client_id, context=Column.FILE_CLIENT_ID.of(row.file_id)).decode()
            if client_id is not None
            else row.file_id,
            "state": str(row.state),
            "size": row.length,
            "offset": row.offset,
            "outcome": None,
        } | self._outcome(row)

    def _outcome(self, row: FileRow) -> dict[str, Any]:
        """What became of it: `outcome`, and what else is known (`code`, `reason`, `sop_instance_uid`, ...)."""
        if row.state in (*RECEIVED_STATES, FileState.RECEIVING):
            return {}  # an acknowledgement that hasn't been verified is nothing to tell
        found: dict[str, Any] = self._open(row.outcome_sealed, Column.FILE_OUTCOME, row.file_id, {})
        return found


def _several(deliveries: Sequence[DeliveryRow]) -> dict[str, Any]:
    """Where an upload goes to several endpoints: how each delivery is (CONTRACT 2.2)."""
    told = [
        {
            "endpoint_id": one.endpoint_id,
            "required": one.required,
            "state": str(one.state),
            "pacs_receipt_id": one.receipt_id,
        }
        for one in deliveries
    ]
    return {"deliveries": told} if told else {}
