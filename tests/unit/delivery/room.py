"""A delivery room: a real ledger, a real spool, a little PACS; uploads that are complete."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.blobs.memory import MemoryBlobs
from gateway.delivery.attempt import Announce, DeliveryRules
from gateway.delivery.endpoint import EndpointTarget
from gateway.delivery.items import open_outcome
from gateway.delivery.routes import DeliveryRoute
from gateway.delivery.service import Delivery
from gateway.jobs.backoff import Backoff
from gateway.jobs.workers import Workers
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import AuditRow, DeliveryRow, Dialect, FileRow, JobKind, JobRow, ReceiptRow, UploadRow
from gateway.receipts import document
from gateway.receipts.document import Signer
from gateway.receipts.packing import unpacked
from gateway.spool import Spool, UploadKey
from gateway.states import FileState, UploadState
from gateway.uploads.completion import enqueue_delivery
from tests.clocks import ManualClock
from tests.ledger_rows import file_row, job_row, run_row, upload_row
from tests.opened import Opened, opened_ledger
from tests.unit.delivery.little_pacs import LittlePacs, Toy, ToyCheck


def new_id() -> str:
    return secrets.token_hex(16)


def _meta(known: dict[str, Any]) -> dict[str, Any]:
    """What was declared; it is taken out."""
    meta = {name: known.pop(name, {}) for name in ("study_metadata", "expected", "uploader")}
    return meta | {"clinical_notes": known.pop("clinical_notes", "")}


@dataclass
class Room:
    """What a test holds."""

    opened: Opened
    clock: ManualClock
    pacs: LittlePacs
    check: Any = field(default_factory=ToyCheck)
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    config: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    others: dict[str, LittlePacs] = field(default_factory=dict)  #: endpoints beside `main`
    routes: Sequence[DeliveryRoute] = ()
    announce: Announce = lambda _tx, _upload, _event, _now: None
    told: list[tuple[str, UploadState]] = field(default_factory=list)  #: what a test had announced
    _keys: dict[str, UploadKey] = field(default_factory=dict)  #: of uploads of which more comes

    def __post_init__(self) -> None:
        self.signer = Signer(self.opened.keys.receipt_seed)
        self.restart()

    @property
    def ledger(self) -> Ledger:
        return self.opened.ledger

    def restart(self, ledger: Ledger | None = None) -> None:
        """A new process over the same ledger, spool and PACS."""
        backoff = Backoff(base_s=1.0, cap_s=60.0)
        self.delivery = Delivery(
            ledger=ledger or self.opened.ledger,
            spool=Spool(self.blobs),
            ring=self.opened.ring,
            keys=self.opened.keys,
            targets={
                "main": EndpointTarget(**{"target": self.pacs, **self.config}),
                **{name: EndpointTarget(**{"target": pacs, **self.config}) for name, pacs in self.others.items()},
            },
            check=self.check,
            signer=self.signer,
            clock=self.clock,
            settings=DeliveryRules(**{"backoff": backoff, "retry_for_s": 3600.0, **self.settings}),
            announce=self.announce,
            routes=self.routes,
        )
        self.workers = Workers(
            ledger or self.opened.ledger,
            self.delivery.handlers(),
            self.clock,
            concurrency=self.delivery.concurrency(),
            backoff=backoff,
        )

    async def submit(self, content: Sequence[Toy | bytes], **known: Any) -> str:
        """A completed upload of these, its checks and its delivery due."""
        upload_id = new_id()
        key, wrapped, kek_id = UploadKey.create(self.opened.ring, upload_id)
        now = self.clock.now()
        meta = _meta(known)
        spooled = [
            self._spool(key, one if isinstance(one, bytes) else one.content, number)
            for number, one in enumerate(content)
        ]

        def act(tx: Transaction) -> None:
            tx.uploads.insert(
                upload_row(
                    upload_id, now=now, state=UploadState.DELIVERING, key_id=tx.keys.insert(wrapped), kek_id=kek_id,
                    completed_at=now, total_files=len(content), whole_files=len(content),
                    meta_sealed=key.meta.seal_json(meta, context=f"uploads|meta|{upload_id}"), **known,
                )
            )  # fmt: skip
            for row, run, file_key in spooled:
                tx.files.insert(replace(row, key_id=tx.keys.insert(file_key)))
                if run is not None:
                    tx.runs.begin_segment(run.segment_id, row.file_id, upload_id)
                    tx.runs.insert(run)
                tx.jobs.insert(job_row(upload_id, due_at=now, kind=JobKind.CHECK, file_id=row.file_id))
            tx.jobs.insert(job_row(upload_id, due_at=now))

        await self.ledger.write(act)
        return upload_id

    async def begin(self, total_files: int, **known: Any) -> str:
        """An upload of which nothing has come yet."""
        upload_id = new_id()
        key, wrapped, kek_id = UploadKey.create(self.opened.ring, upload_id)
        self._keys[upload_id] = key
        meta, now = key.meta.seal_json(_meta(known), context=f"uploads|meta|{upload_id}"), self.clock.now()

        def act(tx: Transaction) -> None:
            row = upload_row(
                upload_id, now=now, state=UploadState.UPLOADING, key_id=tx.keys.insert(wrapped), kek_id=kek_id,
                total_files=total_files, meta_sealed=meta, **known,
            )  # fmt: skip
            tx.uploads.insert(row)

        await self.ledger.write(act)
        return upload_id

    async def add(self, upload_id: str, *content: Toy) -> list[str]:
        """These come whole, one after the other; their ids."""
        key, now = self._keys[upload_id], self.clock.now()
        there = len(await self.ledger.read(lambda tx: tx.files.page(upload_id)))
        spooled = [self._spool(key, one.content, there + number) for number, one in enumerate(content)]

        def act(tx: Transaction) -> None:
            for row, run, file_key in spooled:
                tx.files.insert(replace(row, state=FileState.WHOLE, key_id=tx.keys.insert(file_key)))
                tx.runs.begin_segment(run.segment_id, row.file_id, upload_id)
                tx.runs.insert(run)
                tx.jobs.insert(job_row(upload_id, due_at=now, kind=JobKind.CHECK, file_id=row.file_id))
                upload = tx.uploads.get(upload_id)
                assert upload is not None
                tx.uploads.save(replace(upload, whole_files=upload.whole_files + 1))

        await self.ledger.write(act)
        return [row.file_id for row, _, _ in spooled]

    async def complete(self, upload_id: str) -> None:
        """Its client says that it is all."""

        def act(tx: Transaction) -> None:
            upload = tx.uploads.get(upload_id)
            assert upload is not None
            enqueue_delivery(tx, upload, self.clock.now(), "client")

        await self.ledger.write(act)

    def _spool(self, key: UploadKey, content: bytes, number: int) -> tuple[FileRow, Any, bytes]:
        file_id, segment_id = new_id(), new_id()
        file_key, wrapped = key.new_file_key(file_id)
        writer = Spool(self.blobs).writer(segment_id=segment_id, file_id=file_id, key=file_key, base_offset=0)
        writer.begin_run(0)
        writer.append([content])
        writer.sync()
        run = writer.run
        writer.close()
        name = f"client-{number}"
        row = file_row(
            file_id, key.upload_id, state=FileState.QUEUED, length=len(content), offset=len(content),
            client_id_sealed=self.opened.keys.records.seal(name.encode(), context=f"files|client_id|{file_id}"),
            created_at=self.clock.now(), whole_at=self.clock.now() + number / 1000,
        )  # fmt: skip
        return row, run_row(
            file_id, segment_id, start=run.start, length=run.length, position=run.position,
            first_frame=run.first_frame, entry_at=run.entry_at, entry_id=run.entry_id, sealed_bytes=run.sealed_bytes,
        ), wrapped  # fmt: skip

    async def run(self, *, for_s: float = 0.0) -> None:
        """Work until nothing is due any more within `for_s` of the clock's time."""
        until = self.clock.now() + for_s
        while True:
            await self.workers.run_due()
            due_at = await self.ledger.read(lambda tx: tx.jobs.next_due(list(JobKind)))
            if due_at is None or due_at > until:
                self.clock.advance(until - self.clock.now())
                return
            self.clock.advance(max(0.0, due_at - self.clock.now()) + 0.001)

    async def upload(self, upload_id: str) -> UploadRow:
        row = await self.ledger.read(lambda tx: tx.uploads.get(upload_id))
        assert row is not None
        return row

    async def files(self, upload_id: str) -> dict[str, FileRow]:
        """By the client's name."""
        rows = await self.ledger.read(lambda tx: tx.files.page(upload_id))
        keys = self.opened.keys
        return {
            keys.records.open(row.client_id_sealed, context=f"files|client_id|{row.file_id}").decode(): row
            for row in rows
            if row.client_id_sealed is not None
        }

    async def states(self, upload_id: str) -> list[str]:
        """Of its files, in the order in which they were submitted."""
        files = await self.files(upload_id)
        return [str(files[name].state) for name in sorted(files, key=lambda name: int(name.split("-")[1]))]

    async def outcomes(self, upload_id: str) -> list[Any]:
        files = await self.files(upload_id)
        return [
            open_outcome(self.opened.keys, row.file_id, row.outcome_sealed)
            for name in sorted(files, key=lambda name: int(name.split("-")[1]))
            if (row := files[name]).outcome_sealed is not None
        ]

    async def made(self, upload_id: str) -> list[FileRow]:
        """What the gateway made itself."""
        rows = await self.ledger.read(lambda tx: tx.files.page(upload_id))
        return [row for row in rows if row.dialect is Dialect.GATEWAY]

    async def warnings(self, upload_id: str) -> list[dict[str, str]]:
        row = await self.upload(upload_id)
        if row.warnings_sealed is None:
            return []
        return self.opened.keys.records.open_json(row.warnings_sealed, context=f"uploads|warnings|{upload_id}")

    async def receipt(self, upload_id: str) -> dict[str, Any]:
        """The upload's receipt, its signature checked."""
        row = await self.upload(upload_id)
        assert row.receipt_id is not None
        return await self._opened(row.receipt_id)

    async def _opened(self, receipt_id: str) -> dict[str, Any]:
        receipt: ReceiptRow | None = await self.ledger.read(lambda tx: tx.receipts.get(receipt_id))
        assert receipt is not None
        jws = self.opened.keys.records.open(receipt.jws_sealed, context=f"receipts|jws|{receipt_id}")
        return document.verify(unpacked(jws), self.signer.jwks())

    async def deliveries(self, upload_id: str) -> dict[str, DeliveryRow]:
        """By endpoint."""
        rows = await self.ledger.read(lambda tx: tx.deliveries.of_upload(upload_id))
        return {row.endpoint_id: row for row in rows}

    async def receipt_at(self, upload_id: str, endpoint_id: str) -> dict[str, Any]:
        """The receipt of one of several deliveries, its signature checked."""
        receipt_id = (await self.deliveries(upload_id))[endpoint_id].receipt_id
        assert receipt_id is not None
        return await self._opened(receipt_id)

    async def jobs(self) -> list[JobRow]:
        return await self.ledger.read(lambda tx: tx.jobs.page(after=0, limit=1000))

    async def events(self) -> list[AuditRow]:
        return await self.opened.events()

    async def event_names(self) -> list[str]:
        return [event.event for event in await self.events()]


@asynccontextmanager
async def room(tmp_path: Path, *, sqlite: bool = False, **known: Any) -> AsyncIterator[Room]:
    """:param sqlite: a ledger in that folder, not in memory."""
    clock = ManualClock()
    async with opened_ledger(clock, path=tmp_path / "relaypacs.db" if sqlite else None) as opened:
        yield Room(opened, clock, LittlePacs(now=clock.now), **known)
