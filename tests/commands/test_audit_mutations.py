"""A trail of 10,000 events is changed in thousands of ways, each once; every one of them is found.

A walk from the trail's start to a mutation at event n costs n events. What comes before a mutation is the same as in the
whole trail, so each is looked at from the sealed opening before it, as the files of later months are, and the trail ends
some way behind it.
"""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit.check import TrailReport, _check_files, _State, check_trail
from gateway.audit.export import AuditExport
from gateway.ledger import chain
from gateway.ledger.chain import START, from_line, link, opening_line, seal, to_line
from gateway.ledger.rows import AuditRow
from gateway.ledger.sqlite.ledger import SqliteLedger
from tests.scale import count

EVENTS = 10_000
EVERY = 20  #: events between two openings
BEHIND = 200  #: events from an opening to the end of what is looked at
KEY = bytes(range(32))
SEED = 20261124
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rows():
    made, head, rng = [], START, random.Random(SEED)
    names = ["login", "upload.opened", "file.whole", "upload.completed", "upload.delivered", "upload.erased"]
    for n in range(EVENTS):
        detail = {"files": rng.randrange(99), "size_bytes": rng.randrange(10**9), "codes": ["a", "b"][: n % 3]}
        made.append(
            link(KEY, *head, event=rng.choice(names), at=1.8e9 + n / 7, actor=f"account:{rng.getrandbits(64):x}",
                 upload_id=f"{rng.getrandbits(128):032x}" if n % 5 else None, detail=detail)
        )  # fmt: skip
        head = made[-1].number, made[-1].mac
    return made


@pytest.fixture(scope="module")
def lines(rows):
    return [to_line(row) for row in rows]


def head_of(rows, index):
    """The head before the event at this index."""
    return (rows[index - 1].number, rows[index - 1].mac) if index else START


class Files:
    """The product's look at a file that begins at the opening before an event."""

    def __init__(self, folder, rows, lines):
        self.path = folder / "audit.jsonl"
        self.rows, self.lines = rows, lines

    def faults(self, index, changed):
        """:param changed: the lines from the opening before `index` on -> the bytes that stand there instead."""
        begin = index - index % EVERY
        before = head_of(self.rows, begin)
        last = min(begin + BEHIND, EVENTS)
        head = head_of(self.rows, last)
        opening = opening_line(KEY, before) if begin else b""
        self.path.write_bytes(opening + changed(self.lines[begin:last], index - begin))
        report = TrailReport()
        state = _State(before, seal(KEY, "pruned", before), head, last)
        end = _check_files([self.path], KEY, state, report)
        # What `check_trail` says next: the file must reach what was exported, and end as the ledger does.
        return report.faults or ([] if end == head else [f"ends at {end and end[0]}"])


@pytest.fixture
def files(tmp_path, rows, lines):
    return Files(tmp_path, rows, lines)


def flip(rng, lines, at):
    place = rng.randrange(len(lines[at]))
    line = bytearray(lines[at])
    line[place] ^= 1 << rng.randrange(8)
    return [*lines[:at], bytes(line), *lines[at + 1 :]]


def other_byte(rng, lines, at):
    place = rng.randrange(len(lines[at]))
    byte = bytes([rng.choice([n for n in range(256) if n != lines[at][place]])])
    return [*lines[:at], lines[at][:place] + byte + lines[at][place + 1 :], *lines[at + 1 :]]


def drop_bytes(rng, lines, at):
    place, size = rng.randrange(len(lines[at])), rng.randrange(1, 9)
    return [*lines[:at], lines[at][:place] + lines[at][place + size :], *lines[at + 1 :]]


def put_bytes(rng, lines, at):
    place = rng.randrange(len(lines[at]))
    junk = rng.choice([b" ", b"\n", b"0", b"\x00", b"}", b"\r", rng.randbytes(3)])
    return [*lines[:at], lines[at][:place] + junk + lines[at][place:], *lines[at + 1 :]]


