"""Is what the PACS has under a UID the instance that was sent to us? Only equal bytes say yes (CONTRACT 6.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.delivery.attempt import Attempt
from gateway.delivery.items import FileOutcome, Item
from gateway.delivery.receipt import content_mac, instance_mac
from gateway.ledger.base import Transaction
from gateway.receipts.document import Verification
from gateway.states import FileResult
from hooks.contract import Instance, LookupRefused

#: Failure reason "duplicate SOP instance" (PS3.7 annex C.5.7).
DUPLICATE_SOP_INSTANCE = 0x0111


@dataclass(frozen=True, slots=True)
class EarlierDelivery:
    """This gateway brought something under the same UID to the same endpoint before."""

    same: bool  #: the very bytes
    at: float


def same_patient(item: Item, patient_id: str) -> bool:
    """By PatientID, where the PACS tells one. (It may be the key of its instances: another one, another instance.)"""
    return not patient_id.strip() or patient_id.strip() == item.facts.patient_id.strip()


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

    :param instance: to name it to the target; nothing of it is sent.
    :param patient_id: what the PACS shows with it; empty: nothing.
    """
    fits = same_patient(item, patient_id)
    if former is not None and former.same and fits:
        return item.became(FileResult.ALREADY_THERE, verification=Verification.QUERIED)
    try:
        digest = await attempt.endpoint.ask(lambda: attempt.endpoint.target.sha256(instance))
    except LookupRefused:
        digest = None
    if digest is not None and digest.lower() == item.sha256:
        return item.became(FileResult.ALREADY_THERE, verification=Verification.COMPARED)
    known_other = former is not None and not former.same
    unknown_other = not fits and (former is None or not former.same)
    if digest is not None or known_other or unknown_other:
        return item.became(FileResult.FAILED, code="uid_conflict")
    return item.became(FileResult.ALREADY_THERE, warnings=("content_not_compared",), verification=Verification.QUERIED)


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


def acknowledged(item: Item, *, warning_reason: int | None = None) -> FileOutcome:
    """The PACS named it, or shows it since it was sent."""
    return item.became(FileResult.ACKNOWLEDGED, reason=warning_reason)
