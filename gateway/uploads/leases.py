"""One writer per place. A newcomer may ask the holder to let go; it gets the place when the holder has written down
what it has. In memory: one process serves a spool (CONTRACT 4, `server.workers`).

Places are plain strings: a file id for a tail, file id and chunk index for a REST chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from enum import Enum, auto

from gateway.clock import Clock
from gateway.errors import Locked

#: A holder that got no byte for so long may be cut off by a request at the right offset (CONTRACT 2.3, takeover).
SILENT_AFTER_S = 1.0
#: How long a newcomer waits for a holder that was told to let go.
LET_GO_TIMEOUT_S = 10.0


class Claim(Enum):
    """How a newcomer asks."""

    POLITE = auto()  #: only a silent or vanished holder is cut off; a live one: Locked
    PATIENT = auto()  #: likewise, but a live one is waited for
    CUT = auto()  #: whoever holds it is cut off


class Lease:
    """The right to write at a place, held by one request."""

    def __init__(self, clock: Clock, stop: Callable[[], None]) -> None:
        self._clock = clock
        self._stop = stop
        self._heard_at = clock.monotonic()
        self._released = asyncio.get_running_loop().create_future()

    def heard(self) -> None:
        """A byte came: the holder is alive."""
        self._heard_at = self._clock.monotonic()

    def silent_s(self) -> float:
        """Seconds since the last byte."""
        return self._clock.monotonic() - self._heard_at

    def let_go(self) -> None:
        """Ask the holder to write down what it has and release."""
        self._stop()

    def release(self) -> None:
        """The place is free."""
        if not self._released.done():
            self._released.set_result(None)

    async def released(self, within_s: float) -> bool:
        """Whether it is free within that time."""
        await asyncio.wait((self._released,), timeout=within_s)
        return self._released.done()


class Holding(AbstractAsyncContextManager[Lease]):
    """A place that is held for a block. See `Leases.hold`."""

    def __init__(self, leases: Leases, place: str, claim: Claim, stop: Callable[[], None]) -> None:
        self._leases = leases
        self._wish = (place, claim, stop)
        self._lease: Lease | None = None

    async def __aenter__(self) -> Lease:
        self._lease = await self._leases.take(*self._wish)
        return self._lease

    async def __aexit__(self, *_error: object) -> None:
        if self._lease is not None:
            self._leases.give_back(self._wish[0], self._lease)


class Leases:
    """All leases of this process.

    :param fence: sees to it that whoever writes to a file just now commits nothing any more; None: nobody can.
    """

    def __init__(self, clock: Clock, fence: Callable[[str], Awaitable[None]] | None = None) -> None:
        self._clock = clock
        self._fence = fence
        self._held: dict[str, Lease] = {}

    def holder(self, place: str) -> Lease | None:
        """Who writes there now."""
        return self._held.get(place)

    def file_ids(self) -> set[str]:
        """Files that somebody writes to just now."""
        return {place.partition("#")[0] for place in self._held}

    def under(self, file_ids: Iterable[str]) -> list[str]:
        """Held places that belong to these files."""
        wanted = set(file_ids)
        return [place for place in self._held if place.partition("#")[0] in wanted]

    def hold(self, place: str, claim: Claim, stop: Callable[[], None]) -> Holding:
        """Hold `place` for the block; `stop` is called when somebody wants it. See `take`."""
        return Holding(self, place, claim, stop)

    async def take(self, place: str, claim: Claim, stop: Callable[[], None]) -> Lease:
        """Hold `place` until `give_back`.

        :raises Locked: a live holder is there and `claim` is polite, or there is no end of waiting for it; or the holder
            doesn't let go in time and can't be fenced off.
        """
        await self._free(place, claim)
        lease = self._held[place] = Lease(self._clock, stop)
        return lease

    def give_back(self, place: str, lease: Lease) -> None:
        """Whoever waits for it may have it."""
        if self._held.get(place) is lease:  # else it was fenced off
            del self._held[place]
        lease.release()

    async def cut(self, file_ids: Iterable[str], claim: Claim = Claim.CUT) -> None:
        """Cut every holder of these files and wait until they have let go, or were fenced off. :raises Locked: see `hold`."""
        for place in self.under(file_ids):
            await self._free(place, claim)

    async def cut_all(self) -> None:
        """Tell every holder to let go, and wait for them: the process is about to end."""
        held = list(self._held.values())
        for lease in held:
            lease.let_go()
        if held:
            await asyncio.gather(*(lease.released(LET_GO_TIMEOUT_S) for lease in held))

    async def _free(self, place: str, claim: Claim) -> None:
        while (holder := self._held.get(place)) is not None:
            if claim is Claim.PATIENT and await _released_or_silent(holder):
                continue
            if claim is not Claim.CUT and holder.silent_s() < SILENT_AFTER_S:
                raise Locked("another request is writing here", retry_after_s=1)
            holder.let_go()
            if await holder.released(LET_GO_TIMEOUT_S):
                continue
            if claim is Claim.POLITE or self._fence is None:
                raise Locked("the request that writes here doesn't let go", retry_after_s=5)
            await self._fence(place.partition("#")[0])
            if self._held.get(place) is holder:
                del self._held[place]


async def _released_or_silent(holder: Lease) -> bool:
    """True: it is gone; False: silent, or waited for as long as anybody is."""
    clock = asyncio.get_running_loop().time
    ends_at = clock() + LET_GO_TIMEOUT_S
    while (left_s := min(SILENT_AFTER_S - holder.silent_s(), ends_at - clock())) > 0:
        if await holder.released(left_s):
            return True
    return await holder.released(0)
