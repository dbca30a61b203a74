"""How the batches of a body go into a file: into a segment of its own, or into the one that small appends share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.spool import Run, SegmentWriter
from gateway.uploads.threads import Strand, Threads

#: Two have enough to do by receiving and sealing: there a third thread only makes the others wait for Python's lock.
DIGEST_BESIDE_CORES = 3


class IntoOwn:
    """One thread seals and writes batch after batch, and digests them too where the machine has no core for that.

    :param digests: hash objects that see every byte.
    :param cores: of the machine.
    """

    def __init__(
        self, threads: Threads, writer: SegmentWriter, digests: Sequence[Any], cores: int = os.cpu_count() or 1
    ) -> None:
        self._writer = writer
        self._appending = Strand(threads)
        beside = digests if cores >= DIGEST_BESIDE_CORES else ()
        self._within = () if beside else digests
        self._beside = [(Strand(threads), digest) for digest in beside]
        self._error: BaseException | None = None

    def begin(self, pieces: list[bytes | memoryview], *, sync: bool) -> asyncio.Future[Sequence[Run]]:
        """See `BatchStore`."""
        appended = self._appending.run(self._append, pieces, sync)
        if not self._beside:
            return appended
        digested = [strand.run(update, digest, pieces) for strand, digest in self._beside]
        return asyncio.ensure_future(_both(appended, digested))

    def _append(self, pieces: list[bytes | memoryview], sync: bool) -> Sequence[Run]:
        """Nothing comes behind a batch that failed."""
        if self._error is not None:
            raise self._error
        try:
            self._writer.append(pieces, self._within)
            if sync:
                self._writer.sync()
        except BaseException as error:
            self._error = error
            raise
        return self._writer.runs


class IntoShared:
    """One batch after the other, each with a sync that others share.

    :param share: seals and writes one, and syncs it if told so.
    """

    def __init__(self, share: Callable[..., Awaitable[None]]) -> None:
        self._share = share
        self._last: asyncio.Future[Sequence[Run]] | None = None

    def begin(self, pieces: list[bytes | memoryview], *, sync: bool) -> asyncio.Future[Sequence[Run]]:
        """See `BatchStore`; of its runs nobody asks in mid-body."""
        self._last = asyncio.ensure_future(self._behind(self._last, pieces, sync=sync))
        return self._last

    async def _behind(
        self, before: asyncio.Future[Sequence[Run]] | None, pieces: list[bytes | memoryview], *, sync: bool
    ) -> Sequence[Run]:
        if before is not None:
            await before
        await self._share(pieces, sync=sync)
        if self._last is asyncio.current_task():
            self._last = None  # it ended well: nobody needs to wait for it, and a slow body waits long
        return ()


async def _both(appended: asyncio.Future[Sequence[Run]], digested: Sequence[asyncio.Future[None]]) -> Sequence[Run]:
    await asyncio.gather(appended, *digested)
    return appended.result()


def update(digest: Any, pieces: Sequence[bytes | memoryview]) -> None:
    """The next bytes of what is digested."""
    for piece in pieces:
        digest.update(piece)
