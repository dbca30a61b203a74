"""The audit trail's way into its file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.audit.check import check_trail
from gateway.audit.export import AuditExport
from gateway.audit.files import former_files
from gateway.audit.retention import AuditRetention
from gateway.errors import Unavailable
from gateway.ledger.base import Transaction
from gateway.ledger.chain import from_line, read_opening, verify
from gateway.ledger.settings import Setting
from gateway.ledger.sqlite.ledger import SqliteLedger
from tests.clocks import ManualClock

KEY = b"k" * 32


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    opened = await SqliteLedger.open(tmp_path / "relaypacs.db", audit_key=KEY)
    yield opened
    await opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "audit.jsonl"


async def events(ledger: SqliteLedger, count: int, at: float = 1.0) -> None:
    def act(tx: Transaction) -> None:
        for n in range(count):
            tx.audit.append("event", at=at, actor="a", detail={"n": n})

    await ledger.write(act)


def numbers(path: Path) -> list[int]:
    lines = path.read_bytes().splitlines(keepends=True)
    return [from_line(line).number for line in lines if not line.startswith(b'{"opening"')]


async def test_every_event_is_in_the_file_once_and_the_file_can_be_verified_by_itself(ledger, path: Path) -> None:
    export = AuditExport(ledger, path, KEY)
    await events(ledger, 1203)
    assert await export.catch_up() == 1203
    assert await export.catch_up() == 0
    await events(ledger, 2)
    assert await AuditExport(ledger, path, KEY).catch_up() == 2
    assert path.stat().st_mode & 0o777 == 0o600
    rows = [from_line(line) for line in path.read_bytes().splitlines()]
    head = await ledger.read(lambda tx: tx.audit.head())
    assert verify(rows, KEY, head).whole


async def test_events_are_written_as_they_come(ledger, path: Path) -> None:
    running = asyncio.create_task(AuditExport(ledger, path, KEY).run())
    for count in (1, 2, 3):
        await events(ledger, 1)
        async with asyncio.timeout(4):  # less than the time after which it would look by itself
            while await ledger.read(lambda tx: tx.settings.get(Setting.AUDIT_EXPORTED)) != str(count):
                await asyncio.sleep(0.005)
        assert numbers(path) == list(range(1, count + 1))
    running.cancel()


async def test_after_a_crash_between_file_and_ledger_no_event_is_doubled(ledger, path: Path) -> None:
    await events(ledger, 5)
    await AuditExport(ledger, path, KEY).catch_up()
    await ledger.write(lambda tx: tx.settings.put(Setting.AUDIT_EXPORTED, "2"))
    await events(ledger, 1)
    assert await AuditExport(ledger, path, KEY).catch_up() == 1
    assert numbers(path) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("cut", [1, 40, 100])
async def test_a_torn_line_is_written_anew(ledger, path: Path, cut: int) -> None:
    await events(ledger, 3)
    await AuditExport(ledger, path, KEY).catch_up()
    await ledger.write(lambda tx: tx.settings.put(Setting.AUDIT_EXPORTED, "0"))
    path.write_bytes(path.read_bytes()[:-cut])
    assert await AuditExport(ledger, path, KEY).catch_up() == 1
    assert numbers(path) == [1, 2, 3]


async def test_a_file_with_nothing_but_a_torn_line_begins_anew(ledger, path: Path) -> None:
    await events(ledger, 2)
    path.parent.mkdir()
    path.write_bytes(b'{"number":1')
    await AuditExport(ledger, path, KEY).catch_up()
    assert numbers(path) == [1, 2]


async def test_a_file_that_was_moved_away_is_followed_by_a_new_one_that_goes_on(ledger, path: Path) -> None:
    export = AuditExport(ledger, path, KEY)
    await events(ledger, 2)
    await export.catch_up()
    path.rename(path.with_suffix(".1"))
    await events(ledger, 2)
    await export.catch_up()
    moved = from_line(path.with_suffix(".1").read_bytes().splitlines()[-1])
    assert read_opening(path.read_bytes().splitlines(keepends=True)[0], KEY) == (2, moved.mac)
    assert numbers(path) == [3, 4]


async def test_the_file_of_another_gateway_is_not_believed(ledger, path: Path, tmp_path: Path) -> None:
    other = await SqliteLedger.open(tmp_path / "other.db", audit_key=b"x" * 32)
    await events(other, 3)
    await AuditExport(other, path, b"x" * 32).catch_up()
    await other.close()
    await events(ledger, 4)
    assert await AuditExport(ledger, path, KEY).catch_up() == 4
    assert numbers(path) == [1, 2, 3, 1, 2, 3, 4]


async def test_a_file_that_can_not_be_written_loses_no_event(ledger, path: Path) -> None:
    export = AuditExport(ledger, path, KEY)
    await events(ledger, 2)
    path.mkdir(parents=True)
    with pytest.raises(Unavailable) as refused:
        await export.catch_up()
    assert refused.value.code == "storage_error"
    path.rmdir()
    assert await export.catch_up() == 2
    assert numbers(path) == [1, 2]


JANUARY, FEBRUARY, MARCH = 1_800_000_000.0, 1_802_500_000.0, 1_805_000_000.0


async def test_each_month_has_a_file_that_opens_with_the_former_head(ledger, path: Path) -> None:
    export = AuditExport(ledger, path, KEY)
    await events(ledger, 2, JANUARY)
    await events(ledger, 1, FEBRUARY)
    await export.catch_up()
    await events(ledger, 1, JANUARY)  # a clock that is set back opens no file of the past
    await export.catch_up()
    await events(ledger, 2, MARCH)
    assert await AuditExport(ledger, path, KEY).catch_up() == 2  # another process knows the months from the files
    january, february = path.with_name("audit-2027-01.jsonl"), path.with_name("audit-2027-02.jsonl")
    assert former_files(path) == [january, february]
    assert [numbers(january), numbers(february), numbers(path)] == [[1, 2], [3, 4], [5, 6]]
    for file, former in ((february, january), (path, february)):
        last = from_line(former.read_bytes().splitlines()[-1])
        assert read_opening(file.read_bytes().splitlines(keepends=True)[0], KEY) == (last.number, last.mac)
    report = await check_trail(ledger, KEY, [*former_files(path), path])
    assert (report.faults, report.notes, report.file_events) == ([], [], 6)


async def test_a_second_file_of_a_month_takes_no_ones_place(ledger, path: Path) -> None:
    path.parent.mkdir()
    path.with_name("audit-2027-01.jsonl").write_text("somebody's")
    await events(ledger, 1, JANUARY)
    await events(ledger, 1, FEBRUARY)
    await AuditExport(ledger, path, KEY).catch_up()
    assert path.with_name("audit-2027-01.jsonl").read_text() == "somebody's"
    assert numbers(path.with_name("audit-2027-01.2.jsonl")) == [1]


async def test_old_events_go_with_their_files_and_the_rest_can_still_be_checked(ledger, path: Path) -> None:
    clock = ManualClock(MARCH)
    await events(ledger, 700, JANUARY)
    await events(ledger, 3, FEBRUARY)
    await events(ledger, 2, MARCH)
    retention = AuditRetention(ledger, clock, 40 * 86400.0, path)
    assert await retention.run_once() == 0  # what isn't exported yet stays
    await AuditExport(ledger, path, KEY).catch_up()
    assert await retention.run_once() == 700
    assert await retention.run_once() == 0
    await AuditExport(ledger, path, KEY).catch_up()
    assert [file.name for file in former_files(path)] == ["audit-2027-02.jsonl"]
    first, *_, last = await ledger.read(lambda tx: tx.audit.after(0, 100))
    assert (first.number, last.event) == (701, "audit.pruned")
    report = await check_trail(ledger, KEY, [*former_files(path), path])
    assert (report.faults, report.first, report.last) == ([], 701, 706)
    assert (await check_trail(ledger, KEY, [path])).faults == [
        "events 701 to 703 are in none of the files: name those that were moved away"
    ]


async def test_the_note_of_where_a_pruned_trail_begins_can_not_be_forged(ledger, path: Path) -> None:
    await events(ledger, 9, JANUARY)
    await AuditRetention(ledger, ManualClock(MARCH), 86400.0, None).run_once()

    def forge(tx: Transaction) -> None:
        row = tx.audit.after(8, 1)[0]
        tx.settings.put("audit_pruned", json.dumps([row.number, row.mac.hex(), bytes(32).hex()]))
        tx.audit._db.execute("DELETE FROM audit WHERE number <= ?", (row.number,))  # type: ignore[attr-defined]  # an intruder reaches in

    await ledger.write(forge)
    assert len((await check_trail(ledger, KEY, None)).faults) == 1


async def test_the_last_event_is_never_pruned(ledger) -> None:
    await events(ledger, 3, JANUARY)
    assert await ledger.write(lambda tx: tx.audit.prune(99)) == 2
    assert (await check_trail(ledger, KEY, None)).faults == []
