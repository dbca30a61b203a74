"""The segment that small appends share just now, and the thread that syncs it for all of them.

What is appended while a sync runs shares the next one, and so does what is being sealed when that is about to begin: groups
form by queueing, never by a timer. Who comes alone waits for nobody.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from gateway.errors import GatewayError
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.promises import Recorded, tell
from gateway.spool import SharedSegment, Spool
from gateway.uploads.admission import new_id
from gateway.uploads.arrivals import Arrival, Judge, Judging

log = logging.getLogger("relaypacs.uploads")

#: An append of so many bytes or more has a segment for itself.
SMALL_BELOW_BYTES = 1 << 20
#: An entry that isn't written by then hangs, and the others don't wait for it.
HANGS_S = 0.05


class Sharing:
    """Hands out the shared segment, and syncs it. Belongs to the event loop that made it.

    :param session_id: of this process: the segments that it leaves open are closed by the next one.
    """

    def __init__(self, ledger: Ledger, spool: Spool, session_id: str) -> None:
        self._ledger = ledger
        self._spool = spool
        self.session_id = session_id
        self._present: SharedSegment | None = None
        self._retired: list[SharedSegment] = []
        self._beginning = asyncio.Lock()
        self._syncs = _Syncs(ledger)

    async def segment(self) -> SharedSegment:
        """One that takes entries; its row is written. :raises Unavailable, SpoolFull: the ledger can't."""
        present = self._present
        if present is not None and present.takes_more:
            return present
        async with self._beginning:
            if self._present is None or not self._present.takes_more:
                await self._begin()
            assert self._present is not None
            return self._present

    async def _begin(self) -> None:
        fresh = self._spool.shared_segment(new_id())
        await self._retire(lambda tx: tx.runs.begin_shared(fresh.segment_id, self.session_id))
        self._syncs.start()
        self._present = fresh

    async def retire_idle(self) -> None:
        """Give the present segment up if no row names anything in it, so that it can go as a whole."""
        async with self._beginning:
            present = self._present
            if present is None or not present.begun or present.pinned:
                return
            named = await self._ledger.read(lambda tx: tx.runs.names_any(present.segment_id))
            if not named and not present.pinned:
                await self._retire()

    async def _retire(self, act: Callable[[Transaction], None] | None = None) -> None:
        """Nothing more comes to the present segment; with `act`, those of which nothing is under way are closed."""
        if self._present is not None:
            self._retired.append(self._present)
            self._present = None
        done = [one for one in self._retired if not one.pinned]

        def close(tx: Transaction) -> None:
            tx.runs.close_shared([one.segment_id for one in done])
            if act is not None:
                act(tx)

        await self._ledger.write(close)
        self._retired = [one for one in self._retired if one not in done]
        for one in done:
            _let_go(one)

    def judge_by(self, judge: Judge | None) -> None:
        """From now on files that arrive whole are judged beside their sync; None: no more are."""
        self._syncs.judge = judge

    def expect(self) -> int:
        """In the loop, before an entry is sealed; its number, for `sync_soon` or `unexpect`."""
        return self._syncs.expect()

    def unexpect(self, number: int) -> None:
        """From any thread: an entry that was expected failed."""
        self._syncs.put((number, None))

    def sync_soon(
        self,
        number: int,
        segment: SharedSegment,
        one: Recorded | asyncio.Future[None],
        arrival: Arrival | None = None,
    ) -> None:
        """From any thread, after an entry was written: after the next sync the ledger is given the act, or who waits for the
        sync alone is told; or they hear of its error.

        :param arrival: the file whose bytes they all are: it may have its verdict by then.
        """
        self._syncs.put((number, _Waiting(segment, one, arrival)))

    async def close(self) -> None:
        """At the end of the process, when nothing is under way any more; what can't be written down the next one does."""
        await asyncio.to_thread(self._syncs.close)
        left = [one for one in (*self._retired, self._present) if one is not None]
        if left:
            with suppress(GatewayError):
                await self._ledger.write(lambda tx: tx.runs.close_shared([one.segment_id for one in left]))
        for one in left:
            _let_go(one)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Who waits for a sync."""

    segment: SharedSegment
    one: Recorded | asyncio.Future[None]
    arrival: Arrival | None


#: By its number what was expected: it waits, or has failed. None: nothing comes any more.
_Came = tuple[int, _Waiting | None] | None


class _Syncs:
    """The thread: everything that waits for a segment has one sync of it, and what follows goes to the ledger together."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._queue: queue.SimpleQueue[_Came] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.judge: Judge | None = None
        self._numbers = itertools.count()
        self._expected: set[int] = set()
        self._hanging: set[int] = set()
        self._over = False

    def start(self) -> None:
        """Where it wasn't yet."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="spool-syncs", daemon=True)
            self._thread.start()

    def expect(self) -> int:
        """In the loop: something will be `put`, by this number."""
        number = next(self._numbers)
        self._expected.add(number)
        return number

    def put(self, came: _Came) -> None:
        self._queue.put(came)

    def close(self) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while not self._over:
            group: list[_Waiting] = []
            self._take(self._queue.get(), group)
            company = self._expected - self._hanging  # who comes after these has the next one
            try:
                while not self._over:
                    waits = not company.isdisjoint(self._expected)
                    self._take(self._queue.get(timeout=HANGS_S) if waits else self._queue.get_nowait(), group)
            except queue.Empty:
                self._hanging |= company & self._expected
            if group:
                self._settle(group)

    def _take(self, came: _Came, group: list[_Waiting]) -> None:
        if came is None:
            self._over = True
            return
        number, waiting = came
        self._expected.discard(number)
        self._hanging.discard(number)
        if waiting is not None:
            group.append(waiting)

    def _settle(self, group: list[_Waiting]) -> None:
        arriving = [waiting.arrival for waiting in group if waiting.arrival is not None]
        judging = _begun(self.judge, arriving) if arriving and self.judge is not None else None
        errors = {segment: _synced(segment) for segment in dict.fromkeys(waiting.segment for waiting in group)}
        if judging is not None:
            _take_verdicts(arriving, judging)
        recorded = [(waiting.one, errors[waiting.segment]) for waiting in group if isinstance(waiting.one, Recorded)]
        if good := [one for one, error in recorded if error is None]:
            self._ledger.record(good)
        for one, error in recorded:
            if error is not None:
                one.tell(None, error)
        for waiting in group:
            if not isinstance(waiting.one, Recorded):
                tell(waiting.one, None, errors[waiting.segment])


def _begun(judge: Judge, arriving: list[Arrival]) -> Judging | None:
    try:
        return judge.begin(arriving)
    except Exception as error:  # noqa: BLE001 # the thread's edge: everybody's bytes go by it, and jobs judge as well
        _complain(error)
        return None


def _take_verdicts(arriving: list[Arrival], judging: Judging) -> None:
    try:
        for arrival, judged in zip(arriving, judging.verdicts(), strict=True):
            arrival.judged = judged
    except Exception as error:  # noqa: BLE001 # likewise
        _complain(error)


def _complain(error: Exception) -> None:
    """Its kind only: its words may quote what was sent."""
    log.error("a check beside a sync failed, jobs do it instead error=%s", type(error).__name__)


def _synced(segment: SharedSegment) -> BaseException | None:
    try:
        segment.sync()
    except Exception as error:  # noqa: BLE001 # the thread's edge: it must live on, and callers must hear of it
        return error
    return None


def _let_go(segment: SharedSegment) -> None:
    with suppress(GatewayError):  # what matters in it was synced
        segment.close()
