"""The end of an upload that nobody wants any more: one short act, and what must follow it.

The upload's key goes, and with it everything that is wrapped or sealed under it; rows, files' keys and bytes are the
purge's. What the PACS took is somebody else's to say (`Settle`), who reads every file for that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from gateway.identity.principal import Principal
from gateway.ledger.base import PURGE, Transaction
from gateway.ledger.rows import JobKind
from gateway.states import DEAD_STATES, RECEIVING_STATES, UploadEvent, after
from gateway.uploads.completion import new_job
from gateway.uploads.intake import Intake
from gateway.uploads.views import Views

#: A cancelled upload that nobody has settled after so long (the process ended) is settled by its job.
SETTLE_AFTER_S = 30.0

#: Writes a receipt for what the PACS already took of an upload that was cancelled; the upload's id.
Settle = Callable[[str], Awaitable[None]]


async def cancel(
    intake: Intake, views: Views, who: Principal, upload_id: str, reason: str, *, by_other: bool, settle: Settle
) -> None:
    """End an upload, unless it is dead already; cut who writes to it.

    :param by_other: the uploader is told, with the reason.
    :raises Conflict: it is delivered already.
    """

    def act(tx: Transaction) -> bool:
        row = tx.uploads.get(upload_id)
        if row is None or row.state in DEAD_STATES:
            return False
        begun = row.state not in RECEIVING_STATES or bool(tx.jobs.of_upload(upload_id, JobKind.DELIVER))
        settles, now = begun, intake.clock.now()
        state = after(row.state, UploadEvent.CANCEL)
        row = replace(row, state=state, epoch=row.epoch + 1, finished_at=now, open_deliveries=0)
        if by_other:
            told = {"code": "cancelled_by_admin", "message": reason}
            row = views.with_warnings(row, [*views.warnings(row), told])
        if row.key_id is not None:
            tx.keys.delete([row.key_id])
        tx.uploads.save(replace(row, key_id=None, meta_sealed=None))
        _replace_jobs(tx, upload_id, now, settles=settles)
        said = {"reason": reason} if by_other else {}  # an uploader's words could name a patient
        tx.audit.append("upload.cancelled", at=now, actor=who.actor, upload_id=upload_id, detail=said)
        tx.wake(upload_id)
        tx.wake(PURGE)
        return settles

    settles = await intake.ledger.write(act)
    held = intake.leases.file_ids()
    if held:
        await intake.leases.cut(await intake.ledger.read(lambda tx: _those_of(tx, upload_id, held)))
    if settles:
        await settle(upload_id)


def _replace_jobs(tx: Transaction, upload_id: str, now: float, *, settles: bool) -> None:
    """Nothing is completed, delivered or told any more; checks that are left find nothing to do.

    :param settles: something of it may be in the PACS. Its delivery, or a new one, then says what, should the process
        end before this one has.
    """
    for job in tx.jobs.of_upload(upload_id, JobKind.COMPLETE):
        tx.jobs.delete(job.job_id)
    for job in tx.jobs.of_upload(upload_id, JobKind.TELL):  # it may hold what was declared of the patient
        tx.jobs.delete(job.job_id)
    deliveries = tx.jobs.of_upload(upload_id, JobKind.DELIVER)
    for job in deliveries:
        if job.lease_by is None:
            tx.jobs.save(replace(job, due_at=now + SETTLE_AFTER_S))
    if settles and not deliveries:
        tx.jobs.insert(new_job(JobKind.DELIVER, upload_id, None, now + SETTLE_AFTER_S))


def _those_of(tx: Transaction, upload_id: str, file_ids: Iterable[str]) -> list[str]:
    """Which of these files are of the upload."""
    rows = map(tx.files.get, file_ids)
    return [row.file_id for row in rows if row is not None and row.upload_id == upload_id]
