"""A last look: does the PACS show what it said it took? (QIDO-RS; archives index late, hence patience.)

Waiting is done by the job's due time, never by a sleeping worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from gateway.delivery.attempt import Attempt
from gateway.delivery.conflict import OTHER_PATIENT, filed_under
from gateway.delivery.items import Item
from gateway.delivery.receipt import stored
from gateway.receipts.document import Verification
from hooks.contract import LookupRefused, Stopped

#: The PACS's own word for having changed attributes, PatientID among them (PS3.4 table B.2-1).
COERCED = "B000"
#: So many instances are asked for one by one, where only these are left to be looked for.
FEW = 24
#: Between two looks at most.
MAX_PAUSE_S = 15.0


async def verify(attempt: Attempt) -> float | None:
    """Make every acknowledged item `stored`, as far as the PACS shows it. Seconds until the next look; None: done.

    :raises TargetDown, TargetMisconfigured: see the hooks' contract.
    """
    acknowledged = [item for item in attempt.items if item.acknowledged]
    waiting = [item for item in acknowledged if not _is_compared(item)]
    settle([item for item in acknowledged if _is_compared(item)], Verification.COMPARED)
    if not waiting:
        return None
    config, memory = attempt.endpoint.config, attempt.memory
    if not config.verify or memory.blind:
        settle(waiting, Verification.ACKNOWLEDGED)
        return None
    if not memory.verify_until:
        memory.verify_until = attempt.tools.clock.now() + config.verify_for_s
    try:
        missing = await _look(attempt, waiting)
    except LookupRefused:
        settle(waiting, Verification.ACKNOWLEDGED)
        return None
    if not missing:
        return None
    left_s = memory.verify_until - attempt.tools.clock.now()
    if left_s <= 0:
        settle(missing, Verification.ACKNOWLEDGED, "not_yet_visible")
        return None
    memory.looks += 1
    pause_s = attempt.tools.settings.backoff.base_s * 2.0 ** min(memory.looks - 1, 10)
    return min(pause_s, MAX_PAUSE_S, left_s)


def give_up(attempt: Attempt) -> None:
    """Nobody can look any more: acknowledged is what it stays."""
    acknowledged = [item for item in attempt.items if item.acknowledged]
    settle([item for item in acknowledged if _is_compared(item)], Verification.COMPARED)
    settle([item for item in acknowledged if item.acknowledged], Verification.ACKNOWLEDGED, "not_yet_visible")


def _is_compared(item: Item) -> bool:
    """It was read back when it was stored."""
    return item.outcome is not None and item.outcome.verification == Verification.COMPARED


async def _look(attempt: Attempt, waiting: Sequence[Item]) -> list[Item]:
    """Those that the PACS doesn't show; the others are stored, and whose it says they are is told."""
    missing: list[Item] = []
    target = attempt.endpoint.target
    for study in sorted({item.study_instance_uid for item in waiting}):
        if attempt.stop.is_set():
            raise Stopped
        items = [item for item in waiting if item.study_instance_uid == study]
        if attempt.memory.streamed and not attempt.memory.looks and len(items) <= FEW:
            shown = await _shown_of(attempt, study, items)
        else:
            series = sorted({item.facts.series_instance_uid for item in items})
            shown = await attempt.endpoint.ask(partial(target.present, study, series))
        missing += _settle_shown(items, shown)
    return missing


async def _shown_of(attempt: Attempt, study: str, items: Sequence[Item]) -> dict[str, str]:
    """A question for each, several at once."""
    endpoint, shown = attempt.endpoint, dict[str, str]()
    groups = [items[number :: endpoint.config.connections] for number in range(endpoint.config.connections)]

    async def ask(group: Sequence[Item]) -> None:
        asked = {item.sop_instance_uid: item.facts.series_instance_uid for item in group}
        shown.update(await endpoint.ask(partial(endpoint.target.present_of, study, asked)))

    answers = await asyncio.gather(*(ask(group) for group in groups if group), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return shown


def _settle_shown(items: Sequence[Item], shown: Mapping[str, str]) -> list[Item]:
    """What is shown is stored. Returns the others."""
    missing: list[Item] = []
    for item in items:
        patient_id = shown.get(item.sop_instance_uid)
        if patient_id is None:
            missing.append(item)
            continue
        told = item.outcome is not None and (item.outcome.reason == COERCED or OTHER_PATIENT in item.outcome.warnings)
        settle([item], Verification.QUERIED, *(() if told else filed_under(item, patient_id)))
    return missing


async def confirm(attempt: Attempt, acknowledged: Iterable[Item]) -> list[Item]:
    """While more of the upload comes: look for some of what it has named, and write down what it shows. Those are returned.

    What isn't shown yet, or can't be asked for, is looked for when the upload is complete.
    """
    if not attempt.endpoint.config.verify or attempt.memory.blind:
        return []
    some = [item for item in acknowledged if not _is_compared(item)][:FEW]
    shown: dict[str, str] = {}
    try:
        for study in sorted({item.study_instance_uid for item in some}):
            shown |= await _shown_of(attempt, study, [item for item in some if item.study_instance_uid == study])
    except LookupRefused:
        return []
    missing = _settle_shown(some, shown)
    found = [item for item in some if item not in missing]
    await attempt.record([(item, item.outcome) for item in found if item.outcome is not None])
    return found


def settle(items: Sequence[Item], verification: Verification, *warnings: str) -> None:
    """In memory only: these are written down with the receipt, in one transaction."""
    for item in items:
        assert item.outcome is not None
        item.outcome = stored(item.outcome, verification, *warnings)
