"""The ledger in one SQLite file: durable when `write` returns, readable while it writes, usable by several processes.

Promises: a write is on the disk (WAL, synchronous=FULL) before its caller goes on; a read sees one moment; a deleted
row is overwritten, and after `scrub` it is in none of the three files.
Other processes (commands beside a running `serve`) may write at the same time. Their commits wake no watch in this
one: whoever works off a topic looks again every now and then.
It must not know what the rows mean, nor who asks.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeVar

from gateway.errors import Unavailable
from gateway.fair import CLIENT
from gateway.ledger.base import Transaction
from gateway.ledger.promises import ReadOnly, Recorded
from gateway.ledger.sqlite.connection import LedgerFull, meaning, open_reader, open_writer, primary_code
from gateway.ledger.sqlite.group import WritingConnection
from gateway.ledger.sqlite.reserve import LedgerReserve
from gateway.ledger.sqlite.transaction import SqliteTransaction
from gateway.ledger.sqlite.writer import Act, Chore, Writer, checkpoint
from gateway.ledger.watch import TopicWatch, Watches

T = TypeVar("T")

#: Threads, and connections, that read.
READERS = 2


class SqliteLedger:
    """A `gateway.ledger.base.Ledger`. Belongs to the event loop that opened it; closed with `close`."""

    def __init__(
        self,
        writer: WritingConnection,
        readers: Sequence[sqlite3.Connection],
        loop: asyncio.AbstractEventLoop,
        reserve: LedgerReserve,
    ) -> None:
        self.reserve = reserve
        self._loop = loop
        self._watches = Watches()
        self._writer = Writer(writer, loop, self._watches.wake, reserve)
        self._turn: list[Act] = []
        self._closing: asyncio.Future[None] | None = None
        self._threads = ThreadPoolExecutor(len(readers), thread_name_prefix="ledger-reader")
        self._readers: queue.SimpleQueue[tuple[sqlite3.Connection, SqliteTransaction]] = queue.SimpleQueue()
        for reader in readers:
            self._readers.put((reader, SqliteTransaction(reader)))
        self._writer.start()

    @classmethod
    async def open(cls, path: Path, *, audit_key: bytes | None = None) -> SqliteLedger:
        """Open the ledger; make it if need be. An older schema is refused: `connection.migrate`.

        :raises ConfigError: the file is no ledger, or another release wrote it.
        :raises Unavailable: the file can't be opened, or is locked for too long.
        """
        reserve = LedgerReserve(path)
        connections = await asyncio.to_thread(_connections, path, reserve)
        ledger = cls(*connections, asyncio.get_running_loop(), reserve)
        if audit_key is not None:
            ledger.use_audit_key(audit_key)
        return ledger

    def time_commits(self, note: Callable[[float], None]) -> None:
        """From now on `note` gets the seconds of each commit, its acts and its fsync, in the writer's thread."""
        self._writer.note_commit = note

    def use_audit_key(self, key: bytes) -> None:
        """From now on events can be appended to the audit trail."""
        self._writer.transaction.audit.key = key

    async def write(self, act: Callable[[Transaction], T]) -> T:
        """Run `act` in a transaction; return when it is durable. A cancelled caller's act may still be done.

        :raises GatewayError: whatever `act` raised; nothing was written.
        :raises SpoolFull: the ledger's disk is full.
        :raises Unavailable: `storage_error`, another process held the file for too long, or closed.
        """
        self._check_open()
        done: asyncio.Future[T] = self._loop.create_future()
        self._turn.append(Act(act, done, CLIENT.get()))
        if len(self._turn) == 1:
            self._loop.call_soon(self._end_turn)
        return await done

    def _end_turn(self) -> None:
        """Acts of one turn of the loop go to the writer together: those of requests that came together share a commit."""
        acts, self._turn = self._turn, []
        if acts:
            self._writer.put_all(acts)

    def record(self, group: Sequence[Recorded]) -> None:
        """`write` for many at once, from any thread."""
        if self._closing is not None:
            for one in group:
                one.tell(None, Unavailable("the ledger is closed"))
            return
        self._writer.put_all([Act(one.act, one.done, one.client) for one in group])

    async def read(self, act: Callable[[Transaction], T]) -> T:
        """Run `act` on a snapshot; it must not write.

        :raises GatewayError: whatever `act` raised.
        :raises ReadOnly: it tried to write.
        :raises Unavailable: `storage_error`, or closed.
        """
        self._check_open()
        return await self._loop.run_in_executor(self._threads, self._read, act)

    def watch(self, topic: str) -> TopicWatch:
        """Register first, look second, wait third: nothing that this process commits in between is missed."""
        return self._watches.watch(topic)

    @property
    def scrub_due(self) -> bool:
        """Keys were deleted since the last scrub."""
        return self._writer.transaction.keys.deleted

    async def scrub(self) -> bool:
        """Make sure that deleted rows are in none of the files. False: a reader was in the way; try again.

        :raises Unavailable: `storage_error`.
        """
        self._check_open()
        done: asyncio.Future[bool] = self._loop.create_future()
        self._end_turn()
        self._writer.put(Chore(self._scrubbed, done))
        return await done

    async def close(self) -> None:
        """Finish what is queued and let go. May be called twice."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            await asyncio.to_thread(self._threads.shutdown)
            while not self._readers.empty():
                self._readers.get_nowait()[0].close()
            self._end_turn()
            self._writer.put(Chore(sqlite3.Connection.close, self._closing, last=True))
        await asyncio.shield(self._closing)

    def _check_open(self) -> None:
        if self._closing is not None:
            raise Unavailable("the ledger is closed")

    def _scrubbed(self, db: sqlite3.Connection) -> bool:
        """In the writer's thread: nothing is deleted meanwhile."""
        done = checkpoint(db, "TRUNCATE")
        if done:
            self._writer.transaction.keys.deleted = False
        return done

    def _read(self, act: Callable[[Transaction], T]) -> T:
        db, transaction = reader = self._readers.get()
        try:
            db.execute("BEGIN")
            try:
                return act(transaction)
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")  # nothing was written; the snapshot ends, and a checkpoint can go on
        except sqlite3.Error as error:
            if primary_code(error) == sqlite3.SQLITE_READONLY:
                raise ReadOnly("an act of a read tried to write") from error
            raise meaning(error) from error
        finally:
            transaction.take_woken()
            self._readers.put(reader)


def _connections(path: Path, reserve: LedgerReserve) -> tuple[WritingConnection, list[sqlite3.Connection]]:
    """The one that writes and those that read."""
    with ExitStack() as opened:
        try:
            writer = open_writer(path)
        except (LedgerFull, Unavailable):
            # On a full disk not even the log's index can be made; SQLite says that as an I/O error.
            if not reserve.release():
                raise
            writer = open_writer(path)
        opened.enter_context(closing(writer))
        readers = [opened.enter_context(closing(open_reader(path))) for _ in range(READERS)]
        opened.pop_all()
    return writer, readers
