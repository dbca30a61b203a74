"""The one thread that writes: many acts, one transaction, one fsync.

What is queued while a commit runs becomes the next transaction. An act that raises is undone alone; for that, acts
that shared a transaction with it may be done once more. Nothing is acknowledged before COMMIT has returned (WAL,
synchronous=FULL: after its fsync).
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import Conflict
from gateway.ledger.promises import resolve
from gateway.ledger.sqlite.connection import LedgerFull, meaning, patiently, primary_code
from gateway.ledger.sqlite.group import WritingConnection
from gateway.ledger.sqlite.reserve import LedgerReserve
from gateway.ledger.sqlite.transaction import SqliteTransaction

log = logging.getLogger(__name__)

#: Acts that share a commit at most, and those of one client among them while others wait.
BATCH, CLIENTS_PART = 256, 16
#: Changed rows after which the log is copied into the file: some megabytes.
CHECKPOINT_ROWS = 2000
#: Pages of the log (4 KiB each) from which on readers are waited for, so that it starts anew.
LONG_LOG_PAGES = 16384
#: How long a checkpoint waits for readers.
READERS_TIMEOUT_S = 1.0


@dataclass(slots=True)
class Act:
    """One call and what became of it."""

    call: Callable[[SqliteTransaction], Any]
    done: asyncio.Future[Any]
    client: Hashable = None
    result: Any = None
    error: BaseException | None = None
    woken: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Chore:
    """Something that can't be in a transaction."""

    call: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any]
    last: bool = False  #: the thread ends with it


class _Undone(Exception):
    """SQLite undid the whole transaction in the middle of an act (disk full, I/O error, no memory)."""


