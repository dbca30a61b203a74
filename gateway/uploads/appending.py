"""What an append at a file's tail writes down, at each of its commits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.errors import Conflict
from gateway.ledger.base import Transaction
from gateway.ledger.rows import Dialect, FileRow, replace
from gateway.protocol.engine import Append, FileView, settle, told
from gateway.spool import Run, SegmentWriter, SharedWriter, UploadKey
from gateway.uploads.admission import reserve_more
from gateway.uploads.arrivals import Arrival
from gateway.uploads.completion import note_bytes, require_file, require_open
from gateway.uploads.digests import BodyDigests
from gateway.uploads.intake import Heard, Intake, write_runs
from gateway.uploads.membership import needs_more_room, with_changed
from gateway.uploads.parts import made_whole
from gateway.uploads.seen import Seen
from gateway.uploads.tails import Tail


class Appender:
    """Commits what one append stored.

    :param key: of its upload, if it is at hand.
    """

    def __init__(
        self,
        intake: Intake,
        seen: Seen,
        wish: Append,
        tail: Tail,
        at: int,
        heard: Heard | None,
        key: UploadKey | None = None,
    ) -> None:
        self._intake = intake
        self._wish = wish
        self._tail = tail
        self._heard = heard
        self._declared = BodyDigests(wish.digests)
        self._whole = intake.spool.digests.resume(seen.file.file_id, at)
        self.hashes = tuple(one for one in (wish.digests and self._declared, self._whole) if one)
        self.seen = seen
        self._at = at
        self._key = key
        self._arrival: Arrival | None = None

    def arrival(self, pieces: Sequence[bytes | memoryview]) -> Arrival | None:
        """The file, if these are all its bytes and it may be judged by them."""
        file, digest = self.seen.file, self._whole
        if self._key is None or digest is None or self._at or file.dialect is not Dialect.TAIL:
            return None
        if told(view_of(file), self._wish, self._intake.limits.max_file_size).length == sum(map(len, pieces)):
            self._arrival = Arrival(file.file_id, self._key, pieces, digest)
        return self._arrival

    async def commit(self, stored: int, ended_cleanly: bool) -> None:
        """Write down that `stored` bytes of this append are durable.

        :raises Gone, Conflict: the upload was cancelled or completed in between; the bytes count for nothing.
        :raises ChecksumMismatch: they don't have the declared digest; they count for nothing.
        """
        if self._wish.digests:
            if not ended_cleanly:
                return
            self._declared.check()
        self.told(await self._intake.ledger.write(self.act(stored, ended_cleanly)))

    async def midway(self, stored: int, runs: Sequence[Run]) -> None:
        """Write down that `stored` bytes of this append, which are `runs`, are durable; more are being appended.

        :raises Gone, Conflict: see `commit`.
        """
        done = await self._intake.ledger.write(self.act(stored, False, runs))
        self._noted(done, runs)

    def act(
        self, stored: int, ended_cleanly: bool, durable: Sequence[Run] | None = None
    ) -> Callable[[Transaction], tuple[Seen, int]]:
        """Writes down that `stored` bytes are durable, when they are.

        :param durable: what they are; None: all that the writer has.
        :raises Gone, Conflict: see `commit`.
        """
        tail, before = self._tail, self.seen

        def act(tx: Transaction) -> tuple[Seen, int]:
            upload = require_open(tx, before.upload.upload_id, before.upload.epoch)
            file = require_file(tx, before.file.file_id, Dialect.TAIL)
            if file.fence != before.file.fence:
                raise Conflict("another request took over this file", code="taken_over")
            if file.offset != before.file.offset:
                raise Conflict("another process wrote to this file", code="conflict")
            view = told(view_of(file), self._wish, self._intake.limits.max_file_size)
            done = settle(view, self._wish, stored, ended_cleanly=ended_cleanly)
            runs = tail.writer.runs if durable is None else durable
            run_id = write_runs(tx, file.file_id, tail, runs)
            delta, sealed_delta = done.offset - file.offset, _sealed_bytes(runs) - self._kept_bytes()
            grown = replace(file, length=view.length, offset=done.offset, sealed_bytes=file.sealed_bytes + sealed_delta)
            upload = with_changed(upload, file, grown)
            if needs_more_room(upload, file):
                upload = reserve_more(tx, upload, self._intake.limits)
            now = self._intake.clock.now()
            upload = note_bytes(upload, delta, now, self._intake.timing)
            if done.whole and file.whole_at is None:
                judged = None if self._arrival is None else self._arrival.judged
                return Seen(*made_whole(tx, self._intake, upload, grown, now, judged)), run_id
            tx.uploads.save(upload)
            tx.files.save(grown)
            tx.wake(upload.upload_id)
            return Seen(upload, grown), run_id

        return act

    def told(self, result: tuple[Seen, int]) -> None:
        """What `act` returned is committed."""
        writer = self._tail.writer
        self._noted(result, writer.runs)
        if isinstance(writer, SharedWriter):
            writer.settled()
        if self._arrival is None or not self._arrival.told(self.seen.file):
            self._intake.spool.digests.commit(self.seen.file.file_id, self.seen.file.offset, self._whole)

    def _noted(self, result: tuple[Seen, int], runs: Sequence[Run]) -> None:
        self.seen, self._tail.run_id = result
        self._tail.sealed_bytes = _sealed_bytes(runs)
        if self._heard is not None:
            self._heard(self.seen.file.offset)

    def _kept_bytes(self) -> int:
        """Sealed bytes of the present runs that the file's row has already."""
        return self._tail.sealed_bytes if isinstance(self._tail.writer, SegmentWriter) else 0


def _sealed_bytes(runs: Sequence[Run]) -> int:
    return sum(run.sealed_bytes for run in runs)


def view_of(file: FileRow) -> FileView:
    """A file as the engine sees it."""
    return FileView(file.offset, file.length, file.whole_at is not None)
