"""One attempt at delivering one upload: what it holds, and how it writes down what it learned.

Every write asks first whether the upload is still to be delivered and the job still ours; what is learned after a
cancellation is kept all the same, for the PACS has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from gateway.clock import Clock
from gateway.delivery.cancelled import Settling
from gateway.delivery.endpoint import WorkingEndpoint
from gateway.delivery.items import STATES, FileOutcome, Item, Memory, seal_outcome
from gateway.delivery.looks import Looks
from gateway.delivery.receipt import IN_PACS, delivered, is_proof
from gateway.delivery.way import Way
from gateway.errors import GatewayError
from gateway.jobs.backoff import Backoff
from gateway.keys.columns import Column
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import DeliveredRow, JobRow, UploadRow
from gateway.receipts.document import Signer
from gateway.spool import KeyRing, ServiceKeys, Spool, UploadKey
from gateway.states import DEAD_STATES, RECEIVING_STATES, FileResult, FileState, UploadState
from hooks.contract import Facts

_LOOK_EVERY_S = 1.0
_GOES = frozenset({UploadState.DELIVERING, *RECEIVING_STATES})

#: Writes messages on what became of an upload: its row as it was saved, the event, unix seconds.
Announce = Callable[[Transaction, UploadRow, str, float], None]


class Superseded(Exception):
    """The upload is no longer to be delivered, or the job is another worker's."""


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """What the configuration says of all endpoints (CONTRACT 4).

    :param retry_for_s: how long an upload is tried, counted while trying was possible.
    :param probe_s: how often a misconfigured endpoint is asked.
    :param study_mismatch: `hold`, `reject` or `warn`.
    :param checks: files judged at once.
    """

    retry_for_s: float = 72 * 3600.0
    backoff: Backoff = field(default_factory=Backoff)
    probe_s: float = 60.0
    study_mismatch: str = "hold"
    checks: int = 2


@dataclass(frozen=True, slots=True)
class Tools:
    """What every step needs."""

    ledger: Ledger
    spool: Spool
    ring: KeyRing
    keys: ServiceKeys
    signer: Signer
    clock: Clock
    settings: DeliveryRules
    announce: Announce = lambda _tx, _upload, _event, _now: None  #: in the transaction of what it tells

    @property
    def settling(self) -> Settling:
        """For uploads that were cancelled."""
        return Settling(self.ledger, self.keys, self.signer, self.clock)


class Stop:
    """Says, from any thread, that an upload isn't to be delivered any further."""

    def __init__(self, ledger: Ledger, way: Way, upload: UploadRow) -> None:
        self._ledger = ledger
        self._way = way
        self._upload = upload
        self._flag = threading.Event()
        self._task: asyncio.Task[None] | None = None

    def is_set(self) -> bool:
        """Ask at least once per MiB."""
        return self._flag.is_set()

    def set(self) -> None:
        """Stop for another reason than the upload's state."""
        self._flag.set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look(), name="delivery-stop")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flag.set()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _look(self) -> None:
        upload_id = self._upload.upload_id
        with self._ledger.watch(upload_id) as watch:
            while not self._flag.is_set():
                with contextlib.suppress(GatewayError):  # looked at again in a second
                    row = await self._ledger.read(self._way.upload)
                    if row is None or not same(row, self._upload):
                        self._flag.set()
                        return
                await watch.changed(_LOOK_EVERY_S)


def same(row: UploadRow, upload: UploadRow) -> bool:
    """It is still to be delivered, and wasn't stopped in between. One that streams may have been completed."""
    return row.state in _GOES and row.epoch == upload.epoch and row.key_id is not None


def is_receiving(upload: UploadRow) -> bool:
    """Files come still, or are being ended by its completion."""
    ending = upload.state is UploadState.DELIVERING and bool(upload.ending_files or upload.unbegun_files)
    return ending or upload.state in RECEIVING_STATES


