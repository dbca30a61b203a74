"""Threads for calls that may block for long: a PACS that hangs, a check that takes its time.

Daemon threads, as many as there are calls: a PACS that never answers can't keep the process from ending, and can't use up
the pool that others wait for. How many run at once is the caller's business. One that is done waits a while for the next
call: to start a thread the event loop waits until it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")
#: Does it; what it returns tells whoever waits, once the thread counts as idle.
_Call = Callable[[], Callable[[], None]]
_Mailbox = queue.SimpleQueue[_Call]

#: So long an idle thread waits.
IDLE_S = 2.0
_idle: list[_Mailbox] = []  #: of threads that wait; the last one is asked first, so that those at the front may end


async def in_thread(act: Callable[[], T]) -> T:
    """What `act` returns or raises. Cancelling abandons the thread, it doesn't end it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type] # without an error `result` is what `act` returned
        else:
            future.set_exception(error)

    def tell(result: T | None, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    def call() -> Callable[[], None]:
        try:
            return partial(tell, act(), None)
        except BaseException as error:  # noqa: BLE001 # it is raised where it is awaited
            return partial(tell, None, error)

    _begin(call)
    return await future


def _begin(call: _Call) -> None:
    try:
        mailbox = _idle.pop()
    except IndexError:
        mailbox = queue.SimpleQueue()
        threading.Thread(target=_work, args=(mailbox,), name="delivery", daemon=True).start()
    mailbox.put(call)


def _work(mailbox: _Mailbox) -> None:
    call: _Call | None = mailbox.get()
    while call is not None:
        told = call()
        del call  # what it held isn't held until the next one comes
        _idle.append(mailbox)
        told()
        del told
        call = _next(mailbox)


def _next(mailbox: _Mailbox) -> _Call | None:
    """None: nobody had one for so long, and nobody will put one there any more."""
    try:
        return mailbox.get(timeout=IDLE_S)
    except queue.Empty:
        try:
            _idle.remove(mailbox)
        except ValueError:  # taken at this very moment: its call comes
            return mailbox.get()
        return None
