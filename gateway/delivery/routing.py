"""Chooses the endpoints of an upload, once: when every file has its verdict, before the first instance leaves; for an
endpoint that streams with its first file, if no file can change it.

What was chosen, and by which rule, is written down in one transaction with the deliveries and their jobs: a configuration
that changes afterwards moves nothing, and a crash before it chooses again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from gateway.delivery.attempt import Superseded, Tools
from gateway.delivery.endpoint import ACTOR
from gateway.delivery.items import open_judgement
from gateway.delivery.routes import DeliveryRoute, FileKind, Submission, choose, is_decided
from gateway.delivery.threads import in_thread
from gateway.delivery.way import begin, new_delivery
from gateway.keys.columns import Column
from gateway.ledger.base import Transaction
from gateway.ledger.rows import FileRow, JobRow, UploadRow
from gateway.spool import UploadKey
from gateway.states import RECEIVING_STATES, WHOLE_STATES, UploadState

log = logging.getLogger("relaypacs.delivery")

PAGE = 500
#: `UploadRow.route` where no rule fits.
NO_ROUTE = 0
_OPEN = frozenset({UploadState.DELIVERING, *RECEIVING_STATES})


class Routing:
    """The choice. :param routes: in the configuration's order; none: nothing is chosen, nor written down."""

    def __init__(self, tools: Tools, routes: Sequence[DeliveryRoute]) -> None:
        self._tools = tools
        self._routes = routes

    def is_due(self, job: JobRow, upload: UploadRow) -> bool:
        """Nobody has chosen yet, and nothing was done for it before there were rules."""
        return bool(self._routes) and upload.route is None and not job.endpoint_id and job.memory_sealed is None

    async def __call__(self, job: JobRow, upload: UploadRow, key: UploadKey) -> bool:
        """Choose, and write it down. Whether the job has given way to those of the deliveries; else it goes on.

        Every file has its verdict.

        :raises Superseded: the upload was stopped in between.
        """
        files = await self._kinds(upload, key)
        account = await self._tools.ledger.read(partial(self._account, upload))
        submission = Submission(files, account[0], _declared(upload, key), upload.whole_bytes)
        route = choose(self._routes, submission, account[1])
        now = self._tools.clock.now()
        gave_way = await self._tools.ledger.write(lambda tx: _write_down(tx, job, upload, route, now))
        if route is not None:
            log.info("upload_routed upload=%s route=%d to=%s", upload.upload_id, route.number, ",".join(route.to))
        return gave_way

    async def early(self, job: JobRow, upload: UploadRow, key: UploadKey) -> bool:
        """Choose before the upload is complete, and write it down, if no file can change it and it leads to one endpoint.

        :returns: whether it is chosen; else it will be when the upload is complete.
        :raises Superseded: the upload was stopped in between.
        """
        account, allowed = await self._tools.ledger.read(partial(self._account, upload))
        decided, route = is_decided(self._routes, account, _declared(upload, key), allowed)
        if not decided or (route is not None and not route.is_plain):
            return False
        now = self._tools.clock.now()
        await self._tools.ledger.write(lambda tx: _write_down(tx, job, upload, route, now))
        return True

    async def _kinds(self, upload: UploadRow, key: UploadKey) -> list[FileKind]:
        found: dict[FileKind, None] = {}
        last = ""
        while page := await self._tools.ledger.read(partial(_page, upload.upload_id, last)):
            found |= dict.fromkeys(await in_thread(partial(_kinds_of, page, key)))
            last = page[-1].file_id
        return list(found)

    def _account(self, upload: UploadRow, tx: Transaction) -> tuple[str, frozenset[str] | None]:
        """The name of who opened it, and where that one may send; None: everywhere."""
        row = tx.accounts.get(upload.owner_id)
        name, limit = "", None
        if row is not None:
            if row.name_sealed:
                records = self._tools.keys.records
                name = records.open(row.name_sealed, context=Column.ACCOUNT_NAME.of(row.account_id)).decode()
            limit = frozenset(row.endpoints.split()) if row.endpoints else None
        # A QR code opens an upload to its endpoint and to no other.
        return name, frozenset({upload.endpoint_id}) if upload.by_qr else limit


def _page(upload_id: str, last: str, tx: Transaction) -> list[FileRow]:
    return tx.files.page(upload_id, after=last, limit=PAGE)


def _kinds_of(rows: Sequence[FileRow], key: UploadKey) -> list[FileKind]:
    """In a thread. Of what may be sent."""
    found: dict[FileKind, None] = {}
    for row in rows:
        if row.state in WHOLE_STATES and row.facts_sealed is not None:
            facts = open_judgement(key, row.file_id, row.facts_sealed).facts
            if facts is not None:
                found[FileKind(facts.modality, facts.sop_class_uid, facts.station_name)] = None
    return list(found)


def _declared(upload: UploadRow, key: UploadKey) -> dict[str, str]:
    if upload.meta_sealed is None:
        return {}
    said = key.meta.open_json(upload.meta_sealed, context=Column.UPLOAD_META.of(upload.upload_id))
    found = said.get("study_metadata") or {}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _write_down(tx: Transaction, job: JobRow, seen: UploadRow, route: DeliveryRoute | None, now: float) -> bool:
    """Whether the job has given way to those of the deliveries. :raises Superseded: it isn't ours to say any more."""
    upload, mine = tx.uploads.get(seen.upload_id), tx.jobs.get(job.job_id)
    if upload is None or mine is None or mine.lease_by != job.lease_by:
        raise Superseded
    if upload.state not in _OPEN or upload.epoch != seen.epoch or upload.route is not None:
        raise Superseded
    if route is None:
        tx.uploads.save(replace(upload, route=NO_ROUTE))
        return False
    detail = {"route": route.number, "to": list(route.to), "required": list(route.required)}
    tx.audit.append("upload.routed", at=now, actor=ACTOR, upload_id=upload.upload_id, detail=detail)
    first = route.required[0]
    if route.is_plain:
        tx.uploads.save(replace(upload, route=route.number, endpoint_id=first))
        return False
    tx.uploads.save(
        replace(upload, route=route.number, endpoint_id=first, queued_at=None, open_deliveries=len(route.to))
    )
    fallback = " ".join(route.fallback)
    for place, name in enumerate(route.to):
        required = name in route.required
        row = new_delivery(
            upload.upload_id, name, place, required=required, fallback=fallback if required else "", now=now
        )
        begin(tx, row, now)
    tx.jobs.delete(job.job_id)
    tx.wake(upload.upload_id)
    return True
