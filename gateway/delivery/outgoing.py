"""Files that are about to leave: written down as such, and as what a target takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from gateway.delivery.attempt import Attempt, Superseded
from gateway.delivery.check import mark_lost
from gateway.delivery.items import FileOutcome, Item
from gateway.delivery.spooled import SpooledPlace, place_of
from gateway.ledger.base import Transaction
from gateway.states import WHOLE_STATES, FileResult, FileState
from hooks.contract import Instance, Source


def named(item: Item, priority: str, open_file: Callable[[], Source]) -> Instance:
    """An accepted file, by what its check found in it.

    :param priority: what the client said of the upload; `routine` where it said nothing.
    """
    facts = item.facts
    return Instance(
        item.file_id,
        facts.sop_class_uid,
        facts.sop_instance_uid,
        facts.study_instance_uid,
        facts.series_instance_uid,
        item.size_bytes,
        item.sha256,
        open_file,
        facts,
        priority,
    )


async def mark(attempt: Attempt, batch: Sequence[Item]) -> dict[str, SpooledPlace]:
    """Write down that these are `sending`: from now on they may be in the PACS.

    :returns: where their bytes are, by file_id; those that were taken out in the meantime have none.
    :raises Superseded: the upload is not to be delivered any more.
    """

    def act(tx: Transaction) -> dict[str, SpooledPlace] | None:
        if attempt.mine(tx) is None:
            return None
        places = {}
        for item in batch:
            file = attempt.way.file(tx, item.file_id)
            if file is None or file.state not in WHOLE_STATES:
                continue
            if file.state is not FileState.SENDING:
                attempt.way.save_file(tx, replace(file, state=FileState.SENDING))
            places[item.file_id] = place_of(tx, file)
        return places

    places = await attempt.tools.ledger.write(act)
    if places is None:
        raise Superseded
    for item in batch:
        item.state = FileState.SENDING if item.file_id in places else FileState.REMOVED
        item.tries += 1
    return places


async def lost(attempt: Attempt, file_ids: Collection[str]) -> None:
    """Write down that the acknowledged bytes of these can't be read back."""
    tools = attempt.tools
    now = tools.clock.now()

    def act(tx: Transaction) -> None:
        for file_id in file_ids:
            mark_lost(tx, file_id, tools.keys, now)

    await tools.ledger.write(act)
    for item in attempt.items:
        if item.file_id in file_ids:
            item.state = FileState.LOST
            item.outcome = FileOutcome(FileResult.FAILED, code="data_lost", made_by=item.made_by)
