"""Request bodies as `gateway.uploads.body.Body`. `100 Continue` is said when the body is first wanted, so never before a
refusal (RFC 9110 10.1.1).
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager

from aiohttp import ClientPayloadError, StreamReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.errors import NotBuilt, UnsupportedMediaType
from gateway.uploads.body import FLUSH_AFTER_S, SLOW_BYTES, BodyBroken, BodyGarbled, BodyStopped
from gateway.web.low_water import told_from

#: Receive buffer of a body that proved fast.
FAST_READ_BYTES = 1 << 20
#: What is left of such a body is waited for as a whole, or as much as that buffer takes, if it is so much and comes so soon.
MUCH_BYTES, SOON_S = 64 << 10, 0.02
#: In one the loop hears that there is something, in the next it has it; and one to spare.
TURNS_TO_RECEIVE = 3

_BROKEN = (OSError, ClientPayloadError, web.RequestPayloadError, asyncio.IncompleteReadError)
_NONE: frozenset[str] = frozenset()
_CONTINUED: web.RequestKey[bool] = web.RequestKey("continued", bool)


def media_type(request: web.Request) -> str | None:
    """What the body is said to be, without parameters; None where nothing is said."""
    raw = request.headers.get(hdrs.CONTENT_TYPE)
    return (raw.partition(";")[0].strip().lower() or None) if raw is not None else None


async def keep_silent(request: web.Request) -> None:
    """Aiohttp's expect handler: says nothing now; whoever wants the body does."""


def go_on(request: web.Request) -> None:
    """Say `100 Continue`, once, to a client that waits for it."""
    if waits(request):
        request[_CONTINUED] = True
        if request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def waits(request: web.Request) -> bool:
    """The client holds its body back until it hears `100 Continue`."""
    return request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and _CONTINUED not in request


class line_errors(AbstractContextManager[None]):  # noqa: N801 # used as a statement, like contextlib.suppress
    """Turn what aiohttp raises where a body is read into our own.

    :raises BodyGarbled, BodyBroken: the coding can't be read; the line broke.
    """

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, HttpProcessingError):
            raise BodyGarbled("the body's coding can't be read") from None
        if isinstance(error, _BROKEN):
            raise BodyBroken("the line broke") from None


def check_codings(request: web.Request) -> None:
    """Bytes are taken as they are: nothing is decoded but chunks.

    :raises UnsupportedMediaType: `Content-Encoding` other than identity.
    :raises NotBuilt: `Transfer-Encoding` other than chunked (RFC 9112 6.1).
    """
    if _named(request, hdrs.CONTENT_ENCODING) - {"", "identity"}:
        raise UnsupportedMediaType("Content-Encoding must be identity: nothing is decoded here")
    if _named(request, hdrs.TRANSFER_ENCODING) - {"", "chunked"}:
        raise NotBuilt("Transfer-Encoding must be chunked", code="transfer_coding_unknown")


def _named(request: web.Request, header: str) -> frozenset[str]:
    """What a header lists, in lower case."""
    values = request.headers.getall(header, None)
    return _NONE if values is None else frozenset(one.strip().lower() for one in ",".join(values).split(","))


class StreamBody:
    """The whole body of a request.

    :ivar size: Content-Length; 0 where there is no body at all; None: chunked.
    """

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._content: StreamReader = request.content
        declared = request.content_length
        self.size: int | None = declared if declared is not None or request.body_exists else 0
        self._in_one_piece = declared is not None
        self._begun = False
        self._stopped = False
        self._is_fast = False
        self._waiting: asyncio.Timeout | None = None

    async def read(self, wait_s: float) -> bytes | None:
        """See `gateway.uploads.body.Body.read`."""
        if self._stopped:
            raise BodyStopped
        if not self._begun:
            self._begun = True
            go_on(self._request)
        try:
            return await self._next(wait_s)
        except BodyBroken:
            if came := self._content._read_nowait(-1):  # noqa: SLF001 - no public call reads what came before an error
                return came
            raise

    async def _next(self, wait_s: float) -> bytes | None:
        with line_errors():
            if self._content.is_eof() or self._content._size:  # noqa: SLF001 - what waits there needs no timer
                return await self._at_hand()
            if self._is_fast and (left := self._left()) >= MUCH_BYTES and wait_s > SOON_S:
                try:
                    with told_from(self._request.transport, min(left, FAST_READ_BYTES)):
                        piece = await self._within(SOON_S)
                except BodyStopped:
                    return await self._here_already()
                if piece is not None:
                    return piece
                self._is_fast = False
                wait_s -= SOON_S
            return await self._gathered(wait_s)

    async def _gathered(self, wait_s: float) -> bytes | None:
        """What a slow body brings within a while, at once: until then it isn't in our memory, and nobody is woken for it."""
        left = self._left()
        if wait_s <= FLUSH_AFTER_S or left <= 1:
            return await self._within(wait_s)
        try:
            with told_from(self._request.transport, min(left, SLOW_BYTES)):
                piece = await self._within(FLUSH_AFTER_S)
            return await self._here_already() if piece is None else piece
        except BodyStopped:
            if self._stopped:
                return await self._here_already()
        return await self._within(wait_s - FLUSH_AFTER_S)

    async def _here_already(self) -> bytes:
        """What the system has of it and hasn't told of. :raises BodyStopped: nothing."""
        for _ in range(TURNS_TO_RECEIVE):
            await asyncio.sleep(0)
            if self._content._size:  # noqa: SLF001 - as above
                return await self._at_hand()
        raise BodyStopped

    async def _within(self, wait_s: float) -> bytes | None:
        """None: nothing came. :raises BodyStopped: see `stop`."""
        try:
            async with asyncio.timeout(wait_s) as self._waiting:
                return await self._at_hand()
        except TimeoutError:
            if self._stopped:
                raise BodyStopped from None
            return None
        finally:
            self._waiting = None

    def _left(self) -> int:
        """Bytes that are still to come; 0: nobody knows."""
        return (self.size or 0) - self._content.total_bytes if self._in_one_piece else 0

    async def _at_hand(self) -> bytes:
        """What came, as it came: nothing is put together only to be read. (Chunks may be tiny: those are.)"""
        if self._in_one_piece:
            return (await self._content.readchunk())[0]
        return await self._content.readany()

    def went_fast(self) -> None:
        """Receive more at once from now on."""
        self._is_fast = True
        self._content.set_read_chunk_size(FAST_READ_BYTES)

    def stop(self) -> None:
        """End a read that waits."""
        self._stopped = True
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())


class HeldBody:
    """A chunk that came as a part of a multipart body, whose other fields may follow it; never longer than a chunk."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    async def read(self, wait_s: float) -> bytes | None:  # noqa: ARG002 - it never waits
        """All of it, then the end."""
        data, self._data = self._data, b""
        return data

    def went_fast(self) -> None:
        """It is here already."""

    def stop(self) -> None:
        """It is here already."""
