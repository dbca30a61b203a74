"""Is the audit trail whole? The ledger's chain, the exported files, and whether the two tell the same story.

What is found: an event that was changed, dropped, inserted, moved or cut off in either of the two; a ledger that was
put back to an older state while the files were not, and the other way round. What isn't: both rewritten from the same
moment on by somebody who has the key, or both put back to the same older state (docs/security.md).
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.audit.files import TAIL_BYTES
from gateway.errors import Malformed
from gateway.ledger import chain
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.chain import ChainWalk, Head, former_line, from_line, read_opening, to_line
from gateway.ledger.rows import AuditRow
from gateway.ledger.settings import Setting

#: Events that are read at once.
PAGE = 1000


@dataclass(slots=True)
class TrailReport:
    """What was looked at, and what is wrong with it.

    :ivar faults: one sentence each; none: all is whole.
    :ivar notes: what is no fault and worth knowing.
    """

    first: int = 1  #: number of the ledger's first event
    last: int = 0  #: of its last
    files: int = 0
    file_events: int = 0  #: events in the files that were right; once, however many files have them
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _State:
    """Of the ledger, at one moment."""

    pruned: Head
    pruned_seal: bytes
    head: Head
    exported: int


async def check_trail(ledger: Ledger, key: bytes, files: Sequence[Path] | None) -> TrailReport:
    """Check everything; nothing of it is held, and gateways may go on writing meanwhile.

    :param files: the exported ones, in any order; None: none are configured.
    :raises OSError: a file is there and can't be read.
    """
    report = TrailReport()
    before = await ledger.read(_state)
    if not _check_start(before, key, report):
        return report
    await _check_chain(ledger, key, before, report)
    if files is None:
        report.notes.append("no audit.file is configured: an older state of the whole database would not show")
        return report
    end = await asyncio.to_thread(_check_files, files, key, before, report)
    if end is not None:
        await _compare(ledger, end, before, report)
    return report


def _state(tx: Transaction) -> _State:
    number, mac, seal = tx.audit.pruned()
    return _State((number, mac), seal, tx.audit.head(), int(tx.settings.get(Setting.AUDIT_EXPORTED) or 0))


def _check_start(state: _State, key: bytes, report: TrailReport) -> bool:
    report.first, report.last = state.pruned[0] + 1, state.head[0]
    if state.pruned[0] and not hmac.compare_digest(chain.seal(key, chain.PRUNED, state.pruned), state.pruned_seal):
        report.faults.append("ledger: its note of where the trail begins is not one that this trail wrote")
        return False
    return True


async def _check_chain(ledger: Ledger, key: bytes, state: _State, report: TrailReport) -> None:
    walk = ChainWalk(key, state.pruned)
    while walk.head[0] < state.head[0]:
        number = walk.head[0]
        rows = await ledger.read(lambda tx, number=number: tx.audit.after(number, PAGE))  # type: ignore[misc]  # mypy#12557
        rows = [row for row in rows if row.number <= state.head[0]]
        wrong = next((row for row in rows if not walk.take(row)), None)
        if wrong is not None or not rows:
            pruned = await ledger.read(lambda tx: tx.audit.pruned())
            if pruned[0] >= walk.head[0] + 1:  # they were pruned while this walked
                walk = ChainWalk(key, (pruned[0], pruned[1]))
                continue
            report.faults.append(f"ledger: event {walk.head[0] + 1} was changed, dropped or inserted")
            return
    if not hmac.compare_digest(walk.head[1], state.head[1]):
        report.faults.append(f"ledger: its head does not fit event {walk.head[0]}")


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    opening: Head | None  #: the head before its first event; None: it begins with the trail


def _check_files(paths: Sequence[Path], key: bytes, state: _State, report: TrailReport) -> Head | None:
    """Walk through all files. Where they end; None: a fault makes that unknown."""
    opened: list[_File] = []
    seen: set[tuple[int, int]] = set()
    for path in paths:
        try:
            with path.open("rb") as file:
                facts = os.fstat(file.fileno())
                if (facts.st_dev, facts.st_ino) in seen:  # named by hand, and found by the configuration
                    continue
                seen.add((facts.st_dev, facts.st_ino))
                line = file.readline(TAIL_BYTES)
            opened.append(_File(path, read_opening(line, key)))
        except FileNotFoundError:
            continue
        except Malformed as error:
            report.faults.append(f"{path.name}: line 1: {error.detail}")
            return None
    report.files = len(opened)
    head: Head | None = None
    counted = 0
    opened.sort(key=lambda one: one.opening or chain.START)
    for one in opened:
        start = one.opening or chain.START
        reached = state.pruned if head is None else head
        if start[0] > reached[0]:
            report.faults.append(
                f"events {reached[0] + 1} to {start[0]} are in none of the files: name those that were moved away"
            )
        end = _walk_file(one.path, key, start, report, is_last=one is opened[-1])
        if end is None:
            return None
        report.file_events += max(0, end[0] - max(start[0], counted))
        counted = max(counted, end[0])
        head = end if head is None else max(head, end)  # a batch may be in two files: at least once is what is promised
    if head is None and state.exported:
        report.faults.append("the audit file is gone: name it where it was moved to")
    return head


def _walk_file(path: Path, key: bytes, start: Head, report: TrailReport, *, is_last: bool) -> Head | None:
    walk = ChainWalk(key, start)
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), 1):
            if number == 1 and line.startswith(b'{"opening"'):
                continue
            if not line.endswith(b"\n") and is_last:
                report.notes.append(
                    f"{path.name}: its last line is torn, as a crash leaves it; the ledger has the event"
                )
                break
            row = _row(line)
            if row is None or not walk.take(row):
                report.faults.append(
                    f"{path.name}: line {number}: event {walk.head[0] + 1} was changed, dropped or inserted"
                )
                return None
    return walk.head


def _lines(file: Iterable[bytes]) -> Iterator[bytes]:
    yield from file


def _row(line: bytes) -> AuditRow | None:
    """The event, if the line is to the byte what the export wrote."""
    try:
        row = from_line(line)
    except Malformed:
        return None
    return row if line in {to_line(row), former_line(row)} else None


async def _compare(ledger: Ledger, end: Head, before: _State, report: TrailReport) -> None:
    """The files' end against the ledger, which may have grown meanwhile."""
    head, rows = await ledger.read(lambda tx: (tx.audit.head(), tx.audit.after(end[0] - 1, 1)))
    if end[0] < before.exported:
        report.faults.append(f"the files end at event {end[0]}; they had {before.exported}")
    elif end[0] > head[0]:
        report.faults.append(f"the ledger ends at event {head[0]}, the files at {end[0]}: the ledger was put back")
        await _say_restored(ledger, head[0], report)
    elif end[0] > before.pruned[0] and not (rows and rows[0].number == end[0] and rows[0].mac == end[1]):
        report.faults.append(f"ledger and files tell different stories of event {end[0]} or one before it")
        await _say_restored(ledger, head[0], report)


async def _say_restored(ledger: Ledger, last: int, report: TrailReport) -> None:
    """Where the ledger is a backup that was put back, say so: the files may be whole, and tell what came after it."""
    number = 0
    while number < last:
        rows = await ledger.read(lambda tx, number=number: tx.audit.after(number, PAGE))  # type: ignore[misc]  # mypy#12557
        if not rows:
            return
        number = rows[-1].number
        for row in rows:
            if row.event == "backup.restored":
                said = json.loads(row.detail)
                report.notes.append(
                    f"event {row.number}: the ledger is a backup of {said['made_at']}, which ended at event {said['head']}; "
                    "files that go on behind that tell what happened after it: keep them, elsewhere"
                )
