"""From a body into a segment: read ahead while a thread seals and writes; sync; hand the durable bytes to a commit.

Knows nothing of protocols or of what a commit writes. Nothing is told to anybody before its commit returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from gateway.errors import SpoolFull, TooLarge
from gateway.fair import CLIENT
from gateway.ledger.base import Transaction
from gateway.ledger.promises import Recorded, Reserve, tell
from gateway.spool import Run, SegmentWriter, SharedSegment, SharedWriter
from gateway.uploads.appends import Appends, BatchStore, Midway
from gateway.uploads.arrivals import Arrival
from gateway.uploads.body import Body, BodyAccount, BodyBroken, BodyStopped, Buffered, Gatherer, clip
from gateway.uploads.leases import Lease
from gateway.uploads.sharing import Sharing
from gateway.uploads.storing import IntoOwn, IntoShared, update
from gateway.uploads.tails import Writer
from gateway.uploads.threads import Threads

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Flow:
    """How one body ended.

    :param stored: bytes of it that are durable and committed.
    :param error: why it ended before its own end; None: cleanly.
    :param overrun: it had more bytes than there was room for.
    """

    stored: int
    error: BodyBroken | BodyStopped | None
    overrun: bool


class Last(Protocol):
    """How the end of a small body is committed."""

    def act(self, stored: int, ended_cleanly: bool) -> Callable[[Transaction], Any]:
        """What to do when so many bytes of the body are durable."""

    def arrival(self, pieces: Sequence[bytes | memoryview]) -> Arrival | None:
        """The file, if these, which came to a clean end, are all its bytes, and it may be judged by them."""

    def told(self, result: Any) -> None:
        """What that returned, after its commit."""


class Pipeline:
    """The way of the bytes.

    :param sharing: where small appends go.
    :param reserve: while it is used up no byte more is taken, whatever was promised.
    :param sealers: threads that seal and write small appends, and wait for nothing; None: `threads` do that, too.
    """

    def __init__(
        self,
        threads: Threads,
        buffered: Buffered,
        idle_timeout_s: float,
        sharing: Sharing,
        reserve: Reserve | None = None,
        sealers: Threads | None = None,
    ) -> None:
        self._reserve = reserve
        self._sealers = sealers or threads
        self._sharing = sharing
        self.threads = threads
        self._buffered = buffered
        self._idle_timeout_s = idle_timeout_s

    async def pour(
        self,
        body: Body,
        writer: Writer,
        room: int,
        lease: Lease,
        commit: Callable[[int, bool], Awaitable[None]],
        digests: tuple[Any, ...] = (),
        midway: Midway | None = None,
        last: Last | None = None,
    ) -> Flow:
        """Store up to `room` bytes of `body` through `writer`.

        :param commit: called with (bytes of this body that are on disk, whether the body ended cleanly) after its end,
            however that was; not where nothing came and the line broke.
        :param digests: hash objects that see every byte stored.
        :param midway: commits in the midst of the body; None: its end alone counts.
        :param last: commits the end of a small body without coming back here between its sync and its row.
        :raises SpoolFull, Unavailable: the disk refuses; what was committed before stays.
        """
        await self.ensure_reserve()
        gatherer = Gatherer(body, self._buffered, self._idle_timeout_s, lease.heard)
        over, overrun = gatherer.ended, False
        async with midway or nullcontext():
            with gatherer.held as held:
                async with Appends(self._store(writer, digests), held, midway) as appends:
                    while not over:
                        pieces, size, overrun = clip(await gatherer.batch(room - appends.stored), room - appends.stored)
                        over = gatherer.ended or overrun
                        if over and size and last is not None and isinstance(writer, SharedWriter):
                            await appends.settled()
                            cleanly = gatherer.error is None and not overrun
                            stored = await self._record_last(
                                writer, pieces, digests, last, appends.stored, size, cleanly
                            )
                            return Flow(stored, gatherer.error, overrun)
                        await appends.next(pieces, size, sync=over)
                        del pieces  # what is stored isn't held while the next bytes are waited for
        stored, cleanly = appends.stored, gatherer.error is None and not overrun
        if stored > (midway.asked if midway is not None else 0):
            if appends.synced < stored:
                await self.threads.run(writer.sync)
            await commit(stored, cleanly)
        elif cleanly:
            await commit(stored, True)
        return Flow(stored, gatherer.error, overrun)

    async def _record_last(
        self,
        writer: SharedWriter,
        pieces: Sequence[bytes | memoryview],
        digests: tuple[Any, ...],
        last: Last,
        before: int,
        size: int,
        cleanly: bool,
    ) -> int:
        """What ends a small body, with its rows; bytes of it that are durable. :param before: bytes that came before."""
        arrival = last.arrival(pieces) if cleanly and not before else None
        act = last.act(before + size, cleanly)
        last.told(await self.record(partial(_with, writer, arrival), pieces, digests, act))
        return before + size

    def midway(self, writer: Writer, act: Callable[[int, Sequence[Run]], Awaitable[None]]) -> Midway | None:
        """For a body that may be long; those that share a segment aren't."""
        return Midway(self.threads, writer, act) if isinstance(writer, SegmentWriter) else None

    @property
    def memory_is_scarce(self) -> bool:
        """Bodies hold much of what they may together."""
        return self._buffered.is_scarce

    def account(self) -> BodyAccount:
        """Of a body that is read before it has a place; closed by `with`."""
        return BodyAccount(self._buffered)

    def close_threads(self) -> None:
        """At the end of the process: wait for what they do."""
        self._sealers.close()
        if self._sealers is not self.threads:
            self.threads.close()

    async def ensure_reserve(self) -> None:
        """:raises SpoolFull: the room that is kept for the end of what is there is used up."""
        if self._reserve is not None and not self._reserve.held and not await self.threads.run(self._reserve.hold):
            raise SpoolFull("the disk is full")

    async def record(
        self,
        begin: Callable[[], tuple[SharedWriter, Arrival | None]],
        pieces: Sequence[bytes | memoryview],
        digests: tuple[Any, ...],
        act: Callable[[Transaction], T],
    ) -> T:
        """Seal, write, sync, and commit by `act`: from thread to thread, and each hands on what waits together.

        :param begin: in the thread that seals: the file's writer; and the file, if these are all its bytes, so that `act`
            finds its verdict there if that came in time.
        :raises SpoolFull, Unavailable: the disk refuses.
        :raises GatewayError: what `act` raised.
        """
        segment = await self._sharing.segment()
        segment.pin()  # until the writer has taken it
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        one = Recorded(act, done, CLIENT.get())
        self._sealers.begin(self._append_to, self._sharing.expect(), begin, segment, pieces, digests, one)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait([done])  # the act looks at the writer: nobody closes that before
            raise

    async def is_empty(self, body: Body) -> bool:
        """Whether no byte comes, where none is wanted; what came is lost.

        :raises BodyBroken, BodyStopped: nobody will ever know.
        """
        if body.size is not None:
            return body.size == 0
        piece = await body.read(self._idle_timeout_s)
        if piece is None:
            raise BodyBroken("nothing came for too long")
        return not piece

    def _store(self, writer: Writer, digests: tuple[Any, ...]) -> BatchStore:
        if isinstance(writer, SharedWriter):
            return IntoShared(partial(self._share, writer, digests))
        return IntoOwn(self.threads, writer, digests)

    async def _share(
        self, writer: SharedWriter, digests: tuple[Any, ...], pieces: list[bytes | memoryview], *, sync: bool
    ) -> None:
        """The thread that wrote hands on to the one that syncs: the loop hears of it once."""
        segment = await self._sharing.segment()
        if not sync:
            writer.take(segment)
            await self.threads.run(writer.append, pieces, digests)
            return
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        segment.pin()
        number = self._sharing.expect()
        self._sealers.begin(self._append_to, number, partial(_with, writer), segment, pieces, digests, done)
        await done

    def _append_to(
        self,
        number: int,
        begin: Callable[[], tuple[SharedWriter, Arrival | None]],
        segment: SharedSegment,
        pieces: Sequence[bytes | memoryview],
        digests: tuple[Any, ...],
        one: Recorded | asyncio.Future[None],
    ) -> None:
        try:
            writer, arrival = _begun(begin, segment)
            writer.sync(but=segment)
            writer.append(pieces, digests)
        except BaseException as error:  # noqa: BLE001 # whatever it is, whoever waits must hear of it
            tell(one.done if isinstance(one, Recorded) else one, None, error)
            self._sharing.unexpect(number)
        else:
            self._sharing.sync_soon(number, segment, one, arrival)

    async def digest(self, body: Body, room: int, lease: Lease, digest: Any) -> Flow:
        """Read a body only to know its digest."""
        gatherer = Gatherer(body, self._buffered, self._idle_timeout_s, lease.heard)
        size_so_far, overrun = 0, False
        with gatherer.held as held:
            while not gatherer.ended and not overrun:
                pieces, size, overrun = clip(await gatherer.batch(room - size_so_far), room - size_so_far)
                size_so_far += size
                await self.threads.run(update, digest, pieces)
                held.give_back(size)
        return Flow(size_so_far, gatherer.error, overrun)


def _begun(
    begin: Callable[[], tuple[SharedWriter, Arrival | None]], segment: SharedSegment
) -> tuple[SharedWriter, Arrival | None]:
    try:
        writer, arrival = begin()
        writer.take(segment)
    finally:
        segment.unpin()
    return writer, arrival


def _with(writer: SharedWriter, arrival: Arrival | None = None) -> tuple[SharedWriter, Arrival | None]:
    return writer, arrival


def raise_unless_clean(flow: Flow, too_large: str = "file_too_large") -> None:
    """:raises TooLarge, BodyBroken, BodyStopped: the flow's own end, as an error; `too_large` is the first one's code."""
    if flow.overrun:
        raise TooLarge("the body is longer than there is room for", code=too_large)
    if flow.error is not None:
        raise flow.error
