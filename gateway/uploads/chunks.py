"""Chunks of the REST facade: in any order, in parallel, more than once; each kept whole or not at all (CONTRACT 2.2).

A chunk's bytes are an unaccepted run of a segment until its row is committed; before that they count for nothing.
Segments are kept for the next chunk of the same file, so that a file of many chunks isn't a heap of small segments.
"""

from __future__ import annotations

import hmac
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.errors import Conflict, NotFound, TooLarge
from gateway.identity.principal import Principal
from gateway.ledger.base import Transaction
from gateway.ledger.rows import Dialect, FileRow, UploadRow
from gateway.protocol import chunks
from gateway.protocol.chunks import Chunk
from gateway.spool import Run
from gateway.states import FileState
from gateway.uploads.admission import new_id
from gateway.uploads.body import Body
from gateway.uploads.completion import chunked_view, mark_whole, note_bytes, noted, require_file, require_open
from gateway.uploads.digests import BodyDigests
from gateway.uploads.intake import (
    Intake,
    NewFile,
    begin_segment,
    ensure_reserved,
    is_small,
    new_file,
    share_segment,
    upload_key,
    write_runs,
)
from gateway.uploads.leases import Claim
from gateway.uploads.membership import with_bytes, with_file
from gateway.uploads.pipeline import raise_unless_clean
from gateway.uploads.tails import OPEN_SEGMENTS, Tail


@dataclass(frozen=True, slots=True)
class ChunkWish:
    """One chunk that a client sends.

    :param digests: declared digests, hashlib name -> raw digest.
    """

    file_id: str
    chunk: Chunk
    digests: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _ChunkTarget:
    upload: UploadRow
    file: FileRow
    there: bool  #: a chunk was accepted here before


class ChunkWriters:
    """Open segments of chunked files, waiting for their next chunk."""

    def __init__(self, limit: int = OPEN_SEGMENTS) -> None:
        self._limit = limit
        self._free: dict[str, list[Tail]] = {}
        self._count = 0

    def take(self, file_id: str) -> Tail | None:
        """A writer of this file that nobody uses."""
        free = self._free.get(file_id)
        if not free:
            return None
        self._count -= 1
        return free.pop()

    def give_back(self, file_id: str, tail: Tail) -> None:
        """The writer may take another chunk, unless it is broken or there are too many."""
        if tail.writer.broken or self._count >= self._limit:
            tail.writer.close()
            return
        self._free.setdefault(file_id, []).append(tail)
        self._count += 1

    def close(self, file_id: str) -> None:
        """No more chunks come for this file."""
        for tail in self._free.pop(file_id, []):
            self._count -= 1
            tail.writer.close()

    def close_all(self) -> None:
        """At the end of the process."""
        for file_id in list(self._free):
            self.close(file_id)


class Chunks:
    """The act on files that come as chunks.

    :param segments: that are kept open for their next chunk, at most.
    """

    def __init__(self, intake: Intake, segments: int = OPEN_SEGMENTS) -> None:
        self._intake = intake
        self.writers = ChunkWriters(segments)
        self._serial = itertools.count()

    async def put(self, who: Principal, upload_id: str, wish: ChunkWish, body: Body) -> FileRow:
        """Take one chunk; the file as it is afterwards.

        :raises Conflict: `chunk_conflict`, `chunk_size_mismatch`, `other_dialect`, `upload_completed`, ...
        :raises ChecksumMismatch: the bytes don't have the declared digest; nothing was kept.
        """
        place = await self._place(who, upload_id, wish)
        view = chunked_view(place.upload, place.file)
        chunks.check_place(view, wish.chunk)
        if body.size is not None:
            chunks.check_size(view, body.size)
        await ensure_reserved(self._intake, place.upload)
        slot = f"{place.file.file_id}#{wish.chunk.index}#{next(self._serial)}"
        async with self._intake.leases.hold(slot, Claim.CUT, body.stop) as lease:
            taker = _ChunkCommit(self._intake, place, wish)
            room = view.chunk_size
            if place.there:
                flow = await self._intake.pipeline.digest(body, room, lease, taker.digest)
                raise_unless_clean(flow, "body_too_large")
                await taker.commit(flow.stored, ended_cleanly=True)
            else:
                await self._store(place, taker, body, room, lease)
        if taker.file.whole_at is not None:
            self.writers.close(place.file.file_id)
        return taker.file

    async def _store(self, place: _ChunkTarget, taker: _ChunkCommit, body: Body, room: int, lease: Any) -> None:
        intake, file_id = self._intake, place.file.file_id
        small = is_small(body.size, room)
        kept = None if small else self.writers.take(file_id)
        if kept is not None:
            tail = kept
        elif small:
            tail = await intake.ledger.read(lambda tx: share_segment(tx, intake, place.upload, place.file, 0))
        else:
            tail = await intake.ledger.write(lambda tx: begin_segment(tx, intake, place.upload, place.file, 0))
        tail.run_id = 0  # each chunk is an entry
        tail.writer.begin_run(taker.start)
        taker.writes_with(tail)
        try:
            flow = await intake.pipeline.pour(body, tail.writer, room, lease, taker.commit, taker.hashes)
        finally:
            if small:
                tail.writer.close()
            else:
                self.writers.give_back(file_id, tail)
        raise_unless_clean(flow, "body_too_large")

    async def _place(self, who: Principal, upload_id: str, wish: ChunkWish) -> _ChunkTarget:
        """The chunk's file, made by its first chunk."""
        intake = self._intake

        def look(tx: Transaction) -> _ChunkTarget | None:
            upload = tx.uploads.get(upload_id)
            if upload is None or not who.may_write(upload):
                raise NotFound("there is no such upload")
            upload = require_open(tx, upload_id)
            mac = upload_key(tx, intake.ring, upload).mac("file_id", wish.file_id.encode())
            file = tx.files.by_client_mac(upload_id, mac)
            if file is None:
                return None
            file = require_file(tx, file.file_id, Dialect.REST)
            there = tx.runs.at(file.file_id, wish.chunk.index * upload.chunk_size) is not None
            return _ChunkTarget(upload, file, there)

        def make(tx: Transaction) -> _ChunkTarget:
            found = look(tx)
            if found is not None:
                return found
            upload = require_open(tx, upload_id)
            with_file(upload, 0)  # there must be room for one more; it counts once a chunk of it is accepted
            key = upload_key(tx, intake.ring, upload)
            file, _ = new_file(tx, intake, key, Dialect.REST, NewFile(0, wish.file_id, None), length=None)
            upload = noted(upload, None, file)
            tx.uploads.save(upload)
            return _ChunkTarget(upload, file, there=False)

        found: _ChunkTarget | None = await intake.ledger.read(look)
        return await intake.ledger.write(make) if found is None else found


