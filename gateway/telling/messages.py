"""Messages on what became of an upload: written with it, sent until somebody takes them.

A message is a job of its upload, inserted in the transaction of the state that it tells of, so neither a crash nor a
receiver that is down loses one. Its id is in its row: sent twice, it has the same. What it says is sealed like a job's
memory; a patient's data is in it only where the configuration says so.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from gateway.clock import Clock, rfc3339
from gateway.delivery.breaker import Breaker
from gateway.delivery.items import open_list, seal_list
from gateway.delivery.receipt import warning
from gateway.delivery.threads import in_thread
from gateway.jobs.backoff import Backoff
from gateway.jobs.workers import Again, Done
from gateway.keys.columns import Column
from gateway.keys.unwrap import upload_key
from gateway.ledger.base import JOBS, Ledger, Transaction
from gateway.ledger.rows import DeliveryRow, JobKind, JobRow, UploadRow
from gateway.spool import KeyRing, ServiceKeys

log = logging.getLogger("relaypacs.telling")

#: What is told (CONTRACT 4, `[[webhooks]]` events).
EVENTS = ("upload.success", "upload.partial", "upload.failed", "upload.held", "upload.delayed")


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message to one receiver.

    :param message_id: the same each time it is sent.
    :param to: the receiver: a channel's name.
    :param address: whom the channel brings it to; empty: it has one receiver.
    :param body: JSON.
    """

    message_id: str
    to: str
    address: str
    body: dict[str, Any]
    carries_notes: bool = False  #: the clinical notes go out by it and in no other way


