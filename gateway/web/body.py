"""Request bodies as `gateway.body.Body`. `100 Continue` is said when the body is first wanted, so never before a
refusal (RFC 9110 10.1.1).
"""

from __future__ import annotations

import asyncio

from aiohttp import ClientPayloadError, StreamReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.body import BodyBroken, BodyStopped

#: Receive buffer of a body that proved fast.
FAST_READ_BYTES = 1 << 20

_BROKEN = (OSError, HttpProcessingError, ClientPayloadError, web.RequestPayloadError, asyncio.IncompleteReadError)


async def keep_silent(request: web.Request) -> None:
    """Aiohttp's expect handler: says nothing now; `StreamBody` does when it reads."""


class StreamBody:
    """The whole body of a request."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._content: StreamReader = request.content
        self._stopped = False
        self._silent = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"

    @property
    def size(self) -> int | None:
        """Content-Length; 0 where there is no body at all; None: chunked."""
        if self._request.content_length is not None:
            return self._request.content_length
        return None if self._request.can_read_body else 0

    async def read(self, wait_s: float) -> bytes | None:
        """See `gateway.body.Body.read`."""
        if self._stopped:
            raise BodyStopped
        if self._silent:
            self._silent = False
            transport = self._request.transport
            if transport is not None:
                transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            piece = self._content.read_nowait()
            if piece or self._content.at_eof():
                return piece
            async with asyncio.timeout(wait_s):
                return await self._content.readany()
        except TimeoutError:
            return None
        except _BROKEN:
            raise BodyBroken("the line broke") from None

    def went_fast(self) -> None:
        """Receive more at once from now on."""
        self._content.set_read_chunk_size(FAST_READ_BYTES)

    def stop(self) -> None:
        """End a read that waits."""
        if not self._stopped:
            self._stopped = True
            self._content.set_exception(BodyStopped())


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
