"""Listening: aiohttp's runner, with its own parser's errors as problem+json, and a drain that keeps every byte."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import _ErrInfo

from gateway.errors import GatewayError, HeadTooLarge, Malformed
from gateway.uploads.leases import Leases
from gateway.web.app import COMMON_HEADERS
from gateway.web.connections import Connections, CountedHandler
from gateway.web.errors import problem
from gateway.web.services import SERVICES

log = logging.getLogger("relaypacs.web")

#: Receive buffer of a body before it proves fast.
READ_BUFFER_BYTES = 1 << 16
#: Of the drain's time, what is left for writing down what came, once bodies are cut.
_CUT_BEFORE_END_S = 5.0


class _ProblemHandler(CountedHandler):
    """What the parser refuses never reaches a middleware: it is answered here."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Bytes came. If they can't be parsed, the body that is being read hears of it at once, not at its time-out."""
        super().data_received(data)
        request = self._current_request
        if self._messages and request is not None and not request.content.is_eof():
            refused = self._messages[-1][0]
            if isinstance(refused, _ErrInfo):
                request.content.set_exception(refused.exc)

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ARG002 - its words may quote what the client sent
        """Only the kind of what went wrong outside of any handler."""
        log.error("a connection failed error=%s", type(kw.get("exc_info")).__name__)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it may quote what the client sent
    ) -> web.StreamResponse:
        """The answer to a request that can't even be parsed; the connection ends with it."""
        request_id = secrets.token_hex(8)
        log.info("refused by the parser status=%d error=%s request_id=%s", status, type(exc).__name__, request_id)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        error: GatewayError
        if status >= 500:
            error = GatewayError("the gateway failed")
        elif status in (413, 431) or isinstance(exc, LineTooLong):  # aiohttp calls that one a 400
            error = HeadTooLarge("the request's head is too large")
        else:
            error = Malformed("the request can't be read")
        response = problem(error, request_id)
        response.headers.update(COMMON_HEADERS)
        response.headers["X-Request-ID"] = request_id
        response.headers["Tus-Resumable"] = "1.0.0"
        response.force_close()
        return response


class _ProblemServer(web.Server):
    book: Connections

    def __call__(self) -> web.RequestHandler:
        return _ProblemHandler(self, loop=self._loop, connections=self.book, **self._kwargs)


class _Runner(web.AppRunner):
    async def _make_server(self) -> web.Server:
        # aiohttp has no public place for a handler class; a change of it would fail the test of parser errors.
        server = await super()._make_server()
        server.__class__ = _ProblemServer
        assert isinstance(server, _ProblemServer)
        server.book = Connections(self.app[SERVICES].connections, asyncio.get_running_loop().time)
        return server


class _Site(web.TCPSite):
    """Where is listened. aiohttp's own has no limit for a TLS handshake but a minute."""

    def __init__(self, runner: _Runner, host: str, port: int, tls: ssl.SSLContext | None, handshake_s: float) -> None:
        super().__init__(runner, host, port, ssl_context=tls)
        self._where: dict[str, Any] = {"host": host, "port": port, "ssl": tls}
        if tls is not None:
            self._where["ssl_handshake_timeout"] = handshake_s

    async def start(self) -> None:
        """Take connections. :raises OSError: the address can't be had."""
        await web.BaseSite.start(self)
        assert self._runner.server is not None
        self._server = await asyncio.get_running_loop().create_server(
            self._runner.server, **self._where, backlog=1024, reuse_address=True
        )


class Listener:
    """One listening application."""

    def __init__(self, app: web.Application, leases: Leases) -> None:
        self._app = app
        self._leases = leases
        self._runner = _Runner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            read_bufsize=READ_BUFFER_BYTES,
            keepalive_timeout=75.0,
            max_field_size=16 * 1024,
            auto_decompress=False,  # offsets count the bytes that are sent
        )
        self._site: _Site | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Take requests; returns the port. :raises OSError: the address can't be had."""
        await self._runner.setup()
        self._site = _Site(self._runner, host, port, tls, self._app[SERVICES].connections.head_timeout_s)
        await self._site.start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def drain(self, drain_s: float) -> None:
        """Take no new request, let bodies in flight end, cut those that don't and keep what they brought."""
        self._app[SERVICES].draining.append(True)
        if self._site is not None:
            await self._site.stop()
        patience_s = max(drain_s - _CUT_BEFORE_END_S, drain_s / 2)
        await self._idle_within(patience_s)
        await self._leases.cut_all()
        await self._idle_within((drain_s - patience_s) / 2)
        await self._runner.cleanup()

    async def close(self) -> None:
        """End at once."""
        await self._runner.cleanup()

    async def _idle_within(self, wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._app[SERVICES].in_flight.none.wait(), wait_s)
