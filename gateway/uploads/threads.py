"""The threads that seal, write and sync, so that the event loop never waits for a disk.

Python's own pool makes a future with a lock of its own for each call, and another one for the loop: more than a small
file's bytes cost.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from gateway.ledger.promises import tell

T = TypeVar("T")

#: Does it; what it returns tells whoever waits, once the thread counts as free.
_Task = Callable[[], Callable[[], None] | None]


def _again() -> None:
    """What a task returns that isn't done, and lets others have their turn."""


_AGAIN: Final = _again


class Threads:
    """So many at most; one more is started where all that were started are busy. Called from the event loop's thread."""

    def __init__(self, count: int = 16) -> None:
        self._count = count
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._asked = 0
        self._done: list[int] = []  #: by thread: each counts for itself, so that no lock is needed
        self._closed = False

    def run(self, act: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Run `act` in a thread. One that is cancelled before its turn isn't run."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.put(lambda: _settle(done, act, args))
        return done

    def begin(self, act: Callable[..., None], *args: Any) -> None:
        """Run `act`, which tells by itself what came of it and raises nothing, in a thread."""
        self.put(lambda: act(*args))

    def close(self) -> None:
        """Wait for what runs."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    @property
    def are_wanted(self) -> bool:
        """Something waits for a thread, which isn't their end. From any thread."""
        return not self._closed and not self._queue.empty()

    def put(self, task: _Task) -> None:
        """For a thread, when it is free."""
        if self._closed:
            raise RuntimeError("the threads are closed")
        self._asked += 1
        self._queue.put(task)
        number = len(self._threads)
        if number < self._count and self._asked - sum(self._done) > number:
            self._done.append(0)
            self._threads.append(
                threading.Thread(target=self._work, args=(number,), name=f"spool_{number}", daemon=True)
            )
            self._threads[-1].start()

    def _work(self, number: int) -> None:
        while (task := self._queue.get()) is not None:
            told = task()
            if told is _AGAIN:
                self._queue.put(task)
                continue
            del task  # what it held isn't held until the next one comes
            self._done[number] += 1
            if told is not None:
                told()
            del told


class Strand:
    """Acts of which each begins when the one before has ended, and for which the event loop needn't have its turn between.

    As long as it has any it keeps a thread, unless others wait for one.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._waiting: deque[_Task] = deque()
        self._begun = False

    def run(self, act: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Run `act` behind those before it, whatever became of them. One that is cancelled before its turn isn't run."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append(lambda: _settle(done, act, args))
            begins, self._begun = not self._begun, True
        if begins:
            self._threads.put(self._go)
        return done

    def _go(self) -> Callable[[], None] | None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._begun = False
                    return None
                task = self._waiting.popleft()
            told = task()
            del task
            if told is not None:
                told()
            del told
            if self._threads.are_wanted:
                return _AGAIN


def _settle(done: asyncio.Future[T], act: Callable[..., T], args: tuple[Any, ...]) -> Callable[[], None] | None:
    if done.cancelled():
        return None
    try:
        result = act(*args)
    except BaseException as error:  # noqa: BLE001 # whatever it is, whoever waits must hear of it
        return partial(tell, done, None, error)
    return partial(tell, done, result)
