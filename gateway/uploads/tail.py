"""Files of an upload: create, append, look, drop. The four promises, in the order in which they become true:

1. acknowledged <= committed <= durable: an offset is told only after its bytes were synced and its row committed.
2. *whole* and its job are one transaction, with the audit event (`completion.mark_whole`).
3. delivery is idempotent and retried (`delivery/`); it begins with what stands in the ledger.
4. one place erases (`purge/erasure.py`), and only with a receipt or at the end of a retention.

Knows no protocol's headers, no HTTP library and no PACS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.errors import Conflict, NotFound, SpoolFull, TooLarge, Unauthorized
from gateway.identity.principal import Principal, visible
from gateway.keys.columns import Column
from gateway.ledger.base import Transaction
from gateway.ledger.rows import Dialect, FileRow, UploadRow
from gateway.protocol.engine import Append, Completes, FileView, plan, settle, told
from gateway.spool import SegmentWriter, SharedWriter, UploadKey, sealed_size
from gateway.states import FileState, UploadState
from gateway.uploads.admission import Wish, check_size, create_upload, reserve_more
from gateway.uploads.body import Body
from gateway.uploads.completion import (
    mark_whole,
    note_bytes,
    require_file,
    require_open,
    require_receiving,
    takes_bytes,
    touched,
)
from gateway.uploads.digests import BodyDigests
from gateway.uploads.holes import give_back
from gateway.uploads.intake import (
    Intake,
    NewFile,
    ensure_reserved,
    first_tail,
    is_small,
    new_file,
    tail_at,
    upload_key,
    write_runs,
)
from gateway.uploads.leases import Claim
from gateway.uploads.membership import with_changed, with_file, without_file
from gateway.uploads.pipeline import COMMIT_EVERY_BYTES, Tail, raise_unless_clean
from gateway.uploads.probe import ensure_sound

#: Hears the offset at every commit of an append.
Heard = Callable[[int], None]

#: A question of a client moves `expires_at` only if that moved it by more than this share of its life.
TOUCH_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Seen:
    """A file and its upload as the ledger has them.

    :param fresh: made just now, by the one who sees it.
    """

    upload: UploadRow
    file: FileRow
    raw_metadata: str | None = None
    fresh: bool = False


class Files:
    """The acts on files that grow at their tail."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def create(self, who: Principal, upload_id: str, wish: NewFile) -> Seen:
        """A file of one of the caller's uploads; the same client file id and length give the same file.

        :raises NotFound, Gone, Conflict, TooLarge: see the codes.
        """
        intake = self._intake

        def act(tx: Transaction) -> tuple[Seen, Tail | None]:
            found = tx.uploads.get(upload_id)
            upload = require_receiving(visible(found, found is not None and who.may_write(found)))
            key = upload_key(tx, intake.ring, upload)
            twin = self._twin(tx, key, wish)
            if twin is not None:
                return Seen(upload, twin), None
            return self._insert(tx, upload, key, wish)

        seen, tail = await intake.ledger.write(act)
        if not seen.fresh:
            await intake.leases.cut([seen.file.file_id])
            seen, tail = await intake.ledger.write(act)  # where those have left it who wrote meanwhile
        return self._created(seen, tail)

    async def create_single(self, wish: Wish, file: NewFile) -> Seen:
        """A file in an upload of its own, which is completed when the file is whole.

        :raises TooLarge, SpoolFull: it is over a limit, or there is no room.
        """
        intake = self._intake
        check_size(wish, intake.limits)
        room_bytes = await intake.pipeline.threads.run(intake.spool.room_bytes)

        def act(tx: Transaction) -> tuple[Seen, Tail | None]:
            upload = create_upload(tx, intake.ring, wish, intake.limits, intake.timing, intake.clock.now(), room_bytes)
            return self._insert(tx, upload, upload_key(tx, intake.ring, upload), file)

        return self._created(*await intake.ledger.write(act))

    async def find(self, who: Principal, file_id: str, *, to_write: bool = True) -> Seen:
        """The file, if it is the caller's. :raises NotFound: it isn't there, or is another's."""

        def act(tx: Transaction) -> Seen:
            file = tx.files.get(file_id)
            upload = tx.uploads.get(file.upload_id) if file is not None else None
            allowed = upload is not None and (who.may_write(upload) if to_write else who.may_see(upload))
            if file is None or upload is None or not allowed:
                raise NotFound("there is no such file")
            return Seen(upload, file)

        return await self._intake.ledger.read(act)

    async def look(self, who: Principal, file_id: str) -> Seen:
        """Where to go on: cuts whoever writes, then tells what is durable.

        :raises NotFound, Gone: see there.
        """
        await self.find(who, file_id)
        await self._intake.leases.cut([file_id])

        def act(tx: Transaction) -> Seen:
            file = tx.files.get(file_id)
            if file is None:
                raise NotFound("there is no such file")
            upload = tx.uploads.get(file.upload_id)
            if upload is None:
                raise NotFound("there is no such file")
            raw: str | None = None
            if file.meta_sealed is not None and upload.key_id is not None:
                key = upload_key(tx, self._intake.ring, upload)
                raw = key.meta.open(file.meta_sealed, context=Column.FILE_META.of(file_id)).decode()
            return Seen(upload, file, raw)

        seen = await self._intake.ledger.read(act)
        await ensure_sound(self._intake, seen.upload, seen.file)
        await self.touch(seen.upload)
        return seen

    async def append(self, seen: Seen, wish: Append, body: Body, heard: Heard | None = None) -> Seen:
        """Add a body at the tail; what a broken line brought is kept, unless digests of it were declared.

        :param seen: the caller's own file, from `find`.
        :param heard: hears every offset that has become true.
        :raises Conflict: wrong offset; nobody is disturbed.
        :raises Locked: a live request is writing.
        :raises ChecksumMismatch: the body has another digest than was declared; nothing of it is kept.
        :raises Unauthorized: the file is whole, and its account may not complete it.
        :raises BodyBroken, BodyStopped: after everything that came is stored.
        """
        if wish.at != seen.file.offset:
            raise Conflict("Upload-Offset is not the end of the file", code="offset_mismatch", offset=seen.file.offset)
        return await self._append(seen.file.file_id, wish, body, Claim.POLITE, heard=heard)

    async def append_first(self, created: Seen, wish: Append, body: Body, heard: Heard | None = None) -> Seen:
        """The body of a creation, from wherever the file is. See `append`."""
        fresh = created if created.fresh else None
        return await self._append(created.file.file_id, wish, body, Claim.CUT, fresh, heard)

    async def drop(self, who: Principal, file_id: str) -> UploadRow:
        """Take a file out that isn't completed yet; its upload's totals stay as declared.

        :returns: the upload, as it was when the file was taken out.
        :raises Conflict: the upload is completed.
        """
        await self.find(who, file_id)
        return await self.remove(file_id, who.actor, lower_totals=False)

    async def remove(self, file_id: str, actor: str, *, lower_totals: bool) -> UploadRow:
        """Erase one file of an upload that still receives or is held, and write that down."""
        intake = self._intake
        await intake.leases.cut([file_id])
        intake.tails.close(file_id)

        def act(tx: Transaction) -> tuple[UploadRow, list[str]]:
            file = tx.files.get(file_id)
            if file is None or file.state is FileState.REMOVED:
                raise NotFound("there is no such file")
            upload = tx.uploads.get(file.upload_id)
            if upload is None:
                raise NotFound("there is no such file")
            if upload.state is not UploadState.HELD:
                upload = require_open(tx, file.upload_id)
            segments = tx.runs.segment_ids(file.upload_id, file_id)
            now = intake.clock.now()
            return without_file(tx, upload, file, actor, now, intake.timing, lower_totals=lower_totals), segments

        upload, segments = await intake.ledger.write(act)
        await intake.pipeline.threads.run(intake.spool.delete, segments)
        await intake.ledger.write(lambda tx: tx.runs.forget(segments))
        await give_back(intake.ledger, intake.spool, [file_id])
        return upload

    async def touch(self, upload: UploadRow) -> None:
        """A client asked: its upload lives on. Written down only when that makes a difference."""
        intake = self._intake
        now = intake.clock.now()
        moved_s = now + intake.timing.expires_s - upload.expires_at
        if upload.state not in (UploadState.OPEN, UploadState.UPLOADING) or moved_s < (
            intake.timing.expires_s * TOUCH_SHARE
        ):
            return

        def act(tx: Transaction) -> None:
            row = tx.uploads.get(upload.upload_id)
            if row is not None and row.state in (UploadState.OPEN, UploadState.UPLOADING):
                tx.uploads.save(touched(row, now, intake.timing))

        await intake.ledger.write(act)

    def _twin(self, tx: Transaction, key: UploadKey, wish: NewFile) -> FileRow | None:
        if wish.client_file_id is None:
            return None
        twin = tx.files.by_client_mac(key.upload_id, key.mac("file_id", wish.client_file_id.encode()))
        if twin is None or twin.state is FileState.REMOVED:
            return None
        if twin.dialect is not Dialect.TAIL:
            raise Conflict("this file was made by another protocol", code="other_dialect")
        if wish.length is not None and twin.length != wish.length:
            raise Conflict("this file_id was created with another length", code="length_mismatch")
        return twin

    def _insert(self, tx: Transaction, upload: UploadRow, key: UploadKey, wish: NewFile) -> tuple[Seen, Tail | None]:
        intake = self._intake
        if (wish.length or 0) > intake.limits.max_file_size:
            raise TooLarge("the file is larger than uploads.max_file_size", code="file_too_large")
        upload = with_file(upload, wish.length or 0)
        row, file_key = new_file(tx, intake, key, Dialect.TAIL, wish, length=wish.length)
        if wish.length != 0 or wish.completes is not Completes.WHEN_FULL:
            tx.uploads.save(upload)
            return Seen(upload, row, fresh=True), first_tail(tx, intake, upload, row, file_key)
        now = intake.clock.now()
        upload, row = mark_whole(tx, note_bytes(upload, 0, now, intake.timing), row, now, intake.timing)
        return Seen(upload, row, fresh=True), None

    def _created(self, seen: Seen, tail: Tail | None) -> Seen:
        if tail is not None:
            self._intake.tails.put(seen.file.file_id, tail)
        return seen

    async def _append(
        self,
        file_id: str,
        wish: Append,
        body: Body,
        claim: Claim,
        fresh: Seen | None = None,
        heard: Heard | None = None,
    ) -> Seen:
        intake = self._intake
        async with intake.leases.hold(file_id, claim, body.stop) as lease:
            if fresh is not None and intake.tails.unused(file_id):
                seen = fresh  # nobody wrote since; what else may have happened the commit looks for
            else:
                seen = await intake.ledger.read(lambda tx: _there(tx, file_id))
            if seen.file.whole_at is not None:
                wish = replace(wish, size=0 if await intake.pipeline.is_empty(body) else wish.size or 1)
                if wish.at == seen.file.offset and wish.size == 0:
                    return seen  # it changes nothing, whatever became of the upload
            require_receiving(seen.upload)
            leave = plan(view_of(seen.file), wish, intake.limits.max_file_size)
            await self._check_room(seen, wish)
            await ensure_sound(intake, seen.upload, seen.file)
            await ensure_reserved(intake, seen.upload)
            tail = await tail_at(intake, seen.upload, seen.file, leave.at, small=is_small(body.size, leave.room))
            appender = _Appender(intake, seen, wish, tail, leave.at, heard)
            every = leave.room + 1 if wish.digests else COMMIT_EVERY_BYTES
            try:
                flow = await intake.pipeline.pour(
                    body, tail.writer, leave.room, lease, appender.commit, appender.hashes, commit_every=every
                )
            except BaseException:
                tail.writer.close()
                raise
            if appender.seen.file.whole_at is None and tail.writer.offset == appender.seen.file.offset:
                intake.tails.put(file_id, tail)
            else:
                tail.writer.close()
        done = appender.seen
        if done.upload.single and done.file.whole_at is not None and takes_bytes(done.upload.state):
            raise Unauthorized("the account is not active; what came is kept")
        raise_unless_clean(flow)
        return done

    async def _check_room(self, seen: Seen, wish: Append) -> None:
        """Whether what comes fits into the upload's sums, and on the disk where no room was set aside for it."""
        intake = self._intake
        view = told(view_of(seen.file), wish, intake.limits.max_file_size)
        least = view.offset + (wish.size or 0) if view.length is None else view.length
        grown = with_changed(seen.upload, seen.file, replace(seen.file, length=least))
        if seen.file.length is not None or not grown.single:
            return
        room_bytes = await intake.pipeline.threads.run(intake.spool.room_bytes)

        def act(tx: Transaction) -> None:
            reserve_more(tx, grown, intake.limits)
            if tx.uploads.awaited_bytes() + sealed_size(least - seen.file.offset) > room_bytes:
                raise SpoolFull("the spool's disk has no room for more of this file", retry_after_s=60)

        await intake.ledger.read(act)


