"""On a medium without holes, what lives of a mostly dead segment is copied elsewhere, and the segment goes."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gateway.assembly.upkeep import open_retention
from gateway.blobs.local import LocalBlobs
from gateway.delivery.spooled import opener, place_of
from gateway.errors import SpoolFull
from gateway.keys import unwrap
from gateway.ledger.base import Transaction
from gateway.ledger.rows import FileRow, SharedState
from gateway.spool import Spool
from gateway.uploads.compaction import SOME_FOR_S
from hooks.contract import Source
from tests.component.gateway_app import Gate, Opened, Person, gateway_app
from tests.unit.spool.support import noise

SIZE = 50_000


@pytest.fixture
async def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    monkeypatch.setattr(LocalBlobs, "punch", lambda *_which: False)
    async with gateway_app(tmp_path, sqlite=True, blobs=LocalBlobs(tmp_path / "spool")) as gate:
        yield gate


@pytest.fixture
async def person(gate: Gate) -> Person:
    return await gate.person()


class Filled:
    """Files of one upload in one segment, some of them gone again; then another process begins."""

    def __init__(self, gate: Gate, opened: Opened) -> None:
        self.gate = gate
        self.opened = opened
        self.rows: dict[int, FileRow] = {}

    async def whole(self) -> None:
        for number, row in self.rows.items():
            assert await self.gate.stored(row) == noise(SIZE, number)

    async def segments(self) -> set[str]:
        found = set()
        for row in self.rows.values():
            found |= {run.segment_id for run in await self.gate.ledger.read(partial(_runs, file_id=row.file_id))}
        return found

    def taken(self) -> int:
        return sum(facts.taken_bytes for facts in self.gate.blobs.list())


def _runs(tx: Transaction, file_id: str):
    return tx.runs.of_file(file_id)


def _erased(tx: Transaction, file_id: str) -> None:
    file = tx.files.get(file_id)
    assert file is not None
    tx.keys.delete([file.key_id or 0])
    tx.files.save(replace(file, key_id=None))


async def filled(gate: Gate, person: Person, files: int, gone: int) -> Filled:
    opened = await gate.init(person.token, [SIZE] * files)
    it = Filled(gate, opened)
    paths = [
        await gate.tus_file(opened.token, SIZE, body=noise(SIZE, number), metadata={"file_id": f"f{number}"})
        for number in range(files)
    ]
    for number in range(gone):
        await gate.ask("DELETE", paths[number], opened.token, headers={"Tus-Resumable": "1.0.0"})
    it.rows = {number: await gate.file_at(paths[number]) for number in range(gone, files)}
    await gate.restart()  # its segment is closed
    return it


async def test_a_segment_of_which_more_than_half_is_dead_goes_and_what_lived_in_it_is_there(
    gate: Gate, person: Person
) -> None:
    it = await filled(gate, person, files=10, gone=6)
    (before,) = await it.segments()
    await gate.purge()
    (after,) = await it.segments()
    assert after != before
    assert [facts.name for facts in gate.blobs.list()] == [after]
    assert it.taken() <= 4 * (SIZE + 4096)
    await it.whole()
    await gate.purge()
    assert [one.segment_id for one in await gate.ledger.read(lambda tx: tx.runs.shared(SharedState.TIDY))] == [after]


async def test_one_of_which_some_is_dead_waits_an_hour_for_the_rest_to_die(gate: Gate, person: Person) -> None:
    it = await filled(gate, person, files=10, gone=3)
    retention = open_retention(gate.base, gate.intake)
    before, took = await it.segments(), it.taken()
    await retention.run_once()
    assert (await it.segments(), it.taken()) == (before, took)
    gate.clock.advance(SOME_FOR_S + 1)
    await retention.run_once()
    assert await it.segments() != before
    assert it.taken() <= 7 * (SIZE + 4096)
    await it.whole()


async def test_one_that_nearly_all_of_lives_stays(gate: Gate, person: Person) -> None:
    it = await filled(gate, person, files=10, gone=1)
    before = await it.segments()
    retention = open_retention(gate.base, gate.intake)
    for _ in range(2):
        await retention.run_once()
        gate.clock.advance(SOME_FOR_S + 1)
    assert await it.segments() == before


async def test_whoever_read_the_rows_before_reads_the_file_all_the_same(gate: Gate, person: Person) -> None:
    it = await filled(gate, person, files=5, gone=4)
    row, upload = it.rows[4], await gate.upload(it.opened.upload_id)

    def act(tx: Transaction):
        key = unwrap.upload_key(tx, gate.intake.ring, upload)
        assert key is not None
        return opener(gate.base.spool, key, place_of(tx, row))

    open_file = await gate.ledger.read(act)
    (before,) = await it.segments()
    await gate.purge()
    assert before not in {facts.name for facts in gate.blobs.list()}
    source: Source = open_file()
    assert source.read_at(0, SIZE) == noise(SIZE, 4)
    source.close()


async def test_what_is_erased_while_it_is_copied_is_not_named_anew(
    gate: Gate, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = await filled(gate, person, files=6, gone=4)
    copy, loop = Spool.copy_entries, asyncio.get_running_loop()

    def copied(spool: Spool, entries, to_segment_id: str):
        places = copy(spool, entries, to_segment_id)
        erased = gate.ledger.write(partial(_erased, file_id=it.rows[5].file_id))
        asyncio.run_coroutine_threadsafe(erased, loop).result()
        return places

    monkeypatch.setattr(Spool, "copy_entries", copied)
    await gate.purge()
    assert await gate.stored(it.rows[4]) == noise(SIZE, 4)
    left = await gate.ledger.read(partial(_runs, file_id=it.rows[5].file_id))
    moved = await gate.ledger.read(partial(_runs, file_id=it.rows[4].file_id))
    assert {run.segment_id for run in left} != {run.segment_id for run in moved}


async def test_without_room_nothing_is_copied_and_nothing_left_behind(
    gate: Gate, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = await filled(gate, person, files=6, gone=4)
    before = await it.segments()

    def full(*_what):
        raise SpoolFull("no") from OSError(errno.ENOSPC, "no")

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "copy_entries", full)
        await gate.purge()
    assert await it.segments() == before
    assert not await gate.ledger.read(lambda tx: tx.runs.shared(SharedState.OPEN))
    await gate.purge()
    assert await it.segments() != before
    await it.whole()
