"""What the acts on files share: the parts they are built on, keys, new rows.

Transactions only; the way of the bytes is in `pipeline.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.errors import Gone
from gateway.keys import unwrap
from gateway.keys.columns import Column
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import Dialect, FileRow, RunRow, UploadRow, replace
from gateway.protocol.engine import Completes
from gateway.spool import FileKey, Fresh, KeyRing, Run, SegmentWriter, ServiceKeys, Spool, UploadKey
from gateway.states import FileState
from gateway.uploads.admission import Limits, new_id, reserve_again
from gateway.uploads.completion import Timing
from gateway.uploads.leases import Leases
from gateway.uploads.pipeline import Pipeline
from gateway.uploads.sharing import SMALL_BELOW_BYTES, Sharing
from gateway.uploads.tails import Tail, Tails

#: Of a new file: its id, its key, and the nonces of what is sealed for it.
_RANDOM_BYTES = 16 + 32 + 3 * 12
#: Hears the offset at every commit of an append.
Heard = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Intake:
    """What the acts on files are built on."""

    ledger: Ledger
    spool: Spool
    ring: KeyRing
    keys: ServiceKeys
    leases: Leases
    tails: Tails
    pipeline: Pipeline
    sharing: Sharing
    clock: Clock
    limits: Limits
    timing: Timing


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that somebody wants to make. Sizes in bytes.

    :param completes: what makes it whole: an empty one is whole at once only over tus.
    :param part: it is a part of a concatenation, to be.
    :param parts: ids of the parts that it is put together from, in order; None: it gets bytes of its own.
    :param concat: `Upload-Concat` of such a one as received.
    """

    length: int | None  #: None: told later, or never
    client_file_id: str | None
    raw_metadata: str | None
    completes: Completes = Completes.WHEN_FULL
    part: bool = False
    parts: tuple[str, ...] | None = None
    concat: str | None = None


async def ensure_reserved(intake: Intake, upload: UploadRow) -> None:
    """Before the first byte: its room may have lapsed. :raises SpoolFull, TooMany: there is none just now."""
    if not upload.reserved_bytes:
        room_bytes = await intake.pipeline.threads.run(intake.spool.room_bytes)
        await intake.ledger.write(lambda tx: reserve_again(tx, upload.upload_id, intake.limits, room_bytes))


def file_key(tx: Transaction, ring: KeyRing, upload: UploadRow, file: FileRow) -> FileKey:
    """:raises Gone: the keys are erased."""
    wrapped = tx.keys.get(file.key_id) if file.key_id is not None else None
    if wrapped is None:
        raise Gone("the bytes of this file are erased", code="file_gone")
    return upload_key(tx, ring, upload).file_key(file.file_id, wrapped)


def upload_key(tx: Transaction, ring: KeyRing, upload: UploadRow) -> UploadKey:
    """:raises Gone: the key is erased."""
    key = unwrap.upload_key(tx, ring, upload)
    if key is None:
        raise Gone("the bytes of this upload are erased", code="upload_gone", state=str(upload.state))
    return key


@dataclass(frozen=True, slots=True)
class UnwrittenFile:
    """A new file that isn't written down yet."""

    row: FileRow  #: without its `key_id`
    key: FileKey
    wrapped: bytes

    def insert(self, tx: Transaction, offset: int = 0, sealed_bytes: int = 0) -> FileRow:
        """Write it down, with its key. :param offset, sealed_bytes: of what was stored of it already."""
        row = replace(self.row, key_id=tx.keys.insert(self.wrapped), offset=offset, sealed_bytes=sealed_bytes)
        tx.files.insert(row)
        return row


def make_file(intake: Intake, key: UploadKey, dialect: Dialect, wish: NewFile, *, length: int | None) -> UnwrittenFile:
    """A new file with its key. :param key: the upload's."""
    fresh = Fresh(_RANDOM_BYTES)
    file_id = fresh.take(16).hex()
    file_key, wrapped = key.new_file_key(file_id, fresh)
    client_id, raw = wish.client_file_id, wish.raw_metadata
    row = FileRow(
        file_id=file_id,
        upload_id=key.upload_id,
        dialect=dialect,
        state=FileState.RECEIVING,
        client_mac=key.mac("file_id", client_id.encode()) if client_id is not None else None,
        client_id_sealed=intake.keys.records.seal(
            client_id.encode(), context=Column.FILE_CLIENT_ID.of(file_id), fresh=fresh
        )
        if client_id is not None
        else None,
        meta_sealed=key.meta.seal(raw.encode(), context=Column.FILE_META.of(file_id), fresh=fresh)
        if raw is not None
        else None,
        key_id=None,
        length=length,
        offset=0,
        total_chunks=None,
        chunks=0,
        highest_chunk=-1,
        sealed_bytes=0,
        facts_sealed=None,
        outcome_sealed=None,
        created_at=intake.clock.now(),
        whole_at=None,
        bytes_sealed=None,
    )
    return UnwrittenFile(row, file_key, wrapped)


