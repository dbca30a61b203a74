"""A command that only says how it is used starts at once: nothing is imported that it doesn't need."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest

from gateway.cli.command_line import COMMANDS, parser

#: They cost most of a start, and no help needs them.
LATE = ["asyncio", "requests", "aiohttp", "pydicom"]
SHOW = """
import contextlib, io, sys
from gateway.cli import main
for line in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main(line.split())
    assert "usage: relaypacs" in said.getvalue(), line
print(*sys.modules)
"""


def test_no_help_imports_what_only_the_work_needs():
    lines = ["--help", *(f"{name} --help" for name in COMMANDS)]
    shown = subprocess.run([sys.executable, "-c", SHOW, *lines], capture_output=True, text=True, check=True).stdout
    assert not set(shown.split()) & set(LATE)


def test_the_list_of_commands_says_what_each_command_says_of_itself():
    short, whole = parser("none of them").format_help(), parser().format_help()
    assert short == whole


@pytest.mark.timing
@pytest.mark.parametrize(("words", "times"), [(["--help"], 5), (["send", "--help"], 8)])
def test_help_comes_within_a_few_times_of_what_python_itself_takes(words, times):
    plain: list[float] = []
    ours: list[float] = []
    for _ in range(9):
        for spent, command in ((plain, ["-c", "pass"]), (ours, ["-m", "gateway", *words])):
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
            spent.append(time.perf_counter() - began)
    assert statistics.median(ours) < times * statistics.median(plain)
