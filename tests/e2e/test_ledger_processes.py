"""The SQLite ledger across real processes: killed ones, several at once, and a system that refuses to write."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from gateway.ledger import chain
from gateway.ledger.base import AUDIT
from gateway.ledger.sqlite.ledger import SqliteLedger
from tests.e2e.ledger_child import KEY, event

CHILD = Path(__file__).with_name("ledger_child.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "relaypacs.db"


async def child(path: Path, name: str, how: str) -> Process:
    root = str(CHILD.parents[2])
    return await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), str(path), name, how, stdout=PIPE, cwd=root, env={"PYTHONPATH": root}
    )


async def told(process: Process, at_least: int) -> list[int]:
    """The acknowledgements up to that many."""
    assert process.stdout is not None
    return [int(await process.stdout.readline()) for _ in range(at_least)]


async def all_told(process: Process) -> list[str]:
    assert process.stdout is not None
    return (await process.stdout.read()).decode().split()


async def lost(path: Path, acknowledged: dict[str, list[int]]) -> list[str]:
    """Acknowledged events that aren't in the ledger; the trail is whole and has at least as many."""
    ledger = await SqliteLedger.open(path, audit_key=KEY)
    try:
        wanted = [f"{name}-{number}" for name, numbers in acknowledged.items() for number in numbers]
        rows, head, there = await ledger.read(
            lambda tx: (tx.audit.after(0, 1_000_000), tx.audit.head(), {name: tx.settings.get(name) for name in wanted})
        )
        assert chain.verify(rows, KEY, head).whole
        assert len(rows) >= len(wanted)
        return [name for name, value in there.items() if value is None]
    finally:
        await ledger.close()


async def test_every_acknowledged_write_outlives_a_kill(path: Path) -> None:
    acknowledged: dict[str, list[int]] = {}
    for life in range(5):
        process = await child(path, f"life{life}", "0")
        numbers = await told(process, 50 * (life + 1))
        process.kill()
        acknowledged[f"life{life}"] = numbers + [int(line) for line in (await all_told(process))[:-1]]
        assert await process.wait() == -9
        assert await lost(path, acknowledged) == []


async def test_two_processes_that_write_at_once_chain_one_trail(path: Path) -> None:
    processes = [await child(path, name, "150") for name in ("one", "two")]  # both make the new file, too
    lines = [await all_told(process) for process in processes]
    assert [await process.wait() for process in processes] == [0, 0]
    acknowledged = {name: [int(line) for line in said] for name, said in zip(("one", "two"), lines, strict=True)}
    assert [len(numbers) for numbers in acknowledged.values()] == [150, 150]
    assert await lost(path, acknowledged) == []


async def test_a_command_gets_its_turn_beside_a_process_that_writes_without_a_pause(path: Path) -> None:
    busy = await child(path, "busy", "0")
    await told(busy, 20)
    ledger = await SqliteLedger.open(path, audit_key=KEY)
    try:
        async with asyncio.timeout(10):
            for number in range(20):
                await ledger.write(event("command", number))
    finally:
        busy.kill()
        await all_told(busy)
        await busy.wait()
        await ledger.close()


async def test_commits_of_another_process_wake_nobody_but_are_seen(path: Path) -> None:
    ledger = await SqliteLedger.open(path, audit_key=KEY)
    with ledger.watch(AUDIT) as watch:
        process = await child(path, "other", "1")
        assert await process.wait() == 0
        assert not await watch.changed(timeout_s=0)
        assert (await ledger.read(lambda tx: tx.audit.head()))[0] == 1
    await ledger.close()


async def test_a_write_that_the_system_refuses_is_not_acknowledged_and_later_ones_are(path: Path) -> None:
    process = await child(path, "limited", "limit")
    lines = await all_told(process)
    assert await process.wait() == 0
    assert lines.count("storage_error") == 1
    numbers = [int(line) for line in lines if line != "storage_error"]
    refused = numbers[-1] - 1
    assert refused not in numbers
    assert await lost(path, {"limited": numbers}) == []
    assert await lost(path, {"limited": [refused]}) == [f"limited-{refused}"]
