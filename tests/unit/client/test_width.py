"""How many requests at once: the vectors that the app is held to as well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.client.width import Width
from tests.vectors.widths import CASES, EVERY_S, document

VECTORS = Path(__file__).parents[2] / "vectors" / "widths.json"
CASE = json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"]
KEPT = {one["name"]: one["kept"] for one in CASE}


@pytest.mark.parametrize("vector", CASE, ids=[one["name"] for one in CASE])
def test_after_each_sample_it_is_the_number_that_the_vectors_have(vector: dict[str, Any]) -> None:
    width = Width(vector["least"], vector["most"], vector["first"])
    assert [width.sampled(*sample) for sample in vector["samples"]] == vector["counts"]
    assert width.kept == vector["kept"]


def test_the_vectors_are_those_that_their_maker_makes() -> None:
    assert VECTORS.read_text(encoding="utf-8") == document()
    assert len(CASE) == len(CASES)


def test_every_connection_that_carries_more_is_kept() -> None:
    assert KEPT["each connection carries a little"] == 16
    assert KEPT["more than half of what is tried helps"] in {11, 12}
    assert KEPT["a browser has six"] == 6
    assert KEPT["the line gets worse"] in {12, 13, 14}


def test_those_that_carry_nothing_are_given_up() -> None:
    assert KEPT["the line is full with two"] == 2
    assert KEPT["a line so slow that a cut would cost much"] <= 5


def test_who_has_more_of_a_line_than_somebody_else_takes_no_more() -> None:
    assert KEPT["somebody else has half of it"] <= 9
    assert KEPT["somebody else has more of it"] >= 6


def test_an_outage_says_nothing() -> None:
    vector = next(one for one in CASE if one["name"] == "the line is away now and then")
    down = [count for (at_s, *_), count in zip(vector["samples"], vector["counts"], strict=True) if 8.5 <= at_s <= 12]
    assert len(set(down)) == 1


def test_of_many_refusals_in_one_moment_one_counts() -> None:
    vector = next(one for one in CASE if one["name"] == "the gateway has too much to do")
    at = dict(zip((sample[0] for sample in vector["samples"]), vector["counts"], strict=True))
    assert at[5.5] == vector_kept_before(vector, 5) - 1
    assert at[9] == at[8.75] - 1


def vector_kept_before(vector: dict[str, Any], until_s: float) -> int:
    """What it had come to by then."""
    width = Width(vector["least"], vector["most"], vector["first"])
    for sample in vector["samples"]:
        if sample[0] >= until_s:
            break
        width.sampled(*sample)
    return min(width.kept, width.count)


def test_where_it_is_pinned_nothing_moves_it() -> None:
    vector = next(one for one in CASE if one["name"] == "pinned")
    assert set(vector["counts"]) == {4}


def after(width: Width, *, bps: float, full: bool | None, until_s: float = 4) -> list[int]:
    """What it says of so many bytes per second, however many carry them."""
    counts, busy = [], width.count
    for number in range(round(until_s / EVERY_S)):
        at_s = number * EVERY_S
        busy = width.sampled(at_s, int(at_s * bps), busy, 0, full=full)
        counts.append(busy)
    return counts


def test_on_a_line_that_is_known_to_be_full_few_more_are_tried() -> None:
    assert max(after(Width(2, 16, 8), bps=400e3, full=None)) == 16
    assert max(after(Width(2, 16, 8), bps=400e3, full=True)) == 10


def test_where_the_line_is_not_full_none_is_given_up() -> None:
    assert after(Width(2, 16, 8), bps=400e3, full=None, until_s=60)[-1] < 8
    widths = Width(2, 16, 8)
    after(widths, bps=400e3, full=False, until_s=60)
    assert widths.kept == 8
