"""A middlebox that opens TLS, as security appliances do, and lets little through."""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_PIECE_BYTES = 16_384


class ThrottlingRelay:
    """Takes TLS, speaks TLS to the server behind, and carries so much a second over all connections together.

    :param behind: the server's port on loopback.
    :param certificate: certificate and key, PEM, shown to clients and believed of the server.
    :param cut_after_bytes: once so many were carried towards the server, the connection that carries them ends.
    """

    def __init__(self, behind: int, certificate: tuple[Path, Path], *, bytes_per_s: int, cut_after_bytes: int) -> None:
        self._behind = behind
        self._bytes_per_s = bytes_per_s
        self._cut_after_bytes = cut_after_bytes
        self._to_client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._to_client.load_cert_chain(*certificate)
        self._to_server = ssl.create_default_context(cafile=str(certificate[0]))
        self._listening, self._ending = threading.Event(), asyncio.Event()
        self._turn = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self.port = 0
        self.carried_bytes = 0  # towards the server
        self.cuts = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._to_client)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._ending.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            server, to_server = await asyncio.open_connection("127.0.0.1", self._behind, ssl=self._to_server)
            answers = asyncio.ensure_future(self._answers(server, to_client))
            try:
                await self._requests(client, to_server)
            finally:
                answers.cancel()
                to_server.close()
                to_client.close()

    async def _requests(self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while piece := await client.read(_PIECE_BYTES):
            async with self._turn:
                await asyncio.sleep(len(piece) / self._bytes_per_s)  # the throttle
            self.carried_bytes += len(piece)
            if not self.cuts and self.carried_bytes >= self._cut_after_bytes:
                self.cuts = 1
                return
            to_server.write(piece)
            await to_server.drain()

    async def _answers(self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await server.read(_PIECE_BYTES):
                to_client.write(piece)
                await to_client.drain()
        to_client.close()
