"""The table of docs/compliance.md: requirement, control, and the tests that show it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_ID = re.compile(r"`([\w/]+\.py::\w+(?:::\w+)?)`")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    section: str
    requirement: str
    control: str
    tests: tuple[str, ...]


def rows(page: Path) -> list[Row]:
    """Every row of the tables that have a column of tests."""
    found, section, shown = [], "", False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            shown = False
        elif cells[-1] == "shown by":
            shown = True
        elif shown and not set(cells[0]) <= set("-"):
            requirement, control, tests = cells
            found.append(Row(section, requirement, control, tuple(_ID.findall(tests))))
    return found


def named(page: Path) -> set[str]:
    """Ids of all tests in it, as `path::test` under tests/."""
    return {test for row in rows(page) for test in row.tests}


def missing(wanted: Iterable[str], passed: set[str]) -> list[str]:
    """Those that did not pass."""
    return sorted(set(wanted) - passed)
