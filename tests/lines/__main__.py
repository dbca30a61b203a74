"""`make lines`: every row of docs/lines.md by every client, medians of several runs; the table and the picture anew."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.peers import tusd
from bench.servers import Missing
from tests.lines.clients import CLIENTS, TO_TUSD
from tests.lines.kept import Cell, Kept
from tests.lines.measure import measured
from tests.lines.page import MARKS, account, picture, table
from tests.lines.rows import ROWS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def main() -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.lines")
    parser.add_argument("--runs", type=int, default=3, help="of each cell (default: 3)")
    parser.add_argument("--at-once", type=int, default=2, help="lines that are measured at once (default: 2)")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--clients", nargs="+", default=CLIENTS, choices=CLIENTS)
    parser.add_argument("--look", action="store_true", help="print the figures, and write nothing")
    args = parser.parse_args()
    kept = Kept(ROOT / "build" / "lines.json")
    clients = _possible(args.clients)
    cells = {
        (row, client): Cell.begun(sys.argv[1:]) for row in args.rows for client in clients if ROWS[row].measures(client)
    }

    def one(row: str, client: str, number: int) -> None:
        figures = measured(row, client, seed=number)
        cells[row, client].runs.append(figures)
        times = "never" if figures.seconds is None else f"{figures.seconds / ROWS[row].ideal_s:.2f}"
        print(f"{row:20} {client:22} {times:>6} of the ideal, sent {figures.sent_ratio:.2f}", flush=True)

    with ThreadPoolExecutor(args.at_once) as lines:
        for done in [lines.submit(one, *cell, number) for number in range(args.runs) for cell in cells]:
            done.result()
    if not args.look:
        kept.take(cells)
        _write(kept)
    return 0


def _write(kept: Kept) -> None:
    page = DOCS / "lines.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    made = f"{MARKS[0]}\n\n{table(kept.cells)}\n\n{account(kept.cells)}\n\n{MARKS[1]}"
    page.write_text(before + made + after, encoding="utf-8")
    (DOCS / "lines.svg").write_text(picture(kept.cells), encoding="utf-8")


def _possible(clients: Sequence[str]) -> list[str]:
    """Those whose server is here; it is built where that can be done, before there is a namespace without a network."""
    if not set(clients) & set(TO_TUSD):
        return list(clients)
    try:
        os.environ["TUSD"] = tusd()
    except Missing as why:
        print(why, file=sys.stderr)
        return [one for one in clients if one not in TO_TUSD]
    return list(clients)


if __name__ == "__main__":
    sys.exit(main())
