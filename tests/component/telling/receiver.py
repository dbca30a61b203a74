"""A webhook's receiver: a real HTTP server that checks each signature as Standard Webhooks says, and keeps what came."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

#: 32 bytes, as `relaypacs keys new` prints them.
SECRET = base64.b64encode(bytes(range(32))).decode()


@dataclass
class Receiver:
    """:ivar statuses: of the next answers; then 204."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    came: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        message_id, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        signed = f"{message_id}.{timestamp}.".encode() + body
        wanted = base64.b64encode(hmac.digest(base64.b64decode(SECRET), signed, hashlib.sha256)).decode()
        assert request.headers["webhook-signature"] == f"v1,{wanted}"
        assert request.content_type == "application/json"
        self.came.append((message_id, json.loads(body)))
        self.arrived.set()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204, headers=self.headers)

    @property
    def ids(self) -> list[str]:
        return [message_id for message_id, _ in self.came]

    @property
    def told(self) -> list[str]:
        return [str(body["type"]) for _, body in self.came]

    def toml(self, **more: object) -> str:
        """Its table of the configuration."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in {"url": self.url, "secret": SECRET, **more}.items()]
        return "\n".join(["[[webhooks]]", *lines, ""])


@asynccontextmanager
async def listening(path: str = "/relay") -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post(path, receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
