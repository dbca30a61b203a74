"""The rows of an upload as one of its deliveries sees them.

An upload with one endpoint says all of it in its own rows. One with several has a row for each delivery, and one for
each file there: what is written for a delivery goes into those, and the upload's own rows are summed up anew in the same
transaction. So nobody is told that it has arrived before every required endpoint has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.delivery.items import open_list, seal_list
from gateway.keys.columns import Column
from gateway.ledger.base import JOBS, Transaction
from gateway.ledger.rows import DeliveryRow, Dialect, FileRow, JobKind, JobRow, OutcomeRow, UploadRow
from gateway.spool import Sealer
from gateway.states import DEAD_STATES, FINISHED_STATES, WHOLE_STATES, FileState, UploadState

#: Files that go nowhere, and those of which it is known what they are: no endpoint changes that.
_OUT = frozenset({FileState.RECEIVING, FileState.REJECTED, FileState.SKIPPED, FileState.LOST, FileState.REMOVED})
#: What a file is called that has these states at several endpoints: the first of them.
_WORST = (
    FileState.LOST,
    FileState.FAILED,
    FileState.REJECTED,
    FileState.STORED,
    FileState.ALREADY_THERE,
    FileState.SKIPPED,
)


@dataclass(frozen=True, slots=True)
class Way:
    """One of an upload's deliveries. :param endpoint_id: empty: it has one endpoint, and its own rows say it all."""

    upload_id: str
    endpoint_id: str = ""

    def upload(self, tx: Transaction) -> UploadRow | None:
        """The upload's row with what is this delivery's own."""
        row = tx.uploads.get(self.upload_id)
        if row is None or not self.endpoint_id:
            return row
        delivery = tx.deliveries.get(self.upload_id, self.endpoint_id)
        return None if delivery is None else seen(row, delivery)

    def save(
        self, tx: Transaction, row: UploadRow, records: Sealer, now: float, *, falls_back: bool = False
    ) -> UploadRow:
        """Write back what is this delivery's own, and sum up. Returns the upload's own row as it is then.

        :param row: as `upload` gave it, changed.
        :param falls_back: it has failed in a way that another endpoint may make good.
        """
        if not self.endpoint_id:
            tx.uploads.save(row)
            return row
        delivery = tx.deliveries.get(self.upload_id, self.endpoint_id)
        assert delivery is not None, "`upload` has found it"
        changed = replace(
            delivery,
            state=delivery.state if row.state in DEAD_STATES else row.state,
            held_codes=row.held_codes,
            receipt_id=row.receipt_id,
            warnings_sealed=row.warnings_sealed,
            studies_sealed=row.studies_sealed,
            queued_at=row.queued_at,
            held_at=row.held_at,
            released_at=row.released_at,
            finished_at=row.finished_at,
        )
        if falls_back:
            changed = _with_stand_in(tx, changed, now)
        tx.deliveries.save(changed)
        return sum_up(tx, self.upload_id, records, now)

    def file(self, tx: Transaction, file_id: str) -> FileRow | None:
        """The file's row with its state and its outcome here."""
        row = tx.files.get(file_id)
        return None if row is None else self._file(tx, row)

    def page(self, tx: Transaction, after: str, limit: int) -> list[FileRow]:
        """Files by file_id; what the gateway made for another delivery is as if it was removed."""
        return [self._file(tx, row) for row in tx.files.page(self.upload_id, after=after, limit=limit)]

    def _file(self, tx: Transaction, row: FileRow) -> FileRow:
        if not self.endpoint_id or row.state is FileState.REMOVED:
            return row
        own = tx.deliveries.outcome(row.file_id, self.endpoint_id)
        if own is None:
            if row.dialect is Dialect.GATEWAY:
                return replace(row, state=FileState.REMOVED, outcome_sealed=None)
            return row if row.state in _OUT else replace(row, state=FileState.QUEUED, outcome_sealed=None)
        if row.state is FileState.LOST and own.state in WHOLE_STATES:
            return row
        return replace(row, state=own.state, outcome_sealed=own.outcome_sealed)

    def save_file(self, tx: Transaction, row: FileRow) -> None:
        """Write state and outcome here back; the file's own row says what it comes to at all endpoints."""
        if not self.endpoint_id:
            tx.files.save(row)
            return
        tx.deliveries.put_outcome(OutcomeRow(row.file_id, self.endpoint_id, row.state, row.outcome_sealed))
        file = tx.files.get(row.file_id)
        if file is None or file.state in (FileState.LOST, FileState.REMOVED):
            return
        summed = _file_of(file, tx.deliveries.of_upload(self.upload_id), tx.deliveries.outcomes(row.file_id))
        if summed != file:
            tx.files.save(summed)