@dataclass(slots=True)
class Attempt:
    """See the module.

    :param cleared: of an upload of which instances have left before it was complete: whose they were.
    :param twins: whose files those are that can't leave before it is complete, and that are judged all the same.
    :param looks: at the PACS, that hold good from run to run; None: each is a new one.
    """

    tools: Tools
    job: JobRow
    upload: UploadRow
    key: UploadKey
    endpoint: WorkingEndpoint
    memory: Memory
    items: list[Item]
    stop: Stop
    began: float  #: monotonic seconds
    cleared: dict[Facts, None] = field(default_factory=dict)
    twins: Sequence[Facts] = ()
    looks: Looks | None = None

    @property
    def way(self) -> Way:
        """Which of the upload's deliveries this is."""
        return Way(self.job.upload_id, self.job.endpoint_id)

    def declared(self) -> dict[str, Any]:
        """What the client said of the upload: `study_metadata`, `clinical_notes`, `uploader`; what was `expected`."""
        upload = self.upload
        if upload.meta_sealed is None:
            return {}
        found: dict[str, Any] = self.key.meta.open_json(
            upload.meta_sealed, context=Column.UPLOAD_META.of(upload.upload_id)
        )
        return found

    def mine(self, tx: Transaction) -> UploadRow | None:
        """The upload's row, if this attempt may still write about it."""
        job = tx.jobs.get(self.job.job_id)
        if job is None or job.lease_by != self.job.lease_by:
            return None
        row = self.way.upload(tx)
        return row if row is not None and same(row, self.upload) else None

    def sealed_memory(self) -> bytes:
        """For the job's row."""
        return self.memory.sealed(self.tools.keys, self.job.job_id)

    async def remember(self) -> None:
        """Write the memory down now. :raises Superseded: it is nobody's business any more."""
        sealed = self.sealed_memory()

        def act(tx: Transaction) -> bool:
            job = tx.jobs.get(self.job.job_id)
            if job is None or self.mine(tx) is None:
                return False
            tx.jobs.save(replace(job, memory_sealed=sealed))
            return True

        if not await self.tools.ledger.write(act):
            raise Superseded

    async def record(self, news: Sequence[tuple[Item, FileOutcome]]) -> None:
        """Write outcomes down, all in one transaction.

        :raises Superseded: they are kept if the upload was cancelled or has expired, and in no case goes this attempt on.
        """
        if not news:
            return
        now = self.tools.clock.now()
        news = [(item, replace(outcome, at=outcome.at or now)) for item, outcome in news]
        sealed = self.sealed_outcomes(news)

        def act(tx: Transaction) -> bool:
            if self.mine(tx) is not None:
                self.save_outcomes(tx, sealed)
                tx.wake(self.upload.upload_id)
                return True
            upload = tx.uploads.get(self.upload.upload_id)
            if upload is not None and upload.state in DEAD_STATES:
                self.save_outcomes(tx, sealed)
            return False

        if not await self.tools.ledger.write(act):
            if any(one.outcome.outcome in (FileResult.ACKNOWLEDGED, *IN_PACS) for one in sealed):
                await self.tools.settling.settle(self.way, self.memory.receipt_id)
            raise Superseded
        for item, outcome in news:
            item.outcome = item.saved = outcome
            item.state = STATES[outcome.outcome]

    def sealed_outcomes(self, news: Sequence[tuple[Item, FileOutcome]]) -> list[SealedOutcome]:
        """Ready to be written."""
        keys, endpoint_id, now = self.tools.keys, self.upload.endpoint_id, self.tools.clock.now()
        return [
            SealedOutcome(
                item.file_id,
                outcome,
                seal_outcome(keys, item.file_id, outcome),
                delivered(keys, endpoint_id, outcome, self.memory.receipt_id, now) if is_news(outcome) else None,
            )
            for item, outcome in news
        ]

    def save_outcomes(self, tx: Transaction, sealed: Sequence[SealedOutcome]) -> None:
        """Files and the index of what was delivered."""
        for one in sealed:
            file = self.way.file(tx, one.file_id)
            if file is None or file.state is FileState.REMOVED:
                continue
            state = FileState.LOST if file.state is FileState.LOST else STATES[one.outcome.outcome]
            self.way.save_file(tx, replace(file, state=state, outcome_sealed=one.sealed))
            if one.delivered is not None:
                tx.receipts.note_delivered(one.delivered)


@dataclass(frozen=True, slots=True)
class SealedOutcome:
    """An outcome as it goes into the rows."""

    file_id: str
    outcome: FileOutcome
    sealed: bytes
    delivered: DeliveredRow | None


def is_news(outcome: FileOutcome) -> bool:
    """For the index of what was delivered: the PACS has these very bytes, and that wasn't written down before."""
    return is_proof(outcome) and outcome.outcome in (FileResult.ACKNOWLEDGED, FileResult.ALREADY_THERE)