class _Appender:
    """Commits what one append stored."""

    def __init__(self, intake: Intake, seen: Seen, wish: Append, tail: Tail, at: int, heard: Heard | None) -> None:
        self._intake = intake
        self._wish = wish
        self._tail = tail
        self._heard = heard
        self._declared = BodyDigests(wish.digests)
        self._whole = intake.spool.digests.resume(seen.file.file_id, at)
        self.hashes = tuple(one for one in (wish.digests and self._declared, self._whole) if one)
        self.seen = seen

    async def commit(self, stored: int, ended_cleanly: bool) -> None:
        """Write down that `stored` bytes of this append are durable.

        :raises Gone, Conflict: the upload was cancelled or completed in between; the bytes count for nothing.
        :raises ChecksumMismatch: they don't have the declared digest; they count for nothing.
        """
        if self._wish.digests:
            if not ended_cleanly:
                return
            self._declared.check()
        tail, before = self._tail, self.seen
        runs = list(tail.writer.runs)
        sealed_bytes = sum(run.sealed_bytes for run in runs)
        kept_bytes = tail.sealed_bytes if isinstance(tail.writer, SegmentWriter) else 0

        def act(tx: Transaction) -> tuple[Seen, int]:
            upload = require_open(tx, before.upload.upload_id, before.upload.epoch)
            file = require_file(tx, before.file.file_id, Dialect.TAIL)
            if file.offset != before.file.offset:
                raise Conflict("another process wrote to this file", code="conflict")
            view = told(view_of(file), self._wish, self._intake.limits.max_file_size)
            done = settle(view, self._wish, stored, ended_cleanly=ended_cleanly)
            run_id = write_runs(tx, file.file_id, tail, runs)
            delta, sealed_delta = done.offset - file.offset, sealed_bytes - kept_bytes
            grown = replace(file, length=view.length, offset=done.offset, sealed_bytes=file.sealed_bytes + sealed_delta)
            upload = with_changed(upload, file, grown)
            if upload.single and file.length is None:
                upload = reserve_more(tx, upload, self._intake.limits)
            file = grown
            now = self._intake.clock.now()
            upload = note_bytes(upload, delta, now, self._intake.timing)
            if done.whole and file.whole_at is None:
                upload, file = mark_whole(tx, upload, file, now, self._intake.timing)
            else:
                tx.uploads.save(upload)
                tx.files.save(file)
                tx.wake(upload.upload_id)
            return Seen(upload, file), run_id

        self.seen, tail.run_id = await self._intake.ledger.write(act)
        tail.sealed_bytes = sealed_bytes
        if isinstance(tail.writer, SharedWriter):
            tail.writer.settled()
        self._intake.spool.digests.commit(before.file.file_id, self.seen.file.offset, self._whole)
        if self._heard is not None:
            self._heard(self.seen.file.offset)


def _there(tx: Transaction, file_id: str) -> Seen:
    file = require_file(tx, file_id, Dialect.TAIL)
    upload = tx.uploads.get(file.upload_id)
    if upload is None:
        raise NotFound("there is no such file")
    return Seen(upload, file)


def view_of(file: FileRow) -> FileView:
    """A file as the engine sees it."""
    return FileView(file.offset, file.length, file.whole_at is not None)