class Writer:
    """Owns the writing connection from `start` on.

    :param loop: where futures are resolved.
    :param wake: called in the loop with the topics of a commit, after its futures are resolved.
    :param reserve: given up when the disk is full.
    """

    def __init__(
        self,
        db: WritingConnection,
        loop: asyncio.AbstractEventLoop,
        wake: Callable[[set[str]], None],
        reserve: LedgerReserve,
    ) -> None:
        self.transaction = SqliteTransaction(db)
        self._db = db
        self._loop = loop
        self._wake = wake
        self._reserve = reserve
        self._queue: queue.SimpleQueue[Act | Chore | list[Act]] = queue.SimpleQueue()
        self._waiting: OrderedDict[Hashable, deque[Act]] = OrderedDict()  # taken from the queue, by client
        self._chore: Chore | None = None  # comes after all of them
        self._checkpointed_at = 0
        self.note_commit: Callable[[float], None] = lambda _seconds: None
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)

    def start(self) -> None:
        """Begin to take acts."""
        self._thread.start()

    def put(self, task: Act | Chore) -> None:
        """Queue; `task.done` is resolved in the loop."""
        self._queue.put(task)

    def put_all(self, acts: list[Act]) -> None:
        """Queue what may share a transaction, with one hand-over."""
        self._queue.put(acts)

    def _run(self) -> None:
        while True:
            acts, chore = self._take()
            if acts:
                began = time.perf_counter()
                self._commit(acts)
                self.note_commit(time.perf_counter() - began)
                self._commit_in_the_reserve(acts)
                self._tell(self._settle, acts)
                self._checkpoint()
            if chore is not None:
                self._do(chore)
                if chore.last:
                    return

    def _take(self) -> tuple[list[Act], Chore | None]:
        """Wait for a task, then take what else is there, up to the first chore; clients take turns."""
        if not self._waiting and self._chore is None:
            self._sort(self._queue.get())
        with suppress(queue.Empty):
            while self._chore is None:
                self._sort(self._queue.get_nowait())
        acts = self._next_acts()
        if self._waiting:
            return acts, None
        chore, self._chore = self._chore, None
        return acts, chore

    def _sort(self, task: Act | Chore | list[Act]) -> None:
        if isinstance(task, Chore):
            self._chore = task
        elif isinstance(task, list):
            for act in task:
                self._sort(act)
        else:
            self._waiting.setdefault(task.client, deque()).append(task)

    def _next_acts(self) -> list[Act]:
        """The next batch. A client that is alone has all of it; else each has its part, and the rest waits."""
        part = BATCH if len(self._waiting) == 1 else CLIENTS_PART
        acts: list[Act] = []
        for client in list(self._waiting):
            mine = self._waiting[client]
            acts += [mine.popleft() for _ in range(min(len(mine), part, BATCH - len(acts)))]
            if not mine:
                del self._waiting[client]
            elif len(acts) < BATCH:
                self._waiting.move_to_end(client)
        return acts

    def _commit(self, acts: list[Act]) -> None:
        """All acts in one transaction. One that raises after it wrote is undone alone: then all are done again, each in a
        savepoint, for savepoints cost as much as a statement each, and acts that raise so late are few.
        """
        if not self._try(acts, alone=False) and not self._try(acts, alone=True):
            for act in acts:  # SQLite undid the whole: each for itself, so that only the one that is too much fails
                self._try([act], alone=False)

    def _try(self, acts: list[Act], *, alone: bool) -> bool:
        """Do and commit `acts`, or settle that none was done. False: to be tried again, another way.

        :param alone: each has a savepoint of its own, so that one that raises is undone alone.
        """
        db = self._db
        try:
            patiently(lambda: db.execute("BEGIN IMMEDIATE"))
            db.group.begin()
            for act in acts:
                act.result, act.error, act.woken = None, None, set()
                self._perform(act, alone=alone)
            self._write_all()
            db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 # the thread's edge: it must live on, and callers must hear of it
            db.group.forget()
            if db.in_transaction:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
            if isinstance(error, _Undone) and len(acts) > 1:
                return False
            for act in acts:
                act.result, act.woken = None, set()
                act.error = _told(error.__cause__ if isinstance(error, _Undone) and error.__cause__ else error)
        return True

    def _write_all(self) -> None:
        """What the acts have written. :raises _Undone: SQLite refused some of it, nobody knows whose."""
        try:
            self._db.group.settle()
        except Exception as error:
            raise _Undone from error

    def _perform(self, act: Act, *, alone: bool) -> None:
        """:raises _Undone: the act raised and can't be undone alone, or SQLite undid the whole transaction."""
        db, group = self._db, self._db.group
        if alone:
            db.execute("SAVEPOINT act")
        changes = db.total_changes
        group.begin_act()
        try:
            act.result = act.call(self.transaction)
            if alone:
                group.settle()
            if group.failed:
                raise Conflict("a row was refused, and its act went on")  # nothing that raises so may be caught
        except BaseException as error:  # the thread's edge: whatever it is, it is the caller's
            self.transaction.take_woken()
            refused = db.in_transaction and not group.failed and db.total_changes == changes + group.of_others
            if refused:  # whoever shares the transaction isn't disturbed
                group.undo_act()
            else:
                if not alone or not db.in_transaction:
                    raise _Undone from error
                group.forget()
                db.execute("ROLLBACK TO act")
            act.error = _told(error)
        else:
            act.woken = self.transaction.take_woken()
            if not db.in_transaction:
                raise _Undone from sqlite3.OperationalError("the transaction is gone")
        if alone:
            db.execute("RELEASE act")

    def _commit_in_the_reserve(self, acts: list[Act]) -> None:
        """Those for which the disk was too full, once more in the room that was kept for them."""
        short = [act for act in acts if isinstance(act.error, LedgerFull)]
        if short and self._reserve.release():
            log.warning("the ledger's disk is full: its reserve is used up, no new bytes are taken until there is room")
            for act in short:
                act.result, act.error = None, None
            self._commit(short)

    def _do(self, chore: Chore) -> None:
        result, failed = None, None
        try:
            result = chore.call(self._db)
        except sqlite3.Error as error:
            failed = meaning(error)
        self._tell(resolve, chore.done, result, failed)

    def _settle(self, acts: list[Act]) -> None:
        woken: set[str] = set()
        for act in acts:
            resolve(act.done, act.result, act.error)
            woken |= act.woken
        self._wake(woken)

    def _tell(self, call: Callable[..., None], *values: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(call, *values)

    def _checkpoint(self) -> None:
        """Copy the log into the file, after the callers were told; a failure only leaves the log longer."""
        if self._db.total_changes - self._checkpointed_at < CHECKPOINT_ROWS:
            return
        self._checkpointed_at = self._db.total_changes
        try:
            _, log_pages, _ = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if log_pages > LONG_LOG_PAGES:
                checkpoint(self._db, "RESTART")
        except sqlite3.Error as error:
            log.warning("the ledger's log can't be copied into its file (SQLite error %d)", primary_code(error))


def checkpoint(db: sqlite3.Connection, mode: str) -> bool:
    """Copy the whole log into the file, waiting for readers. False: one was in the way.

    :param mode: RESTART or TRUNCATE (https://www.sqlite.org/pragma.html#pragma_wal_checkpoint).
    """
    db.execute(f"PRAGMA busy_timeout = {int(READERS_TIMEOUT_S * 1000)}")
    try:
        busy, _, _ = db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    finally:
        db.execute("PRAGMA busy_timeout = 0")
    return not busy


def _told(error: BaseException) -> BaseException:
    """An act's error as its caller gets it. (A future takes no StopIteration.)"""
    return RuntimeError("an act ended in StopIteration") if isinstance(error, StopIteration) else meaning(error)
