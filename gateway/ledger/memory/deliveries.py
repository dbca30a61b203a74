"""Deliveries of uploads with several endpoints, in memory."""

from __future__ import annotations

from operator import attrgetter

from gateway.errors import Conflict
from gateway.ledger.memory.store import Store
from gateway.ledger.memory.stored import check_upload
from gateway.ledger.rows import DeliveryRow, OutcomeRow


class MemoryDeliveries:
    """The deliveries, and what became of files at each."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def insert(self, row: DeliveryRow) -> None:
        """:raises Conflict: the upload has a delivery to that endpoint, or is gone."""
        self._store.deliveries.check_writable()
        check_upload(self._store, row.upload_id)
        self._store.deliveries.insert(row)

    def get(self, upload_id: str, endpoint_id: str) -> DeliveryRow | None:
        """The delivery."""
        return self._store.deliveries.get((upload_id, endpoint_id))

    def save(self, row: DeliveryRow) -> None:
        """:raises NotFound: there is no such delivery any more."""
        self._store.deliveries.save(row)

    def of_upload(self, upload_id: str) -> list[DeliveryRow]:
        """By `place`."""
        return sorted(self._store.deliveries.by("upload", upload_id), key=attrgetter("place"))

    def outcome(self, file_id: str, endpoint_id: str) -> OutcomeRow | None:
        """Of a file at an endpoint."""
        return self._store.outcomes.get((file_id, endpoint_id))

    def outcomes(self, file_id: str) -> list[OutcomeRow]:
        """Of a file at every endpoint, by endpoint_id."""
        return sorted(self._store.outcomes.by("file", file_id), key=attrgetter("endpoint_id"))

    def put_outcome(self, row: OutcomeRow) -> None:
        """Insert or replace. :raises Conflict: the file is gone."""
        self._store.outcomes.check_writable()
        if self._store.files.get(row.file_id) is None:
            raise Conflict("the record that this one belongs to is gone")
        self._store.outcomes.put(row)
