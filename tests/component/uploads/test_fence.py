"""A writer that hangs in the storage keeps nobody who asks where to go on waiting for ever, and writes nothing later."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.blobs.memory import MemoryBlobs
from gateway.errors import Gone
from gateway.spool import SegmentWriter, SharedSegment
from gateway.uploads import leases
from gateway.uploads.probe import ensure_sound
from tests.component.gateway_app import TUS, Gate, Person, gateway_app
from tests.unit.spool.support import noise


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with gateway_app(tmp_path, sqlite=True) as gate:
        yield gate


@pytest.fixture
async def person(gate: Gate) -> Person:
    return await gate.person()


class Syncs:
    """Of the storage: they hang while `go_on` isn't set."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self._hangs = threading.Event()

    def hang(self) -> None:
        self._hangs.clear()
        self.go_on.clear()

    async def one_hangs(self) -> None:
        assert await asyncio.to_thread(self._hangs.wait, 10)

    def wait(self) -> None:
        """By who syncs."""
        self._hangs.set()
        assert self.go_on.wait(30)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Syncs]:
    syncs = Syncs()
    monkeypatch.setattr(leases, "LET_GO_TIMEOUT_S", 0.05)
    for kind in (SharedSegment, SegmentWriter):

        def slowly(self: Any, sync: Any = kind.sync) -> None:
            syncs.wait()
            sync(self)

        monkeypatch.setattr(kind, "sync", slowly)
    yield syncs
    syncs.go_on.set()


@pytest.mark.parametrize("size", [3000, 3 << 20], ids=["of a shared segment", "with a segment for itself"])
async def test_head_goes_on_without_a_writer_that_hangs_and_what_that_brought_never_counts(
    gate: Gate, person: Person, size: int, syncs: Syncs
) -> None:
    opened = await gate.init(person.token, [size])
    path = await gate.tus_file(opened.token, size, body=noise(size)[:1000], metadata={"file_id": "f"})
    assert await gate.offset(opened.token, path) == 1000
    syncs.hang()
    late = asyncio.ensure_future(gate.tus_patch(opened.token, path, 1000, io.BytesIO(bytes(size - 1001))))
    await syncs.one_hangs()
    assert (await gate.tus_head(opened.token, path)).headers["Upload-Offset"] == "1000"
    syncs.go_on.set()
    answer = await late
    assert (answer.status, answer.code) == (409, "taken_over")
    assert (await gate.tus_head(opened.token, path)).headers["Upload-Offset"] == "1000"
    assert (await gate.tus_patch(opened.token, path, 1000, io.BytesIO(noise(size)[1000:]))).status == 204
    row = await gate.file_at(path)
    assert row.fence == 1
    assert await gate.stored(row) == noise(size)


async def test_who_asks_is_not_disturbed_by_bytes_that_are_committed_just_then(gate: Gate, person: Person) -> None:
    opened = await gate.init(person.token, [3000])
    path = await gate.tus_file(opened.token, 3000, body=noise(1000), metadata={"file_id": "f"})
    before = await gate.file_at(path)
    assert (await gate.tus_patch(opened.token, path, 1000, noise(1000))).status == 204
    gate.intake.tails.close(before.file_id)  # as if another request wrote just now
    await ensure_sound(gate.intake, await gate.upload(opened.upload_id), before)


async def test_all_who_find_the_same_damage_hear_of_it_and_it_is_written_down_once(gate: Gate, person: Person) -> None:
    opened = await gate.init(person.token, [3000])
    path = await gate.tus_file(opened.token, 3000, body=noise(1000), metadata={"file_id": "f"})
    before = await gate.file_at(path)
    gate.intake.tails.close(before.file_id)  # as if another process had written
    assert isinstance(gate.blobs, MemoryBlobs)
    for blob in list(gate.blobs.list()):
        gate.blobs.put(blob.name, gate.blobs.content(blob.name)[:-1])
    upload = await gate.upload(opened.upload_id)
    found = await asyncio.gather(*(ensure_sound(gate.intake, upload, before) for _ in range(5)), return_exceptions=True)
    with pytest.raises(Gone) as late:  # who read the row before that, and looks only now
        await ensure_sound(gate.intake, upload, before)
    assert [getattr(one, "code", one) for one in [*found, late.value]] == ["data_lost"] * 6
    events = [row.event for row in await gate.ledger.read(lambda tx: tx.audit.after(0, 100))]
    assert events.count("file.lost") == 1


async def test_delete_goes_on_without_it_too(gate: Gate, person: Person, syncs: Syncs) -> None:
    opened = await gate.init(person.token, [3000])
    path = await gate.tus_file(opened.token, 3000, body=noise(1000), metadata={"file_id": "f"})
    syncs.hang()
    late = asyncio.ensure_future(gate.tus_patch(opened.token, path, 1000, noise(1000)))
    await syncs.one_hangs()
    assert (await gate.ask("DELETE", path, opened.token, headers=TUS)).status == 204
    syncs.go_on.set()
    assert (await late).status == 410
    assert (await gate.tus_head(opened.token, path)).status == 410
