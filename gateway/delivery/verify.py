"""A last look: does the PACS show what it said it took? (QIDO-RS; archives index late, hence patience.)

Waiting is done by the job's due time, never by a sleeping worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from gateway.delivery.attempt import Attempt
from gateway.delivery.conflict import OTHER_PATIENT, filed_under
from gateway.delivery.items import Item
from gateway.delivery.receipt import stored
from gateway.receipts.document import Verification
from hooks.contract import LookupRefused, Stopped

#: The PACS's own word for having changed attributes, PatientID among them (PS3.4 table B.2-1).
COERCED = "B000"
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
        series = sorted({item.facts.series_instance_uid for item in items})
        shown = await attempt.endpoint.ask(partial(target.present, study, series))
        for item in items:
            patient_id = shown.get(item.sop_instance_uid)
            if patient_id is None:
                missing.append(item)
                continue
            told = item.outcome is not None and (
                item.outcome.reason == COERCED or OTHER_PATIENT in item.outcome.warnings
            )
            settle([item], Verification.QUERIED, *(() if told else filed_under(item, patient_id)))
    return missing


def settle(items: Sequence[Item], verification: Verification, *warnings: str) -> None:
    """In memory only: these are written down with the receipt, in one transaction."""
    for item in items:
        assert item.outcome is not None
        item.outcome = stored(item.outcome, verification, *warnings)
