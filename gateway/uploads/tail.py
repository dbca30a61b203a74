"""Files of an upload: create, append, look, drop. The four promises, in the order in which they become true:

1. acknowledged <= committed <= durable: an offset is told only after its bytes were synced and its row committed.
2. *whole* and its job are one transaction, with the audit event (`completion.mark_whole`).
3. delivery is idempotent and retried (`delivery/`); it begins with what stands in the ledger.
4. one place erases (`purge/erasure.py`), and only with a receipt or at the end of a retention.

Knows no protocol's headers, no HTTP library and no PACS.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.errors import Conflict, NotFound, SpoolFull, Unauthorized
from gateway.identity.principal import Principal
from gateway.ledger.base import Transaction
from gateway.ledger.rows import Dialect, UploadRow
from gateway.protocol.engine import Append, plan, told
from gateway.spool import sealed_size
from gateway.states import FileState, UploadState
from gateway.uploads.admission import Wish, check_size, create_upload, reserve_more
from gateway.uploads.appending import Appender, view_of
from gateway.uploads.at_once import AtOnce, First
from gateway.uploads.body import Body
from gateway.uploads.completion import (
    require_file,
    require_not_left,
    require_open,
    require_receiving,
    takes_bytes,
    touched,
)
from gateway.uploads.finals import create_final
from gateway.uploads.holes import give_back
from gateway.uploads.intake import (
    Heard,
    Intake,
    NewFile,
    ensure_reserved,
    is_small,
    tail_at,
    upload_key,
)
from gateway.uploads.leases import Claim
from gateway.uploads.looking import looked_at
from gateway.uploads.making import insert, made_of, twin_of
from gateway.uploads.membership import needs_more_room, with_changed, without_file
from gateway.uploads.open_uploads import OpenUploads
from gateway.uploads.pipeline import raise_unless_clean
from gateway.uploads.probe import ensure_sound
from gateway.uploads.recent import Recent
from gateway.uploads.seen import Seen
from gateway.uploads.tails import Tail

#: A question of a client moves `expires_at` only if that moved it by more than this share of its life.
TOUCH_SHARE = 0.05


class Files:
    """The acts on files that grow at their tail."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._open = OpenUploads(intake)
        self._at_once = AtOnce(intake)
        self._recent = Recent(intake.clock)

    async def create(self, who: Principal, upload_id: str, wish: NewFile, first: First | None = None) -> Seen:
        """A file, or a part, of one of the caller's uploads; the same client file id and length give the same one.

        :param first: its first bytes, which may be stored together with it; the offset tells whether they were.
        :raises NotFound, Gone, Conflict, TooLarge: see the codes.
        :raises SpoolFull, TooMany: there is no room for a part, or for one of unknown length.
        """
        intake = self._intake
        if wish.parts is not None:
            return await create_final(intake, who, wish, upload_id)
        opened = await self._open.find(who, upload_id)
        if first is not None and self._at_once.takes(wish, first):
            made = await self._at_once.create(opened, wish, first)
            if made is not None:
                return self._recent.note(made)
        room_bytes = await intake.pipeline.threads.run(intake.spool.room_bytes) if wish.part else 0
        unwritten = made_of(intake, opened.key, wish)

        def act(tx: Transaction) -> tuple[Seen, Tail | None]:
            upload = require_open(tx, upload_id)
            twin = twin_of(tx, opened.key, wish, unwritten.row.dialect, unwritten.row.client_mac)
            if twin is not None:
                return Seen(upload, twin), None
            return insert(tx, intake, upload, unwritten, wish, room_bytes)

        seen, tail = await intake.ledger.write(act)
        if not seen.fresh:
            # Without bytes it asks where to go on. One with bytes may have been under way all the time, on a line that was
            # cut: whoever goes on over a new connection keeps the file.
            claim = Claim.CUT if first is None else Claim.PATIENT
            await intake.leases.cut([seen.file.file_id], claim)
            seen, tail = await intake.ledger.write(act)  # where those have left it who wrote meanwhile
        return self._created(seen, tail)

    async def create_single(self, who: Principal, wish: Wish, file: NewFile) -> Seen:
        """A file in an upload of its own, which is completed when the file is whole; or a part, which waits there until a
        final comes for it.

        :raises TooLarge, SpoolFull: it is over a limit, or there is no room.
        :raises NotFound, Gone, Conflict: one of the parts that it is put together from can't be had.
        """
        intake = self._intake
        check_size(wish, intake.limits)
        if file.parts is not None:
            return await create_final(intake, who, file, wish)
        room_bytes = await intake.pipeline.threads.run(intake.spool.room_bytes)

        def act(tx: Transaction) -> tuple[Seen, Tail | None]:
            upload = create_upload(tx, intake.ring, wish, intake.limits, intake.timing, intake.clock.now(), room_bytes)
            made = made_of(intake, upload_key(tx, intake.ring, upload), file)
            return insert(tx, intake, upload, made, file, room_bytes)

        return self._created(*await intake.ledger.write(act))

    async def find(self, who: Principal, file_id: str, *, to_write: bool = True, recently: bool = False) -> Seen:
        """The file, if it is the caller's.

        :param recently: as it was a moment ago is enough: whoever writes asks again with its commit.
        :raises NotFound: it isn't there, or is another's.
        """
        known = self._recent.get(file_id) if recently and to_write else None
        if known is not None and who.may_write(known.upload):
            return known

        def act(tx: Transaction) -> Seen:
            file = tx.files.get(file_id)
            upload = tx.uploads.get(file.upload_id) if file is not None else None
            allowed = upload is not None and (who.may_write(upload) if to_write else who.may_see(upload))
            if file is None or upload is None or not allowed:
                raise NotFound("there is no such file")
            return Seen(upload, file)

        return await self._intake.ledger.read(act)

    async def look(self, who: Principal, file_id: str) -> Seen:
        """Where to go on: cuts whoever writes, then tells what is durable; of a final how long it will be, as far as its
        parts say.

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
            return looked_at(tx, self._intake, upload, file)

        seen = await self._intake.ledger.read(act)
        await ensure_sound(self._intake, seen.upload, seen.file)
        if seen.file.key_id is not None:
            await self.touch(seen.upload)
        return seen

    async def append(self, seen: Seen, wish: Append, body: Body, heard: Heard | None = None) -> Seen:
        """Add a body at the tail; what a broken line brought is kept, unless digests of it were declared.

        :param seen: the caller's own file, from `find`.
        :param heard: hears every offset that has become true.
        :raises Conflict: wrong offset; nobody is disturbed.
        :raises Forbidden: it is a final.
        :raises Locked: a live request is writing.
        :raises ChecksumMismatch: the body has another digest than was declared; nothing of it is kept.
        :raises Unauthorized: the file is whole, and its account may not complete it.
        :raises BodyBroken, BodyStopped: after everything that came is stored.
        """
        if seen.file.dialect is not Dialect.FINAL and wish.at != seen.file.offset:
            raise Conflict("Upload-Offset is not the end of the file", code="offset_mismatch", offset=seen.file.offset)
        return await self._append(seen.file.file_id, wish, body, Claim.POLITE, heard=heard)

    async def append_first(self, created: Seen, wish: Append, body: Body, heard: Heard | None = None) -> Seen:
        """The body of a creation, from wherever the file is. See `append`."""
        fresh, claim = (created, Claim.CUT) if created.fresh else (None, Claim.PATIENT)
        return await self._append(created.file.file_id, wish, body, claim, fresh, heard)

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
        self._recent.forget(file_id)

        def act(tx: Transaction) -> tuple[UploadRow, list[str]]:
            file = tx.files.get(file_id)
            if file is None or file.state is FileState.REMOVED:
                raise NotFound("there is no such file")
            upload = tx.uploads.get(file.upload_id)
            if upload is None:
                raise NotFound("there is no such file")
            if upload.state is not UploadState.HELD:
                upload = require_open(tx, file.upload_id)
            require_not_left(file)
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
        moved_s = intake.timing.expires_at(now) - upload.expires_at
        if upload.state not in (UploadState.OPEN, UploadState.UPLOADING) or moved_s < (
            intake.timing.expires_s * TOUCH_SHARE
        ):
            return

        def act(tx: Transaction) -> None:
            row = tx.uploads.get(upload.upload_id)
            if row is not None and row.state in (UploadState.OPEN, UploadState.UPLOADING):
                tx.uploads.save(touched(row, now, intake.timing))

        await intake.ledger.write(act)

    def _created(self, seen: Seen, tail: Tail | None) -> Seen:
        if tail is not None:
            self._intake.tails.put(seen.file.file_id, tail)
        return self._recent.note(seen)

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
            if (known := self._recent.get(file_id)) is not None and known.file.offset == wish.at:
                seen = known
            elif fresh is not None and intake.tails.unused(file_id):
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
            key = self._open.key_of(seen.upload.upload_id)
            appender = Appender(intake, seen, wish, tail, leave.at, heard, key)
            midway = None if wish.digests else intake.pipeline.midway(tail.writer, appender.midway)
            last = None if wish.digests else appender
            try:
                flow = await intake.pipeline.pour(
                    body, tail.writer, leave.room, lease, appender.commit, appender.hashes, midway, last
                )
            except BaseException:
                self._recent.forget(file_id)
                tail.writer.close()
                raise
            if appender.seen.file.whole_at is None and tail.writer.offset == appender.seen.file.offset:
                intake.tails.put(file_id, tail)
            else:
                tail.writer.close()
            self._recent.note(appender.seen)
        done = appender.seen
        ends = done.upload.single and done.file.dialect is not Dialect.PART
        if ends and done.file.whole_at is not None and takes_bytes(done.upload.state):
            raise Unauthorized("the account is not active; what came is kept")
        raise_unless_clean(flow)
        return done

    async def _check_room(self, seen: Seen, wish: Append) -> None:
        """Whether what comes fits into the upload's sums, and on the disk where no room was set aside for it."""
        if seen.file.length is not None:
            return  # both were looked at when that was told
        intake = self._intake
        view = told(view_of(seen.file), wish, intake.limits.max_file_size)
        least = view.offset + (wish.size or 0) if view.length is None else view.length
        grown = with_changed(seen.upload, seen.file, replace(seen.file, length=least))
        if not needs_more_room(seen.upload, seen.file):
            return
        room_bytes = await intake.pipeline.threads.run(intake.spool.room_bytes)

        def act(tx: Transaction) -> None:
            reserve_more(tx, grown, intake.limits)
            if tx.uploads.awaited_bytes() + sealed_size(least - seen.file.offset) > room_bytes:
                raise SpoolFull("the spool's disk has no room for more of this file")

        await intake.ledger.read(act)


def _there(tx: Transaction, file_id: str) -> Seen:
    file = require_file(tx, file_id, Dialect.TAIL)
    upload = tx.uploads.get(file.upload_id)
    if upload is None:
        raise NotFound("there is no such file")
    return Seen(upload, file)
