"""The one place that erases.

Promises: nothing is erased without a receipt or the end of its retention; the key goes and the audit event is written
in one transaction, so from then on nobody can read the bytes: an upload's key is what its files' keys are wrapped under;
those, and the sealed bytes, follow, and a crash in between is made good by `resume`. No transaction touches more than a
page of an upload's files. Knows no clock of retentions: when something is due is `retention.py`'s question.

Order: cut the writers, delete the upload's key (event, intent), then page by page its jobs, its files' keys and rows,
unlink and forget its segments, give back what it has in segments that others share (intent done).

Other processes: `relaypacs purge` beside a running `serve` can't cut that process's writers. It needn't: nothing is
erased while bytes may come, and whoever still holds a key in memory finds the row's `key_id` gone or its `epoch`
changed before it writes or sends on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from gateway.clock import Clock
from gateway.errors import Conflict, NotFound
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import Dialect, FileRow, JobKind, UploadRow
from gateway.ledger.settings import Setting
from gateway.states import IN_PACS_STATES, FileState, UploadState
from gateway.uploads.holes import SealedBytes, Settle, give_back, tidy
from gateway.uploads.leases import Leases
from gateway.uploads.membership import cleared, is_taken

ACTOR = "gateway"
#: Rows that one transaction clears: the ledger's writer is never held for long.
PAGE = 100
#: Files that are erased apart in one transaction, with one event.
APART = 100
#: Rows, or ids, that are read at once.
READ_PAGE = 500
#: How often a scrub is tried while a reader is in the way, and the pause between, seconds.
SCRUB_TRIES = 5
SCRUB_PAUSE_S = 0.2


class Reason(StrEnum):
    """Why something may be erased."""

    DELIVERED = "delivered"  #: a receipt says that the PACS has it
    RETENTION = "retention"  #: kept for a retry for as long as the configuration says
    CANCELLED = "cancelled"
    EXPIRED = "expired"


#: In which states each reason holds for a whole upload.
STATES = {
    Reason.DELIVERED: frozenset({UploadState.SUCCESS}),
    Reason.RETENTION: frozenset({UploadState.PARTIAL, UploadState.FAILED}),
    Reason.CANCELLED: frozenset({UploadState.CANCELLED}),
    Reason.EXPIRED: frozenset({UploadState.EXPIRED}),
}


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased. Sizes in sealed bytes."""

    files: int
    size_bytes: int


