"""Storage commitment: does the PACS answer for what it took? (PS3.4 annex J; endpoint `commitment = true`.)

Asked once everything is sent and looked for, about everything that is in the PACS. Waiting is done by the job's due time.
A process that was restarted can have missed an answer, so it asks again, with new transactions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gateway.delivery.attempt import Attempt
from gateway.delivery.items import FileOutcome, Item
from gateway.delivery.receipt import IN_PACS
from gateway.delivery.verify import MAX_PAUSE_S
from gateway.receipts.document import Verification
from gateway.states import FileResult
from hooks.contract import Commitment, Committing, LookupRefused, Stopped

#: Instances of one request.
PAGE = 1000
#: Failure Reason (0008,1197): it commits to no instance of this class (PS3.3 section C.14.1.1). It may be there all the same.
CLASS_NOT_SUPPORTED = 0x0122
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
    requests = list(_requests(attempt, waiting))
    if not memory.commit_round or not all(target.awaits(one.transaction_uid) for one in requests):
        memory.commit_round += 1
        requests = list(_requests(attempt, waiting))
        await attempt.remember()
        try:
            for request in requests:
                if attempt.stop.is_set():
                    raise Stopped
                await attempt.endpoint.ask(partial(target.ask_commitment, request.transaction_uid, request.instances))
        except LookupRefused:
            _warn(waiting)
            return None
        memory.commit_until = clock.now() + attempt.endpoint.config.verify_for_s
    unanswered = [one for one in requests if not _apply(target, one)]
    left_s = memory.commit_until - clock.now()
    if unanswered and left_s > 0:
        memory.looks += 1
        return min(attempt.tools.settings.backoff.base_s * 2.0 ** min(memory.looks - 1, 10), MAX_PAUSE_S, left_s)
    _warn([item for request in unanswered for item in request.items])
    for request in requests:
        target.forget(request.transaction_uid)
    return None


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
    if uid not in answer.failed or reason == CLASS_NOT_SUPPORTED or outcome.outcome is FileResult.ALREADY_THERE:
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
