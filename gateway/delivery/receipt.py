"""The end of an upload, or of its cancelled delivery, as rows: receipt, warnings, outcome per study.

Pure: outcomes in, rows out; no ledger and no PACS is asked here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway import __version__
from gateway.delivery.items import FileOutcome, open_list
from gateway.keys.columns import Column
from gateway.ledger.rows import DeliveredRow, ReceiptRow, UploadRow
from gateway.receipts.document import Hold, InstanceProof, Signer, Skipped, Story, Verification, receipt_payload
from gateway.receipts.packing import packed
from gateway.spool import ServiceKeys
from gateway.states import FileResult, UploadEvent

#: Warnings of one code that are listed one by one; of the rest only their number is told.
LISTED_PER_CODE = 100

_TOLD_OF_A_STUDY = (FileResult.STORED, FileResult.ALREADY_THERE, FileResult.REJECTED, FileResult.FAILED)
IN_PACS = frozenset({FileResult.STORED, FileResult.WARNING, FileResult.ALREADY_THERE})
#: Left out because its client said so: the client need not be warned.
DECLARED = "declared"

_WEAKEST = (Verification.ACKNOWLEDGED, Verification.QUERIED, Verification.COMPARED, Verification.COMMITTED)

#: Warnings that say in a receipt how far what is there is what was sent.
RECEIPTED = frozenset(
    {"content_not_compared", "file_meta_differs", "not_committed", "not_yet_visible", "other_patient_in_pacs"}
)

#: What a code of an outcome says to its uploader; no value of a file is ever put in.
MESSAGES: Mapping[str, str] = {
    "content_not_compared": "the PACS had an instance with this SOPInstanceUID, and its bytes can't be read to compare",
    "data_lost": "stored bytes of this file are damaged; send it again",
    "duplicate_in_upload": "the same instance is in this upload more than once",
    "file_meta_differs": "the PACS had this instance before; its data set is the same, its file meta isn't",
    "gave_up": "the PACS could not be reached for too long; the bytes are kept for a retry",
    "identity_not_checked": "the PACS can't be asked who has this PatientID",
    "identity_not_confirmed": "there is too little to compare to tell whether the PACS's patient is the same",
    "incomplete": "the file had not all its bytes when the upload was completed",
    "not_acknowledged": "the PACS did not say that it took this instance",
    "not_checked": "the file could not be checked",
    "not_committed": "the PACS took this instance, and doesn't answer for keeping it (storage commitment)",
    "not_yet_visible": "the PACS said that it took this instance, and doesn't show it yet",
    "notes_not_stored": "the clinical notes did not get into the PACS: tell the radiologist in another way",
    "patient_otherwise_written": "the PACS writes the patient's name or sex otherwise; ID and birth date agree",
    "other_patient_in_pacs": "the PACS files this instance under another PatientID",
    "partial_left_in_pacs": "some instances had reached the PACS before the upload was ended",
    "pacs_warning": "the PACS took this instance with a warning",
    "partly_sent": "instances had left for the PACS before the upload was held",
    "refused_by_pacs": "the PACS refused this instance",
    "study_metadata_mismatch": "what was declared of the study doesn't fit the files",
    "study_mismatch": "what was declared of the patient doesn't fit the files",
    "too_large_for_pacs": "the PACS takes no instance of this size",
    "uid_conflict": "another instance has this SOPInstanceUID; this one was not stored",
}


@dataclass(frozen=True, slots=True)
class End:
    """What an upload came to.

    :param event: for `states.after`.
    :param verification: weakest that holds for all instances in the PACS.
    """

    event: UploadEvent
    verification: Verification
    studies: list[dict[str, Any]]
    warnings: list[dict[str, str]]
    counts: dict[str, int]


def warning(code: str, *, file_id: str = "", sop_instance_uid: str = "", reason: str = "") -> dict[str, str]:
    """One entry of an upload's `warnings` (CONTRACT 2.2)."""
    told = {"code": code, "file_id": file_id, "sop_instance_uid": sop_instance_uid, "reason": reason}
    message = MESSAGES.get(code, code.replace("_", " "))
    return {name: value for name, value in told.items() if value} | {"message": message}


def end_of(
    outcomes: Iterable[tuple[str, FileOutcome]], name_of: Callable[[str], str], extra: Sequence[dict[str, str]] = ()
) -> End:
    """The end that these outcomes make. What the gateway made itself is told apart and decides nothing.

    :param outcomes: file_id and outcome of every file.
    :param name_of: file_id -> what its client calls it.
    :param extra: warnings of the upload as a whole.
    """
    counts: Counter[str] = Counter()
    per_study: dict[str, Counter[str]] = {}
    notes: dict[str, str] = {}
    weakest = len(_WEAKEST) - 1
    listed: Counter[str] = Counter()
    warnings = list(extra)
    for file_id, outcome in outcomes:
        kind = FileResult.STORED if outcome.outcome is FileResult.WARNING else outcome.outcome
        if kind in IN_PACS:
            weakest = min(weakest, _WEAKEST.index(Verification(outcome.verification or Verification.ACKNOWLEDGED)))
        if outcome.made_by:
            notes[outcome.study_instance_uid] = kind
            if kind not in IN_PACS:
                continue  # `notes_not_stored` says so
        else:
            counts[kind] += 1
            if outcome.study_instance_uid:
                per_study.setdefault(outcome.study_instance_uid, Counter())[kind] += 1
        for code in _codes(outcome):
            listed[code] += 1
            if listed[code] <= LISTED_PER_CODE:
                name, uid = "" if outcome.made_by else name_of(file_id), outcome.sop_instance_uid
                warnings.append(warning(code, file_id=name, sop_instance_uid=uid, reason=outcome.reason))
    for code, number in listed.items():
        if number > LISTED_PER_CODE:
            more = warning(code)
            warnings.append({**more, "message": f"{more['message']} ({number - LISTED_PER_CODE} more files)"})
    good = counts[FileResult.STORED] + counts[FileResult.ALREADY_THERE]
    bad = counts[FileResult.FAILED] + counts[FileResult.REJECTED]
    if not good:
        event = UploadEvent.NOT_DELIVERED
    else:
        event = UploadEvent.DELIVERED_PARTLY if bad else UploadEvent.DELIVERED
    studies = [
        {"study_instance_uid": uid}
        | {kind: per_study[uid][kind] for kind in _TOLD_OF_A_STUDY}
        | ({"notes": notes[uid]} if uid in notes else {})
        for uid in sorted(per_study)
    ]
    told = {"notes": sum(kind in IN_PACS for kind in notes.values())} if notes else {}
    return End(event, _WEAKEST[weakest] if good else Verification.NONE, studies, warnings, dict(counts) | told)


