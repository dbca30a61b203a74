"""Uploads with real keys, real segments and real rows, made without any protocol."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace

from gateway.blobs.memory import MemoryBlobs
from gateway.ledger.rows import FileRow, ReceiptRow, RunRow, UploadRow
from gateway.spool import Run, Spool, UploadKey
from gateway.states import FileState, UploadState
from tests.clocks import ManualClock
from tests.ledger_rows import file_row, upload_row
from tests.opened import Opened

CONTENT = b"\x00" * 128 + b"DICM" + b"pixels" * 100


@dataclass
class Spooled:
    """Makes uploads as they stand after their delivery, and looks at what is left of them."""

    opened: Opened
    clock: ManualClock
    blobs: MemoryBlobs
    spool: Spool = field(init=False)

    def __post_init__(self):
        self.spool = Spool(self.blobs)

    async def upload(
        self, state: UploadState, files: dict[FileState, int] | None = None, *, receipt: bool | None = None, **known
    ) -> UploadRow:
        """An upload in `state` with so many files of each state, each of one sealed segment."""
        now, upload_id = self.clock.now(), secrets.token_hex(16)
        files = {FileState.STORED: 1} if files is None else files
        done = state not in {UploadState.OPEN, UploadState.UPLOADING}
        finished = done and state not in {UploadState.DELIVERING, UploadState.HELD}
        receipt = state in {UploadState.SUCCESS, UploadState.PARTIAL} if receipt is None else receipt
        key, wrapped, kek_id = UploadKey.create(self.opened.ring, upload_id)
        row = upload_row(
            upload_id,
            now=now,
            state=state,
            kek_id=kek_id,
            meta_sealed=key.meta.seal(b"patient", context="uploads|meta"),
            reserved_bytes=10_000,
            completed_at=now if done else None,
            finished_at=now if finished else None,
        )
        row = replace(row, **known)
        made = [self._file(key, upload_id, state) for state, count in files.items() for _ in range(count)]

        def act(tx):
            begun = replace(row, key_id=tx.keys.insert(wrapped), receipt_id=upload_id if receipt else None)
            tx.uploads.insert(begun)
            if receipt:
                tx.receipts.insert(ReceiptRow(upload_id, upload_id, "kid", b"jws", now))
            for file, wrapped_file, run in made:
                segment_id = run.segment_id
                place = (segment_id, run.start, run.length, run.position, run.first_frame)
                entry = (run.entry_at, run.entry_id, run.sealed_bytes)
                tx.files.insert(replace(file, key_id=tx.keys.insert(wrapped_file)))
                tx.runs.begin_segment(segment_id, file.file_id, upload_id)
                tx.runs.insert(RunRow(0, file.file_id, *place, None, *entry))
            return begun

        return await self.opened.ledger.write(act)

    def _file(self, key: UploadKey, upload_id: str, state: FileState) -> tuple[FileRow, bytes, Run]:
        file_id, segment_id = secrets.token_hex(16), secrets.token_hex(16)
        file_key, wrapped = key.new_file_key(file_id)
        writer = self.spool.writer(segment_id=segment_id, file_id=file_id, key=file_key, base_offset=0)
        writer.append([CONTENT])
        writer.sync()
        writer.close()
        row = file_row(
            file_id,
            upload_id,
            state=state,
            length=len(CONTENT),
            offset=len(CONTENT),
            sealed_bytes=len(self.blobs.content(segment_id)),
            client_mac=secrets.token_bytes(32),
            meta_sealed=b"sealed",
            facts_sealed=b"sealed",
            outcome_sealed=b"sealed",
        )
        return row, wrapped, writer.run

    async def now(self, upload: UploadRow) -> UploadRow:
        """The row as it is now."""
        row = await self.opened.ledger.read(lambda tx: tx.uploads.get(upload.upload_id))
        assert row is not None
        return row

    async def files(self, upload: UploadRow) -> list[FileRow]:
        return await self.opened.ledger.read(lambda tx: tx.files.page(upload.upload_id))

    async def blobs_of(self, upload: UploadRow) -> int:
        """How many sealed segments of it are in the store; one that no row names any more counts for nobody."""
        ids = await self.opened.ledger.read(lambda tx: tx.runs.segment_ids(upload.upload_id))
        return sum(facts.name in set(ids) for facts in self.blobs.list())

    def blob_count(self) -> int:
        return sum(1 for _ in self.blobs.list())

    async def keys_left(self, upload: UploadRow, files: list[FileRow]) -> int:
        """How many of the wrapped keys that these rows name can still be had."""
        ids = [one for one in [upload.key_id, *(file.key_id for file in files)] if one is not None]
        return await self.opened.ledger.read(lambda tx: sum(tx.keys.get(one) is not None for one in ids))

    async def told(self, event: str) -> int:
        """How often the trail has this event."""
        return sum(one.event == event for one in await self.opened.events())
