"""The `final` of a tus concatenation: parts become one file (CONTRACT 2.3).

Whoever writes to one of its parts is cut off first, so that no commit of theirs crosses it. Parts that wait in a pool of
their own (an access token's) join the upload of the final.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

from gateway.errors import Conflict, NotFound
from gateway.identity.principal import Principal, visible
from gateway.keys.columns import Column
from gateway.ledger.base import Transaction
from gateway.ledger.rows import Dialect, FileRow, UploadRow
from gateway.uploads.admission import Wish, create_upload
from gateway.uploads.completion import require_receiving
from gateway.uploads.intake import Intake, NewFile, file_key, new_file, upload_key
from gateway.uploads.leases import Claim
from gateway.uploads.making import twin_of
from gateway.uploads.membership import with_file, with_part, without_file
from gateway.uploads.parts import check_length, file_gone, is_pool, take, told_length
from gateway.uploads.reservations import room_of
from gateway.uploads.seen import Seen

Parts = Mapping[str, tuple[UploadRow, FileRow]]


async def create_final(intake: Intake, who: Principal, wish: NewFile, place: str | Wish) -> Seen:
    """Put parts together, at once or as soon as the last of them is whole.

    :param place: the upload that the new file is of, by its id, or one to be opened for it.
    :raises NotFound, Gone, Conflict: one of the parts isn't there or isn't the caller's, is dead, or is no part.
    :raises TooLarge, SpoolFull, TooMany: it is over a limit, or there is no room.
    """
    part_ids = wish.parts or ()
    room_bytes = await intake.pipeline.threads.run(intake.spool.room_bytes)
    await intake.ledger.read(lambda tx: _named(tx, who, place, part_ids))  # before anybody is cut off
    async with AsyncExitStack() as held:
        for part_id in sorted(set(part_ids)):
            await held.enter_async_context(intake.leases.hold(part_id, Claim.CUT, lambda: None))
        return await intake.ledger.write(lambda tx: _create(tx, intake, who, wish, place, room_bytes))


def _named(
    tx: Transaction, who: Principal, place: str | Wish, part_ids: tuple[str, ...]
) -> tuple[UploadRow | Wish, Parts]:
    """The upload that the new file is of, if there is one, and its parts. In this order: of an upload that has ended the
    parts are gone, and whoever repeats its joining is to hear that it has ended.

    :raises NotFound, Gone, Conflict: see `create_final`.
    """
    if not isinstance(place, str):
        return place, _parts(tx, who, part_ids)
    found = tx.uploads.get(place)
    upload = require_receiving(visible(found, found is not None and who.may_write(found)))
    return upload, _parts(tx, who, part_ids)


def _parts(tx: Transaction, who: Principal, part_ids: tuple[str, ...]) -> Parts:
    """The caller's parts, each once, with their uploads. :raises NotFound, Gone, Conflict: see `create_final`."""
    found = dict[str, tuple[UploadRow, FileRow]]()
    for part_id in dict.fromkeys(part_ids):
        part = tx.files.get(part_id)
        upload = tx.uploads.get(part.upload_id) if part is not None else None
        if part is None or upload is None or not who.may_write(upload):
            raise NotFound("one of the parts isn't there")
        if part.dialect is not Dialect.PART:
            raise Conflict("one of the named uploads wasn't made as a part", code="not_a_part")
        if part.key_id is None or upload.key_id is None:
            raise file_gone("one of the parts is gone", upload)
        if part.whole_at is None:
            require_receiving(upload)
        found[part_id] = (upload, part)
    return found


def _create(tx: Transaction, intake: Intake, who: Principal, wish: NewFile, place: str | Wish, room_bytes: int) -> Seen:
    (target, parts), now = _named(tx, who, place, wish.parts or ()), intake.clock.now()
    if isinstance(target, UploadRow):
        upload = target
        twin = twin_of(tx, upload_key(tx, intake.ring, upload), wish, Dialect.FINAL)
        if twin is not None and _is_same(tx, twin, [parts[part_id][1] for part_id in wish.parts or ()]):
            return Seen(upload, twin, concat=wish.concat)
        if twin is not None:  # it waits for parts that its client has given up
            upload = without_file(tx, upload, twin, who.actor, now, intake.timing)
        upload = with_file(upload, 0)
    else:
        _give_up(tx, parts, now)
        upload = with_file(create_upload(tx, intake.ring, target, intake.limits, intake.timing, now, room_bytes), 0)
    key = upload_key(tx, intake.ring, upload)
    upload = _join(tx, intake, upload, parts, now)
    row, _ = new_file(tx, intake, key, Dialect.FINAL, wish, length=None)
    sealed = key.meta.seal((wish.concat or "").encode(), context=Column.FILE_CONCAT.of(row.file_id))
    row = replace(row, concat_sealed=sealed)
    tx.files.save(row)
    tx.uploads.save(upload)
    tx.concats.insert(row.file_id, wish.parts or ())
    ordered = [tx.files.get(part_id) or parts[part_id][1] for part_id in wish.parts or ()]
    if all(part.whole_at is not None for part in ordered):
        upload, row = take(tx, intake, upload, row, ordered, now)
    elif (length := told_length(ordered)) is not None:
        check_length(intake, upload, row, length)
    return Seen(upload, row, concat=wish.concat, fresh=True)


def _is_same(tx: Transaction, twin: FileRow, parts: list[FileRow]) -> bool:
    """A final with this file_id is there, of these parts or of others that were as long.

    :raises Conflict: it is whole, and of another length.
    """
    if tx.concats.parts_of(twin.file_id) == [part.file_id for part in parts]:
        return True
    if twin.whole_at is not None and told_length(parts) != twin.length:
        raise Conflict("this file_id was created with another length", code="length_mismatch")
    return twin.whole_at is not None


def _give_up(tx: Transaction, parts: Parts, now: float) -> None:
    """The room of pools, which their parts take along in a moment, counts for the upload that they join."""
    for upload, part in parts.values():
        if is_pool(upload, part):
            tx.uploads.save(replace(upload, reserved_bytes=0, completed_at=now))


def _join(tx: Transaction, intake: Intake, target: UploadRow, parts: Parts, now: float) -> UploadRow:
    """Parts that are in pools become parts of the final's upload: rows, keys and segments; the bytes stay where they are.

    :returns: the target; the caller saves it.
    """
    key = upload_key(tx, intake.ring, target)
    for upload, part in parts.values():
        if not is_pool(upload, part):
            continue
        part_id, raw = part.file_id, part.meta_sealed
        own = file_key(tx, intake.ring, upload, part)
        if raw is not None:
            told = upload_key(tx, intake.ring, upload).meta.open(raw, context=Column.FILE_META.of(part_id))
            raw = key.meta.seal(told, context=Column.FILE_META.of(part_id))
        if part.key_id is not None:
            tx.keys.replace(part.key_id, key.wrap_file_key(part_id, own))
        tx.files.save(replace(part, upload_id=target.upload_id, client_mac=None, meta_sealed=raw))
        tx.runs.move(upload.upload_id, part_id, target.upload_id)
        tx.uploads.delete(upload.upload_id)
        detail = {"into": target.upload_id}
        tx.audit.append(
            "upload.joined", at=now, actor=f"account:{upload.owner_id}", upload_id=upload.upload_id, detail=detail
        )
        target = with_part(target, part, part.offset)
    return replace(target, reserved_bytes=max(target.reserved_bytes, room_of(target)))
