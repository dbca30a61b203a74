"""Where the medium has no holes, what lives of a closed segment is copied elsewhere, so that all of it can go.

Entries are copied as they are: no key is needed, and what is damaged stays damaged where it is. A crash at any step
leaves each entry where its rows say, and of the copy a segment that no row names, which goes like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import RunRow
from gateway.spool import EntryPlace
from gateway.uploads.admission import new_id

#: A closed segment of which more than this part is dead is copied at once.
MUCH = 1 / 2
#: One of which more than this part is dead, when it has been so for that long: most die as a whole before.
SOME, SOME_FOR_S = 1 / 6, 3600.0
#: What lives of a segment, at most: a larger one is a file's own, of which parts are finals.
MOST_BYTES = 64 << 20
#: Entries whose rows are moved in one transaction.
PAGE = 100

Living = Mapping[str, EntryPlace]  #: by entry id


class Entries(Protocol):
    """Where they lie. Blocking."""

    def taken_bytes(self, segment_id: str) -> int:
        """What a segment takes of the medium. :raises Unavailable: the storage failed."""

    def room_bytes(self) -> int:
        """What may be filled. :raises Unavailable: the storage failed."""

    def copy_entries(self, entries: Living, to_segment_id: str) -> dict[str, EntryPlace]:
        """Copy them. :raises SpoolFull: no room. :raises Unavailable: the storage failed."""


class Compaction:
    """Of the process that reads and delivers: who read the old rows there finds the entries all the same.

    :param session_id: of that process: what it leaves open when it dies the next one closes.
    """

    def __init__(self, ledger: Ledger, spool: Entries, session_id: str, clock: Clock) -> None:
        self._ledger = ledger
        self._spool = spool
        self._session_id = session_id
        self._clock = clock
        self._some_since: dict[str, float] = {}  #: monotonic, by segment

    async def settle(self, segment_id: str, runs: Sequence[RunRow]) -> bool:
        """Copy what lives of a closed segment if enough of it is dead. False: it is to be asked again.

        :param runs: that name something in it.
        :raises SpoolFull, Unavailable: the storage failed.
        """
        living = await self._ledger.read(partial(_living, runs=runs))
        if living is None:
            return True
        size_bytes = await asyncio.to_thread(self._spool.taken_bytes, segment_id)
        living_bytes = sum(place.sealed_bytes for place in living.values())
        if living_bytes > MOST_BYTES or living_bytes >= size_bytes * (1 - SOME):
            self._some_since.pop(segment_id, None)
            return True
        since = self._some_since.setdefault(segment_id, self._clock.monotonic())
        if living_bytes >= size_bytes * (1 - MUCH) and self._clock.monotonic() - since < SOME_FOR_S:
            return False
        if await asyncio.to_thread(self._spool.room_bytes) < living_bytes:
            return False
        await self._move(segment_id, living)
        self._some_since.pop(segment_id, None)
        return True

    async def _move(self, segment_id: str, living: Living) -> None:
        fresh = new_id()
        await self._ledger.write(lambda tx: tx.runs.begin_shared(fresh, self._session_id))
        try:
            places = await asyncio.to_thread(self._spool.copy_entries, living, fresh)
            moves = [(living[entry_id].entry_at, place) for entry_id, place in places.items()]
            for start in range(0, len(moves), PAGE):
                await self._ledger.write(partial(_move_rows, segment_id=segment_id, moves=moves[start : start + PAGE]))
        except GatewayError:
            await self._ledger.write(lambda tx: tx.runs.close_shared([fresh]))
            raise
        await self._ledger.write(lambda tx: tx.runs.close_shared([fresh]))


def _living(tx: Transaction, runs: Sequence[RunRow]) -> Living | None:
    """Entries that a file with a key names; None: some can't be copied, being of format 1."""
    if any(not run.sealed_bytes for run in runs):
        return None
    keyed: dict[str, bool] = {}
    living: dict[str, EntryPlace] = {}
    for run in runs:
        if run.file_id not in keyed:
            file = tx.files.get(run.file_id)
            keyed[run.file_id] = file is not None and file.key_id is not None
        if keyed[run.file_id]:
            before = living.get(run.entry_id)
            sealed_bytes = max(run.sealed_bytes, before.sealed_bytes if before is not None else 0)
            living[run.entry_id] = EntryPlace(run.segment_id, run.entry_at, sealed_bytes)
    return living


def _move_rows(tx: Transaction, segment_id: str, moves: Sequence[tuple[int, EntryPlace]]) -> None:
    """Where an entry is still named: what was erased meanwhile stays where its holes are made."""
    for entry_at, place in moves:
        if _living(tx, tx.runs.of_entry(segment_id, entry_at)):
            tx.runs.move_entry(segment_id, entry_at, place.segment_id, place.entry_at)