class _ChunkCommit:
    """Accepts one chunk, once its bytes are on disk."""

    def __init__(self, intake: Intake, place: _ChunkTarget, wish: ChunkWish) -> None:
        self._intake = intake
        self._place = place
        self._wish = wish
        self._tail: Tail | None = None
        self.digest = BodyDigests(wish.digests, "sha256")
        self.start = wish.chunk.index * place.upload.chunk_size
        self._whole = intake.spool.digests.resume(place.file.file_id, self.start) if self.start else None
        self.hashes = (self.digest,) if self._whole is None else (self.digest, self._whole)
        self.file = place.file

    def writes_with(self, tail: Tail) -> None:
        """The bytes go through its writer, which has begun a run for them."""
        self._tail = tail

    async def commit(self, stored: int, ended_cleanly: bool) -> None:
        """Accept the chunk if it came whole, else leave it out."""
        if not ended_cleanly:
            return
        self.digest.check()
        self.file = await self._intake.ledger.write(lambda tx: self._accept(tx, stored))
        whole = self._whole if self.start else self.digest.running(stored)
        self._intake.spool.digests.commit(self.file.file_id, self.file.offset, whole)

    def _accept(self, tx: Transaction, size: int) -> FileRow:
        intake, wish = self._intake, self._wish
        upload = require_open(tx, self._place.upload.upload_id, self._place.upload.epoch)
        file = require_file(tx, self._place.file.file_id, Dialect.REST)
        mac = upload_key(tx, intake.ring, upload).mac("chunk", self.digest.digest("sha256"))
        there = tx.runs.at(file.file_id, self.start)
        if there is not None:
            if not hmac.compare_digest(there.content_mac or b"", mac):
                raise Conflict("other bytes were accepted as this chunk before", code="chunk_conflict")
            return file
        view = chunks.accept(chunked_view(upload, file), wish.chunk, size)
        if self.start + size > intake.limits.max_file_size:
            raise TooLarge("the file is larger than uploads.max_file_size", code="file_too_large")
        tail = self._written()
        runs = list(tail.writer.runs) or [self._empty(tx, file)]
        write_runs(tx, file.file_id, tail, runs, mac)
        sealed_bytes = sum(run.sealed_bytes for run in runs)
        before = file
        file = replace(
            file,
            offset=view.received_bytes,
            total_chunks=view.total_chunks,
            chunks=view.chunks,
            highest_chunk=view.highest_index,
            sealed_bytes=file.sealed_bytes + sealed_bytes,
        )
        now = intake.clock.now()
        if view.chunks == 1:
            upload = with_file(upload, 0)
        upload = note_bytes(with_bytes(upload, size), size, now, intake.timing)
        if chunks.is_whole(view) and file.state is FileState.RECEIVING:
            return mark_whole(tx, noted(upload, before, None), file, now, intake.timing)[1]
        tx.uploads.save(noted(upload, before, file))
        tx.files.save(file)
        tx.wake(upload.upload_id)
        return file

    def _empty(self, tx: Transaction, file: FileRow) -> Run:
        """The only chunk of an empty file; its segment has no blob."""
        segment_id = new_id()
        tx.runs.begin_segment(segment_id, file.file_id, file.upload_id)
        return Run(segment_id, self.start, 0, 0, 0, 0, segment_id, 0)

    def _written(self) -> Tail:
        if self._tail is None:
            # The chunk was there when we looked and is gone now: its file was removed and made anew in between.
            raise Conflict("the file was changed in between; send the chunk again", code="conflict")
        return self._tail
