"""What a process and its children cost, read from /proc while they run."""

from __future__ import annotations

import contextlib
import ctypes
import os
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
