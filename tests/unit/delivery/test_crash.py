"""The gateway dies before or after any of its writes, and begins again: each instance is in the PACS once, with the
right bytes, and there is one receipt.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.promises import Recorded, Reserve, Watch
from gateway.states import FileState, UploadState
from tests.unit.delivery.little_pacs import LittlePacs, Toy, toys
from tests.unit.delivery.room import Room, room

T = TypeVar("T")


class Killed(BaseException):
    """The process is gone."""


class DyingLedger:
    """Dies at its n-th write, before it or after it; nothing is written from then on."""

    def __init__(self, ledger: Ledger, dies_at: int, *, after: bool) -> None:
        self._ledger = ledger
        self._dies_at = dies_at
        self._after = after
        self.writes = 0
        self.dead = False

    @property
    def reserve(self) -> Reserve:
        return self._ledger.reserve

    def time_commits(self, note: Callable[[float], None]) -> None:
        self._ledger.time_commits(note)

    def use_audit_key(self, key: bytes) -> None:
        self._ledger.use_audit_key(key)

    async def write(self, act: Callable[[Transaction], T]) -> T:
        if self.dead:
            raise Killed
        self.writes += 1
        if self.writes == self._dies_at:
            self.dead = True
            if self._after:
                await self._ledger.write(act)
            raise Killed
        return await self._ledger.write(act)

    def record(self, group: Sequence[Recorded]) -> None:
        raise AssertionError("no bytes come here")

    async def read(self, act: Callable[[Transaction], T]) -> T:
        if self.dead:
            raise Killed
        return await self._ledger.read(act)

    def watch(self, topic: str) -> AbstractContextManager[Watch]:
        return self._ledger.watch(topic)

    @property
    def scrub_due(self) -> bool:
        return False

    async def scrub(self) -> bool:
        return True

    async def close(self) -> None:
        pass


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Room]:
    async with room(tmp_path, config={"batch_instances": 2, "connections": 2}) as opened:
        yield opened


async def die_and_come_back(it: Room, dies_at: int, *, after: bool) -> bool:
    """False: it got through before."""
    dying = DyingLedger(it.ledger, dies_at, after=after)
    it.restart(dying)
    try:
        await it.workers.run_due()
    except (Killed, BaseExceptionGroup):
        assert dying.dead or it.pacs.breaks_after is None
    await nothing_runs()
    it.restart()
    it.clock.advance(61.0)  # leases of the dead one run out
    await it.run(for_s=900)
    return dying.dead


async def nothing_runs() -> None:
    """A dead process has no tasks."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def a_hard_upload() -> list[Toy]:
    return [*toys(5), toys(1)[0], Toy("1.7", verdict="reject"), Toy("1.8", pixels=b"ours")]


def prepare(pacs: LittlePacs) -> None:
    pacs.put(Toy("1.8", pixels=b"theirs").content)
    pacs.mute = {"1.2.3.1.3"}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_dying_at_any_write_loses_and_doubles_nothing(it: Room, after: bool):
    prepare(it.pacs)
    survived = 0
    for dies_at in range(1, 200):
        it.pacs.held.clear()
        prepare(it.pacs)
        upload_id = await it.submit(a_hard_upload(), clinical_notes="Fell from a ladder.")
        died = await die_and_come_back(it, dies_at, after=after)

        assert (await it.upload(upload_id)).state is UploadState.PARTIAL, dies_at
        assert await it.states(upload_id) == ["stored"] * 5 + ["already_there", "rejected", "failed"], dies_at
        expected = {toy.uid: toy.content for toy in toys(5)} | {"1.8": Toy("1.8", pixels=b"theirs").content}
        notes = {uid: content for uid, content in it.pacs.held.items() if uid not in expected}
        assert len(notes) == 1, dies_at
        assert it.pacs.held == expected | notes, dies_at
        assert await it.jobs() == []
        delivered = [e for e in await it.events() if e.upload_id == upload_id and e.event == "upload.delivered"]
        assert len(delivered) == 1
        instances = (await it.receipt(upload_id))["instances"]
        assert Counter(one["outcome"] for one in instances) == {
            "stored": 6, "already_there": 1, "rejected": 1, "failed": 1,
        }  # fmt: skip
        assert [one["sop_instance_uid"] for one in instances if "made_by" in one] == list(notes), dies_at
        await forget(it, upload_id)
        if not died:
            survived = dies_at
            break
    assert survived > 14


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_dying_at_any_write_while_it_streams_loses_and_doubles_nothing(tmp_path: Path, after: bool):
    config = {"batch_instances": 2, "connections": 2, "streams": True}
    async with room(tmp_path, config=config) as it:
        survived = 0
        for dies_at in range(1, 200):
            it.pacs.held.clear()
            it.pacs.sent.clear()
            prepare(it.pacs)
            content, upload_id = a_hard_upload(), await it.begin(8)
            dying = DyingLedger(it.ledger, dies_at, after=after)
            it.restart(dying)
            await it.add(upload_id, *content[:3])
            await live_on(it, dying)
            await it.add(upload_id, *content[3:6])
            await live_on(it, dying)
            assert (await it.upload(upload_id)).state is UploadState.UPLOADING
            await it.add(upload_id, *content[6:])
            await it.complete(upload_id)
            await live_on(it, dying)
            assert (await it.upload(upload_id)).state is UploadState.PARTIAL, dies_at
            assert await it.states(upload_id) == ["stored"] * 5 + ["already_there", "rejected", "failed"], dies_at
            there = {toy.uid: toy.content for toy in toys(5)} | {"1.8": Toy("1.8", pixels=b"theirs").content}
            assert it.pacs.held == there, dies_at
            assert max(Counter(uid for uid in it.pacs.sent if uid not in it.pacs.mute).values()) == 1, dies_at
            assert await it.jobs() == []
            assert Counter(one["outcome"] for one in (await it.receipt(upload_id))["instances"]) == {
                "stored": 5, "already_there": 1, "rejected": 1, "failed": 1,
            }  # fmt: skip
            await forget(it, upload_id)
            if not dying.dead:
                survived = dies_at
                break
        assert survived > 20


async def live_on(it: Room, dying: DyingLedger) -> None:
    """Until nothing is due, in another process if this one dies."""
    dead = dying.dead
    try:
        await it.run(for_s=900)
    except (Killed, BaseExceptionGroup):
        assert dying.dead
    if dying.dead and not dead:
        await nothing_runs()
        it.restart()
        it.clock.advance(61.0)  # leases of the dead one run out
        await it.run(for_s=900)


async def forget(it: Room, upload_id: str) -> None:
    """The next round begins with a PACS and an index that know nothing."""
    await it.ledger.write(lambda tx: tx.uploads.delete(upload_id))
    it.clock.advance(86400.0)


@pytest.mark.parametrize("breaks_after", range(6))
async def test_dying_in_the_middle_of_a_batch_sends_nothing_twice_that_arrived(it: Room, breaks_after: int):
    it.pacs.breaks_after, it.pacs.breaks_by = breaks_after, Killed()
    upload_id = await it.submit(toys(5), clinical_notes="Fell from a ladder.")
    await die_and_come_back(it, 10_000, after=False)
    assert await it.states(upload_id) == ["stored"] * 5
    [made] = await it.made(upload_id)
    [note] = it.pacs.held.keys() - {toy.uid for toy in toys(5)}
    assert made.state is FileState.STORED
    assert it.pacs.held == {toy.uid: toy.content for toy in toys(5)} | {note: it.pacs.held[note]}
    # At most the instance that broke off went twice.
    assert sum(Counter(it.pacs.sent).values()) <= 7
