"""What a body brought, on its way to the disk: batch after batch is appended, and from time to time it is committed.

Knows nothing of protocols or of what a commit writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, Self

from gateway.spool import Run, SegmentWriter
from gateway.uploads.body import BodyAccount
from gateway.uploads.threads import Threads

#: So often, in the midst of a body, what was appended is synced and committed, while more is appended.
COMMIT_EVERY_BYTES = 8 << 20
#: But not at shorter intervals, unless there are `MOST` times as many: a fast line brings them again as fast.
COMMIT_PAUSE_S = 0.05
MOST = 4
#: Batches of one body that are appended, or wait for that.
AT_ONCE = 3


class Midway:
    """Syncs and commits what a body brought up to now, beside what comes next. One at a time: whoever asks for the next one
    waits for the one before, so that never more than twice as much as one commits is appended and not durable.

    :param act: writes down that so many bytes of the body, which are these runs, are durable.
    :param every_bytes: how much is worth a commit.
    :param pause_s: where it comes faster, a commit is worth so long, or `MOST` times as much.
    """

    def __init__(
        self,
        threads: Threads,
        writer: SegmentWriter,
        act: Callable[[int, Sequence[Run]], Awaitable[None]],
        every_bytes: int = COMMIT_EVERY_BYTES,
        pause_s: float = COMMIT_PAUSE_S,
    ) -> None:
        self._threads = threads
        self._writer = writer
        self._act = act
        self._every_bytes = every_bytes
        self._pause_s = pause_s
        self._next_at = 0.0  #: loop time
        self._under_way: asyncio.Future[None] | None = None
        self.asked = 0  #: a commit of so many bytes is done or under way

    async def room(self, begun: int) -> None:
        """Wait until more may be appended, where the appending of so many bytes was begun.

        :raises GatewayError: what became of the commit before.
        """
        if self._under_way is not None and self._is_due(begun - self.asked):
            await self.settled()

    async def appended(self, stored: int, runs: Sequence[Run]) -> None:
        """So many bytes were appended, which are these runs; more may have been since.

        :raises GatewayError: what became of the commit before.
        """
        due = self._is_due(stored - self.asked)
        if due or (self._under_way is not None and self._under_way.done()):
            await self.settled()
        if due:
            self.asked = stored
            self._next_at = asyncio.get_running_loop().time() + self._pause_s
            self._under_way = asyncio.ensure_future(self._commit(stored, runs))

    def _is_due(self, more_bytes: int) -> bool:
        if more_bytes < self._every_bytes:
            return False
        return more_bytes >= MOST * self._every_bytes or asyncio.get_running_loop().time() >= self._next_at

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.settled()

    async def settled(self) -> None:
        """Wait for the commit that is under way.

        :raises GatewayError: what became of it; again and again, so that none follows.
        """
        under_way = self._under_way
        if under_way is None:
            return
        await under_way
        if self._under_way is under_way:
            self._under_way = None

    async def _commit(self, stored: int, runs: Sequence[Run]) -> None:
        await self._threads.run(self._writer.sync)
        await self._act(stored, runs)


class BatchStore(Protocol):
    """Seals and writes the batches of one body, one after the other."""

    def begin(self, pieces: list[bytes | memoryview], *, sync: bool) -> asyncio.Future[Sequence[Run]]:
        """A batch, behind those before it. :returns: when it is written, and synced if told so: the runs up to its end."""


class Appends:
    """The batches of one body on their way through a writer: while one is gathered, one is appended and some wait, so that the
    thread that seals needn't wait for the event loop between two of them.

    :ivar stored: bytes of all batches; those of the last ones may be on their way.
    :ivar synced: of them, what its own append has synced.
    """

    def __init__(self, store: BatchStore, held: BodyAccount, midway: Midway | None) -> None:
        self._store = store
        self._held = held
        self._midway = midway
        self._under_way: list[asyncio.Future[None]] = []  #: those that ended well have left it
        self.stored = self.synced = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.settled()

    async def next(self, pieces: list[bytes | memoryview], size: int, *, sync: bool) -> None:
        """A batch, for when those before it are through. Without bytes it is only waited for those."""
        if not size:
            await self.settled()
            return
        if len(self._under_way) == AT_ONCE:
            await self._under_way.pop(0)
        if self._midway is not None:
            await self._midway.room(self.stored)
        self.stored += size
        self.synced = self.stored if sync else self.synced
        begun = self._store.begin(pieces, sync=sync)
        before = self._under_way[-1] if self._under_way else None
        self._under_way.append(asyncio.ensure_future(self._append(before, begun, size, None if sync else self.stored)))

    async def settled(self) -> None:
        """Wait for what is under way. :raises SpoolFull, Unavailable: the disk refuses."""
        last = self._under_way[-1] if self._under_way else None
        self._under_way.clear()
        if last is not None:
            await last

    async def _append(
        self,
        before: asyncio.Future[None] | None,
        begun: asyncio.Future[Sequence[Run]],
        size: int,
        stored: int | None,
    ) -> None:
        """:param stored: bytes of all batches up to this one, of which more come; None: it is the last one, and is synced."""
        try:
            if before is not None:
                await before
        except BaseException:
            await asyncio.gather(begun, return_exceptions=True)  # a thread may read its bytes until then
            raise
        runs = await begun
        self._held.give_back(size)
        if self._midway is not None and stored is not None:
            await self._midway.appended(stored, runs)
        mine = asyncio.current_task()
        self._under_way = [one for one in self._under_way if one is not mine]
