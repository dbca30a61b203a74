"""From runs to medians, tables and lines of JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.loads import Figures

BEGIN = "<!-- made by `python -m bench --write`: begin -->"
END = "<!-- made by `python -m bench --write`: end -->"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the figure's name, its heading, its digits behind the point."""

    figure: str
    heading: str
    digits: int = 0


@dataclass
class Comparison:
    """One load, over several servers, in interleaved runs."""

    name: str
    title: str
    columns: Sequence[Column]
    ratio_of: str  #: the figure whose ratio to `baseline` is shown
    baseline: str
    besides: Sequence[str] = ()  #: whose ratio is shown too, if they ran
    runs: dict[str, list[Figures]] = field(default_factory=dict)
    counted: dict[str, Figures] = field(default_factory=dict)  #: in a run that wasn't timed

    def add(self, server: str, figures: Figures) -> None:
        self.runs.setdefault(server, []).append(figures)

    def medians(self, server: str) -> Figures:
        runs = self.runs[server]
        return {name: statistics.median(run[name] for run in runs) for name in runs[-1]} | self.counted.get(server, {})

    def table(self) -> str:
        """Markdown. A cell is the median; behind the first figure its lowest and highest run, and its ratios."""
        rate = self.columns[0]
        bases = [name for name in (self.baseline, *self.besides) if name in self.runs]
        ratios = (f"{rate.heading}: times {name}" for name in bases)
        rows = [["", *(column.heading for column in self.columns), *ratios]]
        rows.append(["---", *("---:" for _ in rows[0][1:])])
        for server in self.runs:
            medians = self.medians(server)
            cells = [_cell(medians.get(column.figure), column.digits) for column in self.columns]
            values = [run[rate.figure] for run in self.runs[server]]
            cells[0] += f" ({min(values):.{rate.digits}f} to {max(values):.{rate.digits}f})"
            rows.append([server, *cells, *(_cell(self._ratio(server, base), 2) for base in bases)])
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)

    def _ratio(self, server: str, base: str) -> float | None:
        """Median of the rounds' ratios; of the medians, where there aren't as many rounds."""
        ours, theirs = ([run[self.ratio_of] for run in self.runs[name]] for name in (server, base))
        if len(ours) == len(theirs):
            return statistics.median(a / b for a, b in zip(ours, theirs, strict=True)) if all(theirs) else None
        below = statistics.median(theirs)
        return statistics.median(ours) / below if below else None

    def json_lines(self) -> Iterable[str]:
        """Medians and every run, one line per server."""
        for server, runs in self.runs.items():
            yield json.dumps({"load": self.name, "server": server, "median": self.medians(server), "runs": runs})


def markdown(machine: str, settings: str, comparisons: Sequence[Comparison]) -> str:
    """All tables."""
    parts = [f"Machine: {machine}.", settings]
    for comparison in comparisons:
        parts += [f"### {comparison.title}", comparison.table()]
    return "\n\n".join(parts)


def write_into(page: Path, text: str) -> None:
    """Put the tables between the marks of a page. :raises ValueError: it has none."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for the tables")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def brief(figures: Figures) -> str:
    """One line."""
    return " ".join(f"{name}={value:.4g}" for name, value in figures.items())


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
