"""docs/lines.md and its picture, from what was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from xml.sax.saxutils import escape

from tests.lines.clients import CLIENTS
from tests.lines.kept import Cell
from tests.lines.measure import Figures
from tests.lines.rows import ROWS, Row

MARKS = "<!-- made by `make lines` -->", "<!-- end of what is made -->"

Found = Mapping[tuple[str, str], Cell]  #: by row and client

#: Of `send` green, of the app blue, of others what is far from both; each is seen on white and on black.
_COLOURS = dict(
    zip(CLIENTS, ("#12a150", "#1e88e5", "#26c6da", "#7e57c2", "#ec407a", "#f48fb1", "#ef8f00", "#d84315"), strict=True)
)
_WIDE, _HIGH, _LEFT, _TOP, _GAP_X, _GAP_Y, _COLUMNS = 360, 150, 64, 76, 80, 64, 2
_STYLE = (
    "text{fill:#222;font:12px sans-serif}.about{font-weight:bold}.paper{fill:#fff}.frame,.ideal{fill:none;stroke:#888}"
    ".ideal{stroke-dasharray:4 4}polyline{fill:none;stroke-width:2;stroke-linejoin:round}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.paper{fill:#0d1117}}"
)


def table(found: Found) -> str:
    """Time over the line's ideal, and how much of the study's bytes `send` and the app sent."""
    shown = [client for client in CLIENTS if any(one == client for _, one in found)]
    lines = [
        f"| line: up, round trip, loss | least | {' | '.join(shown)} | aim: send, app | sent: send, app |",
        f"|---|---|{'---|' * len(shown)}---|---|",
    ]
    for row in ROWS.values():
        least = row.least_s / row.ideal_s
        cells = [_times(found.get((row.name, client)), row) for client in shown]
        sent = ", ".join(_sent(found.get((row.name, client))) for client in ("send", "app"))
        aims = f"{row.aims['send']:.1f}, {row.aims['app']:.1f}"
        lines.append(f"| {row.title} | {least:.2f} | {' | '.join(cells)} | {aims} | {sent} |")
    return "\n".join(lines)


def _times(cell: Cell | None, row: Row) -> str:
    if cell is None:
        return "-"
    middle = cell.median
    if middle is None or middle.seconds is None:
        return "never"
    return f"{middle.seconds / row.ideal_s:.2f}"


def _sent(cell: Cell | None) -> str:
    middle = cell.median if cell else None
    return f"{middle.sent_ratio:.2f}" if middle else "-"


def account(found: Found) -> str:
    """Which command each figure is from."""
    by_call: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in found.values():
        by_call[cell.day, cell.command].append(cell)
    told = []
    for (day, command), cells in sorted(by_call.items()):
        count, load = min(len(cell.runs) for cell in cells), cells[0].load
        told.append(
            f"- {day}, load {load:.1f} before, {count} run{'s' * (count > 1)} of each: `{command}`: {_names(found, cells)}"
        )
    return "\n".join(told)


def _names(found: Found, cells: list[Cell]) -> str:
    by_client: dict[str, list[str]] = defaultdict(list)
    for (row, client), cell in found.items():
        if any(cell is one for one in cells):
            by_client[client].append(row)
    every = {
        client: len(rows) == sum(row.measures(client) for row in ROWS.values()) for client, rows in by_client.items()
    }
    return "; ".join(client if every[client] else f"{client} ({', '.join(rows)})" for client, rows in by_client.items())


def picture(found: Found) -> str:
    """Acknowledged bytes over time, a field for each line."""
    rows = list(ROWS.values())
    width = _LEFT + _COLUMNS * (_WIDE + _GAP_X)
    height = _TOP + -(-len(rows) // _COLUMNS) * (_HIGH + _GAP_Y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        "<title>Acknowledged bytes over time, on each line, by each sender</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    for number, client in enumerate(one for one in CLIENTS if any(client == one for _, client in found)):
        x, y = _LEFT + number % 4 * 200, 18 + number // 4 * 18
        parts.append(f'<path d="M{x} {y}h24" stroke="{_COLOURS[client]}" stroke-width="3"/>')
        parts.append(f'<text x="{x + 30}" y="{y + 4}">{client}</text>')
    for number, row in enumerate(rows):
        x = _LEFT + number % _COLUMNS * (_WIDE + _GAP_X)
        y = _TOP + number // _COLUMNS * (_HIGH + _GAP_Y)
        parts += _field(row, {client: cell.median for (name, client), cell in found.items() if name == row.name}, x, y)
    return "\n".join([*parts, "</svg>", ""])


def _field(row: Row, runs: Mapping[str, Figures | None], x: int, y: int) -> Iterator[str]:
    """One line's: time to the right, bytes upwards, the ideal dashed. As wide as three times what the quickest took."""
    shown = {client: one for client in CLIENTS if (one := runs.get(client)) and one.acknowledged}
    slowest_s = max([one.seconds or 0.0 for one in shown.values()] + [row.ideal_s])
    wide_s = min(slowest_s, 3 * min([one.seconds or slowest_s for one in shown.values()] + [slowest_s]))
    yield f'<text class="about" x="{x}" y="{y - 8}">{escape(row.title)}</text>'
    yield f'<rect class="frame" x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}"/>'
    yield f'<text x="{x - 6}" y="{y + 10}" text-anchor="end">{row.size_bytes / 1e6:.1f} MB</text>'
    yield f'<text x="{x + _WIDE}" y="{y + _HIGH + 16}" text-anchor="end">{wide_s:.0f} s</text>'
    yield f'<path class="ideal" d="M{x} {y + _HIGH}L{x + row.ideal_s / wide_s * _WIDE:.0f} {y}"/>'
    for client, one in reversed(shown.items()):
        points = " ".join(
            f"{x + at_s / wide_s * _WIDE:.0f},{y + _HIGH - min(1, size / row.size_bytes) * _HIGH:.0f}"
            for at_s, size in one.acknowledged
            if at_s <= wide_s
        )
        yield f'<polyline points="{points}" stroke="{_COLOURS[client]}"/>'
