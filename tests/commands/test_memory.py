"""What a process that serves does with its memory."""

from __future__ import annotations

import subprocess
import sys

HELD_AND_LEFT = """
import asyncio, time
from pathlib import Path
from gateway.cli.private_memory import give_memory_back, give_rest_back

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

async def main():
    giving = asyncio.create_task(give_rest_back())
    await asyncio.sleep(0)  # it has begun
    pieces = [bytearray(100_000) for _ in range(1000)]
    last = pieces[-1]  # what lies before it can't be given back by itself
    pieces.clear()
    ends_at = time.process_time() + 0.3
    while time.process_time() < ends_at:
        pass
    held = resident_mib()
    ends_at = time.monotonic() + 20
    while resident_mib() > held - 80 and time.monotonic() < ends_at:
        await asyncio.sleep(0.05)
    print(int(held - resident_mib()))

give_memory_back()
asyncio.run(main())
"""


def test_what_work_has_left_goes_back_to_the_system_when_it_is_over() -> None:
    told = subprocess.run(
        [sys.executable, "-c", HELD_AND_LEFT], capture_output=True, text=True, timeout=60, check=False
    )
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) >= 80
