"""Small files share a segment: each is read, lost and erased by itself, and what nobody can read goes back to the disk."""

from __future__ import annotations

import errno
import io
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.blobs.local import LocalBlobs
from gateway.errors import Gone
from gateway.ledger.rows import SharedState
from gateway.spool import SharedSegment, shared
from tests.component.gateway_app import CHUNK, Gate, Opened, Person, gateway_app
from tests.unit.spool.support import noise

BLOCK = 4096


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    blobs = LocalBlobs(tmp_path / "spool")
    async with gateway_app(tmp_path, sqlite=True, blobs=blobs) as gate:
        yield gate


@pytest.fixture
async def person(gate: Gate) -> Person:
    return await gate.person()


async def files(gate: Gate, opened: Opened, count: int, size: int) -> list[str]:
    """So many files in one go each; the paths."""
    return [
        await gate.tus_file(opened.token, size, body=noise(size, number), metadata={"file_id": f"f{number}"})
        for number in range(count)
    ]


def taken(gate: Gate) -> int:
    return sum(facts.taken_bytes for facts in gate.blobs.list())


async def segments_of(gate: Gate, path: str) -> set[str]:
    file_id = path.rpartition("/")[2]
    return {run.segment_id for run in await gate.ledger.read(lambda tx: tx.runs.of_file(file_id))}


async def test_small_files_share_a_segment_and_large_ones_have_one_each(gate: Gate, person: Person) -> None:
    opened = await gate.init(person.token, [1000, 1000, 2 << 20, 2 << 20])
    small, large = await files(gate, opened, 2, 1000), []
    for number in (2, 3):
        body = io.BytesIO(noise(2 << 20, number))
        large.append(await gate.tus_file(opened.token, 2 << 20, body=body, metadata={"file_id": f"f{number}"}))
    assert await segments_of(gate, small[0]) == await segments_of(gate, small[1])
    assert len({*await segments_of(gate, large[0]), *await segments_of(gate, large[1])}) == 2
    for number, path in enumerate([*small, *large]):
        row = await gate.file_at(path)
        assert await gate.stored(row) == noise(row.offset, number)


async def test_a_file_taken_out_of_a_segment_that_still_grows_gives_its_room_back(gate: Gate, person: Person) -> None:
    size = 20 * BLOCK
    opened = await gate.init(person.token, [size] * 4)
    paths = await files(gate, opened, 3, size)
    rows, before = [await gate.file_at(path) for path in paths], taken(gate)
    wrapped = await gate.ledger.read(lambda tx: tx.keys.get(rows[1].key_id or 0))
    assert wrapped is not None

    assert (await gate.ask("DELETE", paths[1], opened.token, headers={"Tus-Resumable": "1.0.0"})).status == 204
    assert taken(gate) <= before - size + 2 * BLOCK
    assert await gate.ledger.read(lambda tx: tx.keys.get(rows[1].key_id or 0)) is None
    await gate.purge()
    assert not any(wrapped[-16:] in path.read_bytes() for path in gate.folder.glob("relaypacs.db*"))
    with pytest.raises(Gone):
        await gate.stored(rows[1])
    for number in (0, 2):  # its neighbours
        assert await gate.stored(rows[number]) == noise(size, number)
    path = await gate.tus_file(opened.token, size, body=noise(size, 9), metadata={"file_id": "next"})
    assert await segments_of(gate, path) == await segments_of(gate, paths[0])
    assert await gate.stored(await gate.file_at(path)) == noise(size, 9)


async def test_without_holes_the_room_stays_taken(gate: Gate, person: Person, monkeypatch) -> None:
    """The control of the test above."""
    monkeypatch.setattr(LocalBlobs, "punch", lambda *_which: False)
    size = 20 * BLOCK
    opened = await gate.init(person.token, [size] * 2)
    paths, before = await files(gate, opened, 2, size), taken(gate)
    await gate.ask("DELETE", paths[1], opened.token, headers={"Tus-Resumable": "1.0.0"})
    assert taken(gate) == before


