"""All tables of a ledger in memory, and the few facts that are no rows. Names are those of the SQLite schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from gateway.ledger.memory.tables import Table, Undo
from gateway.ledger.rows import (
    AccountRow,
    AuditRow,
    DeliveredRow,
    DeliveryRow,
    Dialect,
    FileRow,
    IdempotencyRow,
    JobRow,
    OutcomeRow,
    QrRow,
    ReceiptRow,
    RefreshTokenRow,
    RunRow,
    ServiceKeyRow,
    SharedSegmentRow,
    UploadRow,
)
from gateway.states import FileState

_OF_UPLOAD = {"upload": attrgetter("upload_id")}


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment that was begun."""

    segment_id: str
    file_id: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class ConcatRow:
    """A part's place in a final."""

    final_id: str
    number: int
    part_id: str


@dataclass(frozen=True, slots=True)
class Named:
    """A value under a name, or under a number."""

    name: str | int
    value: Any


@dataclass(frozen=True, slots=True)
class Store:
    """The tables."""

    uploads: Table[UploadRow]
    files: Table[FileRow]
    segments: Table[SegmentRow]
    shared_segments: Table[SharedSegmentRow]
    runs: Table[RunRow]
    concats: Table[ConcatRow]
    jobs: Table[JobRow]
    deliveries: Table[DeliveryRow]
    outcomes: Table[OutcomeRow]
    receipts: Table[ReceiptRow]
    delivered: Table[DeliveredRow]
    refresh_tokens: Table[RefreshTokenRow]
    idempotency: Table[IdempotencyRow]
    accounts: Table[AccountRow]
    qr_codes: Table[QrRow]
    audit: Table[AuditRow]
    keys: Table[Named]
    service_keys: Table[ServiceKeyRow]
    settings: Table[Named]
    facts: Table[Named]  #: counters, the next numbers, the trail's head

    def tables(self) -> Iterator[Table[Any]]:
        """Each of them."""
        return (getattr(self, field.name) for field in fields(self))

    def snapshot(self) -> Store:
        """All of them as they are now."""
        return Store(*(table.snapshot() for table in self.tables()))

    def fact(self, name: str, default: Any = 0) -> Any:
        """The value under that name."""
        found = self.facts.get(name)
        return default if found is None else found.value

    def next(self, name: str) -> int:
        """1, 2, 3, ..."""
        number = int(self.fact(name)) + 1
        self.facts.put(Named(name, number))
        return number


def new_store(undo: Undo) -> Store:
    """Empty tables."""
    name = attrgetter("name")
    return Store(
        uploads=Table(
            undo,
            attrgetter("upload_id"),
            {"state": attrgetter("state"), "kek": _kek_of, "owner": attrgetter("owner_id")},
        ),
        files=Table(
            undo,
            attrgetter("file_id"),
            {**_OF_UPLOAD, "client_mac": _client_mac_of, "state": _counted_state_of},
            unique=["client_mac"],
        ),
        segments=Table(undo, attrgetter("segment_id"), {**_OF_UPLOAD, "file": attrgetter("upload_id", "file_id")}),
        shared_segments=Table(undo, attrgetter("segment_id"), {"state": attrgetter("state")}),
        runs=Table(undo, attrgetter("run_id"), {"file": attrgetter("file_id"), "segment": attrgetter("segment_id")}),
        concats=Table(
            undo,
            attrgetter("final_id", "number"),
            {"final": attrgetter("final_id"), "part": attrgetter("part_id")},
        ),
        jobs=Table(undo, attrgetter("job_id"), {**_OF_UPLOAD, "kind": attrgetter("kind")}),
        deliveries=Table(undo, attrgetter("upload_id", "endpoint_id"), _OF_UPLOAD),
        outcomes=Table(undo, attrgetter("file_id", "endpoint_id"), {"file": attrgetter("file_id")}),
        receipts=Table(undo, attrgetter("receipt_id"), _OF_UPLOAD),
        delivered=Table(undo, attrgetter("instance_mac"), {"receipt": attrgetter("receipt_id")}),
        refresh_tokens=Table(
            undo,
            attrgetter("token_hash"),
            {
                **_OF_UPLOAD,
                "family": attrgetter("family_id"),
                "parent": attrgetter("parent_hash"),
                "account": attrgetter("account_id"),
            },
        ),
        idempotency=Table(undo, attrgetter("principal", "key_mac"), _OF_UPLOAD),
        accounts=Table(undo, attrgetter("account_id"), {"name": attrgetter("name_mac")}, unique=["name"]),
        qr_codes=Table(
            undo,
            attrgetter("qr_id"),
            {"token": attrgetter("token_hash"), "issuer": attrgetter("issuer_id")},
            unique=["token"],
        ),
        audit=Table(undo, attrgetter("number")),
        keys=Table(undo, name),
        service_keys=Table(undo, attrgetter("key_id")),
        settings=Table(undo, name),
        facts=Table(undo, name),
    )


def _kek_of(row: UploadRow) -> str | None:
    return None if row.key_id is None else row.kek_id


def _client_mac_of(row: FileRow) -> tuple[str, bytes] | None:
    return None if row.client_mac is None else (row.upload_id, row.client_mac)


def _counted_state_of(row: FileRow) -> tuple[str, FileState] | None:
    return None if row.dialect in (Dialect.GATEWAY, Dialect.PART) else (row.upload_id, row.state)
