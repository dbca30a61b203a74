"""A small file that comes whole with its creation: one entry, one sync, one commit.

It is made when its bytes are there: sealed under a key that nobody has yet, synced, and then written down with all that
follows from it. What comes slowly, or breaks off, is made first and stored then, like any other.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gateway.ledger.base import Transaction
from gateway.ledger.rows import Dialect
from gateway.protocol.engine import Append, Completes
from gateway.spool import RunningDigest, SharedWriter
from gateway.uploads.arrivals import Arrival
from gateway.uploads.body import Body, BodyAccount, BodyBroken, BodyStopped
from gateway.uploads.completion import mark_whole, note_bytes, require_open
from gateway.uploads.intake import Intake, NewFile, UnwrittenFile, is_small, make_file, write_runs
from gateway.uploads.making import twin_of
from gateway.uploads.membership import with_file
from gateway.uploads.open_uploads import OpenUpload
from gateway.uploads.seen import Seen
from gateway.uploads.tails import Tail

#: A body that takes longer isn't waited for.
AT_ONCE_S = 1.0


@dataclass(slots=True)
class First:
    """The bytes that come with a creation.

    :ivar body: what is left of them.
    """

    append: Append
    body: Body


class AtOnce:
    """Makes such files."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def takes(self, wish: NewFile, first: First) -> bool:
        """Whether it may be one."""
        size, length = first.body.size, wish.length
        return (
            size is not None
            and length is not None
            and 0 < size <= length <= self._intake.limits.max_file_size
            and is_small(size, length)
            and is_small(length, length)
            and wish.completes is Completes.WHEN_FULL
            and not (first.append.digests or wish.part or wish.parts)
            and not self._intake.pipeline.memory_is_scarce
        )

    async def create(self, opened: OpenUpload, wish: NewFile, first: First) -> Seen | None:
        """The file with its bytes; None: it wasn't made, and what came of the body is in `first` again.

        :raises NotFound, Gone, Conflict, TooLarge: the upload doesn't take it; nothing is left of it.
        """
        if not opened.row.reserved_bytes:
            return None
        await self._intake.pipeline.ensure_reserve()
        with self._intake.pipeline.account() as held:
            if not held.receive(first.body, first.body.size or 0):
                return None
            pieces = await self._gathered(first, held)
            if pieces is None:
                return None
            seen = await self._store(opened, wish, pieces)
            if seen is None:
                first.body = BegunBody(pieces, first.body)
            return seen

    async def _gathered(self, first: First, held: BodyAccount) -> list[bytes] | None:
        """The whole body; None: not so soon."""
        clock = asyncio.get_running_loop().time
        body, pieces, ends_at = first.body, list[bytes](), clock() + AT_ONCE_S
        left = body.size or 0
        error: BodyBroken | BodyStopped | None = None
        while left > 0:
            try:
                piece = await body.read(max(0.0, ends_at - clock()))
            except (BodyBroken, BodyStopped) as broken:
                error = broken
                break
            if not piece:
                break
            pieces.append(piece)
            held.take(len(piece))
            left -= len(piece)
        if left == 0:
            return pieces
        first.body = BegunBody(pieces, body, error)
        return None

    async def _store(self, opened: OpenUpload, wish: NewFile, pieces: list[bytes]) -> Seen | None:
        arriving = _Coming(self._intake, opened, wish, pieces)
        try:
            seen = await self._intake.pipeline.record(arriving.begin, pieces, (arriving.digest,), arriving.act)
        except BaseException:
            arriving.close()
            raise
        arriving.told(seen)
        return seen


class _Coming:
    """One of them on its way: made by the thread that seals it, for keys aren't the event loop's work; written down by the
    ledger's.
    """

    def __init__(self, intake: Intake, opened: OpenUpload, wish: NewFile, pieces: list[bytes]) -> None:
        self.digest = RunningDigest()
        self._intake = intake
        self._opened = opened
        self._wish = wish
        self._pieces = pieces
        self._size = sum(map(len, pieces))
        self._made: UnwrittenFile | None = None
        self._tail: Tail | None = None
        self._writer: SharedWriter | None = None
        self._arrival: Arrival | None = None

    def begin(self) -> tuple[SharedWriter, Arrival | None]:
        """Make it, but for its rows; what stores its bytes, and what may be judged. In a thread."""
        wish, key = self._wish, self._opened.key
        self._made = made = make_file(self._intake, key, Dialect.TAIL, wish, length=wish.length)
        file_id, fence = made.row.file_id, made.row.fence
        writer = self._intake.spool.shared_writer(file_id=file_id, key=made.key, base_offset=0, fence=fence)
        self._writer, self._tail = writer, Tail(writer)
        if self._size == wish.length:
            self._arrival = Arrival(file_id, key, self._pieces, self.digest)
        return writer, self._arrival

    def act(self, tx: Transaction) -> Seen | None:
        """Write it down with its bytes; None: it is there already, or its name is."""
        intake, opened, wish, made, tail = self._intake, self._opened, self._wish, self._made, self._tail
        assert made is not None
        assert tail is not None
        upload = require_open(tx, opened.row.upload_id, opened.row.epoch)
        if twin_of(tx, opened.key, wish, Dialect.TAIL, made.row.client_mac) is not None:
            return None
        upload = with_file(upload, wish.length or 0)
        now, runs = intake.clock.now(), tail.writer.runs
        row = made.insert(tx, self._size, sum(run.sealed_bytes for run in runs))
        tail.run_id = write_runs(tx, row.file_id, Tail(tail.writer), runs)
        tail.sealed_bytes = row.sealed_bytes
        upload = note_bytes(upload, self._size, now, intake.timing)
        if row.offset == row.length:
            judged = None if self._arrival is None else self._arrival.judged
            return Seen(*mark_whole(tx, upload, row, now, intake.timing, judged), fresh=True)
        tx.uploads.save(upload)
        tx.wake(upload.upload_id)
        return Seen(upload, row, fresh=True)

    def told(self, seen: Seen | None) -> None:
        """What `act` returned is committed."""
        assert self._tail is not None
        self.close()
        if seen is not None and seen.file.whole_at is None:
            self._intake.tails.put(seen.file.file_id, self._tail)
        if seen is not None and not (self._arrival is not None and self._arrival.told(seen.file)):
            self._intake.spool.digests.commit(seen.file.file_id, seen.file.offset, self.digest)

    def close(self) -> None:
        """Nothing more comes to it from here."""
        if self._writer is not None:
            self._writer.close()


class BegunBody:
    """A body of which something was read already."""

    def __init__(self, pieces: list[bytes], rest: Body, error: BodyBroken | BodyStopped | None = None) -> None:
        self._pieces = pieces
        self._rest = rest
        self._error = error
        self.size = rest.size

    async def read(self, wait_s: float) -> bytes | None:
        """See `Body`."""
        if self._pieces:
            return self._pieces.pop(0)
        if self._error is not None:
            raise self._error
        return await self._rest.read(wait_s)

    def went_fast(self) -> None:
        """See `Body`."""
        self._rest.went_fast()

    def stop(self) -> None:
        """See `Body`."""
        self._rest.stop()
