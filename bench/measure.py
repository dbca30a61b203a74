"""What a process and its children cost, read from /proc while they run."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU-seconds."""

    user_s: float
    system_s: float

    @property
    def total_s(self) -> float:
        return self.user_s + self.system_s

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.user_s - other.user_s, self.system_s - other.system_s)


class Tree:
    """A process and all that it started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def pids(self) -> list[int]:
        found = [self.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*"):
                with contextlib.suppress(OSError):
                    found += map(int, (task / "children").read_text().split())
        return found

    def cpu(self) -> Cpu:
        """Of all, those that have ended among them. Resolution: 10 ms."""
        user = system = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                user += int(fields[11]) + int(fields[13])
                system += int(fields[12]) + int(fields[14])
        return Cpu(user / _TICKS_PER_S, system / _TICKS_PER_S)

    def waits(self) -> int:
        """How often a thread of any has waited: for Python's lock, another thread, the disk or the network. Of threads
        that have ended nobody knows any more.
        """
        count = 0
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").glob("*"):
                with contextlib.suppress(OSError):
                    _, _, rest = (task / "status").read_text().partition("\nvoluntary_ctxt_switches:")
                    count += int(rest.split()[0])
        return count

    def pss_mib(self) -> float:
        """Resident now, pages that several share counted once in all."""
        kib = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                _, _, rest = Path(f"/proc/{pid}/smaps_rollup").read_text().partition("\nPss:")
                kib += int(rest.split()[0])
        return kib / 1024

    def rss_mib(self) -> float:
        """Resident now."""
        return self._sum_mib("VmRSS")

    def peak_mib(self) -> float:
        """Resident at most since `reset_peak`: the sum of each one's own peak."""
        return self._sum_mib("VmHWM")

    def reset_peak(self) -> None:
        for pid in self.pids():
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def settled_cpu(self, at_most_s: float = 30.0) -> Cpu:
        """`cpu` as soon as nothing runs any more."""
        end = time.monotonic() + at_most_s
        before = self.cpu()
        while time.monotonic() < end:
            time.sleep(0.3)
            now = self.cpu()
            if now.total_s - before.total_s < 0.02:
                return now
            before = now
        return before

    def _sum_mib(self, field: str) -> float:
        kib = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith(f"{field}:"):
                        kib += int(line.split()[1])
        return kib / 1024


#: Calls that wait for the disk. (sync_file_range, as the gateway calls it, waits for nothing and makes nothing durable.)
SYNCS = ("fsync", "fdatasync", "syncfs", "sync", "msync")


def counting_syncs(log: Path) -> list[str]:
    """A command that runs another one and, at its end, has counted into `log` how often it and its children synced.

    Only those calls are stopped at, so that all others take their usual time. Empty: strace isn't here.
    """
    strace = shutil.which("strace")
    return (
        []
        if strace is None
        else [strace, "-f", "-c", "--seccomp-bpf", "-e", f"trace={','.join(SYNCS)}", "-o", str(log)]
    )


def counted_syncs(log: Path) -> int:
    """What `counting_syncs` has counted."""
    rows = [line.split() for line in log.read_text().splitlines()]
    return sum(int(row[3]) for row in rows if len(row) > 4 and row[-1] in SYNCS)


def own_cpu() -> Cpu:
    """Of this process: the client."""
    times = os.times()
    return Cpu(times.user, times.system)


def sync_file_system(folder: Path) -> float:
    """Write everything of the folder's file system to the disk; how long that took, in seconds."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(folder, os.O_RDONLY)
    began = time.perf_counter()
    try:
        if libc.syncfs(handle) != 0:
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(handle)
    return time.perf_counter() - began
