"""The check of whole files: their digest and their verdict, sealed into their rows.

A file that this process took in order was digested on its way in; any other one is read for its digest. What came whole
at once was judged then, if that kept nobody waiting (`arrivals.py`).

Idempotent: a verdict that is there is kept. A check that breaks on a file is given a fresh start once; then the file
is rejected, for what breaks the check must not reach a PACS. Accounts, and their uploads, take turns by what they cost:
files that take long keep those of others waiting for one of them, and not for all.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.clock import Clock
from gateway.delivery.endpoint import ACTOR
from gateway.delivery.items import FileOutcome, Judgement, maker_of, seal_outcome
from gateway.delivery.spooled import SpooledPlace, opener, place_of
from gateway.delivery.streams import Streams
from gateway.delivery.threads import in_thread
from gateway.delivery.turns import Turn, Turns
from gateway.delivery.verdicts import SealedVerdict, judgement_of, sealed, tell
from gateway.errors import Damaged
from gateway.jobs.workers import Again, Done
from gateway.keys.unwrap import unwrapped
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import FileRow, JobRow, UploadRow, replace
from gateway.spool import KeyRing, ServiceKeys, Spool, UploadKey
from gateway.states import DEAD_STATES, WHOLE_STATES, FileResult, FileState
from hooks.contract import Check, CheckBroke, Reject, Source, Verdict

PIECE_SIZE = 1 << 20
#: Files that share a look at the ledger and a transaction, at most.
MOST_AT_ONCE = 16
#: After so many bytes what is judged is written down.
WRITE_EVERY_BYTES = 8 << 20
#: After so long a turn ends, and somebody else's may begin.
TURN_S = 0.25


@dataclass(frozen=True, slots=True)
class _Findings:
    """A file that needs a verdict, as the ledger has it."""

    place: SpooledPlace
    upload: UploadRow
    wrapped: bytes | None


@dataclass(slots=True)
class _Wanted:
    """A verdict that somebody waits for; their job, if one of theirs goes with it."""

    file_id: str
    done: asyncio.Future[None]
    job: JobRow | None


class Checks:
    """Judges files: a few threads at once, several small files to a thread and to a transaction.

    :param limit: threads.
    """

    def __init__(
        self,
        ledger: Ledger,
        spool: Spool,
        ring: KeyRing,
        keys: ServiceKeys,
        check: Check,
        clock: Clock,
        limit: int,
        streams: Streams | None = None,
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._ring = ring
        self._keys = keys
        self._check = check
        self._clock = clock
        self._limit = limit
        self._streams = streams or Streams()
        self._wanted: dict[str, _Wanted] = {}  #: waiting or under way
        self._turns: Turns[_Wanted] = Turns(limit, clock.monotonic)
        self._sitters: set[asyncio.Task[None]] = set()

    async def __call__(self, job: JobRow) -> Done | Again:
        """The handler of `JobKind.CHECK`."""
        if job.file_id is None:
            return Done()
        own = job.file_id not in self._wanted
        await self.ensure(job.owner_id, job.upload_id, job.file_id, job)
        return Done(deleted=own)

    async def ensure(self, account_id: str, upload_id: str, file_id: str, job: JobRow | None = None) -> None:
        """Return when the file has a verdict, or needs none.

        :param account_id: whose turn it takes: that of the upload's owner.
        :param job: is deleted with the verdict, if nobody else waits for that already.
        :raises Unavailable: the spool's storage failed.
        """
        wanted = self._wanted.get(file_id)
        if wanted is None:
            wanted = _Wanted(file_id, asyncio.get_running_loop().create_future(), job)
            wanted.done.add_done_callback(partial(self._forget, file_id))
            self._wanted[file_id] = wanted
            self._turns.put(account_id, upload_id, wanted)
            self._seat()
        await asyncio.shield(wanted.done)

    def _seat(self) -> None:
        """Begin what may begin."""
        while (turn := self._turns.take(MOST_AT_ONCE)) is not None:
            task = asyncio.create_task(self._take_turn(turn), name="delivery-check")
            self._sitters.add(task)
            task.add_done_callback(self._sitters.discard)

    def _forget(self, file_id: str, done: asyncio.Future[None]) -> None:
        self._wanted.pop(file_id, None)
        if not done.cancelled():
            done.exception()  # looked at: whoever waited for it may be gone, and the file is judged again later

    async def ensure_all(self, account_id: str, upload_id: str, file_ids: Iterable[str]) -> None:
        """`ensure` for each file of an upload, not all at once."""
        waiting = iter(file_ids)

        async def work() -> None:
            for file_id in waiting:
                await self.ensure(account_id, upload_id, file_id)

        await asyncio.gather(*(work() for _ in range(self._limit * MOST_AT_ONCE)))

    async def _take_turn(self, turn: Turn[_Wanted]) -> None:
        left: Sequence[_Wanted] = ()
        try:
            left = await self._judge(turn)
        except Exception as error:  # noqa: BLE001 # it is raised to those who wait
            for wanted in turn.things:
                if not wanted.done.done():
                    wanted.done.set_exception(error)
        finally:
            for wanted in turn.things[: len(turn.things) - len(left)]:
                wanted.done.cancel()  # where nothing was said: this task was stopped
            self._turns.done(turn, left)
        self._seat()

    async def _judge(self, turn: Turn[_Wanted]) -> Sequence[_Wanted]:
        """One after the other while the turn lasts; those that are left."""
        found = await self._ledger.read(lambda tx: _look(tx, [wanted.file_id for wanted in turn.things]))
        ends_at = turn.began + TURN_S
        done = 0
        while done < len(found) and (done == 0 or self._clock.monotonic() <= ends_at):
            judged = await in_thread(partial(self._stretch, found[done:], ends_at))
            of = zip(turn.things[done:], found[done:], judged, strict=False)
            await self._write([_News(wanted, one, verdict) for wanted, one, verdict in of])
            done += len(judged)
        return turn.things[done:]

    def _stretch(self, found: Sequence[_Findings | None], ends_at: float) -> list[SealedVerdict | None]:
        """In a thread: what comes of the first of `found`, as many as share a transaction. Never of none.

        :raises Unavailable: the spool's storage failed.
        """
        judged: list[SealedVerdict | None] = []
        keys: dict[bytes, UploadKey | None] = {}
        size_bytes = 0
        for one in found:
            judged.append(None if one is None else self._judged(one, keys))
            size_bytes += 0 if one is None else one.place.length
            if size_bytes >= WRITE_EVERY_BYTES or self._clock.monotonic() > ends_at:
                break
        return judged

    def _judged(self, found: _Findings, keys: dict[bytes, UploadKey | None]) -> SealedVerdict | None:
        """None: the bytes are damaged. :raises Unavailable: the spool's storage failed.

        :param keys: of uploads, by the same wrapped: files of one turn are of one upload.
        """
        if found.wrapped is None:
            return None
        try:
            if found.wrapped not in keys:
                keys[found.wrapped] = unwrapped(self._ring, found.upload, found.wrapped)
            key = keys[found.wrapped]
            if key is None:
                return None
            sha256 = self._spool.digests.of(found.place.file_id, found.place.length)
            judgement = _judgement(opener(self._spool, key, found.place), self._check, sha256)
        except Damaged:
            return None
        return sealed(self._keys, key, found.place.file_id, judgement)

    async def _write(self, news: Sequence[_News]) -> None:
        """Verdicts, losses and done jobs, in one transaction."""
        now = self._clock.now()
        good = [one for one in news if one.found is not None and one.judgement is not None and one.judgement.facts]
        accepted = dict.fromkeys(one.found.upload.upload_id for one in good if one.found is not None)

        def act(tx: Transaction) -> None:
            for one in news:
                if one.found is not None and one.judged is None:
                    mark_lost(tx, one.wanted.file_id, self._keys, now)
                elif one.judged is not None:
                    _save(tx, one.wanted.file_id, one.judged)
                job = one.wanted.job
                if job is not None and (row := tx.jobs.get(job.job_id)) is not None and row.lease_by == job.lease_by:
                    tx.jobs.delete(job.job_id)
            self._streams.wake(tx, accepted, now)

        if not news:
            return
        for one in good:
            if one.found is not None:
                self._streams.judged(one.found.upload.upload_id, one.wanted.file_id)
        await self._ledger.write(act)
        for one in news:
            self._spool.digests.forget(one.wanted.file_id)
            if not one.wanted.done.done():
                one.wanted.done.set_result(None)
            if one.found is not None:
                tell(one.found.upload.upload_id, one.wanted.file_id, one.judgement)


@dataclass(frozen=True, slots=True)
class _News:
    """What came of a file: nothing to do (no `found`), damaged (not `judged`), or a judgement."""

    wanted: _Wanted
    found: _Findings | None
    judged: SealedVerdict | None

    @property
    def judgement(self) -> Judgement | None:
        """None: there is none."""
        return None if self.judged is None else self.judged.judgement


def _look(tx: Transaction, file_ids: Sequence[str]) -> list[_Findings | None]:
    """Files of one turn are of one upload, which isn't asked for again for each."""
    uploads: dict[str, tuple[UploadRow | None, bytes | None]] = {}
    found: list[_Findings | None] = []
    for file_id in file_ids:
        file = tx.files.get(file_id)
        if file is not None and file.upload_id not in uploads:
            upload = tx.uploads.get(file.upload_id)
            key_id = None if upload is None else upload.key_id
            uploads[file.upload_id] = upload, None if key_id is None else tx.keys.get(key_id)
        upload, wrapped = (None, None) if file is None else uploads[file.upload_id]
        if file is None or upload is None or not _open(upload, file):
            found.append(None)
        else:
            found.append(_Findings(place_of(tx, file), upload, wrapped))
    return found


