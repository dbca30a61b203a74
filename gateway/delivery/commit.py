"""Storage commitment: does the PACS answer for what it took? (PS3.4 annex J, PS3.18 chapter 13; `commitment = true`.)

Asked once everything is sent and looked for, about everything that is in the PACS. Waiting is done by the job's due time.
A process that was restarted can have missed an answer, so it asks again, with new transactions.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gateway.delivery.attempt import Attempt
from gateway.delivery.items import FileOutcome, Item
from gateway.delivery.receipt import IN_PACS
from gateway.delivery.verify import MAX_PAUSE_S
from gateway.receipts.document import Verification
from gateway.states import FileResult
from hooks.contract import AskAnew, Commitment, CommitmentRefused, Committing, Stopped, TargetError

log = logging.getLogger("relaypacs.delivery")

#: Instances of one request.
PAGE = 1000
#: Failure Reasons (0008,1197) that say nothing of the instance, which may be there all the same (PS3.3 section C.14.1.1):
#: it commits to none of this class, the transaction's UID is in use.
SAYS_NOTHING = frozenset({0x0122, 0x0131})
NOT_COMMITTED = "not_committed"


@dataclass(frozen=True, slots=True)
class _Request:
    """About some of the instances."""

    transaction_uid: str
    items: Sequence[Item]

    @property
    def instances(self) -> Mapping[str, str]:
        """SOPInstanceUID -> SOPClassUID."""
        outcomes = (item.outcome for item in self.items)
        return {one.sop_instance_uid: one.sop_class_uid for one in outcomes if one is not None}


def is_to_commit(attempt: Attempt) -> bool:
    """There is something that the PACS can be asked to answer for."""
    return attempt.endpoint.config.committing is not None and any(map(_can_be_committed, attempt.items))


async def commit(attempt: Attempt) -> float | None:
    """Make outcomes `committed`, as far as the PACS answers for them. Seconds until the next look; None: done.

    :raises TargetDown, TargetMisconfigured: see the hooks' contract.
    """
    target = attempt.endpoint.config.committing
    waiting = [item for item in attempt.items if _can_be_committed(item)]
    if target is None or not waiting:
        return None
    memory, clock = attempt.memory, attempt.tools.clock
    try:
        requests, told_s = await _asked(attempt, target, waiting)
    except CommitmentRefused as error:
        name = attempt.endpoint.endpoint_id
        log.warning(
            "commitment_refused endpoint=%s code=%s: set endpoints.%s.commitment = false", name, error.code, name
        )
        _warn(waiting)
        return None
    unanswered = [one for one in requests if not _apply(target, one)]
    left_s = memory.commit_until - clock.now()
    if unanswered and left_s > 0:
        memory.looks += 1
        pause_s = min(attempt.tools.settings.backoff.base_s * 2.0 ** min(memory.looks - 1, 10), MAX_PAUSE_S)
        return min(max(pause_s, told_s), left_s)
    _warn([item for request in unanswered for item in request.items])
    for request in requests:
        target.forget(request.transaction_uid)
    return None


async def _asked(attempt: Attempt, target: Committing, waiting: Sequence[Item]) -> tuple[Sequence[_Request], float]:
    """What is asked of the PACS now, and after how many seconds it wants to hear of it again.

    :raises CommitmentRefused: it commits to nothing.
    """
    memory = attempt.memory
    requests = list(_requests(attempt, waiting))
    if not memory.commit_round or not all(target.awaits(one.transaction_uid) for one in requests):
        asked = await _ask(attempt, target, waiting)
        memory.commit_until = attempt.tools.clock.now() + attempt.endpoint.config.verify_for_s
        return asked
    if target.reports:
        return requests, 0.0
    try:
        return requests, await _fetch(attempt, target, requests)
    except AskAnew:
        for request in requests:
            target.forget(request.transaction_uid)
        return await _ask(attempt, target, waiting)  # within the same time


async def _ask(attempt: Attempt, target: Committing, waiting: Sequence[Item]) -> tuple[Sequence[_Request], float]:
    """Ask with new transactions. :raises: as `_asked`."""
    attempt.memory.commit_round += 1
    requests = list(_requests(attempt, waiting))
    await attempt.remember()
    told_s = 0.0
    try:
        for request in requests:
            _go_on(attempt)
            ask = partial(target.ask_commitment, request.transaction_uid, request.instances)
            told_s = max(told_s, await attempt.endpoint.ask(ask))
    except TargetError:
        for request in requests:
            target.forget(request.transaction_uid)  # whoever comes next asks again
        raise
    return requests, told_s


async def _fetch(attempt: Attempt, target: Committing, requests: Sequence[_Request]) -> float:
    """:raises AskAnew: of one there will be no answer."""
    told_s = 0.0
    for request in requests:
        if target.commitment(request.transaction_uid) is None:
            _go_on(attempt)
            fetch = partial(target.fetch_commitment, request.transaction_uid)
            told_s = max(told_s, await attempt.endpoint.ask(fetch))
    return told_s


def _go_on(attempt: Attempt) -> None:
    if attempt.stop.is_set():
        raise Stopped


def _can_be_committed(item: Item) -> bool:
    outcome = item.outcome
    return outcome is not None and outcome.outcome in IN_PACS and outcome.verification != Verification.COMMITTED


def _requests(attempt: Attempt, items: Sequence[Item]) -> Iterator[_Request]:
    """The same in each look of a round: their UIDs follow from the receipt's, which nobody can guess."""
    first: dict[str, Item] = {}
    for item in items:
        assert item.outcome is not None
        first.setdefault(item.outcome.sop_instance_uid, item)
    ordered = sorted(first.values(), key=lambda item: item.file_id)
    for start in range(0, len(ordered), PAGE):
        seed = f"{attempt.memory.receipt_id}|{attempt.memory.commit_round}|{start}"
        number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:16], "big")
        yield _Request(f"2.25.{number}", ordered[start : start + PAGE])


def _apply(target: Committing, request: _Request) -> bool:
    """In memory only, as `verify` does. False: there is no answer yet."""
    answer = target.commitment(request.transaction_uid)
    if answer is None:
        return False
    for item in request.items:
        assert item.outcome is not None
        item.outcome = _answered(item, item.outcome, answer)
    return True


def _answered(item: Item, outcome: FileOutcome, answer: Commitment) -> FileOutcome:
    uid = outcome.sop_instance_uid
    if uid in answer.committed:
        return replace(outcome, verification=str(Verification.COMMITTED), at=0.0)
    reason = answer.failed.get(uid)
    if uid not in answer.failed or reason in SAYS_NOTHING or outcome.outcome is FileResult.ALREADY_THERE:
        return _warned(outcome)
    # It took the instance and doesn't answer for it: the bytes are kept, for a retry.
    return item.became(FileResult.FAILED, code=NOT_COMMITTED, reason=reason)


def _warn(items: Sequence[Item]) -> None:
    for item in items:
        if item.outcome is not None:
            item.outcome = _warned(item.outcome)


def _warned(outcome: FileOutcome) -> FileOutcome:
    return (
        outcome if NOT_COMMITTED in outcome.warnings else replace(outcome, warnings=(*outcome.warnings, NOT_COMMITTED))
    )
