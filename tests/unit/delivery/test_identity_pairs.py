"""The table of pairs: nobody is taken for somebody else, and hardly anybody waits for nothing."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from gateway.delivery.identity import Known, compare_with
from hooks.contract import Facts, PatientRecord
from tests.unit.delivery import former_rules
from tests.unit.delivery.identity_pairs import Pair, by_hand, made

BY_HAND = by_hand()
PAIRS = [*BY_HAND, *made()]


def becomes(pair: Pair) -> str:
    file, pacs = pair.file, pair.pacs
    facts = Facts(
        "1.2", "1.3", "1.4", "1.5", "1.6", patient_id=file.patient_id, patient_name=file.name,
        patient_birth_date=file.birth_date, patient_sex=file.sex,
    )  # fmt: skip
    record = PatientRecord(pacs.patient_id, pacs.name, pacs.birth_date, pacs.sex)
    found = compare_with(Known(by_patient_id=(record,)), [facts])
    if found.holds:
        return "hold"
    return "unsure" if found.unconfirmed else "warn" if found.otherwise_written else "go"


def test_there_are_enough_pairs_and_half_of_them_are_written_by_hand():
    assert len(PAIRS) >= 300
    assert len(BY_HAND) >= 150
    assert all(pair.source for pair in PAIRS)
    assert len({(pair.file, pair.pacs) for pair in BY_HAND}) == len(BY_HAND)


def test_nobody_is_missed():
    assert [str(pair) for pair in PAIRS if pair.outcome == "hold" and becomes(pair) != "hold"] == []


def test_fewer_than_two_in_a_hundred_wait_for_nothing():
    innocent = [pair for pair in PAIRS if pair.outcome != "hold"]
    alarms = [str(pair) for pair in innocent if becomes(pair) == "hold"]
    assert len(alarms) < 0.02 * len(innocent), alarms


def test_what_cannot_be_known_is_never_passed_in_silence():
    assert [str(pair) for pair in PAIRS if pair.outcome == "unsure" and becomes(pair) != "unsure"] == []


def test_who_is_written_in_the_usual_ways_brings_no_warning():
    noisy = [str(pair) for pair in PAIRS if pair.outcome == "go" and becomes(pair) not in {"go", "hold"}]
    assert len(noisy) < 0.02 * len(PAIRS), noisy


def test_both_sides_may_be_swapped():
    swapped = [Pair(pair.outcome, pair.pacs, pair.file, pair.source) for pair in PAIRS]
    assert [str(one) for pair, one in zip(PAIRS, swapped, strict=True) if becomes(pair) != becomes(one)] == []


def test_the_former_rules_fail_this_table():
    wrong = Counter(
        "miss" if pair.outcome in {"hold", "unsure"} else "alarm"
        for pair in PAIRS
        if (pair.outcome == "hold")
        != former_rules.holds(pair.file.name, pair.file.birth_date, pair.pacs.name, pair.pacs.birth_date)
    )
    assert wrong["miss"] >= 5, wrong
    assert wrong["alarm"] >= 30, wrong


@pytest.mark.parametrize("name", ["e" + "\u0301" * 100_000, "^".join("a" * 50_000), "山" * 100_000, "?" * 100_000])
def test_no_name_takes_long(name: str):
    began = time.process_time()
    for number in range(50):
        becomes(Pair("go", BY_HAND[0].file, BY_HAND[0].pacs.__class__("P1", name + str(number), "19700412", ""), ""))
    assert time.process_time() - began < 1.0
