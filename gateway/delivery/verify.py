"""A last look: does the PACS show what it said it took? (QIDO-RS; archives index late, hence patience.)

Waiting is done by the job's due time, never by a sleeping worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from gateway.delivery.attempt import Attempt, is_receiving
from gateway.delivery.conflict import OTHER_PATIENT, filed_under
from gateway.delivery.items import Item
from gateway.delivery.receipt import stored
from gateway.receipts.document import Verification
from hooks.contract import LookupRefused, Stopped, TargetError

T = TypeVar("T")

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
    for study in sorted({item.study_instance_uid for item in waiting}):
        if attempt.stop.is_set():
            raise Stopped
        items = [item for item in waiting if item.study_instance_uid == study]
        if attempt.memory.streamed and not attempt.memory.looks and len(items) <= FEW:
            shown = await _shown_of(attempt, study, items)
        else:
            shown = await _shown_of_series(attempt, study, items)
        missing += _settle_shown(items, shown)
    return missing


async def _shown_of(attempt: Attempt, study: str, items: Sequence[Item]) -> dict[str, str]:
    """A question for each, several at once."""
    target = attempt.endpoint.target

    def ask(group: Sequence[Item]) -> dict[str, str]:
        return target.present_of(study, {item.sop_instance_uid: item.facts.series_instance_uid for item in group})

    return await _beside_each_other(attempt, items, ask)


async def _shown_of_series(attempt: Attempt, study: str, items: Sequence[Item]) -> dict[str, str]:
    """All of each of their series, several series at once."""
    series = sorted({item.facts.series_instance_uid for item in items})
    return await _beside_each_other(attempt, series, partial(attempt.endpoint.target.present, study))


async def _beside_each_other(
    attempt: Attempt, things: Sequence[T], ask: Callable[[Sequence[T]], dict[str, str]]
) -> dict[str, str]:
    """Ask for all of them, in as many parts as there are connections."""
    endpoint, shown = attempt.endpoint, dict[str, str]()
    groups = [things[number :: endpoint.config.connections] for number in range(endpoint.config.connections)]
    asked = (endpoint.ask(partial(ask, group)) for group in groups if group)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        shown |= answer
    return shown


class LooksAhead:
    """While others are sent: a long series of which the PACS has named all is looked for beside them.

    In memory only, like all that is seen at the end, when the rest is looked for, and what wasn't shown or couldn't be
    asked for now. After a question that failed none is asked before the end: a PACS that hangs on each would hold up what is
    sent, and be down and up again with each.

    :param items: that are about to be sent.
    """

    def __init__(self, attempt: Attempt, items: Iterable[Item]) -> None:
        self._attempt = attempt
        self._series: dict[tuple[str, str], list[Item]] = {}
        for item in items:
            self._series.setdefault(_series_of(item), []).append(item)
        self._failed = False
        self._left = {series: len(those) for series, those in self._series.items()}

    async def named(self, batch: Iterable[Item]) -> None:
        """What became of a batch is written down."""
        done = list[tuple[str, str]]()
        for item in batch:
            if item.pending or (series := _series_of(item)) not in self._left:
                continue
            self._left[series] -= 1
            if not self._left[series]:
                del self._left[series]
                done.append(series)
        memory, config = self._attempt.memory, self._attempt.endpoint.config
        if not self._left or memory.blind or not config.verify or is_receiving(self._attempt.upload):
            return
        if self._failed or self._attempt.stop.is_set():
            return
        for series in done:
            await self._look(*series)

    async def _look(self, study: str, series: str) -> None:
        items = [item for item in self._series[study, series] if item.acknowledged and not _is_compared(item)]
        if len(items) <= FEW:
            return
        endpoint = self._attempt.endpoint
        try:
            shown = await endpoint.ask(partial(endpoint.target.present, study, [series]))
        except TargetError:  # its breaker has heard of it
            self._failed = True
        else:
            _settle_shown(items, shown)


def _series_of(item: Item) -> tuple[str, str]:
    return item.study_instance_uid, item.facts.series_instance_uid


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
