"""As many requests at once as help, on simulated lines: whatever the line is like, and whoever else sends over it."""

from __future__ import annotations

import random
from operator import add

import pytest

from gateway.client.width import Width
from tests.property.lines_simulated import Line, Sender, Terms, best, carried
from tests.scale import count

LEAST, MOST, APP_MOST = 2, 16, 6
#: After so long it carries what it can; then it is looked at for so long.
SOON_S, LOOKED_S = 15, 30


def test_it_carries_nearly_what_the_best_number_does_soon_after_each_change() -> None:
    """Of lines drawn at random, each of three seeds: losses come by chance, and a run of bad luck is nobody's rule."""
    changes_s = SOON_S + LOOKED_S
    windows = [(began_s + SOON_S, began_s + changes_s) for began_s in (0, changes_s)]
    draw = random.Random(5)
    shares = []
    for _ in range(count(12, 150)):
        terms, first = {0.0: _drawn(draw), float(changes_s): _drawn(draw)}, draw.randint(LEAST, MOST)
        found, most = [0.0, 0.0], [0.0, 0.0]
        for seed in range(3):
            width = Width(LEAST, MOST, first)
            found = list(map(add, found, carried(terms, Sender(width, width.count), seed, windows)))
            most = list(map(add, most, best(terms, LEAST, MOST, seed, windows)))
        shares += [one / other for one, other in zip(found, most, strict=True)]
    assert min(shares) >= 0.75
    assert sum(share >= 0.9 for share in shares) >= 0.9 * len(shares), sorted(shares)
    assert sum(shares) / len(shares) >= 1


def _drawn(draw: random.Random) -> Terms:
    return Terms(draw.uniform(30e3, 2.5e6), draw.uniform(0.02, 0.8), draw.uniform(0, 0.03))


def test_of_two_senders_on_one_line_neither_gets_under_a_third() -> None:
    draw = random.Random(7)
    for _ in range(count(10, 300)):
        line = _drawn(draw)
        one, other = (Sender(width := Width(LEAST, MOST, draw.randint(LEAST, MOST)), width.count) for _ in range(2))
        other.starts_at_s = 20
        Line({0.0: line}, [one, other], draw.randint(0, 1 << 30)).run(121)
        parts = [sender.told[120] - sender.told[60] for sender in (one, other)]
        assert min(parts) >= sum(parts) / 3, (line, parts)


@pytest.mark.parametrize("rate_bps", [250e3, 500e3, 2e6])
def test_a_browser_with_six_is_not_starved_by_one_with_sixteen(rate_bps: float) -> None:
    app, send = Sender(Width(LEAST, APP_MOST, 5), 5), Sender(Width(LEAST, MOST, 16), 16)
    Line({0.0: Terms(rate_bps, 0.06, 0.002)}, [app, send], 1).run(181)
    parts = [sender.told[180] - sender.told[60] for sender in (app, send)]
    assert parts[0] >= sum(parts) / 4, parts
