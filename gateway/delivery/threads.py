"""Threads for calls that may block for long: a PACS that hangs, a check that takes its time.

Daemon threads, one for each call: a PACS that never answers can't keep the process from ending, and can't use up the
pool that others wait for. How many run at once is the caller's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


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

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = act()
        except BaseException as caught:  # noqa: BLE001 # it is raised where it is awaited
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="delivery", daemon=True).start()
    return await future