def ways_of(tx: Transaction, upload_id: str) -> list[Way]:
    """Each delivery of an upload; at least one."""
    return [Way(upload_id, one.endpoint_id) for one in tx.deliveries.of_upload(upload_id)] or [Way(upload_id)]


def seen(row: UploadRow, delivery: DeliveryRow) -> UploadRow:
    """The upload's row with what is that delivery's own."""
    return replace(
        row,
        endpoint_id=delivery.endpoint_id,
        state=row.state if row.state in DEAD_STATES else delivery.state,
        held_codes=delivery.held_codes,
        receipt_id=delivery.receipt_id,
        warnings_sealed=delivery.warnings_sealed,
        studies_sealed=delivery.studies_sealed,
        queued_at=delivery.queued_at,
        held_at=delivery.held_at,
        released_at=delivery.released_at,
        finished_at=delivery.finished_at,
    )


# --- several deliveries as one -------------------------------------------------------------------------------------


def standing(delivery: DeliveryRow, among: Mapping[str, DeliveryRow]) -> DeliveryRow:
    """Itself, or what stands in for it now that it has failed."""
    met = {delivery.endpoint_id}
    while delivery.state is UploadState.FAILED and delivery.replaced_by in among and delivery.replaced_by not in met:
        delivery = among[delivery.replaced_by]
        met.add(delivery.endpoint_id)
    return delivery


def counting(deliveries: Sequence[DeliveryRow]) -> list[DeliveryRow]:
    """Those by which the upload is judged: the required ones, or what stands in for them."""
    among = {one.endpoint_id: one for one in deliveries}
    found = (standing(one, among) for one in deliveries if one.required)
    return list({one.endpoint_id: one for one in found}.values())


def state_of(deliveries: Sequence[DeliveryRow]) -> UploadState:
    """The upload's: held if any is, under way as long as one that counts is, success if all of those are."""
    states = {one.state for one in counting(deliveries)}
    if any(one.state is UploadState.HELD for one in deliveries):
        return UploadState.HELD
    if UploadState.DELIVERING in states:
        return UploadState.DELIVERING
    return states.pop() if len(states) == 1 else UploadState.PARTIAL


def sum_up(tx: Transaction, upload_id: str, records: Sealer, now: float) -> UploadRow:
    """Write into the upload's own row what its deliveries come to."""
    upload, deliveries = tx.uploads.get(upload_id), tx.deliveries.of_upload(upload_id)
    assert upload is not None
    dead = upload.state in DEAD_STATES
    state = upload.state if dead else state_of(deliveries)
    over = dead or state in FINISHED_STATES
    those = deliveries if dead else counting(deliveries)
    receipts = [one.receipt_id for one in those if one.receipt_id is not None]
    told = [one for one in those if one.studies_sealed is not None]
    worst = min(told, key=lambda one: _BY_SEVERITY.index(one.state), default=None)
    row = replace(
        upload,
        state=state,
        finished_at=(upload.finished_at or now) if over else None,
        open_deliveries=0 if dead else sum(one.is_open for one in deliveries),
        held_codes=_codes(deliveries) or upload.held_codes,
        released_at=None if state is UploadState.HELD else max(one.released_at or 0.0 for one in deliveries) or None,
        receipt_id=next(iter(receipts), None) if over else upload.receipt_id,
        warnings_sealed=_warnings(records, upload, deliveries),
        studies_sealed=worst.studies_sealed if over and worst is not None else upload.studies_sealed,
    )
    tx.uploads.save(row)
    return row


