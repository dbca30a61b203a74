"""A file that came in order is digested on its way in; else it is read back. The receipt has the same digest either way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from gateway.blobs.memory import MemoryBlobs, MemoryReader
from gateway.spool import FRAME_SIZE, KnownDigests
from hooks.contract import Source, Verdict
from tests.component.gateway_app import chunks_of, gateway_app
from tests.unit.delivery.little_pacs import Toy, ToyCheck

TOY = Toy("1.2.3.1.1", pixels=b"pixels" * 40_000)


class CountingBlobs(MemoryBlobs):
    """Counts the bytes that are read."""

    read_bytes = 0

    def open(self, name: str) -> MemoryReader:
        reader, read_at = super().open(name), MemoryReader.read_at

        def counted(position: int, size: int) -> bytes:
            found = read_at(reader, position, size)
            self.read_bytes += len(found)
            return found

        reader.read_at = counted  # type: ignore[method-assign]  # a spy
        return reader


@dataclass
class HeadCheck:
    """Judges by the first bytes only, as one that hops over pixels."""

    inner: ToyCheck

    def check(self, source: Source) -> Verdict:
        source.read_at(0, 10)

        class Head:
            size_bytes = source.size_bytes

            def read_at(self, offset: int, size: int) -> bytes:
                return TOY.content[offset : offset + size]

            def readinto(self, offset: int, out: memoryview) -> int:
                raise AssertionError("a check asks for bytes")

            def close(self) -> None:
                pass

        return self.inner.check(Head())

    def begin(self, sources: Sequence[Source]) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
async def gate(tmp_path):
    async with gateway_app(tmp_path, sqlite=True, blobs=CountingBlobs()) as gate:
        gate.gateway.delivery._checks._check = HeadCheck(gate.check)
        yield gate


async def read_for_its_check(gate) -> int:
    """Bytes of the spool that are read until a verdict is there; nothing is delivered yet."""
    gate.pacs.down = True
    await gate.deliver()
    return int(gate.blobs.read_bytes)


async def delivered_digest(gate, upload_id: str) -> str:
    gate.pacs.down = False
    gate.clock.advance(3600)
    await gate.deliver(for_s=60)
    assert (await gate.upload(upload_id)).state == "success"
    (content,) = gate.pacs.held.values()
    return hashlib.sha256(content).hexdigest()


async def test_a_file_that_came_in_order_is_not_read_back(gate) -> None:
    who = await gate.person()
    opened = await gate.init(who.token, [len(TOY.content)])
    await gate.send_file(opened, "f", TOY.content)
    await gate.complete(opened)
    assert 0 < await read_for_its_check(gate) < 2 * FRAME_SIZE
    assert await delivered_digest(gate, opened.upload_id) == hashlib.sha256(TOY.content).hexdigest()


async def test_a_tail_that_grows_by_requests_is_not_read_back_either(gate) -> None:
    who = await gate.person()
    opened = await gate.init(who.token, [len(TOY.content)])
    path = await gate.tus_file(opened.token, len(TOY.content))
    for number, piece in enumerate(chunks_of(TOY.content, 50_000)):
        assert (await gate.tus_patch(opened.token, path, number * 50_000, piece)).status == 204
    await gate.complete(opened)
    assert 0 < await read_for_its_check(gate) < 2 * FRAME_SIZE
    assert await delivered_digest(gate, opened.upload_id) == hashlib.sha256(TOY.content).hexdigest()


@pytest.mark.parametrize("order", [lambda numbers: numbers[::-1], lambda numbers: [*numbers[1:], numbers[0]]])
async def test_chunks_out_of_order_are_read_back(gate, order: Callable[[list[int]], list[int]]) -> None:
    who = await gate.person()
    opened = await gate.init(who.token, [len(TOY.content)])
    pieces = chunks_of(TOY.content)
    for index in order(list(range(len(pieces)))):
        assert (await gate.chunk(opened, "f", index, pieces[index], total=len(pieces))).status == 200
    await gate.complete(opened)
    assert await read_for_its_check(gate) > len(TOY.content)
    assert await delivered_digest(gate, opened.upload_id) == hashlib.sha256(TOY.content).hexdigest()


async def test_bytes_that_were_refused_are_in_no_digest(gate) -> None:
    who = await gate.person()
    opened = await gate.init(who.token, [len(TOY.content)])
    path = await gate.tus_file(opened.token, len(TOY.content))
    assert (await gate.tus_patch(opened.token, path, 0, TOY.content[:100])).status == 204
    wrong = {"Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="}
    assert (await gate.tus_patch(opened.token, path, 100, b"other", headers=wrong)).status == 460
    assert (await gate.tus_patch(opened.token, path, 100, TOY.content[100:])).status == 204
    await gate.complete(opened)
    assert await delivered_digest(gate, opened.upload_id) == hashlib.sha256(TOY.content).hexdigest()


async def test_after_a_restart_it_is_read_back(gate) -> None:
    who = await gate.person()
    opened = await gate.init(who.token, [len(TOY.content)])
    await gate.send_file(opened, "f", TOY.content)
    await gate.complete(opened)
    await gate.restart()
    assert await read_for_its_check(gate) > len(TOY.content)
    assert await delivered_digest(gate, opened.upload_id) == hashlib.sha256(TOY.content).hexdigest()


async def test_what_is_sent_has_the_digest_that_came_or_its_file_is_lost(gate, monkeypatch) -> None:
    """Frames are opened one by one: a fault of memory between the digest and the seal would go unseen."""
    monkeypatch.setattr(KnownDigests, "of", lambda *_which: hashlib.sha256(b"what came").hexdigest())
    who = await gate.person()
    opened = await gate.init(who.token, [len(TOY.content)])
    await gate.send_file(opened, "f", TOY.content)
    await gate.complete(opened)
    await gate.deliver(for_s=60)
    assert (await gate.file(opened.upload_id)).state == "lost"
    assert gate.pacs.held == {}
