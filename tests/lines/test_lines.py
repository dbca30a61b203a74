"""A study over a bad line doesn't take much longer than the line needs: two rows of docs/lines.md, in short."""

from __future__ import annotations

import pytest

from tests.lines.line import Terms
from tests.lines.measure import measured
from tests.lines.rows import LARGE, ROWS, SHORT
from tests.lines.together import together

#: Times the aim for a whole study, and what may be sent again: four slices have more of a beginning and an end, and what is
#: under way when a line goes is more of them.
SHORT_COSTS, SHORT_SENT = 1.5, 1.25
#: Of three senders: a third of what would be fair.
LEAST_SHARE = 1 / 9


@pytest.mark.root
@pytest.mark.timing
@pytest.mark.parametrize("name", SHORT)
def test_a_study_takes_little_longer_than_its_line_needs(name: str) -> None:
    whole, row = ROWS[name], SHORT[name]
    figures = measured(name, "send", short=True)
    assert figures.seconds is not None
    assert figures.seconds <= row.least_s * SHORT_COSTS * whole.aims["send"] * whole.ideal_s / whole.least_s, figures
    assert figures.sent_ratio <= SHORT_SENT, figures


@pytest.mark.root
@pytest.mark.heavy
@pytest.mark.soak
@pytest.mark.timeout(700)
@pytest.mark.parametrize("client", LARGE.aims)
def test_a_large_file_that_is_cut_again_and_again_is_sent_about_once(client: str) -> None:
    figures = measured(LARGE.name, client)
    assert figures.seconds is not None
    assert figures.seconds > LARGE.terms.moves_s[-1], "it was over too soon for this test"
    assert figures.sent_ratio <= 1.05, figures.sent_ratio


@pytest.mark.root
@pytest.mark.heavy
@pytest.mark.soak
@pytest.mark.timeout(700)
def test_of_two_phones_and_a_send_on_one_line_none_starves_and_what_is_stat_is_not_last() -> None:
    found = together()
    assert min(found.shares.values()) >= LEAST_SHARE, found
    assert found.seconds["its STAT one"] < found.seconds["phone one"], found


def test_a_lines_least_time_counts_its_outages() -> None:
    steady = Terms(up_kbit=800, round_trip_s=0.1, loss=0)
    assert steady.least_s(1_000_000) == pytest.approx(10, abs=0.1)
    cut = Terms(up_kbit=800, round_trip_s=0.1, loss=0, outage_s=(4, 2))  # down from 2 to 4, from 6 to 8, ...
    assert cut.least_s(1_000_000) == pytest.approx(18, abs=0.1)
    once = Terms(up_kbit=800, round_trip_s=0.1, loss=0, outage_s=(100, 5), first_outage_s=1)
    assert once.least_s(1_000_000) == pytest.approx(15, abs=0.1)
