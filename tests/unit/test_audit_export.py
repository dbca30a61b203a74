"""The audit trail's way into its file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.audit_chain import from_line, verify
from gateway.audit_export import SETTING, AuditExport
from gateway.errors import Unavailable
from gateway.ledger.base import Transaction
from gateway.ledger.sqlite import SqliteLedger

KEY = b"k" * 32


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    opened = await SqliteLedger.open(tmp_path / "relaypacs.db", audit_key=KEY)
    yield opened
    await opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "audit.jsonl"


async def events(ledger: SqliteLedger, count: int) -> None:
    def act(tx: Transaction) -> None:
        for n in range(count):
            tx.audit.append("event", at=1.0, actor="a", detail={"n": n})

    await ledger.write(act)


def numbers(path: Path) -> list[int]:
    return [from_line(line).number for line in path.read_bytes().splitlines(keepends=True)]


async def test_every_event_is_in_the_file_once_and_the_file_can_be_verified_by_itself(ledger, path: Path) -> None:
    export = AuditExport(ledger, path)
    await events(ledger, 1203)
    assert await export.catch_up() == 1203
    assert await export.catch_up() == 0
    await events(ledger, 2)
    assert await AuditExport(ledger, path).catch_up() == 2
    assert path.stat().st_mode & 0o777 == 0o600
    rows = [from_line(line) for line in path.read_bytes().splitlines()]
    head = await ledger.read(lambda tx: tx.audit.head())
    assert verify(rows, KEY, head).whole


async def test_events_are_written_as_they_come(ledger, path: Path) -> None:
    running = asyncio.create_task(AuditExport(ledger, path).run())
    for count in (1, 2, 3):
        await events(ledger, 1)
        async with asyncio.timeout(4):  # less than the time after which it would look by itself
            while await ledger.read(lambda tx: tx.settings.get(SETTING)) != str(count):
                await asyncio.sleep(0.005)
        assert numbers(path) == list(range(1, count + 1))
    running.cancel()


async def test_after_a_crash_between_file_and_ledger_no_event_is_doubled(ledger, path: Path) -> None:
    await events(ledger, 5)
    await AuditExport(ledger, path).catch_up()
    await ledger.write(lambda tx: tx.settings.put(SETTING, "2"))
    await events(ledger, 1)
    assert await AuditExport(ledger, path).catch_up() == 1
    assert numbers(path) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("cut", [1, 40, 100])
async def test_a_torn_line_is_written_anew(ledger, path: Path, cut: int) -> None:
    await events(ledger, 3)
    await AuditExport(ledger, path).catch_up()
    await ledger.write(lambda tx: tx.settings.put(SETTING, "0"))
    path.write_bytes(path.read_bytes()[:-cut])
    assert await AuditExport(ledger, path).catch_up() == 1
    assert numbers(path) == [1, 2, 3]


async def test_a_file_with_nothing_but_a_torn_line_begins_anew(ledger, path: Path) -> None:
    await events(ledger, 2)
    path.parent.mkdir()
    path.write_bytes(b'{"number":1')
    await AuditExport(ledger, path).catch_up()
    assert numbers(path) == [1, 2]


async def test_a_rotated_file_is_followed_by_a_new_one_that_goes_on(ledger, path: Path) -> None:
    export = AuditExport(ledger, path)
    await events(ledger, 2)
    await export.catch_up()
    path.rename(path.with_suffix(".1"))
    await events(ledger, 2)
    await export.catch_up()
    assert numbers(path) == [3, 4]


async def test_the_file_of_another_gateway_is_not_believed(ledger, path: Path, tmp_path: Path) -> None:
    other = await SqliteLedger.open(tmp_path / "other.db", audit_key=b"x" * 32)
    await events(other, 3)
    await AuditExport(other, path).catch_up()
    await other.close()
    await events(ledger, 4)
    assert await AuditExport(ledger, path).catch_up() == 4
    assert numbers(path) == [1, 2, 3, 1, 2, 3, 4]


async def test_a_file_that_can_not_be_written_loses_no_event(ledger, path: Path) -> None:
    export = AuditExport(ledger, path)
    await events(ledger, 2)
    path.mkdir(parents=True)
    with pytest.raises(Unavailable) as refused:
        await export.catch_up()
    assert refused.value.code == "storage_error"
    path.rmdir()
    assert await export.catch_up() == 2
    assert numbers(path) == [1, 2]
