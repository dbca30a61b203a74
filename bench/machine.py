"""The machine as figures must be read: cores, memory, disk. No names of anything."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from tools.node import node


def describe(folder: Path) -> str:
    """One line about the machine and the disk under `folder`."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    node_version = _output([node(), "--version"]).lstrip("v")
    return (
        f"{os.cpu_count()} cores, {memory_gib:.0f} GiB RAM, {_disk(folder)}, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, Node.js {node_version}, over loopback"
    )


def load_average() -> float:
    """Of the last minute: over 1 before a bench begins, others use the cores too."""
    return os.getloadavg()[0]


def warm_page_cache(folder: Path, size: int) -> None:
    """Touch as many pages as the runs will: in a virtual machine the first touch of a page costs far more."""
    block = os.urandom(1 << 20)
    path = folder / "warm"
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(block)
    path.unlink()


def _disk(folder: Path) -> str:
    """File system, and the kind of device as the kernel sees it."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, file_system, *_ = line.split()
        if folder.resolve().is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, file_system
    device = folder.stat().st_dev
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    for queue in (block / "queue", block.resolve().parent / "queue"):
        if (queue / "rotational").exists():
            turns = (queue / "rotational").read_text().strip() == "1"
            virtual = block.resolve().name.startswith(("vd", "xvd"))
            return f"{kind} on a {'virtual' if virtual else 'spinning' if turns else 'solid state'} disk"
    return kind


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
