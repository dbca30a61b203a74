"""As many requests at once as help, on simulated lines: whatever the line is like, and whoever else sends over it."""

from __future__ import annotations

from operator import add

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.client.width import Width
from tests.property.lines_simulated import Line, Sender, Terms, best, carried
from tests.scale import SOAK, count

LEAST, MOST, APP_MOST = 2, 16, 6
#: After so long it carries what it can; then it is looked at for so long.
SOON_S, LOOKED_S = 15, 30

LINES = st.builds(
    Terms,
    rate_bps=st.floats(30e3, 2.5e6),
    round_trip_s=st.floats(0.02, 0.8),
    loss=st.floats(0, 0.03),
)


@given(before=LINES, after=LINES, first=st.integers(LEAST, MOST))
@settings(max_examples=count(6, 300), deadline=None, derandomize=not SOAK)
def test_it_carries_nearly_what_the_best_number_does_soon_after_each_change(
    before: Terms, after: Terms, first: int
) -> None:
    """On average: losses come by chance, and a run of bad luck is nobody's rule."""
    changes_s = SOON_S + LOOKED_S
    terms = {0.0: before, float(changes_s): after}
    windows = [(began_s + SOON_S, began_s + changes_s) for began_s in (0, changes_s)]
    found, most = [0.0, 0.0], [0.0, 0.0]
    for seed in range(3):
        width = Width(LEAST, MOST, first)
        found = list(map(add, found, carried(terms, Sender(width, width.count), seed, windows)))
        most = list(map(add, most, best(terms, LEAST, MOST, seed, windows)))
    assert found[0] >= 0.9 * most[0]
    assert found[1] >= 0.9 * most[1]


@given(line=LINES, firsts=st.tuples(st.integers(LEAST, MOST), st.integers(LEAST, MOST)), seed=st.integers(0, 1 << 30))
@settings(max_examples=count(12, 500), deadline=None, derandomize=not SOAK)
def test_of_two_senders_on_one_line_neither_gets_under_a_third(line: Terms, firsts: tuple[int, int], seed: int) -> None:
    one, other = (Sender(width := Width(LEAST, MOST, first), width.count) for first in firsts)
    other.starts_at_s = 20
    Line({0.0: line}, [one, other], seed).run(121)
    parts = [sender.told[120] - sender.told[60] for sender in (one, other)]
    assert min(parts) >= sum(parts) / 3, parts


@pytest.mark.parametrize("rate_bps", [250e3, 500e3, 2e6])
def test_a_browser_with_six_is_not_starved_by_one_with_sixteen(rate_bps: float) -> None:
    app, send = Sender(Width(LEAST, APP_MOST, 5), 5), Sender(Width(LEAST, MOST, 16), 16)
    Line({0.0: Terms(rate_bps, 0.06, 0.002)}, [app, send], 1).run(181)
    parts = [sender.told[180] - sender.told[60] for sender in (app, send)]
    assert parts[0] >= sum(parts) / 4, parts
