"""Turns at what is scarce and shared: whoever asks for much waits for itself, and not the others for it.

Clients take turns, and within a client its things (a name, an upload) do. One thing has one seat at a time, so that
whoever asks for a single thing over and over leaves a seat to everybody else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from gateway.errors import TooMany

#: Whom the present task works for, for queues that can't be told by their callers; None: the gateway itself.
CLIENT: ContextVar[Hashable] = ContextVar("client", default=None)

_Queue = deque["asyncio.Future[None]"]


class FairTurns:
    """Seats, and those who wait for one.

    :param seats: turns under way at once.
    :param waiting: requests that may wait for one thing.
    :param waiting_of_client: requests of one client that may wait.
    """

    def __init__(self, seats: int, *, waiting: int, waiting_of_client: int = 128) -> None:
        self._free = seats
        self._most = waiting
        self._most_of_client = waiting_of_client
        self._seated: set[Hashable] = set()
        self._queues: OrderedDict[Hashable, OrderedDict[Hashable, _Queue]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, client: Hashable, thing: Hashable) -> AsyncIterator[None]:
        """Wait for a seat and hold it.

        :raises TooMany: too many of this client are waiting already; `retry_after_s` says when to come again.
        """
        await self._seat(client, thing)
        try:
            yield
        finally:
            self._leave(thing)

    async def _seat(self, client: Hashable, thing: Hashable) -> None:
        if self._free and thing not in self._seated:  # whoever waits then waits for another thing
            self._take(thing)
            return
        things = self._queues.setdefault(client, OrderedDict())
        queue = things.setdefault(thing, deque())
        if len(queue) >= self._most or sum(map(len, things.values())) >= self._most_of_client:
            self._forget(client, thing)
            raise TooMany("too many requests of this kind at once: try again in a moment", retry_after_s=1)
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                queue.remove(turn)
                self._forget(client, thing)
            else:
                self._leave(thing)  # it had been given the seat already
            raise

    def _take(self, thing: Hashable) -> None:
        self._free -= 1
        self._seated.add(thing)

    def _leave(self, thing: Hashable) -> None:
        self._free += 1
        self._seated.discard(thing)
        while self._free and self._seat_next():
            pass

    def _seat_next(self) -> bool:
        for client, things in self._queues.items():
            for thing, queue in things.items():
                turn = next((turn for turn in queue if not turn.done()), None)  # those that are done were given up
                if turn is not None and thing not in self._seated:
                    self._take(thing)
                    turn.set_result(None)
                    queue.remove(turn)
                    things.move_to_end(thing)
                    self._queues.move_to_end(client)
                    self._forget(client, thing)
                    return True
        return False

    def _forget(self, client: Hashable, thing: Hashable) -> None:
        """Nobody waits there any more."""
        things = self._queues.get(client)
        if things is not None and not things.get(thing):
            things.pop(thing, None)
            if not things:
                del self._queues[client]
