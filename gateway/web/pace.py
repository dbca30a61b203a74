"""How fast one client may go: its requests at once are bounded, and what it is told again and again comes later.

That it is too much, or that a digest doesn't fit: whoever hammers on is answered at its own expense, for an answer at
once would be asked for at once again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable
from contextlib import AbstractContextManager

from gateway.errors import TooMany
from gateway.identity.throttle import SlidingWindow

#: Requests of one client that are answered at once, streams too.
MOST_AT_ONCE = 128
#: Refusals in a second that are told right away, and how long the others take.
TOLD_PER_S, WAIT_S = 10, 1.0


class _OneMore(AbstractContextManager[None]):
    """Counted as long as the block."""

    def __init__(self, counts: Counter[Hashable], client: Hashable) -> None:
        self._counts = counts
        self._client = client

    def __enter__(self) -> None:
        self._counts[self._client] += 1

    def __exit__(self, *_error: object) -> None:
        self._counts[self._client] -= 1
        if not self._counts[self._client]:
            del self._counts[self._client]


class RefusalPace:
    """Of every client.

    :param told_per_s: see `TOLD_PER_S`.
    """

    def __init__(self, told_per_s: int = TOLD_PER_S) -> None:
        self._told = SlidingWindow(told_per_s, 1.0)
        self._under_way: Counter[Hashable] = Counter()

    def one_more(self, client: Hashable) -> AbstractContextManager[None]:
        """A request of this client, as long as the block. :raises TooMany: it has too many under way."""
        if self._under_way.get(client, 0) >= MOST_AT_ONCE:
            raise TooMany("too many requests of this client at once", retry_after_s=1)
        return _OneMore(self._under_way, client)

    async def refused(self, client: Hashable) -> None:
        """Before this client is told so."""
        now = asyncio.get_running_loop().time()
        if self._told.wait_s(client, now) > 0:
            await asyncio.sleep(WAIT_S)
        else:
            self._told.add(client, now)