def new_file(
    tx: Transaction, intake: Intake, key: UploadKey, dialect: Dialect, wish: NewFile, *, length: int | None
) -> tuple[FileRow, FileKey]:
    """Write a new file with its key; the upload's row is the caller's to save. See `make_file`."""
    made = make_file(intake, key, dialect, wish, length=length)
    return made.insert(tx), made.key


async def raise_fence(ledger: Ledger, file_id: str) -> None:
    """Who writes to the file's tail just now commits nothing any more."""

    def act(tx: Transaction) -> None:
        file = tx.files.get(file_id)
        if file is not None:
            tx.files.save(replace(file, fence=file.fence + 1))

    await ledger.write(act)


def is_small(size: int | None, room: int) -> bool:
    """Whether a body goes where small ones go. :param size: None: nobody knows. :param room: for it, at most."""
    return (room if size is None else min(size, room)) < SMALL_BELOW_BYTES


def begin_segment(
    tx: Transaction, intake: Intake, upload: UploadRow, file: FileRow, at: int, key: FileKey | None = None
) -> Tail:
    """Write a new segment of this file alone down, before its blob is made.

    :param key: the file's, if it is at hand.
    :raises Gone: the keys are erased.
    """
    segment_id = new_id()
    tx.runs.begin_segment(segment_id, file.file_id, upload.upload_id)
    if key is None:
        key = file_key(tx, intake.ring, upload, file)
    writer = intake.spool.writer(segment_id=segment_id, file_id=file.file_id, key=key, base_offset=at, fence=file.fence)
    return Tail(writer)


def share_segment(
    tx: Transaction, intake: Intake, upload: UploadRow, file: FileRow, at: int, key: FileKey | None = None
) -> Tail:
    """A writer of small appends; there is nothing to write down. See `begin_segment`."""
    if key is None:
        key = file_key(tx, intake.ring, upload, file)
    writer = intake.spool.shared_writer(file_id=file.file_id, key=key, base_offset=at, fence=file.fence)
    return Tail(writer)


def first_tail(tx: Transaction, intake: Intake, upload: UploadRow, file: FileRow, key: FileKey) -> Tail:
    """What stores the first bytes of a new file: a large one has a segment for itself."""
    begin = share_segment if is_small(file.length, SMALL_BELOW_BYTES) else begin_segment
    return begin(tx, intake, upload, file, 0, key)


async def tail_at(intake: Intake, upload: UploadRow, file: FileRow, at: int, *, small: bool) -> Tail:
    """The writer that goes on at `at`, or a new one: one with uncommitted bytes is never continued.

    :param small: what comes may share a segment; a large body has one for itself.
    """
    tail = intake.tails.take(file.file_id)
    if tail is not None:
        fits = small or isinstance(tail.writer, SegmentWriter)
        if fits and not tail.writer.broken and tail.writer.offset == at:
            return tail
        tail.writer.close()
    if small:
        return await intake.ledger.read(lambda tx: share_segment(tx, intake, upload, file, at))
    return await intake.ledger.write(lambda tx: begin_segment(tx, intake, upload, file, at))


def write_runs(tx: Transaction, file_id: str, tail: Tail, runs: Sequence[Run], content_mac: bytes | None = None) -> int:
    """Write down what a tail has stored since its last row.

    :param content_mac: of a chunk: it stands in its first run.
    :returns: the last run's number; 0: there is none.
    """
    run_id = tail.run_id
    for number, run in enumerate(runs):
        if run_id and isinstance(tail.writer, SegmentWriter):
            tx.runs.extend(run_id, run.length, run.sealed_bytes)
            continue
        place = (run.segment_id, run.start, run.length, run.position, run.first_frame)
        entry = (run.entry_at, run.entry_id, run.sealed_bytes)
        run_id = tx.runs.insert(RunRow(0, file_id, *place, content_mac if number == 0 else None, *entry))
    return run_id