def _codes(outcome: FileOutcome) -> list[str]:
    """Codes that the upload's warnings name: all of a file's own, and why it isn't in the PACS."""
    codes = list(outcome.warnings)
    if outcome.outcome is FileResult.WARNING:
        codes.append("pacs_warning")
    elif outcome.outcome not in IN_PACS and outcome.code not in ("", DECLARED):
        codes.append(outcome.code)
    return codes


def receipt_of(
    upload: UploadRow,
    outcomes: Iterable[tuple[str, FileOutcome]],
    *,
    receipt_id: str,
    verification: Verification,
    now: float,
    signer: Signer,
    keys: ServiceKeys,
) -> ReceiptRow:
    """The signed receipt.

    :param outcomes: file_id and outcome of every file.
    """
    proofs, skipped = [], []
    for file_id, outcome in outcomes:
        if outcome.outcome is not FileResult.SKIPPED:
            proofs.append(_proof_of(outcome, now))
        elif outcome.code != DECLARED:  # those are listed in `skipped_sealed`
            skipped.append(Skipped(outcome.code or FileResult.SKIPPED, file_id))
    declared = open_list(keys.records, upload.skipped_sealed, Column.UPLOAD_SKIPPED, upload.upload_id)
    skipped += [Skipped(str(one.get("reason", DECLARED))) for one in declared if isinstance(one, dict)]
    payload = receipt_payload(
        receipt_id=receipt_id,
        upload_id=upload.upload_id,
        endpoint_id=upload.endpoint_id,
        created_at=upload.created_at,
        completed_at=upload.completed_at,
        delivered_at=now,
        verification=verification,
        instances=proofs,
        skipped=skipped,
        story=Story(
            declared_files=upload.total_files,
            declared_bytes=upload.total_size_bytes,
            received_files=upload.whole_files,
            software=f"RelayPACS {__version__}",
            hold=_hold(upload),
        ),
    )
    jws_sealed = keys.records.seal(packed(signer.sign(payload)), context=Column.RECEIPT_JWS.of(receipt_id))
    return ReceiptRow(receipt_id, upload.upload_id, signer.kid, jws_sealed, now)


def _proof_of(outcome: FileOutcome, now: float) -> InstanceProof:
    return InstanceProof(
        outcome.study_instance_uid,
        outcome.sop_class_uid,
        outcome.sop_instance_uid,
        outcome.sha256,
        FileResult(outcome.outcome),
        outcome.reason or outcome.code or None,
        outcome.made_by,
        outcome.series_instance_uid,
        outcome.at or now,
        tuple(code for code in outcome.warnings if code in RECEIPTED),
    )


def _hold(upload: UploadRow) -> Hold | None:
    """None: nobody had to look at it."""
    codes = tuple(filter(None, upload.held_codes.split(",")))
    return Hold(codes, upload.held_at, upload.released_at) if codes else None


def is_proof(outcome: FileOutcome) -> bool:
    """The PACS has these very bytes, as far as anybody knows: worth remembering for the next upload."""
    return (
        outcome.outcome in IN_PACS or outcome.outcome == FileResult.ACKNOWLEDGED
    ) and "content_not_compared" not in outcome.warnings


def delivered(keys: ServiceKeys, endpoint_id: str, outcome: FileOutcome, receipt_id: str, now: float) -> DeliveredRow:
    """The row that says: these bytes are under this UID at this endpoint."""
    return DeliveredRow(
        instance_mac(keys, endpoint_id, outcome.sop_instance_uid),
        content_mac(keys, endpoint_id, outcome.sop_instance_uid, outcome.sha256),
        receipt_id,
        now,
    )


def instance_mac(keys: ServiceKeys, endpoint_id: str, sop_instance_uid: str) -> bytes:
    """Key of `DeliveredRow`."""
    return keys.index_mac(f"{endpoint_id}|{sop_instance_uid}".encode())


def content_mac(keys: ServiceKeys, endpoint_id: str, sop_instance_uid: str, sha256: str) -> bytes:
    """Tells the same bytes from others."""
    return keys.index_mac(f"{endpoint_id}|{sop_instance_uid}|{sha256}".encode())


def stored(outcome: FileOutcome, verification: Verification, *more: str) -> FileOutcome:
    """An acknowledged outcome made final; `more`: warnings."""
    return replace(
        outcome,
        outcome=FileResult.WARNING if outcome.reason else FileResult.STORED,
        verification=str(verification),
        warnings=outcome.warnings + more,
    )