def drop_lines(rng, lines, at):
    return lines[:at] + lines[at + rng.choice([1, 1, 2, 100]) :]


def repeat_line(_rng, lines, at):
    return [*lines[: at + 1], *lines[at:]]


def swap_lines(rng, lines, at):
    other = rng.choice([n for n in (at - 1, at + 1, at + 7, at // 2) if 0 <= n < len(lines) and n != at])
    changed = list(lines)
    changed[at], changed[other] = changed[other], changed[at]
    return changed


def cut_at_a_line(_rng, lines, at):
    return lines[:at]


def cut_anywhere(rng, lines, at):
    return [*lines[:at], lines[at][: rng.randrange(len(lines[at]))]]


def rewrite_a_fact(rng, lines, at):
    row = from_line(lines[at])
    change = rng.choice(
        [{"at": row.at + 1}, {"event": "login.forged"}, {"actor": "account:0"}, {"upload_id": "f" * 32},
         {"detail": "{}"}, {"number": row.number + 1}, {"mac": rng.randbytes(32)}]
    )  # fmt: skip
    return [*lines[:at], to_line(replace(row, **change)), *lines[at + 1 :]]


def forge_with_another_key(_rng, lines, at):
    row = from_line(lines[at])
    forged = chain._sealed(bytes(32), b"", replace(row, actor="account:0"))
    return [*lines[:at], to_line(forged), *lines[at + 1 :]]


MUTATIONS = [
    flip, other_byte, drop_bytes, put_bytes, drop_lines, repeat_line, swap_lines, cut_at_a_line, cut_anywhere,
    rewrite_a_fact, forge_with_another_key,
]  # fmt: skip


def test_two_thousand_mutations_of_the_file_are_found(files, lines):
    rng = random.Random(SEED)
    missed = []
    for number in range(2000):
        mutate, index = MUTATIONS[number % len(MUTATIONS)], rng.randrange(EVENTS)
        faults = files.faults(index, lambda tail, at, mutate=mutate: b"".join(mutate(rng, tail, at)))
        if not faults:
            missed.append((number, mutate.__name__, index))
    assert not missed


def test_the_file_itself_is_whole(files):
    for index in (0, 5000, EVENTS - 1):
        assert files.faults(index, lambda tail, _at: b"".join(tail)) == []


def test_a_file_cut_at_any_record_is_found(files):
    step = EVENTS // count(1000, EVENTS)
    missed = [n for n in range(0, EVENTS, step) if not files.faults(n, lambda tail, at: b"".join(tail[:at]))]
    assert not missed


def test_an_opening_that_the_trail_did_not_write_is_found(files, rows, lines):
    rng = random.Random(SEED)
    for index in rng.sample(range(EVERY, EVENTS), 50):
        begin = index - index % EVERY
        opening = bytearray(opening_line(KEY, head_of(rows, begin)))
        opening[rng.randrange(len(opening) - 1)] ^= 1
        files.path.write_bytes(bytes(opening) + b"".join(lines[begin:]))
        report = TrailReport()
        _check_files([files.path], KEY, _State(head_of(rows, begin), b"", head_of(rows, EVENTS), EVENTS), report)
        assert report.faults


def test_two_thousand_mutations_of_the_ledgers_rows_are_found(rows):
    rng = random.Random(SEED)
    head = head_of(rows, EVENTS)
    missed = []
    for number in range(2000):
        index = rng.randrange(EVENTS)
        begin = index - index % EVERY
        # Rows behind those that a mutation can reach change nothing: the walk ends at the first wrong one.
        tail, at = rows[begin : begin + 3 * EVERY], index - begin
        known = head if begin + 3 * EVERY >= EVENTS else (tail[-1].number, tail[-1].mac)
        changed = changed_rows(rng, tail, at, number % 6)
        if chain.verify(changed, KEY, known, before=head_of(rows, begin)).whole:
            missed.append((number, index))
    assert not missed


def changed_rows(rng, tail: list[AuditRow], at: int, kind: int) -> list[AuditRow]:
    row = tail[at]
    match kind:
        case 0:
            return [*tail[:at], *tail[at + 1 :]]
        case 1:
            return [*tail[:at], row, *tail[at:]]
        case 2:
            return tail[:at]
        case 3:
            mac = bytearray(row.mac)
            mac[rng.randrange(32)] ^= 1 << rng.randrange(8)
            return [*tail[:at], replace(row, mac=bytes(mac)), *tail[at + 1 :]]
        case 4:
            changed = replace(row, detail=row.detail.replace("{", '{"x":1,', 1))
            return [*tail[:at], changed, *tail[at + 1 :]]
        case _:
            return [*tail[:at], replace(row, at=row.at + 1e-6 * rng.randrange(1, 9)), *tail[at + 1 :]]


async def test_whole_trails_are_checked_whole(tmp_path, rows):
    """The same through the ledger and `check_trail`, from the first event to the last."""
    ledger = await SqliteLedger.open(tmp_path / "ledger.db", audit_key=KEY)
    path = tmp_path / "audit.jsonl"

    def fill(tx):
        for row in rows:
            tx.audit._rows.insert(row)
        tx.audit._db.execute("UPDATE audit_head SET number = ?, mac = ?", (rows[-1].number, rows[-1].mac))

    try:
        await ledger.write(fill)
        await AuditExport(ledger, path, KEY).catch_up()
        whole = await check_trail(ledger, KEY, [path])
        assert (whole.faults, whole.last, whole.file_events) == ([], EVENTS, EVENTS)
        content = path.read_bytes().splitlines(keepends=True)
        rng = random.Random(SEED)
        for mutate in MUTATIONS[::3]:
            path.write_bytes(b"".join(mutate(rng, content, rng.randrange(EVENTS))))
            assert (await check_trail(ledger, KEY, [path])).faults, mutate.__name__
    finally:
        await ledger.close()


# --- a process that is killed while it writes --------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from pathlib import Path
from gateway.audit.export import AuditExport
from gateway.ledger.sqlite.ledger import SqliteLedger

async def main(folder):
    ledger = await SqliteLedger.open(folder / "ledger.db", audit_key=bytes(range(32)))
    export = AuditExport(ledger, folder / "audit.jsonl", bytes(range(32)))
    running = asyncio.create_task(export.run())
    print("writing", flush=True)
    number = 0
    while not running.done():
        at = 1.8e9 + number * 40000.0  # a month is over every 65 events
        await ledger.write(lambda tx: [tx.audit.append("event", at=at, actor="a", detail={"n": n}) for n in range(20)])
        number += 1
    await running

asyncio.run(main(Path(sys.argv[1])))
"""


def run_and_kill(folder: Path, after_s: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        time.sleep(after_s)
        child.send_signal(signal.SIGKILL)
        child.wait()


async def test_killed_while_it_writes_the_trail_is_whole_and_one_line_is_torn_at_most(tmp_path):
    rng = random.Random(SEED)
    for _ in range(count(5, 60)):
        await asyncio.to_thread(run_and_kill, tmp_path, rng.uniform(0.02, 0.4))
        ledger = await SqliteLedger.open(tmp_path / "ledger.db", audit_key=KEY)
        try:
            files = sorted(tmp_path.glob("audit*.jsonl"), key=lambda path: (path.name == "audit.jsonl", path.name))
            report = await check_trail(ledger, KEY, files)
            assert report.faults == []
            assert len(report.notes) <= 1
            torn = [path.name for path in files if not path.read_bytes().endswith(b"\n") and path.stat().st_size]
            assert torn in ([], ["audit.jsonl"])
            await AuditExport(ledger, tmp_path / "audit.jsonl", KEY).catch_up()
            files = sorted(tmp_path.glob("audit*.jsonl"))
            report = await check_trail(ledger, KEY, files)
            assert (report.faults, report.notes) == ([], [])
            assert report.file_events >= report.last
        finally:
            await ledger.close()
