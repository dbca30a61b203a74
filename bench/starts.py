"""How long a command takes to say how it is used, beside Python itself doing nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.loads import Figures

RUNS = 9
PLAIN = "python -c pass"


def runs() -> Iterator[tuple[str, Figures]]:
    """In turn, after one round that isn't counted."""
    command = str(Path(sys.executable).with_name("relaypacs"))
    lines = {
        PLAIN: [sys.executable, "-c", "pass"],
        "relaypacs --help": [command, "--help"],
        "relaypacs send --help": [command, "send", "--help"],
    }
    for number in range(-1, RUNS):
        for name, line in lines.items():
            began = time.perf_counter()
            subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
            if number >= 0:
                yield name, {"start_ms": (time.perf_counter() - began) * 1000}
