"""Uploads and files in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import attrgetter

from gateway.ledger.memory.keys import MemoryKeys
from gateway.ledger.memory.store import Named, Store
from gateway.ledger.memory.stored import MemoryRuns, check_upload, drop_concatenation
from gateway.ledger.rows import AccountSums, DeliveryRow, Dialect, FileRow, Survey, UploadRow
from gateway.states import RECEIVING_STATES, FileState, UploadState

#: Sums that are kept, and what an upload adds to each.
RESERVED, AWAITED = "reserved_bytes", "awaited_bytes"


class MemoryUploads:
    """Submissions."""

    def __init__(self, store: Store, keys: MemoryKeys) -> None:
        self._store = store
        self._keys = keys

    def insert(self, row: UploadRow) -> None:
        """:raises Conflict: the id is taken."""
        self._store.uploads.insert(row)
        self._count(None, row)

    def get(self, upload_id: str) -> UploadRow | None:
        """The upload."""
        return self._store.uploads.get(upload_id)

    def save(self, row: UploadRow) -> None:
        """:raises NotFound: there is no such upload any more."""
        before = self.get(row.upload_id)
        self._store.uploads.save(row)
        self._count(before, row)

    def expired(self, now: float, limit: int) -> list[UploadRow]:
        """Open or uploading, past their `expires_at`; oldest first."""
        found = [row for row in self._in(RECEIVING_STATES) if row.finished_at is None and row.expires_at <= now]
        return sorted(found, key=attrgetter("expires_at"))[:limit]

    def finished_unerased(
        self, states: Sequence[UploadState], before: float, limit: int, *, since: float = 0.0
    ) -> list[UploadRow]:
        """In one of `states`, since <= `finished_at` <= before, `erased_at` empty, no delivery open; oldest first."""
        found = [
            row
            for row in self._in(states)
            if row.erased_at is None
            and row.finished_at is not None
            and since <= row.finished_at <= before
            and not row.open_deliveries
        ]
        return sorted(found, key=attrgetter("finished_at"))[:limit]

    def records_older(self, before: float, limit: int) -> list[UploadRow]:
        """Erased, and `finished_at` <= before; oldest first."""
        found = [
            row
            for row in self._store.uploads
            if row.erased_at is not None and row.finished_at is not None and row.finished_at <= before
        ]
        return sorted(found, key=attrgetter("finished_at"))[:limit]

    def page(self, *, states: Sequence[UploadState], after: str, limit: int) -> list[UploadRow]:
        """By upload_id, those behind `after`. Empty `states`: all."""
        if not states:
            return self._store.uploads.page(after, limit)
        pages = [self._store.uploads.page(after, limit, of=("state", state)) for state in set(states)]
        return sorted((row for page in pages for row in page), key=attrgetter("upload_id"))[:limit]

    def shift_deadlines(self, shift_s: float, not_before: float) -> int:
        """Move `expires_at` of every unfinished upload; none ends before `not_before`. Returns how many."""
        self._store.uploads.check_writable()
        rows = [row for row in self._store.uploads if row.finished_at is None]
        for row in rows:
            self._store.uploads.save(replace(row, expires_at=max(row.expires_at + shift_s, not_before)))
        return len(rows)

    def awaited_bytes(self) -> int:
        """Bytes reserved by uploads that still receive, less those that came, from a counter."""
        return int(self._store.fact(AWAITED))

    def reserved_bytes(self) -> int:
        """Sum over all uploads that aren't erased, from a counter."""
        return int(self._store.fact(RESERVED))

    def sums_of(self, owner_id: str) -> AccountSums:
        """What an account's uploads take together."""
        rows = self._store.uploads.by("owner", owner_id)
        return AccountSums(
            sum(row.completed_at is None and row.finished_at is None for row in rows),
            sum(row.reserved_bytes for row in rows if row.erased_at is None),
        )

    def stat_waiting(self, before: float, limit: int) -> list[UploadRow]:
        """Declared `stat`, completed before, neither over nor told to be late; oldest first."""
        found = [
            row
            for row in self._store.uploads
            if (row.priority, row.finished_at, row.delayed_at) == ("stat", None, None)
            and row.completed_at is not None
            and row.completed_at <= before
        ]
        return sorted(found, key=attrgetter("completed_at"))[:limit]

    def survey(self) -> Survey:
        """What there is."""
        counts = Counter((row.endpoint_id, row.state) for row in self._store.uploads)
        return Survey(
            counts,
            _longest((row.endpoint_id, row.queued_at) for row in self._ways(UploadState.DELIVERING)),
            _longest((row.endpoint_id, row.held_at) for row in self._ways(UploadState.HELD)),
            Counter(
                row.endpoint_id for row in self._store.uploads if row.delayed_at is not None and row.finished_at is None
            ),
            self.reserved_bytes(),
            self.awaited_bytes(),
        )

    def _ways(self, state: UploadState) -> Iterable[UploadRow | DeliveryRow]:
        """Uploads and deliveries in that state."""
        return (*self._in([state]), *(row for row in self._store.deliveries if row.state is state))

    def empty(self, before: float, limit: int) -> list[UploadRow]:
        """Made before, with room set aside, still receiving, and without a byte; oldest first."""
        found = [
            row
            for row in self._store.uploads
            if row.received_bytes == 0
            and row.reserved_bytes > 0
            and row.completed_at is None
            and row.finished_at is None
            and row.created_at <= before
        ]
        return sorted(found, key=attrgetter("created_at"))[:limit]

    def wrapped_otherwise(self, kek_id: str, limit: int) -> list[UploadRow]:
        """Uploads whose key is there and wrapped under another KEK than this."""
        others = [mark for mark in self._store.uploads.marked("kek") if mark != kek_id]
        return [row for mark in others for row in self._store.uploads.by("kek", mark)][:limit]

    def delete(self, upload_id: str) -> None:
        """The record and everything that hangs on it; its keys and notes of delivery too, had they been left."""
        store, row = self._store, self.get(upload_id)
        store.uploads.check_writable()
        if row is None:
            return
        files = store.files.by("upload", upload_id)
        self._keys.delete([one for one in (row.key_id, *(file.key_id for file in files)) if one is not None])
        receipt_ids = {row.receipt_id, *(one.receipt_id for one in store.receipts.by("upload", upload_id))}
        for receipt_id in receipt_ids - {None}:
            for delivered in store.delivered.by("receipt", receipt_id):
                store.delivered.delete(delivered.instance_mac)
            store.receipts.delete(receipt_id)
        MemoryRuns(store).forget([one.segment_id for one in store.segments.by("upload", upload_id)])
        MemoryFiles(store).delete([file.file_id for file in files])
        for delivery in store.deliveries.by("upload", upload_id):
            store.deliveries.delete((upload_id, delivery.endpoint_id))
        for job in store.jobs.by("upload", upload_id):
            store.jobs.delete(job.job_id)
        for token in store.refresh_tokens.by("upload", upload_id):
            store.refresh_tokens.delete(token.token_hash)
        for answer in store.idempotency.by("upload", upload_id):
            store.idempotency.delete((answer.principal, answer.key_mac))
        store.uploads.delete(upload_id)
        self._count(row, None)

    def _in(self, states: Sequence[UploadState] | frozenset[UploadState]) -> list[UploadRow]:
        return [row for state in set(states) for row in self._store.uploads.by("state", state)]

    def _count(self, before: UploadRow | None, after: UploadRow | None) -> None:
        for name, of in ((RESERVED, _reserved), (AWAITED, _awaited)):
            delta = of(after) - of(before)
            if delta:
                self._store.facts.put(Named(name, self._store.fact(name) + delta))


