"""Does a person have to look at the upload first? Decided before the first instance leaves (CONTRACT 2.6).

Where instances leave while others come, it is decided for each patient and study as it is written, before the first
instance of it leaves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from functools import partial

from gateway.delivery.attempt import Attempt, Superseded
from gateway.delivery.finish import hold
from gateway.delivery.identity import Known, compare_with, declared_mismatches, reasons_within
from gateway.delivery.items import Item, without_instance
from gateway.delivery.receipt import IN_PACS
from gateway.delivery.underway import Before
from gateway.delivery.way import Way
from gateway.ledger.base import Transaction
from gateway.ledger.rows import UploadRow
from gateway.states import UploadState
from hooks.contract import Facts, LookupRefused, PatientRecord

log = logging.getLogger("relaypacs.delivery")

#: Declared fields that must agree with the files; others only warn (CONTRACT 4, `validation.study_mismatch`).
PATIENT_KEYS = frozenset({"patient_id", "patient_birth_date"})
#: Codes of what can't be known; they warn, or hold with `if_unknown = "hold"`.
UNKNOWN = ("identity_not_checked", "identity_not_confirmed")
#: An upload that goes, or went since it was looked at, to the PACS.
GOING = frozenset({UploadState.UPLOADING, UploadState.DELIVERING, UploadState.SUCCESS, UploadState.PARTIAL})


class MustBeHeld(Exception):
    """The upload waits for a person; its job is done."""


class Mismatch(Exception):
    """What was declared doesn't fit the files, and the configuration says: reject."""


async def identify(attempt: Attempt) -> None:
    """Look whom the instances are of.

    :raises Held, Mismatch: see there.
    :raises Superseded: the upload was stopped in between.
    :raises TargetDown, TargetMisconfigured: the PACS was asked and didn't answer.
    """
    memory, pending = attempt.memory, list(dict.fromkeys((*_distinct(attempt.items), *attempt.twins)))
    if attempt.upload.held_reasons:  # while its files came, and nobody has decided yet
        await _hold(attempt, tuple(attempt.upload.held_reasons), [*attempt.cleared, *pending])
        raise MustBeHeld
    if not pending or (memory.identified and not memory.streamed and _has_begun(attempt.items)):
        return
    new = [facts for facts in pending if facts not in attempt.cleared and not _was_looked_at(attempt, facts)]
    if not new and memory.identified:
        return
    instances = [*attempt.cleared, *(facts for facts in pending if facts not in attempt.cleared)]
    declared, rule = _declared(attempt), attempt.tools.settings.study_mismatch
    mismatched = declared_mismatches(declared, instances)
    memory.mismatched = ",".join(mismatched)
    before = _set_out(attempt, instances)
    if new and not memory.released:
        if rule == "reject" and not PATIENT_KEYS.isdisjoint(mismatched):
            raise Mismatch
        held_to = declared if rule == "hold" else {}
        expected = _texts(attempt, "expected")
        within = reasons_within(instances=instances, declared=held_to, expected=expected)
        codes = (() if within and await _let_go_before(attempt) else within) or await _by_pacs(attempt, new, before)
        if codes:
            await _hold(attempt, codes, instances)
            raise MustBeHeld
    if not memory.identified or memory.streamed:
        memory.identified = True
        await attempt.remember()


def _was_looked_at(attempt: Attempt, facts: Facts) -> bool:
    """A person has let it go while its files came, and knew of this patient and study."""
    looked_at = attempt.memory.looked_at if attempt.upload.released_at is not None else []
    return bool(looked_at) and _digest_of(attempt, facts) in looked_at


def _digest_of(attempt: Attempt, facts: Facts) -> str:
    text = "|".join(map(repr, astuple(facts)))
    return attempt.tools.keys.index_mac(f"looked_at|{text}".encode()).hex()


def _has_begun(items: Iterable[Item]) -> bool:
    """Some of it may be in the PACS: it isn't held any more."""
    return any(item.sent or item.acknowledged or (item.saved and item.saved.outcome in IN_PACS) for item in items)


def _distinct(items: Iterable[Item]) -> list[Facts]:
    """One for each patient and study as written: what identifies, without the instances' own UIDs."""
    return list(dict.fromkeys(without_instance(item.facts) for item in items if item.pending))


def _declared(attempt: Attempt) -> dict[str, str]:
    return _texts(attempt, "study_metadata")