class Erasure:
    """Erases uploads and files.

    :param spool: blocks, so it is used in a thread.
    :param close_tail: closes what is kept open of a file between requests.
    :param retire: gives up the segment that files share just now, if no row names anything in it.
    :param settle: copies what lives of a segment elsewhere, where the storage has no holes.
    """

    def __init__(
        self,
        ledger: Ledger,
        spool: SealedBytes,
        leases: Leases,
        clock: Clock,
        *,
        close_tail: Callable[[str], None] = lambda _file_id: None,
        retire: Callable[[], Awaitable[None]] | None = None,
        settle: Settle | None = None,
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._leases = leases
        self._clock = clock
        self._close_tail = close_tail
        self._retire = retire
        self._settle = settle

    async def being_written(self, upload_id: str) -> bool:
        """Whether a request of this process writes to one of the upload's files just now."""
        held = self._leases.file_ids()
        return bool(held) and await self._ledger.read(lambda tx: _has_one_of(tx, upload_id, held))

    async def erase_upload(self, upload_id: str, reason: Reason) -> Erased:
        """Erase all bytes of an upload, and its patient's fields. Doing it twice changes nothing.

        :raises NotFound: there is no such upload.
        :raises Conflict: the reason doesn't hold: another state, or no receipt.
        :raises Locked: a writer doesn't let go.
        :raises Unavailable: the storage failed after the keys were gone; `resume` goes on.
        """
        erased, file_ids = await self._count(upload_id)
        await self._let_go(file_ids)
        now = self._clock.now()

        def act(tx: Transaction) -> bool:
            upload = _upload(tx, upload_id)
            if upload.erased_at is not None:
                return False
            _check_upload(tx, upload, reason)
            tx.keys.delete([] if upload.key_id is None else [upload.key_id])
            changed = replace(
                upload, key_id=None, meta_sealed=None, reserved_bytes=0, erased_at=now, epoch=upload.epoch + 1
            )
            tx.uploads.save(changed)
            _note(tx, "upload.purged", upload_id, reason, erased, now)
            _intend(tx, upload_id)
            tx.wake(upload_id)
            return True

        is_news = await self._ledger.write(act)
        await self._finish(upload_id)
        return erased if is_news else Erased(0, 0)

    async def _count(self, upload_id: str) -> tuple[Erased, list[str]]:
        """What there is to erase, and all its files; nothing of it changes once no byte can come any more."""
        files, size_bytes, file_ids = 0, 0, list[str]()
        while page := await self._ledger.read(partial(_page, upload_id=upload_id, after=file_ids[-1:])):
            kept = [one for one in page if one.state is not FileState.REMOVED and one.dialect is not Dialect.PART]
            files, size_bytes = files + len(kept), size_bytes + sum(file.sealed_bytes for file in kept)
            file_ids += [file.file_id for file in page]
        return Erased(files, size_bytes), file_ids

    async def erase_files(self, upload_id: str, file_ids: Sequence[str], reason: Reason) -> Erased:
        """Erase some files of a finished upload that its PACS has; the others stay for a retry.

        :raises NotFound, Conflict, Locked, Unavailable: as `erase_upload`; Conflict also for a file that the PACS
            hasn't. Then none of the `APART` files that it is among is erased.
        """
        await self._let_go(file_ids)
        erased = Erased(0, 0)
        for start in range(0, len(file_ids), APART):
            page = await self._erase_page(upload_id, file_ids[start : start + APART], reason)
            erased = Erased(erased.files + page.files, erased.size_bytes + page.size_bytes)
        if erased.files:
            await self._finish(upload_id)
        return erased

    async def _erase_page(self, upload_id: str, file_ids: Sequence[str], reason: Reason) -> Erased:
        now = self._clock.now()

        def act(tx: Transaction) -> Erased:
            upload = _upload(tx, upload_id)
            _check_receipt(tx, upload, reason)
            files = [file for file in map(tx.files.get, file_ids) if file is not None and file.key_id is not None]
            if any(file.upload_id != upload_id or file.state not in IN_PACS_STATES for file in files):
                raise Conflict("one of these files is not known to be in the PACS")
            erased = Erased(len(files), sum(file.sealed_bytes for file in files))
            if not files:
                return erased
            _delete_keys(tx, files)
            for file in files:
                tx.files.save(cleared(file, file.state))
            for part in _parts_left(tx, files):
                _delete_keys(tx, [part])
                tx.files.save(cleared(part, part.state))
            tx.uploads.save(replace(upload, reserved_bytes=max(upload.reserved_bytes - erased.size_bytes, 0)))
            _note(tx, "files.purged", upload_id, reason, erased, now)
            _intend(tx, upload_id)
            tx.wake(upload_id)
            return erased

        return await self._ledger.write(act)

    async def resume(self) -> int:
        """Finish what a crash or a failing storage has left; how many uploads that were.

        :raises Unavailable: the storage fails still.
        """
        unfinished = await self._ledger.read(_intents)
        for upload_id in unfinished:
            await self._finish(upload_id)
        return len(unfinished)

    async def scrub(self) -> bool:
        """After a batch: what was deleted is gone from the ledger's files too. False: readers were in the way."""
        for attempt in range(SCRUB_TRIES):
            if attempt:
                await asyncio.sleep(SCRUB_PAUSE_S)
            if await self._ledger.scrub():
                return True
        return False

    async def _let_go(self, file_ids: Iterable[str]) -> None:
        file_ids = list(file_ids)
        await self._leases.cut(file_ids)
        for file_id in file_ids:
            self._close_tail(file_id)

    async def _finish(self, upload_id: str) -> None:
        """Everything after the upload's key; may be done again from the start at any time."""
        for kind in (JobKind.CHECK, JobKind.COMPLETE):
            while await self._ledger.write(partial(_drop_jobs, upload_id=upload_id, kind=kind)) == PAGE:
                pass
        after: str | None = ""
        while after is not None:
            after = await self._ledger.write(partial(_clear_page, upload_id=upload_id, after=after))
        segments = await self._dead_segments(upload_id)
        for start in range(0, len(segments), PAGE):
            batch = segments[start : start + PAGE]
            await asyncio.to_thread(self._spool.delete, batch)
            await self._ledger.write(partial(_forget, segment_ids=batch))
        last = list[str]()
        while page := await self._ledger.read(partial(_page, upload_id=upload_id, after=last)):
            last = [page[-1].file_id]
            await give_back(self._ledger, self._spool, {file.file_id for file in page if file.key_id is None})
        await self._ledger.write(lambda tx: _done(tx, upload_id))

    async def tidy(self) -> None:
        """Segments that files shared: what is left of them. :raises Unavailable: the storage failed."""
        if self._retire is not None:
            await self._retire()
        await tidy(self._ledger, self._spool, self._settle)

    async def _dead_segments(self, upload_id: str) -> list[str]:
        """Segments that nobody can read any more: all of an erased upload, else those of files without a key."""
        segments = await self._ledger.read(lambda tx: _all_dead(tx, upload_id))
        if segments is not None:
            return segments
        segments, last = [], list[str]()
        while page := await self._ledger.read(partial(_keyless, upload_id=upload_id, after=last)):
            last, found = page
            segments += found
        return segments


def _upload(tx: Transaction, upload_id: str) -> UploadRow:
    upload = tx.uploads.get(upload_id)
    if upload is None:
        raise NotFound("there is no such upload")
    return upload


def _check_upload(tx: Transaction, upload: UploadRow, reason: Reason) -> None:
    if upload.state not in STATES[reason]:
        raise Conflict(f"an upload that is {upload.state} can't be erased as {reason}", state=str(upload.state))
    if upload.open_deliveries:
        raise Conflict("an endpoint doesn't have it yet", state=str(upload.state))
    if reason is Reason.DELIVERED:
        _check_receipt(tx, upload, reason)


def _check_receipt(tx: Transaction, upload: UploadRow, reason: Reason) -> None:
    if reason is not Reason.DELIVERED or upload.completed_at is None or upload.finished_at is None:
        raise Conflict("only a finished upload's files can be erased apart", state=str(upload.state))
    if upload.open_deliveries:
        raise Conflict("an endpoint doesn't have it yet", state=str(upload.state))
    if upload.receipt_id is None or tx.receipts.get(upload.receipt_id) is None:
        raise Conflict("nothing is erased as delivered without a receipt", state=str(upload.state))


def _delete_keys(tx: Transaction, files: Iterable[FileRow]) -> None:
    tx.keys.delete([file.key_id for file in files if file.key_id is not None])


def _parts_left(tx: Transaction, files: Iterable[FileRow]) -> list[FileRow]:
    """Parts of the upload that nothing but these, which are erased, was put together from: they hold the same bytes."""
    ids = dict.fromkeys(part_id for file in files for part_id in tx.concats.parts_of(file.file_id))
    upload_ids = {file.upload_id for file in files}
    parts = [part for part in map(tx.files.get, ids) if part is not None and part.upload_id in upload_ids]
    return [part for part in parts if not is_taken(tx, part)]


def _note(tx: Transaction, event: str, upload_id: str, reason: Reason, erased: Erased, now: float) -> None:
    detail = {"reason": str(reason), "files": erased.files, "bytes": erased.size_bytes}
    tx.audit.append(event, at=now, actor=ACTOR, upload_id=upload_id, detail=detail)


def _clear_page(tx: Transaction, upload_id: str, after: str) -> str | None:
    """Delete the keys of one page of an erased upload's files and clear their rows; where the next begins, None: there is
    none.
    """
    upload = tx.uploads.get(upload_id)
    if upload is None or upload.erased_at is None:
        return None
    page = tx.files.page(upload_id, after=after, limit=PAGE, parts=True)
    _delete_keys(tx, page)
    for file in page:
        if (emptied := cleared(file, file.state)) != file:
            tx.files.save(emptied)
    return page[-1].file_id if len(page) == PAGE else None


def _forget(tx: Transaction, segment_ids: Sequence[str]) -> None:
    tx.runs.forget(segment_ids)


def _has_one_of(tx: Transaction, upload_id: str, file_ids: Iterable[str]) -> bool:
    return any(file is not None and file.upload_id == upload_id for file in map(tx.files.get, file_ids))


def _drop_jobs(tx: Transaction, upload_id: str, kind: JobKind) -> int:
    """The delivery of a cancelled upload may still have to say what the PACS took; any other has none."""
    upload = tx.uploads.get(upload_id)
    return 0 if upload is None or upload.erased_at is None else tx.jobs.drop(upload_id, kind, PAGE)


def _all_dead(tx: Transaction, upload_id: str) -> list[str] | None:
    """None: not all are."""
    upload = tx.uploads.get(upload_id)
    if upload is None:
        return []
    return tx.runs.segment_ids(upload_id) if upload.erased_at is not None else None


def _keyless(tx: Transaction, upload_id: str, after: list[str]) -> tuple[list[str], list[str]] | None:
    """Of a page of files: the last one, and the segments of those without a key. None: there are no more."""
    page = _page(tx, upload_id, after)
    if not page:
        return None
    keyless = (file.file_id for file in page if file.key_id is None)
    return [page[-1].file_id], [one for file_id in keyless for one in tx.runs.segment_ids(upload_id, file_id)]


def _page(tx: Transaction, upload_id: str, after: list[str]) -> list[FileRow]:
    """Files behind the last of `after`, and parts of concatenations."""
    return tx.files.page(upload_id, after=after[-1] if after else "", limit=READ_PAGE, parts=True)


def _intents(tx: Transaction) -> list[str]:
    intents: list[str] = json.loads(tx.settings.get(Setting.ERASURES_UNFINISHED) or "[]")
    return intents


def is_unfinished(tx: Transaction, upload_id: str) -> bool:
    """Its keys are gone, and its bytes may be there."""
    return upload_id in _intents(tx)


def _intend(tx: Transaction, upload_id: str) -> None:
    if upload_id not in (intents := _intents(tx)):
        tx.settings.put(Setting.ERASURES_UNFINISHED, json.dumps([*intents, upload_id]))


def _done(tx: Transaction, upload_id: str) -> None:
    if upload_id in (intents := _intents(tx)):
        tx.settings.put(Setting.ERASURES_UNFINISHED, json.dumps([one for one in intents if one != upload_id]))