def _longest(times: Iterable[tuple[str, float | None]]) -> dict[str, float]:
    """Name -> the least of its times."""
    found: dict[str, float] = {}
    for name, at in times:
        if at is not None:
            found[name] = min(at, found.get(name, at))
    return found


def _reserved(row: UploadRow | None) -> int:
    return 0 if row is None or row.erased_at is not None else row.reserved_bytes


def _awaited(row: UploadRow | None) -> int:
    """What is still to come: reserved, less what came, of uploads that are neither completed nor over."""
    if row is None or row.completed_at is not None or row.finished_at is not None:
        return 0
    return max(row.reserved_bytes - row.received_bytes, 0)


class MemoryFiles:
    """DICOM objects."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def insert(self, row: FileRow) -> None:
        """:raises Conflict: the id is taken, the `client_mac` is taken in this upload, or the upload is gone."""
        self._store.files.check_writable()
        check_upload(self._store, row.upload_id)
        self._store.files.insert(row)

    def get(self, file_id: str) -> FileRow | None:
        """The file."""
        return self._store.files.get(file_id)

    def save(self, row: FileRow) -> None:
        """:raises NotFound: there is no such file any more."""
        self._store.files.save(row)

    def by_client_mac(self, upload_id: str, client_mac: bytes) -> FileRow | None:
        """The file that the client calls so; a removed one too, unless its `client_mac` was taken from it."""
        return self._store.files.one("client_mac", (upload_id, client_mac))

    def page(self, upload_id: str, *, after: str = "", limit: int = 1_000_000, parts: bool = False) -> list[FileRow]:
        """Files of an upload by file_id, removed ones too. :param parts: with parts of concatenations."""
        if parts:
            return self._store.files.page(after, limit, of=("upload", upload_id))
        rows = self._store.files.page(after, len(self._store.files), of=("upload", upload_id))
        return [row for row in rows if row.dialect is not Dialect.PART][:limit]

    def counts(self, upload_id: str) -> dict[FileState, int]:
        """How many files are in each state; states that none is in are left out."""
        counted = ((state, self._store.files.count("state", (upload_id, state))) for state in sorted(FileState))
        return {state: count for state, count in counted if count}

    def delete(self, file_ids: Sequence[str]) -> None:
        """Drop the rows; their keys are the caller's business."""
        for file_id in file_ids:
            for outcome in self._store.outcomes.by("file", file_id):
                self._store.outcomes.delete((file_id, outcome.endpoint_id))
            self._store.files.delete(file_id)
            drop_concatenation(self._store, file_id)