async def test_after_a_random_half_is_deleted_the_spool_takes_little_more_than_what_lives(
    gate: Gate, person: Person, monkeypatch
) -> None:
    monkeypatch.setattr(shared, "FULL_AT_BYTES", 1 << 20)
    count, size = 200, 5 * BLOCK
    opened = await gate.init(person.token, [size] * count)
    paths = await files(gate, opened, count, size)
    gone = random.Random(1).sample(range(count), count // 2)
    for number in gone:
        await gate.ask("DELETE", paths[number], opened.token, headers={"Tus-Resumable": "1.0.0"})
    await gate.purge()
    # Where a block belongs to two entries it goes with the second.
    assert taken(gate) <= (count - len(gone)) * (size + 2 * BLOCK)
    for number in set(range(count)) - set(gone):
        assert await gate.stored(await gate.file_at(paths[number])) == noise(size, number)


async def test_a_segment_goes_with_the_last_that_is_in_it(gate: Gate, person: Person) -> None:
    opened = await gate.init(person.token, [1000] * 3)
    await files(gate, opened, 3, 1000)
    assert len(list(gate.blobs.list())) == 1
    assert (await gate.ask("DELETE", f"/upload/{opened.upload_id}", opened.token)).status == 204
    await gate.purge()
    assert list(gate.blobs.list()) == []
    again = await gate.init(person.token, [1000])
    (path,) = await files(gate, again, 1, 1000)
    assert await gate.stored(await gate.file_at(path)) == noise(1000, 0)


async def test_what_was_refused_is_given_back_when_its_segment_is_closed(gate: Gate, person: Person) -> None:
    opened = await gate.init(person.token, [1000, 40 * BLOCK])
    (path,) = await files(gate, opened, 1, 1000)
    other = await gate.tus_file(opened.token, 40 * BLOCK, metadata={"file_id": "refused"})
    wrong = {"Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="}
    assert (await gate.tus_patch(opened.token, other, 0, noise(40 * BLOCK), headers=wrong)).status == 460
    before = taken(gate)
    await gate.restart()
    await gate.purge()
    assert taken(gate) <= before - 39 * BLOCK
    assert await gate.stored(await gate.file_at(path)) == noise(1000, 0)
    assert [one.state for one in await gate.ledger.read(lambda tx: tx.runs.shared(SharedState.TIDY))] == ["tidy"]


async def test_a_full_segment_is_followed_by_another(gate: Gate, person: Person, monkeypatch) -> None:
    monkeypatch.setattr(shared, "FULL_AT_BYTES", 3000)
    opened = await gate.init(person.token, [1000] * 9)
    paths = await files(gate, opened, 9, 1000)
    assert len(set.union(*[await segments_of(gate, path) for path in paths])) == 3
    assert len(await gate.ledger.read(lambda tx: tx.runs.shared(SharedState.OPEN))) == 1
    for number, path in enumerate(paths):
        assert await gate.stored(await gate.file_at(path)) == noise(1000, number)


async def test_a_sync_that_fails_costs_whoever_waits_for_it_and_nobody_else(
    gate: Gate, person: Person, monkeypatch
) -> None:
    opened = await gate.init(person.token, [1000] * 3)
    (kept,) = await files(gate, opened, 1, 1000)
    sync = SharedSegment.sync

    def fails(self: SharedSegment) -> None:
        with self._breaking():
            raise OSError(errno.EIO, "no")

    monkeypatch.setattr(SharedSegment, "sync", fails)
    answer = await gate.tus_create(opened.token, 1000, noise(1000, 5), metadata={"file_id": "hurt"})
    assert (answer.status, answer.code) == (503, "storage_error")
    monkeypatch.setattr(SharedSegment, "sync", sync)
    again = await gate.tus_create(opened.token, 1000, noise(1000, 5), metadata={"file_id": "hurt"})
    assert again.status == 201
    hurt = again.headers["Location"].partition("/files/")[2]
    assert await segments_of(gate, hurt) != await segments_of(gate, kept)  # nothing is tried again on that one
    assert await gate.stored(await gate.file_at(kept)) == noise(1000, 0)
    assert await gate.stored(await gate.file_at(hurt)) == noise(1000, 5)


async def test_a_chunk_that_comes_slowly_is_one_chunk_of_several_entries(gate: Gate, person: Person) -> None:
    opened = await gate.init(person.token, [CHUNK * 2])
    gate.intake.pipeline._buffered.gather_bytes = lambda: 100  # type: ignore[method-assign]  # as where memory is scarce
    content = noise(CHUNK * 2)
    for index in (1, 0):
        piece = content[index * CHUNK : (index + 1) * CHUNK]

        async def slowly(piece: bytes = piece):
            for at in range(0, CHUNK, 256):
                yield piece[at : at + 256]

        told = {"Content-Length": str(CHUNK)}
        assert (await gate.chunk(opened, "f", index, slowly(), total=2, headers=told)).status == 200
    file = await gate.file(opened.upload_id)
    assert await gate.stored(file) == content
    listed = (await gate.ask("GET", f"/upload/{opened.upload_id}/files", opened.token)).json["files"]
    assert listed[0]["received_chunks"] == [[0, 1]]
    assert (await gate.chunk(opened, "f", 1, content[CHUNK:], total=2)).status == 200  # a repeat changes nothing
    assert (await gate.chunk(opened, "f", 1, bytes(CHUNK), total=2)).code == "chunk_conflict"
