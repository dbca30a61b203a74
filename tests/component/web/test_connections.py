"""Connections that bring nothing: they end, and while they last they keep nobody out."""

from __future__ import annotations

import asyncio
import contextlib
import os
from contextlib import AsyncExitStack

import pytest

from gateway.web.connections import ConnectionLimits
from tests.component.gateway_app import PASSWORD, gateway_app, head

LOGIN = {"username": "maria", "password": PASSWORD}


@pytest.fixture
def limits():
    return ConnectionLimits(unproven=5)


@pytest.fixture
async def gate(tmp_path, limits):
    async with gateway_app(tmp_path, services={"connections": limits, "json_timeout_s": 0.3}) as gate:
        yield gate


@pytest.fixture
async def lines(gate):
    """Opens raw connections, which are closed at the end."""
    async with AsyncExitStack() as stack:

        async def opened(count: int, data: bytes = b""):
            made = [await stack.enter_async_context(gate.line()) for _ in range(count)]
            for line in made:
                await line.send(data)
            return made

        yield opened


def open_here(gate) -> int:
    return len(gate.listener._runner.server.connections)


async def test_a_body_that_trickles_ends_at_its_deadline_whatever_comes(gate):
    async with gate.line() as line:
        await line.send(head("POST", "/auth/login", {"Content-Length": "1000"}))

        async def trickle():
            with contextlib.suppress(OSError):
                while True:
                    await line.send(b" ")
                    await asyncio.sleep(0.01)

        trickling = asyncio.create_task(trickle())
        answer = await line.answer()
        trickling.cancel()
    assert (answer.status, answer.code) == (408, "body_interrupted")
    assert answer.json["limit"] == "limits.json_timeout"


@pytest.mark.parametrize("limits", [ConnectionLimits(head_timeout_s=0.2)])
async def test_a_head_that_does_not_come_ends_its_connection(gate, lines):
    for line in await lines(3, b"GET /healthz HTTP/1.1\r\nHost: g"):
        await line.closed()
    assert open_here(gate) == 0


async def test_who_opens_many_is_cut_at_its_idlest_and_the_others_get_in(gate, lines):
    await gate.person("maria")
    stalled = await lines(20, b"POST /auth/login HTTP/1.1\r\nHost: g\r\nContent-Le")
    assert (await gate.ask("POST", "/auth/login", json=LOGIN)).status == 200
    assert (await gate.ask("GET", "/healthz")).status == 200
    for line in stalled[:15]:
        await line.closed()
    assert open_here(gate) <= 6


@pytest.mark.parametrize("limits", [ConnectionLimits(unproven=2)])
async def test_a_body_that_gives_way_is_told_which_limit_it_was(tmp_path, limits):
    async with gateway_app(tmp_path, services={"connections": limits, "json_timeout_s": 10.0}) as gate:
        waiting = {"Content-Length": "100"}
        async with gate.begun("POST", "/auth/login", "", waiting, b"{") as first:
            await gate.in_flight(1)
            async with gate.begun("POST", "/auth/login", "", waiting, b"{"):
                await gate.in_flight(2)
                async with gate.begun("POST", "/auth/login", "", waiting, b"{"):
                    answer = await first.answer()
        assert (answer.status, answer.code) == (429, "quota_exceeded")
        assert answer.json["limit"] == "limits.unproven_connections"
        assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("limits", [ConnectionLimits(unproven=2)])
async def test_connections_that_showed_a_good_token_do_not_count(gate, lines):
    person = await gate.person()
    path = await gate.tus_file(person.token, 1000)
    asked = head("GET", path, {"Authorization": f"Bearer {person.token}"})
    known = []
    for _ in range(6):
        known += await lines(1, asked)
        assert (await known[-1].answer()).status == 405
    for _ in range(4):
        (stranger,) = await lines(1, head("GET", path, {"Authorization": "Bearer rubbish"}))
        assert (await stranger.answer()).status == 401
    for line in known:
        await line.send(asked)
        assert (await line.answer()).status == 405, "still there"


@pytest.mark.parametrize("limits", [ConnectionLimits(most=8)])
async def test_when_handles_run_short_the_idlest_goes_and_a_body_keeps_what_came(gate, lines):
    person = await gate.person()
    path = await gate.tus_file(person.token, 1000)
    async with gate.hanging_patch(person.token, path, 0, 1000, os.urandom(10)) as line:
        for _ in range(30):
            await lines(1)
            assert (await gate.ask("GET", "/healthz")).status == 200
        assert open_here(gate) <= 9
        await line.send(bytes(100))
        await gate.read_from(path, 110)
    assert await gate.offset(person.token, path) == 110