def _texts(attempt: Attempt, part: str) -> dict[str, str]:
    """`study_metadata` as declared, or what the QR code `expected`."""
    found = attempt.declared().get(part) or {}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _set_out(attempt: Attempt, instances: Sequence[Facts]) -> list[Before]:
    """It is under way, a released one too; who was before it. (Endpoint `identity = "as-is"`: nobody is asked for.)"""
    endpoint = attempt.endpoint
    return endpoint.under_way.enter(attempt.upload.upload_id, instances) if endpoint.config.identity == "check" else []


async def _by_pacs(attempt: Attempt, instances: Sequence[Facts], before: Sequence[Before]) -> tuple[str, ...]:
    """Reasons that only the PACS knows, or will when it has what is under way (endpoint `identity = "check"`)."""
    endpoint, memory = attempt.endpoint, attempt.memory
    if endpoint.config.identity != "check":
        return ()
    known, refused = await _asked(attempt, instances)
    for other in await _still_going(attempt, before):
        known += other.known
    found = compare_with(known, instances)
    doubts = {
        "identity_not_checked": refused,
        "identity_not_confirmed": found.unconfirmed and not refused,
        "patient_otherwise_written": found.otherwise_written,
    }
    unknown = tuple(code for code in UNKNOWN if doubts[code])
    former = memory.doubts.split(",") if memory.streamed else []
    memory.doubts = ",".join(code for code, given in doubts.items() if given or code in former)
    return found.holds or (unknown if endpoint.config.if_unknown == "hold" else ())


async def _asked(attempt: Attempt, instances: Sequence[Facts]) -> tuple[Known, bool]:
    """What the PACS has of these patients, accession numbers and studies; whether it refused one of the questions."""
    refused = False

    async def of(keyword: str, attribute: str) -> tuple[PatientRecord, ...]:
        nonlocal refused
        found: list[PatientRecord] = []
        for value in sorted({getattr(facts, attribute).strip() for facts in instances} - {""}):
            try:
                found += await attempt.endpoint.ask(partial(attempt.endpoint.target.patients, **{keyword: value}))
            except LookupRefused as error:
                refused = True
                log.warning("lookup_refused upload=%s by=%s code=%s", attempt.upload.upload_id, keyword, error.code)
        return tuple(found)

    known = Known(
        await of("patient_id", "patient_id"),
        await of("accession_number", "accession_number"),
        await of("study_instance_uid", "study_instance_uid"),
    )
    return known, refused


async def _still_going(attempt: Attempt, before: Sequence[Before]) -> list[Before]:
    """Not those that were cancelled, of which nobody told: they are under way no more."""

    def act(tx: Transaction) -> list[Before]:
        rows = ((one, _under_way(tx, one.upload_id, attempt.upload.endpoint_id)) for one in before)
        return [one for one, row in rows if row is not None and row.state in GOING]

    going = await attempt.tools.ledger.read(act) if before else []
    for one in before:
        if one not in going:
            attempt.endpoint.under_way.leave(one.upload_id)
    return going


def _under_way(tx: Transaction, upload_id: str, endpoint_id: str) -> UploadRow | None:
    """Another upload, as far as it goes to this endpoint."""
    return Way(upload_id, endpoint_id).upload(tx) or Way(upload_id).upload(tx)


async def _let_go_before(attempt: Attempt) -> bool:
    """A person has released another delivery of the upload: what it says of itself was looked at."""
    if not attempt.way.endpoint_id:
        return False
    rows = await attempt.tools.ledger.read(lambda tx: tx.deliveries.of_upload(attempt.upload.upload_id))
    return any(one.released_at is not None for one in rows)


async def _hold(attempt: Attempt, codes: tuple[str, ...], instances: Sequence[Facts]) -> None:
    now = attempt.tools.clock.now()
    if attempt.memory.streamed:
        attempt.memory.looked_at = sorted(_digest_of(attempt, facts) for facts in instances)
    kept = attempt.sealed_memory() if attempt.memory.streamed else None

    def act(tx: Transaction) -> bool:
        upload = attempt.mine(tx)
        if upload is None:
            return False
        before = tx.uploads.get(upload.upload_id)
        held = hold(tx, upload, attempt.job, codes, now, attempt.tools.keys, kept)
        if before is None or before.held_reasons != held.held_reasons:
            attempt.tools.announce(tx, held, "upload.held", now)
        return True

    if not await attempt.tools.ledger.write(act):
        raise Superseded
    log.info("upload_held upload=%s codes=%s", attempt.upload.upload_id, ",".join(codes))
