"""New rows of files that grow at their tail, in an upload that is at hand. Transactions only."""

from __future__ import annotations

from gateway.errors import Conflict, TooLarge
from gateway.ledger.base import Transaction
from gateway.ledger.rows import Dialect, FileRow, UploadRow
from gateway.protocol.engine import Completes
from gateway.spool import UploadKey
from gateway.states import FileState
from gateway.uploads.admission import check_spool, reserve_more
from gateway.uploads.completion import note_bytes
from gateway.uploads.intake import Intake, NewFile, UnwrittenFile, first_tail, make_file
from gateway.uploads.membership import with_file, with_part
from gateway.uploads.parts import made_whole
from gateway.uploads.reservations import room_of
from gateway.uploads.seen import Seen
from gateway.uploads.tails import Tail


def twin_of(
    tx: Transaction, key: UploadKey, wish: NewFile, dialect: Dialect, client_mac: bytes | None = None
) -> FileRow | None:
    """The file that was made before for the same client file id.

    :param key: the upload's.
    :param client_mac: of that id, where it is at hand.
    :raises Conflict: that one is of another kind, or of another length.
    """
    if wish.client_file_id is None:
        return None
    twin = tx.files.by_client_mac(key.upload_id, client_mac or key.mac("file_id", wish.client_file_id.encode()))
    if twin is None or twin.state is FileState.REMOVED:
        return None
    if twin.dialect is not dialect:
        raise Conflict("this file was made by another protocol, or as a part", code="other_dialect")
    if wish.length is not None and twin.length != wish.length:
        raise Conflict("this file_id was created with another length", code="length_mismatch")
    return twin


def made_of(intake: Intake, key: UploadKey, wish: NewFile) -> UnwrittenFile:
    """What `insert` writes down. :param key: the upload's."""
    return make_file(intake, key, Dialect.PART if wish.part else Dialect.TAIL, wish, length=wish.length)


def insert(
    tx: Transaction, intake: Intake, upload: UploadRow, made: UnwrittenFile, wish: NewFile, room_bytes: int
) -> tuple[Seen, Tail | None]:
    """Write a new file, or a part, and its upload; what stores its first bytes, None: it is whole.

    :param made: of `wish`.
    :param room_bytes: of the medium, what may still be filled; looked at for a part, which nobody has set room aside for.
    :raises Conflict: more files, or parts, than may be.
    :raises TooLarge, SpoolFull, TooMany: it is over a limit, or there is no room.
    """
    length = wish.length or 0
    if length > intake.limits.max_file_size:
        raise TooLarge("the file is larger than uploads.max_file_size", code="file_too_large")
    if wish.part:
        row = made.insert(tx)
        upload = _with_room(tx, intake, with_part(upload, row), room_bytes)
    else:
        upload = with_file(upload, length)
        row = made.insert(tx)
    if wish.length != 0 or wish.completes is not Completes.WHEN_FULL:
        tx.uploads.save(upload)
        return Seen(upload, row, fresh=True), first_tail(tx, intake, upload, row, made.key)
    now = intake.clock.now()
    upload, row = made_whole(tx, intake, note_bytes(upload, 0, now, intake.timing), row, now)
    return Seen(upload, row, fresh=True), None


def _with_room(tx: Transaction, intake: Intake, upload: UploadRow, room_bytes: int) -> UploadRow:
    """The upload with one part more, and room for that where what was declared has none left."""
    if upload.parts > intake.limits.max_files:
        raise Conflict("the upload has too many parts that no final has taken", code="too_many_files")
    more = room_of(upload) - upload.reserved_bytes
    if more > 0:
        check_spool(tx, more, intake.limits, room_bytes)
    return reserve_more(tx, upload, intake.limits)
