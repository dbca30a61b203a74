"""What those who run the gateway may ask: uploads without names, the patient's data with a reason, the trail itself.

Promises: nothing here names a patient, but for `reveal`, which needs a reason and is audited in the transaction that
reads; after erasure there is nothing to reveal (410). Who asks, and whether it may, is decided before.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.clock import Clock, rfc3339
from gateway.errors import Gone, NotFound
from gateway.keys.columns import Column
from gateway.keys.unwrap import upload_key
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.resting import is_at_rest
from gateway.ledger.rows import AuditRow, DeliveryRow, JobKind, JobRow, UploadRow
from gateway.protocol.rest import DECLARED
from gateway.spool import KeyRing
from gateway.uploads.search import ReadFacts, UploadFilter, UploadSearch
from gateway.uploads.told import counts_as_told
from gateway.uploads.views import Views

#: What of a file's facts is the patient's own.
PATIENT_FACTS = ("patient_id", "issuer_of_patient_id", "patient_name", "patient_birth_date", "accession_number")
#: Files that are opened to see whose they are: of a large upload the first ones.
REVEALED_FILES = 500
#: An admin's page that polls the trail is one event in so long.
AUDIT_READ_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class EndpointState:
    """How an endpoint fares. `code`: why it is not up; empty otherwise."""

    condition: str
    code: str


class Administration:
    """Questions of admins.

    :param endpoints: endpoint_id -> how it fares.
    :param account_id: the id of an account that is named by its name or its id.
    """

    def __init__(
        self,
        ledger: Ledger,
        ring: KeyRing,
        records: Views,
        clock: Clock,
        *,
        read_facts: ReadFacts,
        endpoints: Callable[[], Mapping[str, EndpointState]],
        account_id: Callable[[str], Awaitable[str]],
    ) -> None:
        self._ledger = ledger
        self._ring = ring
        self._records = records
        self._clock = clock
        self._read_facts = read_facts
        self._endpoints = endpoints
        self._account_id = account_id
        self._search = UploadSearch(ledger, ring, records, read_facts=read_facts)
        self._audit_read_at: dict[str, float] = {}

    async def uploads(self, wanted: UploadFilter, after: str, limit: int, *, actor: str) -> dict[str, Any]:
        """A page of uploads by upload_id; `cursor` leads to the next, also where the page is short or empty.

        Asking by what a patient's study is known by is audited: by which fields, not with which values.

        :raises Unprocessable: `invalid_field`: there is no such account.
        """
        owner_id = await self._account_id(wanted.account) if wanted.account else ""
        if asked := sorted(wanted.identifiers):
            now = self._clock.now()
            await self._ledger.write(
                lambda tx: tx.audit.append("uploads.searched", at=now, actor=actor, detail={"by": ",".join(asked)})
            )
        rows, cursor = await self._search.page(wanted, owner_id, after, limit)

        def act(tx: Transaction) -> list[_OnItsWay]:
            return [_on_its_way(tx, row.upload_id) for row in rows]

        found = await self._ledger.read(act)
        return {"uploads": [self._upload(*one) for one in zip(rows, found, strict=True)], "cursor": cursor}

    async def upload(self, upload_id: str) -> dict[str, Any]:
        """One upload, without names. :raises NotFound: there is no such upload."""

        def act(tx: Transaction) -> tuple[UploadRow | None, _OnItsWay, dict[str, int]]:
            row = tx.uploads.get(upload_id)
            return row, _on_its_way(tx, upload_id), {} if row is None else _counts(tx, row)

        row, found, counts = await self._ledger.read(act)
        if row is None:
            raise NotFound("there is no such upload")
        return {**self._upload(row, found), "file_states": counts}

    def _upload(self, row: UploadRow, found: _OnItsWay) -> dict[str, Any]:
        job = found.jobs[0] if found.jobs else None
        return {
            "upload_id": row.upload_id,
            "owner_id": row.owner_id,
            "endpoint_id": row.endpoint_id,
            "state": str(row.state),
            "held_reasons": row.held_reasons,
            "files": {"expected": row.total_files, "whole": row.whole_files},
            "bytes": {"expected": row.total_size_bytes, "received": row.received_bytes},
            "warnings": sorted({str(one.get("code")) for one in self._records.warnings(row)}),
            "pacs_receipt_id": row.receipt_id,
            "delivery": None if job is None else _waiting(job),
            "created_at": rfc3339(row.created_at),
            "expires_at": rfc3339(row.expires_at),
            "finished_at": _time(row.finished_at),
            "erased_at": _time(row.erased_at),
        } | ({"deliveries": [_told(one, found.jobs) for one in found.deliveries]} if found.deliveries else {})

    async def reveal(self, upload_id: str, *, actor: str, reason: str) -> dict[str, Any]:
        """Whose upload it is: what was declared, and what the files say. Audited with its reason.

        :raises NotFound: there is no such upload.
        :raises Gone: its keys are erased: nobody can tell any more.
        """
        now = self._clock.now()

        def act(tx: Transaction) -> dict[str, Any]:
            found = self._read(tx, upload_id)
            tx.audit.append("patient.revealed", at=now, actor=actor, upload_id=upload_id, detail={"reason": reason})
            return found

        return await self._ledger.write(act)

    def _read(self, tx: Transaction, upload_id: str) -> dict[str, Any]:
        upload = tx.uploads.get(upload_id)
        if upload is None:
            raise NotFound("there is no such upload")
        key = upload_key(tx, self._ring, upload)
        if key is None:
            raise Gone(
                "what was known of the patient is erased",
                code="upload_gone",
                state=str(upload.state),
                pacs_receipt_id=upload.receipt_id,
                warnings=self._records.warnings(upload),
            )
        declared = {}
        if upload.meta_sealed is not None:
            declared = key.meta.open_json(upload.meta_sealed, context=Column.UPLOAD_META.of(upload_id))
        patients: dict[tuple[str, ...], dict[str, str]] = {}
        files = tx.files.page(upload_id, limit=REVEALED_FILES)
        for file in files:
            if file.facts_sealed is not None:
                facts = self._read_facts(key, file.file_id, file.facts_sealed)
                whose = {name: facts[name] for name in PATIENT_FACTS if facts.get(name)}
                patients.setdefault(tuple(whose.values()), whose)
        return {
            "upload_id": upload_id,
            "study_metadata": declared.get("study_metadata") or {},
            "expected": declared.get("expected") or {},
            "uploader": declared.get("uploader") or {},
            "clinical_notes": declared.get("clinical_notes") or "",
            "patients": list(patients.values()),
            "files_read": len(files),
        }

    async def endpoints(self) -> dict[str, Any]:
        """How each endpoint fares, and how many deliveries wait for it."""

        def act(tx: Transaction) -> dict[str, int]:
            queued: dict[str, int] = {}
            after = 0
            while page := tx.jobs.page(after=after, limit=500):
                after = page[-1].job_id
                for job in page:
                    upload = tx.uploads.get(job.upload_id) if job.kind is JobKind.DELIVER else None
                    if upload is not None:
                        name = job.endpoint_id or upload.endpoint_id
                        queued[name] = queued.get(name, 0) + 1
            return queued

        queued = await self._ledger.read(act)
        return {
            "endpoints": [
                {
                    "endpoint_id": name,
                    "condition": state.condition,
                    "code": state.code or None,
                    "queued_jobs": queued.get(name, 0),
                }
                for name, state in sorted(self._endpoints().items())
            ]
        }

    async def audit(self, after: int, limit: int, *, actor: str) -> dict[str, Any]:
        """Events behind a number, and where to go on. That the trail was read is an event, once an hour."""
        now = self._clock.now()
        if now - self._audit_read_at.get(actor, -AUDIT_READ_EVERY_S) >= AUDIT_READ_EVERY_S:
            await self._ledger.write(
                lambda tx: tx.audit.append("audit.read", at=now, actor=actor, detail={"after": after})
            )
            self._audit_read_at[actor] = now
        rows, head = await self._ledger.read(lambda tx: (tx.audit.after(after, limit), tx.audit.head()))
        return {
            "events": [_event(row) for row in rows],
            "after": rows[-1].number if rows else after,
            "head": head[0],
        }

    async def report(self, upload_id: str, *, actor: str) -> dict[str, Any]:
        """What is held on one upload, and until when; field names of the patient's data, no values. Audited.

        :raises NotFound: there is no such upload.
        """
        now = self._clock.now()

        def act(tx: Transaction) -> tuple[UploadRow, _OnItsWay, int, dict[str, Any], list[str], dict[str, int]]:
            upload = tx.uploads.get(upload_id)
            if upload is None:
                raise NotFound("there is no such upload: its record may have been deleted at the end of its retention")
            try:
                patient = self._read(tx, upload_id)
            except Gone:
                patient = {}
            events = _events_of(tx, upload_id)
            counts = _counts(tx, upload)
            tx.audit.append("privacy.reported", at=now, actor=actor, upload_id=upload_id)
            messages = len(tx.jobs.of_upload(upload_id, JobKind.TELL))
            return upload, _on_its_way(tx, upload_id), messages, patient, events, counts

        upload, found, messages, patient, events, counts = await self._ledger.write(act)
        return {
            **self._upload(upload, found),
            "file_states": counts,
            "bytes_readable": upload.key_id is not None,
            "patient_data_held": {
                "declared": _field_names(patient.get("study_metadata", {})),
                "uploader": sorted(patient.get("uploader", {})),
                "clinical_notes": bool(patient.get("clinical_notes")),
                "from_files": sorted({name for whose in patient.get("patients", ()) for name in whose}),
            },
            "messages_waiting": messages,
            "events": events,
        }


@dataclass(frozen=True, slots=True)
class _OnItsWay:
    """What there is of an upload's delivery, or of several."""

    jobs: list[JobRow]
    deliveries: list[DeliveryRow]