#: Of which delivery an upload's studies are told.
_BY_SEVERITY = (
    UploadState.FAILED,
    UploadState.PARTIAL,
    UploadState.HELD,
    UploadState.DELIVERING,
    UploadState.SUCCESS,
)


def _codes(deliveries: Sequence[DeliveryRow]) -> str:
    """Of those that a person has to look at."""
    held = (one.held_codes.split(",") for one in deliveries if one.state is UploadState.HELD)
    return ",".join(dict.fromkeys(code for codes in held for code in codes if code))


def _warnings(records: Sealer, upload: UploadRow, deliveries: Sequence[DeliveryRow]) -> bytes | None:
    """The upload's own, and those of each delivery with its endpoint."""
    column, upload_id = Column.UPLOAD_WARNINGS, upload.upload_id
    kept: list[dict[str, Any]] = open_list(records, upload.warnings_sealed, column, upload_id)
    warnings = [one for one in kept if "endpoint_id" not in one]
    for delivery in deliveries:
        told = open_list(records, delivery.warnings_sealed, column, upload_id)
        warnings += [{**one, "endpoint_id": delivery.endpoint_id} for one in told]
    return seal_list(records, warnings, column, upload_id) if warnings else None


def _with_stand_in(tx: Transaction, failed: DeliveryRow, now: float) -> DeliveryRow:
    """The failed delivery, with the next fallback in its place, if there is one."""
    if failed.replaced_by or not failed.fallback:
        return failed
    name, _, rest = failed.fallback.partition(" ")
    if tx.deliveries.get(failed.upload_id, name) is None:
        place = len(tx.deliveries.of_upload(failed.upload_id))
        begin(tx, new_delivery(failed.upload_id, name, place, required=False, fallback=rest, now=now), now)
    return replace(failed, replaced_by=name)


def begin(tx: Transaction, delivery: DeliveryRow, now: float) -> None:
    """Write a new delivery and its job."""
    tx.deliveries.insert(delivery)
    blank = JobRow(0, JobKind.DELIVER, delivery.upload_id, None, now, 0, 0.0, None, None, None, "")
    tx.jobs.insert(replace(blank, endpoint_id=delivery.endpoint_id))
    tx.wake(JOBS)


def new_delivery(
    upload_id: str, endpoint_id: str, place: int, *, required: bool, fallback: str, now: float
) -> DeliveryRow:
    """A delivery that begins now."""
    state = UploadState.DELIVERING
    return DeliveryRow(
        upload_id, endpoint_id, place, required, state, fallback, "", "", None, None, None, now, None, None, None
    )


def _file_of(file: FileRow, deliveries: Sequence[DeliveryRow], outcomes: Sequence[OutcomeRow]) -> FileRow:
    """The file's own row: not over before it is at every endpoint that counts, then what is worst."""
    by_endpoint = {one.endpoint_id: one for one in outcomes}
    names = by_endpoint if file.dialect is Dialect.GATEWAY else [one.endpoint_id for one in counting(deliveries)]
    found = [by_endpoint[name] for name in names if name in by_endpoint]
    if len(found) < len(names) or any(one.state in WHOLE_STATES for one in found):
        begun = any(one.state is not FileState.QUEUED for one in outcomes)
        return replace(file, state=FileState.SENDING if begun else FileState.QUEUED, outcome_sealed=None)
    worst = min(found, key=lambda one: _WORST.index(one.state))
    return replace(file, state=worst.state, outcome_sealed=worst.outcome_sealed)
