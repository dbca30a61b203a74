"""What was measured, kept from one call of `make lines` to the next: the page is made of all of it."""

from __future__ import annotations

import datetime as dt
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from tests.lines.measure import Figures

Cells = dict[tuple[str, str], "Cell"]  #: by row and client


@dataclass(slots=True)
class Cell:
    """The runs of one client on one line, and what they are from."""

    command: str
    day: str
    load: float  #: of the machine before, the average of five minutes
    runs: list[Figures] = field(default_factory=list)

    @classmethod
    def begun(cls, words: Sequence[str]) -> Self:
        """By this call, now."""
        command = shlex.join(["python", "-m", "tests.lines", *words])
        return cls(command, dt.datetime.now(tz=dt.UTC).date().isoformat(), os.getloadavg()[1])

    @property
    def median(self) -> Figures | None:
        """The run of the middle time; None: half of them never ended."""
        ended = sorted((one for one in self.runs if one.seconds is not None), key=lambda one: one.seconds or 0)
        middle = (len(self.runs) - 1) // 2
        return ended[middle] if middle < len(ended) else None


class Kept:
    """In a file.

    :ivar cells: all that is known.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.cells: Cells = {}
        if path.exists():
            for told in json.loads(path.read_text(encoding="utf-8")):
                runs = [Figures(**one) for one in told["runs"]]
                self.cells[told["row"], told["client"]] = Cell(told["command"], told["day"], told["load"], runs)

    def take(self, cells: Mapping[tuple[str, str], Cell]) -> None:
        """What was measured anew is in the place of what was measured before."""
        self.cells.update(cells)
        told = [{"row": row, "client": client, **asdict(cell)} for (row, client), cell in self.cells.items()]
        self._path.parent.mkdir(exist_ok=True)
        self._path.write_text(json.dumps(told), encoding="utf-8")
