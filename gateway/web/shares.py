"""Memory for bodies that must be held whole before they can be used: multipart chunks, large JSON.

Promises: what a body may need is set aside before it is read; a client has a quarter of it at most, so that bodies that
stall make their own client wait, and nobody else. One body of a client that holds nothing is always taken in its turn.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from gateway.errors import TooMany

#: How long a body waits for its turn before its client is told to come again.
WAIT_S = 10.0
#: Part of all that one client may hold.
CLIENTS_PART = 4


class Shares:
    """What is held, by client.

    :param limit_bytes: of all clients together (`server.max_buffered_bytes`).
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held: Counter[Hashable] = Counter()
        self._changed = asyncio.Condition()

    @property
    def held_bytes(self) -> int:
        """By all together."""
        return self._held.total()

    @asynccontextmanager
    async def hold(self, client: Hashable, size: int) -> AsyncIterator[None]:
        """Set `size` bytes aside for the block.

        :raises TooMany: `quota_exceeded`: the client's other bodies don't end.
        """
        async with self._changed:
            try:
                async with asyncio.timeout(WAIT_S):
                    await self._changed.wait_for(lambda: self._fits(client, size))
            except TimeoutError:
                raise TooMany(
                    "bodies of this client that are under way hold its share of the memory",
                    code="quota_exceeded",
                    limit="server.max_buffered_bytes",
                    retry_after_s=WAIT_S,
                ) from None
            self._held[client] += size
        try:
            yield
        finally:
            self._held[client] -= size
            if not self._held[client]:
                del self._held[client]
            async with self._changed:
                self._changed.notify_all()

    def _fits(self, client: Hashable, size: int) -> bool:
        held = self._held.get(client, 0)
        room = self.held_bytes + size <= self._limit_bytes or not self._held
        return room and (not held or held + size <= self._limit_bytes // CLIENTS_PART)
