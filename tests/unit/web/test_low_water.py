"""Bytes of a connection that are told of when there are enough of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.web.low_water import told_from

WAIT_S = 10.0


class Ear(asyncio.Protocol):
    """Notes how much came at a time."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.ended = asyncio.Event()
        self.more = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard.append(len(data))
        self.more.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


@pytest.fixture
async def line() -> AsyncIterator[tuple[Ear, socket.socket]]:
    """The gateway's end, and the client's."""
    loop = asyncio.get_running_loop()
    ears: asyncio.Queue[Ear] = asyncio.Queue()

    def made() -> Ear:
        ears.put_nowait(ear := Ear())
        return ear

    server = await loop.create_server(made, "127.0.0.1", 0)
    client = socket.create_connection(server.sockets[0].getsockname())
    ear = await ears.get()
    async with asyncio.timeout(WAIT_S):
        while not hasattr(ear, "transport"):
            await asyncio.sleep(0)
        yield ear, client
    client.close()
    server.close()


def waiting_bytes(ear: Ear) -> int:
    """What the system has for it."""
    return len(ear.transport.get_extra_info("socket")._sock.recv(1 << 20, socket.MSG_PEEK | socket.MSG_DONTWAIT))


async def send_unheard(ear: Ear, client: socket.socket, size_bytes: int) -> None:
    """The system has them, the loop has looked at its sockets since, and nobody was told."""
    client.sendall(bytes(size_bytes))
    while waiting_bytes(ear) < size_bytes:
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert ear.heard == []


async def test_fewer_bytes_than_are_waited_for_are_not_told_of(line):
    ear, client = line
    with told_from(ear.transport, 100_000):
        await send_unheard(ear, client, 60_000)
        client.sendall(bytes(40_000))
        await ear.more.wait()
    assert sum(ear.heard) == 100_000


async def test_what_came_is_told_of_as_soon_as_it_is_over(line):
    ear, client = line
    with told_from(ear.transport, 100_000):
        await send_unheard(ear, client, 5)
    await ear.more.wait()
    assert ear.heard == [5]


async def test_the_end_of_a_connection_is_told_of_however_little_came(line):
    ear, client = line
    with told_from(ear.transport, 100_000):
        client.sendall(bytes(7))
        client.shutdown(socket.SHUT_WR)
        await ear.ended.wait()
    assert ear.heard == [7]


async def test_a_connection_that_is_lost_meanwhile_is_left_alone(line):
    ear, _client = line
    with told_from(ear.transport, 100_000):
        ear.transport.close()
        await ear.ended.wait()


@pytest.mark.parametrize("size_bytes", [0, 1, -20])
async def test_less_than_two_bytes_are_nothing_to_wait_for(line, size_bytes):
    ear, client = line
    with told_from(ear.transport, size_bytes):
        client.sendall(bytes(1))
        await ear.more.wait()
    assert ear.heard == [1]


async def test_without_a_connection_nothing_is_set():
    with told_from(None, 100_000):
        pass
