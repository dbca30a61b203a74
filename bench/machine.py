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


def fill_page_cache(folder: Path) -> None:
    """Give every free page of the machine to the page cache, by reading a file of its memory's size that takes no room and
    stays until the folder goes.

    A virtual machine gives pages that are free back to its host, and pays for them again at random.
    """
    path, room = folder / "fill", bytearray(8 << 20)
    if not path.exists():
        with path.open("wb") as made:
            made.truncate(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with path.open("rb", buffering=0) as file:
        while file.readinto(room):
            pass


def give_room_back(folder: Path) -> None:
    """Of all files in it: they stay, without their bytes.

    For who makes a file after others were deleted, an ext4 without a journal looks at each of their numbers, and passes over
    those of the last minutes: a server that makes a file for each upload would pay for what was cleared away before its run.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            os.truncate(Path(place, name), 0)


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
