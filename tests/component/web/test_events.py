from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from gateway.web import events


class Stream:
    """An open event stream, read event by event."""

    def __init__(self, response):
        self.response = response

    async def next(self) -> tuple[str, dict]:
        """The next event; comments are passed over."""
        async with asyncio.timeout(10):
            while True:
                block = (await self.response.content.readuntil(b"\n\n")).decode()
                if not block.startswith(":"):
                    name, data = block.strip().split("\n")
                    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))

    async def ended(self) -> bool:
        async with asyncio.timeout(10):
            return (await self.response.content.read()) in (b"", b": still here\n\n")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Progress is looked at often."""
    monkeypatch.setattr(events, "_LOOK_S", 0.02)


@asynccontextmanager
async def listening(gate, opened, token=None):
    headers = {"Authorization": f"Bearer {token or opened.token}"}
    async with gate.http.get(f"/upload/{opened.upload_id}/events", headers=headers) as response:
        assert response.status == 200
        yield Stream(response)


@pytest.fixture
async def opened(gate):
    person = await gate.person()
    return await gate.init(person.token, [10, 10])


async def test_the_present_status_comes_at_once_and_each_change_after_it(gate, opened):
    async with listening(gate, opened) as stream:
        assert stream.response.headers["Content-Type"] == "text/event-stream"
        assert stream.response.headers["Cache-Control"] == "no-store"
        assert stream.response.headers["X-Content-Type-Options"] == "nosniff"
        name, status = await stream.next()
        assert (name, status["state"], status["uploaded_bytes"]) == ("status", "open", 0)
        await gate.send_file(opened, "a", bytes(10))
        seen = [status]
        while seen[-1]["uploaded_bytes"] < 10:
            _, status = await stream.next()
            assert status != seen[-1], "only changes are told"
            seen.append(status)
        assert seen[-1]["state"] == "uploading"
        assert seen[-1] == await gate.status(opened)


async def test_it_ends_when_its_bearer_is_no_longer_welcome(gate, opened):
    async with listening(gate, opened) as stream:
        await stream.next()
        await gate.services.accounts.disable("maria")
        gate.clock.advance(2)  # what was seen of an account is remembered for a second
        assert await stream.ended()


async def test_it_ends_when_the_session_of_its_token_does(gate, opened):
    session = await gate.login("maria")
    async with listening(gate, opened, session["access_token"]) as stream:
        await stream.next()
        assert (await gate.ask("POST", "/auth/logout", session["refresh_token"])).status == 204
        gate.clock.advance(2)
        assert await stream.ended()


async def test_it_ends_when_the_token_does(gate, opened):
    async with listening(gate, opened) as stream:
        await stream.next()
        gate.clock.advance(16 * 60)
        assert await stream.ended()


async def test_a_cancelled_upload_says_so_as_its_last_event(gate, opened):
    async with listening(gate, opened) as stream:
        await stream.next()
        await gate.ask("DELETE", f"/upload/{opened.upload_id}", opened.token)
        name, told = await stream.next()
        assert (name, told["state"]) == ("gone", "cancelled")
        assert await stream.ended()


async def test_it_ends_when_the_gateway_drains(gate, opened):
    async with listening(gate, opened) as stream:
        await stream.next()
        gate.services.draining.append(True)
        assert await stream.ended()


async def test_a_quiet_stream_is_kept_alive(gate, opened, monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.0)
    async with listening(gate, opened) as stream:
        await stream.next()
        async with asyncio.timeout(10):
            assert await stream.response.content.readuntil(b"\n\n") == b": still here\n\n"


async def test_it_opens_to_the_upload_and_its_owner_only(gate, opened):
    stranger = await gate.person("otto")
    path = f"/upload/{opened.upload_id}/events"
    assert (await gate.ask("GET", path)).status == 401
    assert (await gate.ask("GET", path, stranger.token)).status == 404
    other = await gate.init(stranger.token)
    assert (await gate.ask("GET", path, other.token)).status == 403
