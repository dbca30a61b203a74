"""Makes `widths.json`: how many requests at once there are to be, whoever asks the line.

`python -m tests.vectors.widths` prints it. A sample is `[seconds, acknowledged bytes, requests under way, how often the
gateway said 429 or 503]`; `counts` has an answer for each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.client.width import Width

ABOUT = (
    "How many requests at once there are to be after each sample: seconds, acknowledged bytes, requests under way, how often"
    " the gateway said 429 or 503. Made by tests/vectors/widths.py."
)
EVERY_S = 0.25
#: A request that isn't wanted any more ends by and by.
ENDS_EVERY = 2

#: Bytes per second of so many connections at a time.
Line = Callable[[float, int], float]


@dataclass(frozen=True, slots=True)
class Case:
    """`most_busy`: there is no more to do than that. `refused_at_s`: the gateway says 503 then."""

    name: str
    line: Line
    least: int = 2
    most: int = 16
    first: int = 8
    seconds: float = 30
    most_busy: int = 64
    refused_at_s: tuple[float, ...] = ()


def filled(rate: float, each: float) -> Line:
    """Connections that carry this each, until the line is full."""
    return lambda _at_s, count: min(rate, count * each)


def away(at_s: float, count: int) -> float:
    """Down from 6 to 12 s, and from 21 s to 24."""
    return 0.0 if 6 <= at_s < 12 or 21 <= at_s < 24 else min(500e3, count * 60e3)


CASES = (
    Case("each connection carries a little", filled(4e6, 40e3), first=2),
    Case("the line is full", filled(375e3, 70e3)),
    Case("the line is full with two", filled(375e3, 300e3), seconds=60),
    Case("more than half of what is tried helps", filled(440e3, 40e3)),
    Case("the line is away now and then", away),
    Case("a line so slow that a cut would cost much", filled(24e3, 24e3), seconds=20),
    Case("the line gets worse", lambda at_s, count: min(500e3, count * (250e3 if at_s < 15 else 40e3)), first=2, seconds=45),
    Case("the line gets better", lambda at_s, count: min(500e3 if at_s < 15 else 5e6, count * 250e3), first=2, seconds=45),
    Case("somebody else has half of it", lambda _at_s, count: 500e3 * count / (count + 8), seconds=60),
    Case("somebody else has more of it", lambda _at_s, count: 500e3 * count / (count + 12), first=4, seconds=60),
    Case("the gateway has too much to do", filled(4e6, 60e3), seconds=40, refused_at_s=(5, 5.25, 5.5, 9)),
    Case("there is less to do than could be done", filled(4e6, 60e3), most_busy=5, seconds=15),
    Case("a browser has six", filled(4e6, 60e3), most=6, first=5, seconds=15),
    Case("pinned", filled(4e6, 60e3), least=4, most=4, first=4, seconds=15, refused_at_s=(6,)),
)  # fmt: skip


def vector(case: Case) -> dict[str, Any]:
    """What becomes of it."""
    width = Width(case.least, case.most, case.first)
    samples, counts = [], []
    busy, carried = min(case.most_busy, width.count), 0.0
    for number in range(round(case.seconds / EVERY_S) + 1):
        at_s = number * EVERY_S
        carried += case.line(at_s, busy) * EVERY_S if number else 0
        sample = (at_s, int(carried), busy, sum(refused_s <= at_s for refused_s in case.refused_at_s))
        samples.append(sample)
        counts.append(width.sampled(*sample))
        wanted = min(case.most_busy, width.count)
        if busy < wanted:
            busy = wanted
        elif busy > wanted and number % ENDS_EVERY == 0:
            busy -= 1
    told = {"name": case.name, "least": case.least, "most": case.most, "first": case.first}
    return {**told, "samples": samples, "counts": counts, "kept": width.kept}


def document() -> str:
    """The file's text: a vector a line."""
    vectors = ",\n".join(json.dumps(vector(case), separators=(",", ":")) for case in CASES)
    return f'{{"about":{json.dumps(ABOUT)},"vectors":[\n{vectors}\n]}}\n'


if __name__ == "__main__":
    print(document(), end="")
