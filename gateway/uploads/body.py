"""What a request's bytes look like to those who store them, whoever carries them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, Self

#: Bytes gathered before they are handed to a thread.
GATHER_BYTES = 1 << 20
#: Under memory pressure.
SMALL_GATHER_BYTES = 1 << 16
#: Bytes wait no longer than this for company.
FLUSH_AFTER_S = 3.0
#: A body of which less than this comes in that time is slow.
SLOW_BYTES = 1 << 16
#: Whoever holds bytes looks this often whether others need the memory.
LOOK_EVERY_S = 1.0


class BodyBroken(Exception):
    """The line broke, or nothing came for too long. What came before counts."""


class BodyGarbled(BodyBroken):
    """Its coding can't be read any further. What came before counts."""


class BodyStopped(Exception):
    """Somebody else wants the place. What came before counts."""


class Body(Protocol):
    """A stream of bytes that can be told to stop."""

    @property
    def size(self) -> int | None:
        """Declared length in bytes; None: unknown."""

    async def read(self, wait_s: float) -> bytes | None:
        """The next bytes; b"" at the clean end; None: nothing came within `wait_s`.

        :raises BodyBroken, BodyStopped: see there.
        """

    def went_fast(self) -> None:
        """A full gather came at once, or will: a larger receive buffer pays. Room for it was set aside (`BodyAccount`)."""

    def stop(self) -> None:
        """End the reading: `read` raises BodyStopped from now on."""


class Buffered:
    """Bytes held in memory over all bodies, against one limit, counted as they are read.

    At half the limit every body hands over what it has and gathers little; at the limit it waits before it reads on.
    What is held is on its way to the disk, so that room comes back, whoever stalls. What a body may receive before it is
    read is small, unless half the limit has room for more: that is set aside first, for as long as the body lasts.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._aside_bytes = 0
        self.held_bytes = 0
        self._less = asyncio.Event()

    @property
    def is_scarce(self) -> bool:
        """Half the limit is reached."""
        return self.held_bytes >= self._limit_bytes // 2

    def gather_bytes(self) -> int:
        """How much one body may gather now."""
        return SMALL_GATHER_BYTES if self.is_scarce else GATHER_BYTES

    async def room(self) -> None:
        """Wait, for a moment, while too much is held."""
        if self.held_bytes >= self._limit_bytes:
            self._less.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._less.wait(), LOOK_EVERY_S)

    def set_aside(self, size: int) -> bool:
        """Room for `size` bytes that aren't read yet (fewer than none: it is given back). False: there is none."""
        if size > 0 and self._aside_bytes + size > self._limit_bytes // 2:
            return False
        self._aside_bytes += size
        return True

    def add(self, size: int) -> None:
        """Count `size` bytes more (or fewer)."""
        self.held_bytes += size
        if size < 0:
            self._less.set()


class BodyAccount:
    """What one body holds; whatever is left is given back at the end of the block."""

    def __init__(self, all_bodies: Buffered) -> None:
        self._all = all_bodies
        self._aside_bytes = 0
        self.held_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.give_back(self.held_bytes)
        self._all.set_aside(-self._aside_bytes)
        self._aside_bytes = 0

    def receive(self, body: Body, size: int) -> bool:
        """Let `body` receive `size` bytes before they are read. False: there is no room for that just now, or it may already."""
        if self._aside_bytes or not self._all.set_aside(size):
            return False
        self._aside_bytes = size
        body.went_fast()
        return True

    def take(self, size: int) -> None:
        """`size` bytes were read."""
        self.held_bytes += size
        self._all.add(size)

    def give_back(self, size: int) -> None:
        """`size` bytes were written."""
        self.held_bytes -= size
        self._all.add(-size)


class Gatherer:
    """Collects a body into batches that are worth a thread.

    :ivar held: what it read, until somebody gives it back.
    """

    def __init__(self, body: Body, buffered: Buffered, idle_timeout_s: float, heard: Callable[[], None]) -> None:
        self._heard = heard
        self._body = body
        self._buffered = buffered
        self.held = BodyAccount(buffered)
        self._idle_timeout_s = self._patience_s = idle_timeout_s
        self._left = body.size  # still to come; None: nobody knows
        self.ended = body.size == 0
        self.error: BodyBroken | BodyStopped | None = None
        if body.size is not None and body.size <= GATHER_BYTES and not buffered.is_scarce:
            self.held.receive(body, body.size)  # one gather has all of it: to stop in between only costs

    async def batch(self, room: int) -> list[bytes]:
        """Some bytes, at most `room` and one read more; an empty list only when the body is over.

        `ended` and `error` tell afterwards whether more may come. An error is kept here, so that what came before
        it is stored first.
        """
        pieces: list[bytes] = []
        size, goal = 0, room + 1 if self._left is None else min(room + 1, self._left)
        clock = asyncio.get_running_loop().time
        flush_at, silent_at, look_at = math.inf, clock() + self._patience_s, math.inf
        while size < min(goal, self._buffered.gather_bytes()) and not self.ended and clock() < flush_at:
            if not pieces:
                await self._buffered.room()
            elif self._buffered.is_scarce and clock() >= look_at:
                break
            waits_from = clock()
            wait_s = max(0.0, min(flush_at, silent_at) - waits_from)
            try:
                piece = await self._body.read(min(wait_s, LOOK_EVERY_S) if pieces else wait_s)
            except (BodyBroken, BodyStopped) as error:
                self.error, self.ended = error, True
                break
            if piece:
                self._heard()
                pieces.append(piece)
                self.held.take(len(piece))
                look_at = clock() + LOOK_EVERY_S
                size += len(piece)
                self._came(len(piece))
                flush_at, silent_at = min(flush_at, clock() + FLUSH_AFTER_S), clock() + self._idle_timeout_s
                if len(piece) < SLOW_BYTES and clock() - waits_from >= FLUSH_AFTER_S:
                    break  # it has gathered all that time, or it comes after a silence
            elif piece is not None:
                self.ended = True
            elif clock() >= silent_at:
                self.error, self.ended = BodyBroken("nothing came for too long"), True
        # Only time in which somebody listened counts as silence.
        self._patience_s = silent_at - clock()
        if size >= GATHER_BYTES and not self._buffered.is_scarce:
            self.held.receive(self._body, GATHER_BYTES)
        return pieces

    def _came(self, size: int) -> None:
        """A body that tells its length is over with its last byte: nothing is waited for behind it."""
        if self._left is not None:
            self._left -= size
            self.ended = self._left <= 0


def clip(pieces: list[bytes], room: int) -> tuple[list[bytes | memoryview], int, bool]:
    """The first `room` bytes of `pieces`, their size, and whether anything was beyond."""
    kept: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        if size + len(piece) > room:
            if room > size:
                kept.append(memoryview(piece)[: room - size])
            return kept, room, True
        kept.append(piece)
        size += len(piece)
    return kept, size, False
