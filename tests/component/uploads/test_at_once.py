"""A small file that comes whole with its creation is one entry and one commit; what comes slowly is as any other file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.blobs.local import LocalBlobs
from gateway.ledger.rows import JobKind
from gateway.uploads import at_once
from tests.component.gateway_app import OFFSET_TYPE, TUS, Gate, Line, gateway_app, tus_metadata
from tests.unit.spool.support import noise

SIZE = 20_000


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with gateway_app(tmp_path, sqlite=True, blobs=LocalBlobs(tmp_path / "spool")) as gate:
        yield gate


def commits(gate: Gate) -> list[float]:
    """One for each commit from now on."""
    seen: list[float] = []
    gate.ledger.time_commits(seen.append)
    return seen


def begun_post(gate: Gate, token: str, size: int, data: bytes, name: str):
    """A creation with so many bytes, of which `data` was sent."""
    told = {
        **TUS,
        "Content-Type": OFFSET_TYPE,
        "Upload-Length": str(size),
        "Content-Length": str(size),
        "Upload-Metadata": tus_metadata({"file_id": name}),
    }
    return gate.begun("POST", "/files/", token, told, data)


async def test_the_file_its_bytes_and_its_job_are_one_commit(gate: Gate) -> None:
    opened = await gate.init((await gate.person()).token, [SIZE] * 2)
    await gate.tus_file(opened.token, SIZE, body=noise(SIZE, 0), metadata={"file_id": "first"})  # begins the segment
    seen = commits(gate)
    path = await gate.tus_file(opened.token, SIZE, body=noise(SIZE, 1), metadata={"file_id": "second"})
    assert len(seen) == 1
    row = await gate.file_at(path)
    assert row.whole_at is not None
    assert await gate.stored(row) == noise(SIZE, 1)
    jobs = await gate.ledger.read(lambda tx: tx.jobs.of_upload(opened.upload_id, JobKind.CHECK))
    assert row.file_id in {job.file_id for job in jobs}


async def test_a_file_that_is_made_first_takes_two(gate: Gate) -> None:
    """The control of the test above."""
    opened = await gate.init((await gate.person()).token, [SIZE] * 2)
    await gate.tus_file(opened.token, SIZE, body=noise(SIZE, 0), metadata={"file_id": "first"})
    seen = commits(gate)
    path = await gate.tus_file(opened.token, SIZE, metadata={"file_id": "second"})
    assert (await gate.tus_patch(opened.token, path, 0, noise(SIZE, 1))).status == 204
    assert len(seen) == 2


async def test_part_of_a_file_comes_at_once_and_the_rest_later(gate: Gate) -> None:
    opened = await gate.init((await gate.person()).token, [SIZE])
    content = noise(SIZE, 3)
    answer = await gate.tus_create(opened.token, SIZE, content[:7000], metadata={"file_id": "part"})
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "7000")
    path = "/files/" + answer.headers["Location"].rpartition("/")[2]
    assert await gate.offset(opened.token, path) == 7000
    assert (await gate.tus_patch(opened.token, path, 7000, content[7000:])).status == 204
    assert await gate.stored(await gate.file_at(path)) == content


async def test_the_same_file_again_is_the_same_and_its_bytes_arent_taken_twice(gate: Gate) -> None:
    opened = await gate.init((await gate.person()).token, [SIZE] * 2)
    first, second = [
        await gate.tus_create(opened.token, SIZE, noise(SIZE, 4), metadata={"file_id": "twice"}) for _ in range(2)
    ]
    assert first.headers["Location"] == second.headers["Location"]
    assert (second.status, second.headers["Upload-Offset"]) == (201, str(SIZE))
    assert (await gate.upload(opened.upload_id)).received_bytes == SIZE


async def test_sixteen_at_once_of_one_name_make_one_file(gate: Gate) -> None:
    opened = await gate.init((await gate.person()).token, [SIZE] * 16)
    answers = await asyncio.gather(
        *(gate.tus_create(opened.token, SIZE, noise(SIZE, 5), metadata={"file_id": "same"}) for _ in range(16))
    )
    assert {answer.status for answer in answers} <= {201, 409}
    assert len({answer.headers["Location"] for answer in answers if answer.status == 201}) == 1
    upload = await gate.upload(opened.upload_id)
    assert (upload.live_files, upload.received_bytes) == (1, SIZE)
    assert await gate.stored(await gate.file(opened.upload_id)) == noise(SIZE, 5)


async def test_what_a_broken_line_brought_is_kept_and_found_by_the_name(gate: Gate) -> None:
    opened = await gate.init((await gate.person()).token, [SIZE])
    content = noise(SIZE, 6)
    async with begun_post(gate, opened.token, SIZE, content[:9000], "broken"):
        await gate.read_from("/files/", 9000)
    await gate.in_flight(0)
    again = await gate.tus_create(opened.token, SIZE, metadata={"file_id": "broken"})
    path = "/files/" + again.headers["Location"].rpartition("/")[2]
    assert await gate.offset(opened.token, path) == 9000
    assert (await gate.tus_patch(opened.token, path, 9000, content[9000:])).status == 204
    assert await gate.stored(await gate.file_at(path)) == content


async def test_a_slow_body_is_found_by_its_name_before_it_ends(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_once, "AT_ONCE_S", 0.01)
    opened = await gate.init((await gate.person()).token, [SIZE])
    async with begun_post(gate, opened.token, SIZE, noise(SIZE, 7)[:5000], "slow") as line:
        async with asyncio.timeout(5):
            while not await gate.ledger.read(lambda tx: tx.files.page(opened.upload_id)):
                await asyncio.sleep(0.001)
        path = "/files/" + (await gate.file(opened.upload_id)).file_id
        await gate.held(path)
        assert await gate.offset(opened.token, path) == 5000  # it is cut off, and what came is kept
        assert isinstance(line, Line)


@pytest.mark.parametrize("refusal", ["completed", "cancelled"])
async def test_an_upload_that_ended_a_moment_ago_takes_no_file(gate: Gate, refusal: str) -> None:
    opened = await gate.init((await gate.person()).token, [SIZE])
    await gate.tus_file(opened.token, SIZE, body=noise(SIZE, 8), metadata={"file_id": "first"})
    if refusal == "completed":
        assert (await gate.complete(opened)).status == 202
    else:
        assert (await gate.ask("DELETE", f"/upload/{opened.upload_id}", opened.token)).status == 204
    answer = await gate.tus_create(opened.token, SIZE, noise(SIZE, 9), metadata={"file_id": "late"})
    assert answer.status == (409 if refusal == "completed" else 410)
    rows = await gate.ledger.read(lambda tx: tx.files.page(opened.upload_id))
    assert len(rows) <= 1


async def test_bytes_for_an_upload_that_ended_a_moment_ago_arent_taken(gate: Gate) -> None:
    opened = await gate.init((await gate.person()).token, [SIZE])
    path = await gate.tus_file(opened.token, SIZE, metadata={"file_id": "begun"})
    assert (await gate.ask("DELETE", f"/upload/{opened.upload_id}", opened.token)).status == 204
    answer = await gate.tus_patch(opened.token, path, 0, noise(SIZE, 9))
    assert (answer.status, answer.code) == (410, "upload_gone")
