"""Draining at the listener: what SIGTERM begins (CONTRACT 3, serve)."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from tests.component.gateway_app import CHUNK, OFFSET_TYPE, TUS, head


@pytest.fixture
async def opened(gate):
    return await gate.init((await gate.person()).token, [100, CHUNK])


async def drained(drain: asyncio.Task[None]) -> None:
    async with asyncio.timeout(15):
        await drain


async def until_draining(gate) -> None:
    while not gate.services.draining:
        await asyncio.sleep(0)


async def test_a_body_in_flight_is_kept_to_the_last_byte_and_answered(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"x" * 10) as line:
        drain = asyncio.create_task(gate.listener.drain(20))
        await until_draining(gate)
        for _ in range(9):
            await line.send(b"y" * 10)
            await asyncio.sleep(0.002)
        answer = await line.answer()
        assert (answer.status, answer.headers["Upload-Offset"]) == (204, "100")
        assert answer.headers["Connection"] == "close"
        await drained(drain)
    assert await gate.stored(await gate.file_at(path)) == b"x" * 10 + b"y" * 90


async def test_a_body_that_doesnt_end_in_time_is_cut_and_what_came_is_kept(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"x" * 10) as line:
        began = time.monotonic()
        await gate.listener.drain(0.4)
        assert time.monotonic() - began < 2
        answer = await line.answer()
        assert (answer.status, answer.code) == (503, "draining")
    assert (await gate.file_at(path)).offset == 10
    assert await gate.stored(await gate.file_at(path)) == b"x" * 10


async def test_a_trickle_is_cut_in_time_too(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"x") as line:

        async def trickle() -> None:
            for _ in range(99):
                await line.send(b"x")
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        began = time.monotonic()
        await gate.listener.drain(0.4)
        assert time.monotonic() - began < 2
        trickling.cancel()
        answer = await line.answer()
        assert answer.code == "draining"
    file = await gate.file_at(path)
    assert 1 <= file.offset < 100
    assert await gate.stored(file) == b"x" * file.offset


async def test_a_chunk_in_flight_is_taken_whole(gate, opened):
    told = {"Content-Type": "application/octet-stream", "Content-Length": str(CHUNK)}
    path = f"/upload/{opened.upload_id}/chunk?file_id=a&chunk_index=0&total_chunks=1"
    async with gate.begun("PUT", path, opened.token, told, b"x" * 10) as line:
        await gate.in_flight()
        drain = asyncio.create_task(gate.listener.drain(20))
        await until_draining(gate)
        await line.send(b"x" * (CHUNK - 10))
        assert (await line.answer()).status == 200
        await drained(drain)


async def test_a_request_on_an_open_line_is_told_to_come_again_elsewhere(gate, opened):
    async with gate.line() as line, gate.line() as busy:
        await line.send(head("GET", "/healthz", {}))
        assert (await line.answer()).status == 200
        told = {**TUS, "Upload-Length": "50", "Content-Type": OFFSET_TYPE, "Content-Length": "50"}
        await busy.send(head("POST", "/files/", {"Authorization": f"Bearer {opened.token}", **told}) + b"x")
        await gate.in_flight()
        drain = asyncio.create_task(gate.listener.drain(20))
        await until_draining(gate)
        await line.send(head("GET", "/healthz", {}))
        refused = await line.answer()
        assert (refused.status, refused.code) == (503, "draining")
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["Connection"] == "close"
        await busy.send(b"x" * 49)
        assert (await busy.answer()).status == 201
        await drained(drain)


async def test_nobody_gets_in_any_more(gate):
    await gate.listener.drain(5)
    with pytest.raises(aiohttp.ClientConnectorError):
        await gate.ask("GET", "/healthz")


async def test_a_drain_with_nothing_to_do_is_over_at_once(gate):
    async with gate.line() as idle:
        await idle.send(head("GET", "/healthz", {}))
        await idle.answer()
        began = time.monotonic()
        await gate.listener.drain(20)
        assert time.monotonic() - began < 2
        await idle.closed()


async def test_a_waiting_complete_doesnt_hold_the_drain_up(gate):
    opened = await gate.init((await gate.person()).token, [10])
    await gate.send_file(opened, "a", b"0123456789")
    asked = asyncio.create_task(gate.complete(opened, wait_s=30))
    await gate.in_flight()
    while (await gate.upload(opened.upload_id)).completed_at is None:
        await asyncio.sleep(0.002)
    began = time.monotonic()
    drain = asyncio.create_task(gate.listener.drain(8))
    answer = await asked
    assert answer.status in {202, 503}
    await drained(drain)
    assert time.monotonic() - began < 4


async def test_a_client_that_was_refused_and_never_ends_its_body_doesnt_hold_the_drain_up(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    told = {**TUS, "Content-Type": OFFSET_TYPE, "Upload-Offset": "7", "Content-Length": "100"}
    async with gate.begun("PATCH", path, opened.token, told, b"x") as line:
        assert (await line.answer()).status == 409
        began = time.monotonic()
        await gate.listener.drain(20)
        assert time.monotonic() - began < 3
