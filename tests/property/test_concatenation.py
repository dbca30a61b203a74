"""Concatenations of parts that die: whatever happens to parts, finals and the gateway, a final that is whole has the bytes
of its sources, in their order, and no offset that was told ever goes back.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.blobs.memory import MemoryBlobs
from tests.component.gateway_app import CHUNK, OFFSET_TYPE, TUS, Answer, Gate, gateway_app
from tests.scale import count

PART = {"Upload-Concat": "partial"}
MOST_FILES = 40

STEPS = st.tuples(
    st.sampled_from(
        ["part", "part", "append", "append", "append", "cut", "replay", "final", "final", "drop part", "drop final",
         "look", "restart", "purge"]
    ),
    st.floats(0, 1),  # which one
    st.one_of(st.integers(0, 5), st.integers(0, 3 * CHUNK), st.integers(60_000, 140_000)),
    st.integers(0, 1 << 30),
)  # fmt: skip


@dataclass
class Part:
    """A part, and how much of it is known to be there."""

    path: str
    data: bytes
    told_length: bool
    offset: int = 0
    alive: bool = True

    @property
    def whole(self) -> bool:
        return self.told_length and self.offset == len(self.data)

    def told(self, answer: Answer) -> None:
        """Whoever tells an offset stands by it."""
        if "Upload-Offset" in answer.headers:
            offset = int(answer.headers["Upload-Offset"])
            assert self.offset <= offset <= len(self.data)
            self.offset = offset


@dataclass
class Final:
    """What is put together of which parts, and what is to be seen of it."""

    path: str
    parts: list[Part]
    taken: bool = False
    alive: bool = True

    def settle(self) -> None:
        """It takes its parts when all are whole; one that dies before takes it along."""
        if self.alive and not self.taken:
            self.alive = all(part.alive for part in self.parts)
            self.taken = self.alive and all(part.whole for part in self.parts)


@dataclass
class World:
    """One client of one upload."""

    gate: Gate
    token: str
    parts: list[Part] = field(default_factory=list)
    finals: list[Final] = field(default_factory=list)

    async def part(self, size: int, seed: int) -> None:
        data, told = random.Random(seed).randbytes(size), seed % 4 != 0
        length = {"Upload-Length": str(size)} if told else {"Upload-Defer-Length": "1"}
        answer = await self.gate.ask("POST", "/files/", self.token, headers={**TUS, **PART, **length})
        assert answer.status == 201, answer.json
        self.parts.append(Part(path_of(answer), data, told))

    async def append(self, part: Part, size: int) -> None:
        """Some more bytes; a part whose length wasn't told hears it with its last ones."""
        if not part.alive or part.whole:
            return
        data = part.data[part.offset : part.offset + size]
        ends = {} if part.told_length else {"Upload-Length": str(len(part.data))}
        at_end = part.offset + len(data) == len(part.data)
        answer = await self.gate.tus_patch(self.token, part.path, part.offset, data, headers=ends if at_end else {})
        assert answer.status == 204, answer.json
        part.told_length = part.told_length or at_end
        part.told(answer)

    async def cut(self, part: Part, size: int) -> None:
        """An append whose line breaks; every byte that came is kept."""
        whole = part.data[part.offset : part.offset + size]
        if not part.alive or len(whole) < 2:
            return
        now = whole[: len(whole) // 2]
        headers = TUS | {"Content-Type": OFFSET_TYPE, "Upload-Offset": str(part.offset)}
        headers["Content-Length"] = str(len(whole))
        async with self.gate.begun("PATCH", part.path, self.token, headers, now) as line:
            await self.gate.held(part.path)
            await self.gate.read_from(part.path, len(now))
            await line.reset()
            await self.gate.in_flight(0)
        before = part.offset
        part.told(await self.gate.tus_head(self.token, part.path))
        assert part.offset == before + len(now)

    async def final(self, seed: int) -> None:
        dice = random.Random(seed)
        chosen = dice.choices(self.parts, k=dice.randint(1, 4))
        named = "final;" + " ".join(part.path for part in chosen)
        answer = await self.gate.ask("POST", "/files/", self.token, headers={**TUS, "Upload-Concat": named})
        if all(part.alive for part in chosen):
            assert answer.status == 201, answer.json
            self.finals.append(Final(path_of(answer), chosen))
        else:
            assert answer.status == 410

    async def drop(self, one: Part | Final) -> None:
        answer = await self.gate.ask("DELETE", one.path, self.token, headers=TUS)
        assert answer.status == (204 if one.alive else 410)
        one.alive = False

    async def look(self) -> None:
        """Everything is as it must be."""
        for part in self.parts:
            answer = await self.gate.tus_head(self.token, part.path)
            assert answer.status == (200 if part.alive else 410)
            if part.alive:
                assert answer.headers["Upload-Concat"] == "partial"
                part.told(answer)
        for final in self.finals:
            answer = await self.gate.tus_head(self.token, final.path)
            assert answer.status == (200 if final.alive else 410), (final, answer.status)
            if not final.alive:
                continue
            source = b"".join(part.data for part in final.parts)
            if all(part.told_length for part in final.parts):
                assert answer.headers["Upload-Length"] == str(len(source))
            assert answer.headers.get("Upload-Offset") == (str(len(source)) if final.taken else None)
            if final.taken:
                assert await self.gate.stored(await self.gate.file_at(final.path)) == source

    async def step(self, act: str, which: float, size: int, seed: int) -> None:
        part = self.parts[int(which * (len(self.parts) - 1))] if self.parts else None
        if act == "part" and len(self.parts) + len(self.finals) < MOST_FILES:
            await self.part(size, seed)
        elif act == "append" and part is not None:
            await self.append(part, max(size, 1))
        elif act == "cut" and part is not None:
            await self.cut(part, size)
        elif act == "replay" and part is not None and part.alive and part.offset:
            answer = await self.gate.tus_patch(self.token, part.path, part.offset - 1, b"x")
            assert (answer.status, answer.code) == (409, "offset_mismatch")
        elif act == "final" and self.parts:
            await self.final(seed)
        elif act == "drop part" and part is not None:
            await self.drop(part)
        elif act == "drop final" and self.finals:
            await self.drop(self.finals[int(which * (len(self.finals) - 1))])
        elif act == "restart":
            await self.gate.restart()
        elif act == "purge":
            await self.gate.purge()
        elif act == "look":
            await self.look()
        for final in self.finals:
            final.settle()


def path_of(answer: Answer) -> str:
    return "/files/" + answer.headers["Location"].rpartition("/")[2]


async def run(folder: Path, steps: list[tuple[str, float, int, int]], blobs: MemoryBlobs) -> None:
    async with gateway_app(folder, sqlite=True, blobs=blobs) as gate:
        person = await gate.person()
        opened = await gate.init(person.token, [2_000_000] * MOST_FILES)
        world = World(gate, opened.token)
        for one in steps:
            await world.step(*one)
        await world.look()
        for part in world.parts:
            while part.alive and not part.whole:
                await world.append(part, 300_000)
        for final in world.finals:
            final.settle()
        await world.look()
        row = await gate.upload(opened.upload_id)
        there = [final for final in world.finals if final.alive]
        assert (row.live_files, row.whole_files) == (len(there), sum(final.taken for final in there))
        sizes = [sum(len(part.data) for part in final.parts) for final in there if final.taken]
        assert (row.planned_bytes, row.whole_bytes) == (sum(sizes), sum(sizes))
        taken = {id(part) for final in there if final.taken for part in final.parts}
        left = [part for part in world.parts if part.alive and id(part) not in taken]
        assert (row.parts, row.part_bytes) == (len(left), sum(len(part.data) for part in left))
        assert row.received_bytes == row.planned_bytes + row.part_bytes
        await gate.ask("DELETE", f"/upload/{opened.upload_id}", person.token)
        await gate.purge()
        # Of what the processes before left open nothing is named any more; the present one's segment goes at its end.
        assert await gate.count("runs") == 0
        assert await gate.count("segments") == 0


@settings(
    max_examples=count(15, 600), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(steps=st.lists(STEPS, max_size=20), holes=st.booleans())
def test_any_concatenation_of_parts_that_live_and_die_gives_the_sources(steps, holes):
    """On a medium that gives room back by holes, and on one where what lives is copied elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder), steps, MemoryBlobs(holes=holes)))
