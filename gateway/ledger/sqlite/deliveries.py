"""Deliveries of uploads with several endpoints in SQLite. Every query is a look-up in an index (schema/*.sql)."""

from __future__ import annotations

import sqlite3

from gateway.ledger.rows import DeliveryRow, OutcomeRow
from gateway.ledger.sqlite.rows import Rows


class SqliteDeliveries:
    """The deliveries, and what became of files at each."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._rows = Rows(db, "deliveries", DeliveryRow, ("upload_id", "endpoint_id"))
        self._outcomes = Rows(db, "outcomes", OutcomeRow, ("file_id", "endpoint_id"))

    def insert(self, row: DeliveryRow) -> None:
        """:raises Conflict: the upload has a delivery to that endpoint, or is gone."""
        self._rows.insert(row)

    def get(self, upload_id: str, endpoint_id: str) -> DeliveryRow | None:
        """The delivery."""
        return self._rows.get(upload_id, endpoint_id)

    def save(self, row: DeliveryRow) -> None:
        """:raises NotFound: there is no such delivery any more."""
        self._rows.save(row)

    def of_upload(self, upload_id: str) -> list[DeliveryRow]:
        """By `place`."""
        return sorted(self._rows.where("upload_id = ?", (upload_id,)), key=lambda row: row.place)

    def outcome(self, file_id: str, endpoint_id: str) -> OutcomeRow | None:
        """Of a file at an endpoint."""
        return self._outcomes.get(file_id, endpoint_id)

    def outcomes(self, file_id: str) -> list[OutcomeRow]:
        """Of a file at every endpoint, by endpoint_id."""
        return self._outcomes.where("file_id = ? ORDER BY endpoint_id", (file_id,))

    def put_outcome(self, row: OutcomeRow) -> None:
        """Insert or replace. :raises Conflict: the file is gone."""
        self._outcomes.put(row)