def _save(tx: Transaction, file_id: str, judged: SealedVerdict) -> None:
    file = tx.files.get(file_id)
    upload = None if file is None else tx.uploads.get(file.upload_id)
    if file is None or upload is None or not _open(upload, file):
        return
    ruled = judged.on(file)
    tx.files.save(ruled)
    if ruled.state is not file.state:
        tx.wake(upload.upload_id)


def mark_lost(tx: Transaction, file_id: str, keys: ServiceKeys, now: float) -> None:
    """Acknowledged bytes of a file can't be read back: its state, its outcome and the audit event.

    Not where they were erased while somebody read them.
    """
    file = tx.files.get(file_id)
    upload = None if file is None else tx.uploads.get(file.upload_id)
    if file is None or file.state not in WHOLE_STATES or file.key_id is None or upload is None or upload.key_id is None:
        return
    outcome = FileOutcome(FileResult.FAILED, code="data_lost", made_by=maker_of(file))
    tx.files.save(replace(file, state=FileState.LOST, outcome_sealed=seal_outcome(keys, file_id, outcome)))
    tx.audit.append("file.lost", at=now, actor=ACTOR, upload_id=file.upload_id, detail={"file": file_id})
    tx.wake(file.upload_id)


def needs_check(file: FileRow) -> bool:
    """It is whole and has no verdict yet."""
    return file.state in WHOLE_STATES and file.facts_sealed is None


def _open(upload: UploadRow, file: FileRow) -> bool:
    return needs_check(file) and upload.key_id is not None and upload.state not in DEAD_STATES


def _judgement(open_file: Callable[[], Source], check: Check, sha256: str | None) -> Judgement:
    """In a thread.

    :param sha256: of the bytes as they came, where it is known: only what the check asks for is read then.
    :raises Damaged, Unavailable: the file can't be read.
    """
    source = open_file()
    try:
        if sha256 is None:
            sha256 = _digested(source)
        verdict = _verdict(source, check)
    finally:
        source.close()
    return judgement_of(verdict, sha256)


def _digested(source: Source) -> str:
    digest, offset = hashlib.sha256(), 0
    while offset < source.size_bytes:
        piece = source.read_at(offset, PIECE_SIZE)
        digest.update(piece)
        offset += len(piece)
    return digest.hexdigest()


def _verdict(source: Source, check: Check) -> Verdict:
    for _ in range(2):
        try:
            return check.check(source)
        except CheckBroke:
            continue
    return Reject("check_failed")
