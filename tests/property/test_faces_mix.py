"""Files of every face in one upload, tus and the IETF draft alternating on one file, through cuts, replays, take-overs and
restarts: the bytes are the sources', and no offset that was told ever goes back. Of racing appends one is taken.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
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

#: Header fields of a request, by the protocol that it speaks.
FACES = {
    "tus": TUS | {"Content-Type": OFFSET_TYPE},
    "draft": {
        "Upload-Draft-Interop-Version": "9",
        "Upload-Complete": "?0",
        "Content-Type": "application/partial-upload",
    },
}
LOOKS = {"tus": TUS, "draft": {"Upload-Draft-Interop-Version": "9"}}

STEPS = st.tuples(
    st.sampled_from(["append", "cut", "replay", "too far", "look takes over", "append takes over", "chunk", "restart"]),
    st.sampled_from(["tus", "draft"]),  # whose file
    st.sampled_from(["tus", "draft"]),  # by which protocol
    st.one_of(st.integers(1, 5), st.integers(1, 4 * CHUNK), st.integers(60_000, 70_000)),
    st.floats(0, 1),
)


@dataclass
class Sent:
    """A file, and how much of it is known to be there."""

    path: str
    data: bytes
    offset: int = 0

    def told(self, answer: Answer) -> None:
        """Whoever tells an offset stands by it."""
        if "Upload-Offset" in answer.headers:
            offset = int(answer.headers["Upload-Offset"])
            assert self.offset <= offset <= len(self.data)
            self.offset = offset


@dataclass
class Client:
    """Of one upload of three files."""

    gate: Gate
    opened: Opened
    files: dict[str, Sent]
    rest: bytes

    async def make(self) -> None:
        """The tus file by tus, the draft's by the draft."""
        tus, draft = self.files["tus"], self.files["draft"]
        tus.path = await self.gate.tus_file(self.opened.token, len(tus.data), metadata={"file_id": "tus"})
        headers = LOOKS["draft"] | {"Upload-Complete": "?0", "Upload-Length": str(len(draft.data))}
        made = await self.gate.ask("POST", "/files/", self.opened.token, headers=headers)
        assert made.status == 201, made.json
        draft.path = "/files/" + made.headers["Location"].rpartition("/")[2]

    async def look(self, file: Sent, face: str) -> None:
        answer = await self.gate.ask("HEAD", file.path, self.opened.token, headers=LOOKS[face])
        assert answer.status == (200 if face == "tus" else 204)
        file.told(answer)

    async def append(self, file: Sent, face: str, at: int, data: bytes) -> Answer:
        headers = FACES[face] | {"Upload-Offset": str(at)}
        return await self.gate.ask("PATCH", file.path, self.opened.token, headers=headers, data=data)

    def begun(self, file: Sent, face: str, size: int, part: float) -> tuple[Any, int]:
        """An append of which only a part is sent, and how much that is."""
        whole = file.data[file.offset : file.offset + size]
        now = whole[: min(int(len(whole) * part), len(whole) - 1)]
        headers = FACES[face] | {"Upload-Offset": str(file.offset), "Content-Length": str(len(whole))}
        return self.gate.begun("PATCH", file.path, self.opened.token, headers, now), len(now)


async def step(client: Client, act: str, whose: str, face: str, size: int, part: float) -> None:
    file, gate = client.files[whose], client.gate
    if act == "restart":
        return await gate.restart()
    if act == "chunk":
        pieces = chunks_of(client.rest)
        index = int(part * (len(pieces) - 1))
        answer = await gate.chunk(client.opened, "rest", index, pieces[index], total=len(pieces))
        assert answer.status == 200
        return None
    if file.offset == len(file.data):
        return None
    if act == "append":
        before, data = file.offset, file.data[file.offset : file.offset + size]
        answer = await client.append(file, face, before, data)
        assert answer.status in {200, 204}, answer.json
        file.told(answer)
        assert file.offset == before + len(data)
    elif act in ("replay", "too far"):
        wrong = file.offset + (size if act == "too far" else -size)
        if wrong >= 0:
            answer = await client.append(file, face, wrong, b"x")
            assert (answer.status, answer.code) == (409, "offset_mismatch")
            file.told(answer)
    else:
        await broken(client, act, file, face, size, part)
    return None


