"""Is what the PACS has under a UID the instance that was sent to us? Only equal bytes say yes (CONTRACT 6.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.delivery.attempt import Attempt
from gateway.delivery.items import FileOutcome, Item
from gateway.delivery.receipt import content_mac, instance_mac
from gateway.errors import Damaged
from gateway.ledger.base import Transaction
from gateway.receipts.document import Verification
from gateway.states import FileResult
from hooks.contract import Comparison, Instance, LookupRefused


@dataclass(frozen=True, slots=True)
class EarlierDelivery:
    """This gateway brought something under the same UID to the same endpoint before."""

    same: bool  #: the very bytes
    at: float


#: The PACS files the instance under another PatientID than its own.
OTHER_PATIENT = "other_patient_in_pacs"


def same_patient(item: Item, patient_id: str) -> bool:
    """By PatientID, where the PACS tells one. (It may be the key of its instances: another one, another instance.)"""
    return not patient_id.strip() or patient_id.strip() == item.facts.patient_id.strip()


def filed_under(item: Item, patient_id: str) -> tuple[str, ...]:
    """The warning for what is ours and is shown under that PatientID."""
    return () if same_patient(item, patient_id) else (OTHER_PATIENT,)


async def earlier_deliveries(attempt: Attempt, items: Iterable[Item]) -> dict[str, EarlierDelivery]:
    """What was delivered before under the UIDs of these items, by file_id."""
    endpoint_id, keys = attempt.upload.endpoint_id, attempt.tools.keys
    macs = [
        (
            item.file_id,
            instance_mac(keys, endpoint_id, item.sop_instance_uid),
            content_mac(keys, endpoint_id, item.sop_instance_uid, item.sha256),
        )
        for item in items
    ]

    def act(tx: Transaction) -> dict[str, EarlierDelivery]:
        found = {}
        for file_id, uid_mac, bytes_mac in macs:
            row = tx.receipts.delivered(uid_mac)
            if row is not None:
                found[file_id] = EarlierDelivery(row.content_mac == bytes_mac, row.delivered_at)
        return found

    return await attempt.tools.ledger.read(act)


async def judge(
    attempt: Attempt, item: Item, instance: Instance, patient_id: str, former: EarlierDelivery | None
) -> FileOutcome:
    """The outcome of an instance whose UID the PACS had before.

    :param instance: to be compared; nothing of it is sent.
    :param patient_id: what the PACS shows with it; empty: nothing.
    """
    warnings = filed_under(item, patient_id)
    known = former is not None and former.same
    by_us = item.became(FileResult.ALREADY_THERE, warnings=warnings, verification=Verification.QUERIED)
    if known and not attempt.memory.blind:
        return by_us
    try:
        found = await attempt.endpoint.ask(lambda: attempt.endpoint.target.compare(instance))
    except LookupRefused:
        found = Comparison.UNAVAILABLE
    except Damaged:
        return item.became(FileResult.FAILED, code="data_lost")
    match found:
        case Comparison.SAME:
            return item.became(FileResult.ALREADY_THERE, warnings=warnings, verification=Verification.COMPARED)
        case Comparison.SAME_DATA_SET:
            more = ("file_meta_differs", *warnings)
            return item.became(FileResult.ALREADY_THERE, warnings=more, verification=Verification.COMPARED)
        case Comparison.DIFFERENT:
            return item.became(FileResult.FAILED, code="uid_conflict")
        case Comparison.UNAVAILABLE if known:
            return by_us
        case Comparison.UNAVAILABLE:
            if former is not None or warnings:
                return item.became(FileResult.FAILED, code="uid_conflict")
            return item.became(
                FileResult.ALREADY_THERE, warnings=("content_not_compared",), verification=Verification.QUERIED
            )


async def is_conflict_unseen(attempt: Attempt, item: Item, former: EarlierDelivery | None) -> bool:
    """The PACS doesn't show the UID in the item's series, and still other bytes of ours are there, or may be: it can't
    be asked, they went in so lately that it may not have them in its index yet, or they are in another series.
    """
    if former is None or former.same:
        return False
    fresh = former.at > attempt.tools.clock.now() - attempt.endpoint.config.verify_for_s
    if attempt.memory.blind or fresh:
        return True
    try:
        return await attempt.endpoint.ask(lambda: attempt.endpoint.target.shows(item.sop_instance_uid))
    except LookupRefused:
        return True


def acknowledged(
    item: Item, *, warning_reason: int | None = None, warnings: tuple[str, ...] = (), compared: bool = False
) -> FileOutcome:
    """The PACS named it, or shows it since it was sent; `compared`: it was read back, too."""
    verification = Verification.COMPARED if compared else ""
    return item.became(FileResult.ACKNOWLEDGED, reason=warning_reason, warnings=warnings, verification=verification)
