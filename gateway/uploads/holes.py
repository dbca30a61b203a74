"""What nobody can read any more in a segment that files share goes back to the medium.

Only what rows say is looked at. In an open segment nothing but entries of files without a key is given back: what lies
between may be about to get its row. No row comes to a closed one any more: all that none names is given back, what was
refused or broke off too; and the segment goes when no row names anything in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial
from operator import attrgetter
from typing import Protocol

from gateway.ledger.base import PURGE, Ledger, Transaction
from gateway.ledger.rows import RunRow, SharedState

#: Beyond the end of any shared segment.
_BEYOND_BYTES = 1 << 40
#: Segments that are looked at together.
PAGE = 100

Hole = tuple[int, int]  #: position, bytes
#: Asked of a segment and its runs: whether it needs no further look.
Settle = Callable[[str, Sequence[RunRow]], Awaitable[bool]]


class SealedBytes(Protocol):
    """Where they lie. Blocking."""

    def delete(self, segment_ids: Sequence[str]) -> None:
        """Remove segments for good. :raises Unavailable: the storage failed."""

    def punch(self, segment_id: str, holes: Sequence[Hole]) -> bool:
        """Give room back. False: the storage has no holes. :raises Unavailable: the storage failed."""


async def give_back(ledger: Ledger, spool: SealedBytes, file_ids: Collection[str]) -> None:
    """The entries of files whose keys are gone, unless another file that has its key names them, too; may be done again at
    any time.

    :raises Unavailable: the storage failed; their rows are there still.
    """
    dead = await ledger.read(partial(_dead, file_ids=file_ids))
    for segment_id, runs in dead.items():
        unnamed = await ledger.read(partial(_unnamed, runs=runs))
        await asyncio.to_thread(spool.punch, segment_id, _joined(unnamed))
        await ledger.write(partial(_drop, segment_id=segment_id, run_ids=[run.run_id for run in runs]))


async def tidy(ledger: Ledger, spool: SealedBytes, settle: Settle | None = None) -> None:
    """Closed segments: those that nothing is left of go; what no row names in the others is given back, once.

    :param settle: what to do with a segment whose storage has no holes; None: nothing.
    :raises SpoolFull, Unavailable: the storage failed.
    """
    await _drop_idle(ledger, spool)
    for row in await ledger.read(lambda tx: tx.runs.shared(SharedState.CLOSED)):
        runs = await ledger.read(partial(_named, segment_id=row.segment_id))
        done = await asyncio.to_thread(spool.punch, row.segment_id, _between(runs))
        if done or settle is None or await settle(row.segment_id, runs):
            await ledger.write(partial(_tidied, segment_id=row.segment_id))
    await _drop_idle(ledger, spool)


async def _drop_idle(ledger: Ledger, spool: SealedBytes) -> None:
    while idle := await ledger.read(lambda tx: tx.runs.idle_shared(PAGE)):
        await asyncio.to_thread(spool.delete, idle)
        await ledger.write(partial(_forget, segment_ids=idle))


def _dead(tx: Transaction, file_ids: Iterable[str]) -> dict[str, list[RunRow]]:
    """Runs of these files in shared segments, by segment and place."""
    found: dict[str, list[RunRow]] = {}
    for file_id in file_ids:
        for run in tx.runs.of_file(file_id):
            found.setdefault(run.segment_id, []).append(run)
    shared = {segment_id: runs for segment_id, runs in found.items() if tx.runs.sharing(segment_id) is not None}
    return {segment_id: sorted(runs, key=attrgetter("entry_at")) for segment_id, runs in shared.items()}


def _unnamed(tx: Transaction, runs: Sequence[RunRow]) -> list[RunRow]:
    """Those of them whose entries no file that can be read names."""

    def is_named(run: RunRow) -> bool:
        others = {one.file_id for one in tx.runs.of_entry(run.segment_id, run.entry_at)} - {run.file_id}
        return any(file is not None and file.key_id is not None for file in map(tx.files.get, others))

    return [run for run in runs if not is_named(run)]


def _joined(dead: Iterable[RunRow]) -> list[Hole]:
    """Neighbours as one hole: only whole blocks of it go back."""
    holes = list[Hole]()
    for run in dead:
        if holes and sum(holes[-1]) > run.entry_at:
            continue  # a part that is there twice
        if holes and sum(holes[-1]) == run.entry_at:
            holes[-1] = (holes[-1][0], holes[-1][1] + run.sealed_bytes)
        else:
            holes.append((run.entry_at, run.sealed_bytes))
    return holes


def _named(tx: Transaction, segment_id: str) -> list[RunRow]:
    return tx.runs.of_segment(segment_id)


def _between(runs: Iterable[RunRow]) -> list[Hole]:
    """All but these, which are in the order of their places."""
    holes, at = list[Hole](), 0
    for run in runs:
        if run.entry_at > at:
            holes.append((at, run.entry_at - at))
        at = max(at, run.entry_at + run.sealed_bytes)
    return [*holes, (at, _BEYOND_BYTES - at)]


def _drop(tx: Transaction, segment_id: str, run_ids: Sequence[int]) -> None:
    tx.runs.delete(run_ids)
    tx.runs.set_tidy([segment_id], tidy=False)
    tx.wake(PURGE)  # the segment may go, too, and blocks that two dead entries share


def _forget(tx: Transaction, segment_ids: Sequence[str]) -> None:
    tx.runs.forget(segment_ids)


def _tidied(tx: Transaction, segment_id: str) -> None:
    tx.runs.set_tidy([segment_id], tidy=True)
