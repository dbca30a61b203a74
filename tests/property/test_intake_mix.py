"""Any mix of chunk orders, PATCH sizes, cuts, take-overs, restarts and power cuts gives the sources again, byte for
byte, and no offset that was told ever goes back.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.component.gateway_app import (
    CHUNK,
    OFFSET_TYPE,
    TUS,
    Answer,
    Gate,
    Opened,
    chunks_of,
    gateway_app,
    sha256_field,
)
from tests.scale import count

SIZES = st.one_of(st.integers(0, 3), st.integers(CHUNK - 1, CHUNK + 1), st.integers(1, 8 * CHUNK), st.just(150_000))
AMOUNTS = st.one_of(st.integers(0, 5), st.integers(1, 4 * CHUNK), st.integers(60_000, 70_000))
PARTS = st.floats(0, 1)

STEPS = st.one_of(
    st.tuples(st.just("chunk"), st.integers(0, 10_000), st.booleans()),
    st.tuples(st.just("chunk breaks off"), st.integers(0, 10_000), PARTS),
    st.tuples(st.just("other chunk"), st.integers(0, 10_000), PARTS),
    st.tuples(st.just("chunks at once"), st.integers(0, 10_000), PARTS),
    st.tuples(st.just("patch"), AMOUNTS, st.booleans()),
    st.tuples(st.just("patch breaks off"), AMOUNTS, PARTS),
    st.tuples(st.just("patch elsewhere"), st.integers(-2000, 2000), PARTS),
    st.tuples(st.just("head takes over"), AMOUNTS, PARTS),
    st.tuples(st.just("silent holder"), AMOUNTS, PARTS),
    st.tuples(st.just("create again"), AMOUNTS, PARTS),
    st.tuples(st.just("restart"), st.just(0), PARTS),
    st.tuples(st.just("power cut"), st.integers(0, 100_000), PARTS),
)


@dataclass
class Client:
    """Sends one file over REST and one over tus, and remembers what it was told."""

    gate: Gate
    opened: Opened
    rest: bytes
    tus: bytes
    path: str = ""
    offset: int = 0  #: highest that was told of the tus file
    received: int = 0  #: of the REST file
    there: set[int] = field(default_factory=set)  #: chunks that were acknowledged

    @property
    def pieces(self) -> list[bytes]:
        return chunks_of(self.rest)

    async def create(self) -> None:
        answer = await self.gate.tus_create(self.opened.token, len(self.tus), metadata={"file_id": "tus"})
        assert answer.status == 201
        self.path = "/files/" + answer.headers["Location"].rpartition("/")[2]
        self.told(answer)

    def told(self, answer: Answer) -> None:
        """Whoever tells an offset stands by it."""
        if "Upload-Offset" in answer.headers:
            offset = int(answer.headers["Upload-Offset"])
            assert self.offset <= offset <= len(self.tus)
            self.offset = offset

    async def put(self, index: int, *, digest: bool = False, data: bytes | None = None) -> Answer:
        piece = self.pieces[index] if data is None else data
        headers = {"Content-Digest": sha256_field(piece)} if digest else {}
        answer = await self.gate.chunk(self.opened, "rest", index, piece, total=len(self.pieces), headers=headers)
        if answer.status == 200:
            assert answer.json["received_bytes"] >= self.received
            self.received = answer.json["received_bytes"]
            self.there.add(index)
        return answer

    async def look(self) -> None:
        answer = await self.gate.tus_head(self.opened.token, self.path)
        assert answer.status == 200
        self.told(answer)

    async def patch(self, size: int, *, coded: bool) -> None:
        await self.look()
        data = self.tus[self.offset : self.offset + size]
        sent: Any = _in_pieces(data) if coded else data
        answer = await self.gate.tus_patch(self.opened.token, self.path, self.offset, sent)
        assert answer.status == 204
        before = self.offset
        self.told(answer)
        assert self.offset == before + len(data)

    def begun(self, size: int, part: float) -> Any:
        """A PATCH of `size` bytes of which only a part is sent."""
        data = self.tus[self.offset : self.offset + size]
        now = data[: int(len(data) * part)]
        headers = {**TUS, "Content-Type": OFFSET_TYPE, "Upload-Offset": str(self.offset),
                   "Content-Length": str(len(data) + 1 if len(now) == len(data) else len(data))}  # fmt: skip
        if self.offset + int(headers["Content-Length"]) > len(self.tus):
            return None, b""
        return self.gate.begun("PATCH", self.path, self.opened.token, headers, now), now


async def _in_pieces(data: bytes) -> Any:
    for at in range(0, len(data), 1000):
        yield data[at : at + 1000]


async def step(client: Client, act: str, number: int, extra: Any) -> None:
    gate, chunks = client.gate, len(client.pieces)
    match act:
        case "chunk":
            assert (await client.put(number % chunks, digest=extra)).status == 200
        case "chunks at once":
            wanted = {(number + step) % chunks for step in range(1 + int(extra * 4))}
            answers = await asyncio.gather(
                *(gate.chunk(client.opened, "rest", i, client.pieces[i], total=chunks) for i in wanted)
            )
            assert {answer.status for answer in answers} == {200}
            client.there |= wanted
            client.received = max(client.received, *(answer.json["received_bytes"] for answer in answers))
        case "other chunk":
            index = number % chunks
            other = bytes(byte ^ 1 for byte in client.pieces[index])
            if index in client.there and other != client.pieces[index]:
                answer = await client.put(index, data=other)
                assert (answer.status, answer.code) == (409, "chunk_conflict")
        case "chunk breaks off":
            index = number % chunks
            query = f"file_id=rest&chunk_index={index}&total_chunks={chunks}"
            headers = {"Content-Length": str(len(client.pieces[index])), "Content-Type": "application/octet-stream"}
            now = client.pieces[index][: int(len(client.pieces[index]) * extra)]
            if len(now) == len(client.pieces[index]):
                return
            path = f"/upload/{client.opened.upload_id}/chunk?{query}"
            async with gate.begun("PUT", path, client.opened.token, headers, now) as line:
                await gate.in_flight()
                await line.reset()
                await gate.in_flight(0)
        case "patch":
            await client.patch(number, coded=extra)
        case "patch elsewhere":
            await client.look()
            if number and client.offset + number >= 0:
                answer = await gate.tus_patch(client.opened.token, client.path, client.offset + number, b"x")
                assert (answer.status, answer.code) == (409, "offset_mismatch")
                client.told(answer)
        case "create again":
            await client.create()
        case "restart":
            await gate.restart()
        case _:
            await _broken(client, act, number, extra)


async def _broken(client: Client, act: str, number: int, part: float) -> None:
    """A PATCH that doesn't come to its end."""
    gate = client.gate
    await client.look()
    before = client.offset
    begun, now = client.begun(50_000 if act == "power cut" else number, part)
    if begun is None:
        return
    async with begun as line:
        await gate.held(client.path)
        await gate.read_from(client.path, len(now))
        if act == "patch breaks off":
            await line.reset()
            await gate.in_flight(0)
        elif act == "silent holder":
            gate.clock.advance(1.5)
            answer = await gate.tus_patch(client.opened.token, client.path, before, b"")
            assert answer.status == (409 if now else 204)
            client.told(answer)
        elif act == "power cut":
            await gate.power_cut(keep_unsynced_bytes=number)
            await client.look()
            return
    await client.look()
    assert client.offset == before + len(now), "every byte that came is kept"


