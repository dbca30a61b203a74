"""A ledger that keeps every promise but one: it doesn't outlive its process.

For tests of what isn't storage, and the second judge of what `base.py` promises. Acts run as they do on SQLite: those
that write one after the other in a thread of their own, those that read beside them, each on a snapshot. Nothing is
batched, so no act runs twice.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gateway.errors import Unavailable
from gateway.ledger.base import Transaction
from gateway.ledger.memory.accounts import MemoryAccounts, MemoryQrCodes
from gateway.ledger.memory.audit import MemoryAudit, MemorySettings
from gateway.ledger.memory.deliveries import MemoryDeliveries
from gateway.ledger.memory.jobs import MemoryJobs
from gateway.ledger.memory.keys import MemoryKeys
from gateway.ledger.memory.receipts import MemoryReceipts
from gateway.ledger.memory.store import Store, new_store
from gateway.ledger.memory.stored import MemoryConcats, MemoryRuns
from gateway.ledger.memory.tables import Undo
from gateway.ledger.memory.tokens import MemoryTokens
from gateway.ledger.memory.uploads import MemoryFiles, MemoryUploads
from gateway.ledger.promises import Recorded
from gateway.ledger.watch import TopicWatch, Watches

T = TypeVar("T")

#: Threads that read.
READERS = 2


class MemoryTransaction:
    """All aggregates over one store."""

    def __init__(self, store: Store, audit_key: bytes | None = None) -> None:
        self._woken: set[str] = set()
        self.store = store
        self.keys = MemoryKeys(store)
        self.uploads = MemoryUploads(store, self.keys)
        self.files = MemoryFiles(store)
        self.runs = MemoryRuns(store)
        self.concats = MemoryConcats(store)
        self.jobs = MemoryJobs(store)
        self.deliveries = MemoryDeliveries(store)
        self.receipts = MemoryReceipts(store)
        self.tokens = MemoryTokens(store)
        self.qr_codes = MemoryQrCodes(store)
        self.accounts = MemoryAccounts(store)
        self.audit = MemoryAudit(store, self.wake, audit_key)
        self.settings = MemorySettings(store)

    def wake(self, topic: str) -> None:
        """After the commit, wake whoever watches `topic`."""
        self._woken.add(topic)

    def take_woken(self) -> set[str]:
        """The topics since this was last asked."""
        woken, self._woken = self._woken, set()
        return woken


class MemoryReserve:
    """There is always room, and still it must be taken."""

    def __init__(self) -> None:
        self._held = False

    @property
    def held(self) -> bool:
        """It is there."""
        return self._held

    def hold(self) -> bool:
        """Take it."""
        self._held = True
        return True


class MemoryLedger:
    """A `gateway.ledger.base.Ledger`. Belongs to the event loop that made it; closed with `close`."""

    def __init__(self, *, audit_key: bytes | None = None) -> None:
        self.reserve = MemoryReserve()
        self._loop = asyncio.get_running_loop()
        self._watches = Watches()
        self._undo = Undo()
        self._store = new_store(self._undo)
        self._transaction = MemoryTransaction(self._store, audit_key)
        self._lock = threading.Lock()  # held while an act writes, and while a snapshot is taken or given back
        self._snapshots = 0
        self._note_commit: Callable[[float], None] = lambda _seconds: None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="ledger-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-reader")
        self._closing: asyncio.Future[None] | None = None

    def time_commits(self, note: Callable[[float], None]) -> None:
        """From now on `note` gets the seconds of each commit."""
        self._note_commit = note

    def use_audit_key(self, key: bytes) -> None:
        """From now on events can be appended to the audit trail."""
        self._transaction.audit.key = key

    async def write(self, act: Callable[[Transaction], T]) -> T:
        """Run `act` in a transaction. A cancelled caller's act may still be done.

        :raises GatewayError: whatever `act` raised; nothing was written.
        :raises Unavailable: closed.
        """
        self._check_open()
        return await self._loop.run_in_executor(self._writer, self._write, act)

    def record(self, group: Sequence[Recorded]) -> None:
        """`write` for many at once, from any thread."""
        if self._closing is not None:
            for one in group:
                one.tell(None, Unavailable("the ledger is closed"))
            return
        self._writer.submit(self._record, group)

    async def read(self, act: Callable[[Transaction], T]) -> T:
        """Run `act` on a snapshot; it must not write.

        :raises GatewayError: whatever `act` raised.
        :raises ReadOnly: it tried to write.
        :raises Unavailable: closed.
        """
        self._check_open()
        return await self._loop.run_in_executor(self._readers, self._read, act)

    def watch(self, topic: str) -> TopicWatch:
        """Register first, look second, wait third: nothing that is committed in between is missed."""
        return self._watches.watch(topic)

    @property
    def scrub_due(self) -> bool:
        """Keys were deleted since the last scrub."""
        return self._transaction.keys.deleted

    async def scrub(self) -> bool:
        """There are no files that anything could be left in."""
        self._check_open()
        self._transaction.keys.deleted = False
        return True

    async def close(self) -> None:
        """Finish what is queued and let go. May be called twice."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            await asyncio.to_thread(self._readers.shutdown)
            await asyncio.to_thread(self._writer.shutdown)
            self._closing.set_result(None)
        await asyncio.shield(self._closing)

    def _check_open(self) -> None:
        if self._closing is not None:
            raise Unavailable("the ledger is closed")

    def _record(self, group: Sequence[Recorded]) -> None:
        for one in group:
            try:
                result = self._write(one.act)
            except BaseException as error:  # noqa: BLE001 # it is its caller's
                one.tell(None, error)
            else:
                one.tell(result)

    def _write(self, act: Callable[[Transaction], T]) -> T:
        began = time.perf_counter()
        with self._lock:
            try:
                result = act(self._transaction)
            except BaseException as error:
                self._undo.undo()
                self._transaction.take_woken()
                if isinstance(error, StopIteration):  # a future takes none
                    raise RuntimeError("an act ended in StopIteration") from None
                raise
            self._undo.commit()
        self._note_commit(time.perf_counter() - began)
        woken = self._transaction.take_woken()
        if woken:
            self._loop.call_soon_threadsafe(self._watches.wake, woken)
        return result

    def _read(self, act: Callable[[Transaction], T]) -> T:
        with self._lock:
            self._snapshots += 1
            transaction = MemoryTransaction(self._store.snapshot())
        try:
            return act(transaction)
        finally:
            with self._lock:
                self._snapshots -= 1
                if not self._snapshots:
                    for table in self._store.tables():
                        table.unshare()
