"""The check of whole files: their digest and their verdict, sealed into their rows.

Idempotent: a verdict that is there is kept. A check that breaks on a file is given a fresh start once; then the file
is rejected, for what breaks the check must not reach a PACS.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from gateway.clock import Clock
from gateway.delivery.claim import Again, Done
from gateway.delivery.endpoint import ACTOR
from gateway.delivery.records import FileOutcome, Judgement, seal_judgement, seal_outcome, upload_key_of
from gateway.delivery.spooled import Place, opener, place_of
from gateway.delivery.threads import in_thread
from gateway.errors import Damaged
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import FileRow, JobRow, UploadRow
from gateway.protocol.lifecycle import DEAD_STATES, WHOLE_STATES, FileState
from gateway.spool import KeyRing, ServiceKeys, Spool, UploadKey
from hooks.contract import Accept, Check, CheckBroke, Reject, Source, Verdict

log = logging.getLogger("relaypacs.delivery")

PIECE_SIZE = 1 << 20


class Checks:
    """Judges files, a few at a time, each once.

    :param limit: files judged at once.
    """

    def __init__(
        self, ledger: Ledger, spool: Spool, ring: KeyRing, keys: ServiceKeys, check: Check, clock: Clock, limit: int
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._ring = ring
        self._keys = keys
        self._check = check
        self._clock = clock
        self._limit = limit
        self._seats = asyncio.Semaphore(limit)
        self._running: dict[str, asyncio.Task[None]] = {}

    async def __call__(self, job: JobRow) -> Done | Again:
        """The handler of `JobKind.CHECK`."""
        if job.file_id is not None:
            await self.ensure(job.file_id)
        return Done()

    async def ensure(self, file_id: str) -> None:
        """Return when the file has a verdict, or needs none.

        :raises Unavailable: the spool's storage failed.
        """
        task = self._running.get(file_id)
        if task is None:
            task = self._running[file_id] = asyncio.create_task(self._seated(file_id))
            task.add_done_callback(partial(self._forget, file_id))
        await asyncio.shield(task)

    def _forget(self, file_id: str, task: asyncio.Task[None]) -> None:
        self._running.pop(file_id, None)
        if not task.cancelled():
            task.exception()  # looked at: whoever waited for it may be gone, and the file is judged again later

    async def ensure_all(self, file_ids: Iterable[str]) -> None:
        """`ensure` for each, a few at a time."""
        waiting = iter(file_ids)

        async def work() -> None:
            for file_id in waiting:
                await self.ensure(file_id)

        await asyncio.gather(*(work() for _ in range(self._limit + 1)))

    async def _seated(self, file_id: str) -> None:
        async with self._seats:
            await self._judge(file_id)

    async def _judge(self, file_id: str) -> None:
        def look(tx: Transaction) -> tuple[UploadRow, bytes | None, Place] | None:
            file = tx.files.get(file_id)
            upload = None if file is None else tx.uploads.get(file.upload_id)
            if file is None or upload is None or not _open(upload, file):
                return None
            assert upload.key_id is not None
            return upload, tx.keys.get(upload.key_id), place_of(tx, file)

        found = await self._ledger.read(look)
        if found is None:
            return
        upload, wrapped, place = found
        key = upload_key_of(upload, self._ring, wrapped)
        if key is None:
            return
        open_file = opener(self._spool, key, place)
        try:
            judgement = await in_thread(lambda: _judgement(open_file, self._check))
        except Damaged:
            log.error("file_lost upload=%s file=%s", upload.upload_id, file_id)  # noqa: TRY400 # no values in logs
            await self._ledger.write(lambda tx: mark_lost(tx, file_id, self._keys, self._clock.now()))
            return
        await self._write(key, file_id, judgement)

    async def _write(self, key: UploadKey, file_id: str, judgement: Judgement) -> None:
        sealed = seal_judgement(key, file_id, judgement)
        outcome = _outcome(judgement)
        outcome_sealed = None if outcome is None else seal_outcome(self._keys, file_id, outcome)
        log.info(
            "file_checked upload=%s file=%s verdict=%s code=%s",
            key.upload_id, file_id, judgement.verdict, judgement.code or "-",
        )  # fmt: skip

        def act(tx: Transaction) -> None:
            file = tx.files.get(file_id)
            upload = None if file is None else tx.uploads.get(file.upload_id)
            if file is None or upload is None or not _open(upload, file):
                return
            state = {"reject": FileState.REJECTED, "skip": FileState.SKIPPED}.get(judgement.verdict, file.state)
            tx.files.save(replace(file, state=state, facts_sealed=sealed, outcome_sealed=outcome_sealed))
            if state is not file.state:
                tx.wake(upload.upload_id)

        await self._ledger.write(act)


def mark_lost(tx: Transaction, file_id: str, keys: ServiceKeys, now: float) -> None:
    """Acknowledged bytes of a file can't be read back: its state, its outcome and the audit event."""
    file = tx.files.get(file_id)
    if file is None or file.state not in WHOLE_STATES:
        return
    outcome = FileOutcome("failed", code="data_lost")
    tx.files.save(replace(file, state=FileState.LOST, outcome_sealed=seal_outcome(keys, file_id, outcome)))
    tx.audit.append("file.lost", at=now, actor=ACTOR, upload_id=file.upload_id, detail={"file": file_id})
    tx.wake(file.upload_id)


def needs_check(file: FileRow) -> bool:
    """It is whole and has no verdict yet."""
    return file.state in WHOLE_STATES and file.facts_sealed is None


def _open(upload: UploadRow, file: FileRow) -> bool:
    return needs_check(file) and upload.key_id is not None and upload.state not in DEAD_STATES


def _outcome(judgement: Judgement) -> FileOutcome | None:
    if judgement.verdict == "accept":
        return None
    outcome = "rejected" if judgement.verdict == "reject" else "skipped"
    return FileOutcome(outcome, sha256=judgement.sha256, code=judgement.code)


def _judgement(open_file: Callable[[], Source], check: Check) -> Judgement:
    """In a thread. :raises Damaged, Unavailable: the file can't be read."""
    source = open_file()
    try:
        digest, offset = hashlib.sha256(), 0
        while offset < source.size_bytes:
            piece = source.read_at(offset, PIECE_SIZE)
            digest.update(piece)
            offset += len(piece)
        sha256 = digest.hexdigest()
        verdict = _verdict(source, check)
    finally:
        source.close()
    if isinstance(verdict, Accept):
        return Judgement(sha256, "accept", warnings=verdict.warnings, facts=verdict.facts)
    return Judgement(sha256, "reject" if isinstance(verdict, Reject) else "skip", verdict.code)


def _verdict(source: Source, check: Check) -> Verdict:
    for _ in range(2):
        try:
            return check.check(source)
        except CheckBroke:
            continue
    return Reject("check_failed")
