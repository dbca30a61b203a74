"""Does a person have to look at the upload first? Decided before the first instance leaves (CONTRACT 2.6)."""

from __future__ import annotations

import logging

from gateway.delivery.attempt import Attempt, Superseded
from gateway.delivery.end import hold
from gateway.ledger.base import Transaction

log = logging.getLogger("relaypacs.delivery")


class Held(Exception):
    """The upload waits for a person; its job is done."""


class Mismatch(Exception):
    """What was declared doesn't fit the files, and the configuration says: reject."""


async def identify(attempt: Attempt) -> None:
    """Look whom the instances are of.

    :raises Held, Mismatch: see there.
    :raises Superseded: the upload was stopped in between.
    :raises TargetDown, TargetMisconfigured: the PACS was asked and didn't answer.
    """
    memory = attempt.memory
    if memory.released or memory.identified:
        return
    codes: tuple[str, ...] = ()
    if codes:
        await _hold(attempt, codes)
        raise Held
    memory.identified = True
    await attempt.remember()


async def _hold(attempt: Attempt, codes: tuple[str, ...]) -> None:
    now = attempt.tools.clock.now()

    def act(tx: Transaction) -> bool:
        upload = attempt.mine(tx)
        if upload is None:
            return False
        hold(tx, upload, attempt.job, codes, now)
        return True

    if not await attempt.tools.ledger.write(act):
        raise Superseded
    log.info("upload_held upload=%s codes=%s", attempt.upload.upload_id, ",".join(codes))