def _on_its_way(tx: Transaction, upload_id: str) -> _OnItsWay:
    return _OnItsWay(tx.jobs.of_upload(upload_id, JobKind.DELIVER), tx.deliveries.of_upload(upload_id))


def _told(delivery: DeliveryRow, jobs: list[JobRow]) -> dict[str, Any]:
    """One of several deliveries."""
    job = next((one for one in jobs if one.endpoint_id == delivery.endpoint_id), None)
    held = delivery.held_codes.split(",") if delivery.held_codes and delivery.released_at is None else []
    return {
        "endpoint_id": delivery.endpoint_id,
        "required": delivery.required,
        "state": str(delivery.state),
        "pacs_receipt_id": delivery.receipt_id,
        "held_reasons": held,
        "delivery": None if job is None else _waiting(job),
        "finished_at": _time(delivery.finished_at),
    }


def _waiting(job: JobRow) -> dict[str, Any]:
    due_at = None if is_at_rest(job) else rfc3339(job.due_at)
    return {"attempts": job.attempts, "last_code": job.last_code, "due_at": due_at}


def _counts(tx: Transaction, upload: UploadRow) -> dict[str, int]:
    return {str(state): count for state, count in counts_as_told(upload, tx.files.counts(upload.upload_id)).items()}


def _field_names(declared: Mapping[str, object]) -> list[str]:
    """Names of declared fields; a client's own names for them could say anything."""
    known = sorted(declared.keys() & set(DECLARED))
    return [*known, "(others)"] if declared.keys() - set(DECLARED) else known


def _events_of(tx: Transaction, upload_id: str) -> list[str]:
    """`time event` of every event on the upload that the trail still has."""
    found: list[str] = []
    after = 0
    while page := tx.audit.after(after, 500):
        after = page[-1].number
        found += [f"{rfc3339(row.at)} {row.event} by {row.actor}" for row in page if row.upload_id == upload_id]
    return found


def _event(row: AuditRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "at": rfc3339(row.at),
        "event": row.event,
        "actor": row.actor,
        "upload_id": row.upload_id,
        "detail": json.loads(row.detail),
    }


def _time(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)
