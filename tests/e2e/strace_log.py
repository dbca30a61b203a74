"""Reads what `strace -f -yy` wrote, and says whether each told offset was durable when it was told.

Order is the order of the log's lines: one tracer sees every entry and exit. A call spans from the line that shows its
entry to the one that shows its exit, which are two where another thread came in between.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: Only these stop the gateway; strings long enough for an answer's head.
STRACE = (
    *("strace", "-f", "-yy", "-s", "1500", "--seccomp-bpf"),
    *("-e", "trace=openat,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sendto,sendmsg"),
    *("-e", "signal=none", "-o"),
)

_CALL = re.compile(r"(\d+) +(\w+)\((.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_UNFINISHED = " <unfinished ...>"
_HANDLE = re.compile(r"\d+<(.*?)>(?=[,) ]|$)")
_MADE = re.compile(r" = \d+<(.*?)>$")
_TOLD = re.compile(r'(?:Upload-Offset: |received_bytes\\": )(\d+)')
_STATUS = re.compile(r"HTTP/1\.1 (\d{3})")

WRITES = {"write", "writev", "pwrite64", "pwritev", "pwritev2"}
SYNCS = {"fsync", "fdatasync"}


@dataclass(frozen=True)
class Call:
    """One system call that succeeded."""

    name: str
    path: str  #: of the handle, or of what was opened
    text: str
    began: int
    ended: int


@dataclass(frozen=True)
class Told:
    """An answer with an offset, as it left."""

    status: int
    offset: int
    began: int


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """The calls in the order of their exits."""
    open_calls: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(lines):
        if resumed := _RESUMED.match(line):
            thread, name, rest = resumed.groups()
            _, head, began = open_calls.pop(thread)
            text = head + rest
        elif call := _CALL.match(line):
            thread, name, text = call.groups()
            if text.endswith(_UNFINISHED):
                open_calls[thread] = (name, text.removesuffix(_UNFINISHED), number)
                continue
            began = number
        else:
            continue
        if " = -1 " in text:
            continue
        pattern = _MADE if name == "openat" else _HANDLE
        found = pattern.search(text) if name == "openat" else pattern.match(text)
        yield Call(name, found.group(1) if found else "", text, began, number)


@dataclass
class Trace:
    """What one run of the gateway did."""

    segments: dict[str, list[Call]]  #: writes to each segment
    segment_syncs: dict[str, list[Call]]
    made: dict[str, Call]  #: segments as they were created
    folder_syncs: dict[str, list[Call]]
    ledger_writes: list[Call]
    ledger_syncs: list[Call]
    told: list[Told]

    @classmethod
    def read(cls, log: Path, spool: Path, database: Path) -> Trace:
        with log.open(errors="replace") as file:
            return cls.of((line.rstrip("\n") for line in file), str(spool), f"{database}-wal")

    @classmethod
    def of(cls, lines: Iterable[str], spool: str, wal: str) -> Trace:
        trace = cls({}, {}, {}, {}, [], [], [])
        for call in calls(lines):
            in_spool = call.path.startswith(spool + "/")
            if call.name == "openat":
                if in_spool and "O_CREAT" in call.text:
                    trace.made[call.path] = call
            elif call.path == wal:
                (trace.ledger_syncs if call.name in SYNCS else trace.ledger_writes).append(call)
            elif in_spool and call.name in WRITES:
                trace.segments.setdefault(call.path, []).append(call)
            elif in_spool:
                syncs = trace.segment_syncs if call.path in trace.made else trace.folder_syncs
                syncs.setdefault(call.path, []).append(call)
            elif call.path.startswith("TCP") and (found := _TOLD.search(call.text)):
                status = _STATUS.search(call.text)
                trace.told.append(Told(int(status.group(1)) if status else 0, int(found.group(1)), call.began))
        return trace

    def faults(self) -> list[str]:
        """Why answers were told too early; for a client that has one request under way at a time."""
        faults = []
        before = 0
        for told in self.told:
            begun = [path for path, writes in self.segments.items() if writes[0].began < told.began]
            since = 0
            for path in begun:
                synced_at = self._synced_at(path, told.began)
                if synced_at is None:
                    faults.append(f"{told}: bytes of a segment are not synced")
                elif synced_at > before:
                    since = max(since, synced_at)
            if (since or told.status == 201) and not self._committed(max(since, before), told.began):
                faults.append(f"{told}: no row of the ledger was written and synced since the bytes were")
            before = told.began
        return faults

    def faults_of(self, path: str, told: Told) -> list[str]:
        """Why this answer was told too early, looking at one file's segment alone."""
        synced_at = self._synced_at(path, told.began)
        if synced_at is None:
            return [f"{told}: bytes of its segment are not synced"]
        return [] if self._committed(synced_at, told.began) else [f"{told}: its row is not synced"]

    def faults_of_entry(self, size: int, told: Told) -> list[str]:
        """Why this answer was told too early, looking at the one write of so many bytes alone."""
        write = next(call for calls in self.segments.values() for call in calls if call.text.endswith(f" = {size}"))
        synced_at = self._durable_at(write, told.began)
        if synced_at is None:
            return [f"{told}: bytes of its entry are not synced"]
        return [] if self._committed(synced_at, told.began) else [f"{told}: its row is not synced"]

    def _synced_at(self, path: str, until: int) -> int | None:
        """When all that was written to a segment before `until` was on the disk, with its name; None: it wasn't."""
        writes = [call for call in self.segments[path] if call.began < until]
        if not writes:
            return None
        # The last write before the answer: one that had only begun by then isn't synced either.
        return self._durable_at(writes[-1], until)

    def _durable_at(self, write: Call, until: int) -> int | None:
        path = write.path
        by_data = _first_after(self.segment_syncs.get(path, []), write.ended, until)
        folder = path.rpartition("/")[0]
        by_name = _first_after(self.folder_syncs.get(folder, []), self.made[path].ended, until)
        return None if by_data is None or by_name is None else max(by_data, by_name)

    def _committed(self, since: int, until: int) -> bool:
        for write in self.ledger_writes:
            if write.began > since and _first_after(self.ledger_syncs, write.ended, until) is not None:
                return True
        return False


def _first_after(syncs: list[Call], since: int, until: int) -> int | None:
    """The exit of the first sync that began after `since`, if that was before `until`."""
    return next((sync.ended for sync in syncs if sync.began > since and sync.ended < until), None)