async def run(folder: Path, rest: bytes, tus: bytes, steps: list[tuple[str, int, Any]]) -> None:
    async with gateway_app(folder, sqlite=True) as gate:
        person = await gate.person()
        client = Client(gate, await gate.init(person.token, [len(rest), len(tus)]), rest, tus)
        await client.create()
        for act, number, extra in steps:
            await step(client, act, number, extra)
        for index in sorted(set(range(len(client.pieces))) - client.there):
            assert (await client.put(index)).status == 200
        while client.offset < len(tus):
            await client.patch(70_000, coded=False)
        rows = await gate.ledger.read(lambda tx: tx.files.page(client.opened.upload_id))
        stored = {row.dialect: await gate.stored(row) for row in rows}
        assert stored == {"rest": rest, "tus": tus}
        digests = {"rest": sha256_field(rest), "tus": sha256_field(tus)}
        assert (await gate.complete(client.opened, {"checksums": digests})).status == 202


@settings(
    max_examples=count(25, 600), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(rest_size=SIZES, tus_size=SIZES, seed=st.integers(0, 1000), steps=st.lists(STEPS, max_size=14))
def test_any_mix_of_requests_and_ends_gives_the_sources_again(rest_size, tus_size, seed, steps):
    dice = random.Random(seed)
    # 150 chunks would only be more of the same.
    rest, tus = dice.randbytes(min(rest_size, 8 * CHUNK)), dice.randbytes(tus_size)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder), rest, tus, steps))