async def broken(client: Client, act: str, file: Sent, face: str, size: int, part: float) -> None:
    """An append that doesn't come to its end; every byte that came is kept."""
    gate, before = client.gate, file.offset
    other = "draft" if face == "tus" else "tus"
    begun, came = client.begun(file, face, size, part)
    async with begun as line:
        await gate.held(file.path)
        await gate.read_from(file.path, came)
        if act == "cut":
            await line.reset()
            await gate.in_flight(0)
        elif act == "append takes over":
            gate.clock.advance(1.5)
            answer = await client.append(file, other, before, b"")
            assert answer.status == (409 if came else 204)
            file.told(answer)
        await client.look(file, other)
    assert file.offset == before + came


async def run(folder: Path, sources: dict[str, bytes], steps: list[tuple[str, str, str, int, float]], end: str) -> None:
    async with gateway_app(folder, sqlite=True) as gate:
        person = await gate.person()
        opened = await gate.init(person.token, [len(one) for one in sources.values()])
        files = {name: Sent("", sources[name]) for name in ("tus", "draft")}
        client = Client(gate, opened, files, sources["rest"])
        await client.make()
        for one in steps:
            await step(client, *one)
        await gate.send_file(opened, "rest", sources["rest"])
        for file in files.values():
            await finish(client, file, end)
        rows = await gate.ledger.read(lambda tx: tx.files.page(opened.upload_id))
        assert sorted([await gate.stored(row) for row in rows]) == sorted(sources.values())
        digests = {"rest": sha256_field(sources["rest"]), "tus": sha256_field(sources["tus"])}
        assert (await gate.complete(opened, {"checksums": digests})).status == 202


async def finish(client: Client, file: Sent, end: str) -> None:
    """The rest of a file by one of the protocols."""
    while file.offset < len(file.data):
        answer = await client.append(file, end, file.offset, file.data[file.offset : file.offset + 70_000])
        assert answer.status in {200, 204}
        file.told(answer)
    if end == "draft":  # only that makes it whole
        headers = FACES["draft"] | {"Upload-Complete": "?1", "Upload-Offset": str(file.offset)}
        answer = await client.gate.ask("PATCH", file.path, client.opened.token, headers=headers)
        assert answer.status == 200, answer.json
    else:
        await client.look(file, "tus")


@settings(
    max_examples=count(15, 600), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(
    sizes=st.tuples(*[st.one_of(st.integers(1, 5 * CHUNK), st.just(150_000))] * 2),
    seed=st.integers(0, 1000),
    steps=st.lists(STEPS, max_size=12),
    end=st.sampled_from(["tus", "draft"]),
)
def test_any_mix_of_faces_gives_the_sources_again(sizes, seed, steps, end):
    dice = random.Random(seed)
    sources = {
        "rest": dice.randbytes(3 * CHUNK + 7),
        "tus": dice.randbytes(sizes[0]),
        "draft": dice.randbytes(sizes[1]),
    }
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder), sources, steps, end))


@pytest.mark.parametrize("faces", [["tus"], ["draft"], ["tus", "draft"]], ids="+".join)
async def test_of_eight_racing_appends_at_one_offset_one_is_taken(tmp_path: Path, faces: list[str]) -> None:
    data = random.Random(8).randbytes(8 * count(5, 200))
    async with gateway_app(tmp_path) as gate:
        person = await gate.person()
        opened = await gate.init(person.token, [len(data)])
        file = Sent(await gate.tus_file(opened.token, len(data)), data)
        client = Client(gate, opened, {}, b"")
        while file.offset < len(data):
            piece = data[file.offset : file.offset + 8]
            racing = [client.append(file, faces[number % len(faces)], file.offset, piece) for number in range(8)]
            answers = await asyncio.gather(*racing)
            found = Counter(answer.status for answer in answers)
            assert found[204] == 1, found
            assert set(found) <= {204, 409, 423}
            for answer in answers:
                if answer.status == 204:
                    file.told(answer)
        await client.look(file, "tus")
        assert await gate.stored(await gate.file_at(file.path)) == data