class NotSent(Exception):
    """A receiver didn't take a message. `code` is stable; no word of the receiver's is kept.

    :param final: trying again is of no use.
    """

    def __init__(self, code: str, *, retry_after_s: float | None = None, final: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after_s = retry_after_s
        self.final = final


class Channel(Protocol):
    """A way to receivers of one configuration."""

    @property
    def name(self) -> str:
        """What its messages are kept under: the same after a restart."""

    @property
    def kind(self) -> str:
        """`webhook` or `mail`."""

    @property
    def with_patient_data(self) -> bool:
        """What was declared of the patient is in its messages, and the clinical notes."""

    def addresses(self, event: str, upload: UploadRow, declared: Mapping[str, Any]) -> Sequence[str]:
        """Whom this is to be told; none: nobody."""

    def send(self, message: OutgoingMessage, now: float) -> None:
        """Blocks. :raises NotSent: see there."""

    def probe(self) -> str:
        """For `check`: a short sentence. :raises NotSent: it can't be reached."""


class Announcer:
    """Writes messages.

    :param channels: none: nothing is told.
    :param tell_notes: ids of endpoints with `notes = "webhook"`.
    """

    def __init__(
        self, ring: KeyRing, keys: ServiceKeys, channels: Sequence[Channel], tell_notes: Collection[str] = ()
    ) -> None:
        self._ring = ring
        self._keys = keys
        self._channels = channels
        self._tell_notes = frozenset(tell_notes)

    def __call__(self, tx: Transaction, upload: UploadRow, event: str, now: float) -> None:
        """Write what there is to tell of `upload`, whose row has been saved, in this transaction."""
        if not self._channels:
            return
        declared, deliveries = self._declared(tx, upload), tx.deliveries.of_upload(upload.upload_id)
        endpoints = [one.endpoint_id for one in deliveries] or [upload.endpoint_id]
        for channel in self._channels:
            tells = not self._tell_notes.isdisjoint(endpoints) and "clinical_notes" in declared
            notes = channel.with_patient_data and tells
            data = _data(upload, deliveries) | (declared if channel.with_patient_data else {})
            body = {"type": event, "timestamp": rfc3339(now), "data": data}
            rows = (replace(upload, endpoint_id=one) for one in endpoints)
            addresses = (address for row in rows for address in channel.addresses(event, row, declared))
            for address in dict.fromkeys(addresses):
                message = OutgoingMessage(f"msg_{secrets.token_hex(16)}", channel.name, address, body, notes)
                blank = JobRow(0, JobKind.TELL, upload.upload_id, None, now, 0, 0.0, None, None, None, "")
                job = tx.jobs.get(tx.jobs.insert(blank))
                assert job is not None
                tx.jobs.save(replace(job, memory_sealed=self._sealed(message, job.job_id)))
                tx.wake(JOBS)

    def _sealed(self, message: OutgoingMessage, job_id: int) -> bytes:
        return self._keys.records.seal_json(asdict(message), context=Column.JOB_MEMORY.of(job_id))

    def _declared(self, tx: Transaction, upload: UploadRow) -> dict[str, Any]:
        key = upload_key(tx, self._ring, upload)
        if key is None or upload.meta_sealed is None:
            return {}
        said: dict[str, Any] = key.meta.open_json(upload.meta_sealed, context=Column.UPLOAD_META.of(upload.upload_id))
        return {name: said[name] for name in ("study_metadata", "clinical_notes", "uploader") if said.get(name)}


def _data(upload: UploadRow, deliveries: Sequence[DeliveryRow]) -> dict[str, Any]:
    """What names nobody."""
    several = [
        {
            "endpoint_id": one.endpoint_id,
            "required": one.required,
            "state": str(one.state),
            "pacs_receipt_id": one.receipt_id,
        }
        for one in deliveries
    ]
    return ({"deliveries": several} if several else {}) | {
        "upload_id": upload.upload_id,
        "endpoint_id": upload.endpoint_id,
        "state": str(upload.state),
        "pacs_receipt_id": upload.receipt_id,
        "held_reasons": upload.held_reasons,
        "files": {"expected": upload.total_files, "whole": upload.whole_files},
        "completed_at": None if upload.completed_at is None else rfc3339(upload.completed_at),
    }


class Messenger:
    """The handler of `JobKind.TELL`.

    :param retry_for_s: how long a message is tried.
    :param told: hears of each try: the channel's kind, and `sent`, `failed` or `gave_up`.
    """

    def __init__(
        self,
        ledger: Ledger,
        keys: ServiceKeys,
        channels: Sequence[Channel],
        clock: Clock,
        backoff: Backoff,
        retry_for_s: float,
        told: Callable[[str, str], None],
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._channels = {channel.name: channel for channel in channels}
        self._breakers = {channel.name: Breaker(clock, backoff) for channel in channels}
        self._clock = clock
        self._backoff = backoff
        self._retry_for_s = retry_for_s
        self._told = told

    async def __call__(self, job: JobRow) -> Done | Again:
        """One try."""
        assert job.memory_sealed is not None
        said = self._keys.records.open_json(job.memory_sealed, context=Column.JOB_MEMORY.of(job.job_id))
        message = OutgoingMessage(**said)
        channel = self._channels.get(message.to)
        if channel is None:
            log.warning("message_dropped upload=%s: its receiver isn't configured any more", job.upload_id)
            return Done()
        breaker, now = self._breakers[channel.name], self._clock.now()
        wait_s = breaker.wait_s()
        if wait_s > 0 and job.tried_s < self._retry_for_s:
            return Again(now + wait_s, f"waits_{breaker.code}", tried_s=wait_s, counts=False)
        try:
            await in_thread(lambda: channel.send(message, now))
        except NotSent as error:
            return await self._failed(job, channel, message, error)
        finally:
            breaker.withdrew()
        breaker.answered()
        self._told(channel.kind, "sent")
        return Done()

    async def _failed(self, job: JobRow, channel: Channel, message: OutgoingMessage, error: NotSent) -> Done | Again:
        wait_s = self._backoff.wait_s(job.attempts + 1, error.retry_after_s)
        if error.final or job.tried_s >= self._retry_for_s:
            log.error("message_given_up upload=%s channel=%s code=%s", job.upload_id, channel.kind, error.code)
            self._told(channel.kind, "gave_up")
            if message.carries_notes:
                await self._ledger.write(lambda tx: self._warn(tx, job.upload_id))
            return Done()
        self._breakers[channel.name].failed(error.code, error.retry_after_s)
        log.warning("message_not_sent upload=%s channel=%s code=%s", job.upload_id, channel.kind, error.code)
        self._told(channel.kind, "failed")
        return Again(self._clock.now() + wait_s, error.code, tried_s=wait_s)

    def _warn(self, tx: Transaction, upload_id: str) -> None:
        """Nobody has the notes: the upload says so."""
        upload = tx.uploads.get(upload_id)
        if upload is None:
            return
        records, column = self._keys.records, Column.UPLOAD_WARNINGS
        warnings = open_list(records, upload.warnings_sealed, column, upload_id)
        told = warning("notes_not_stored")
        if told not in warnings:
            sealed = seal_list(records, [*warnings, told], column, upload_id)
            tx.uploads.save(replace(upload, warnings_sealed=sealed))
            tx.wake(upload_id)
