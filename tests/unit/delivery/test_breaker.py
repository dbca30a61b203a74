"""Who may ask an endpoint that doesn't answer, and when."""

from __future__ import annotations

import pytest

from gateway.delivery.breaker import PROBE_LOST_AFTER_S, Breaker, Condition
from gateway.jobs.backoff import MAX_RETRY_AFTER_S, Backoff
from tests.clocks import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> Breaker:
    return Breaker(clock, Backoff(base_s=1.0, cap_s=8.0), threshold=3, probe_s=60.0)


def test_it_opens_at_the_third_failure_in_a_row_and_says_so_once(breaker: Breaker):
    assert [breaker.failed("no_answer") for _ in range(5)] == [False, False, True, False, False]
    assert breaker.condition is Condition.DOWN


def test_an_answer_in_between_forgets_the_failures(breaker: Breaker):
    breaker.failed("no_answer")
    breaker.failed("no_answer")
    assert breaker.answered() is False
    assert breaker.failed("no_answer") is False
    assert breaker.wait_s() == 0.0


def test_answered_queries_say_nothing_of_a_pacs_that_stores_nothing(breaker: Breaker):
    opened = [(breaker.failed("http_507", storing=True), breaker.answered(storing=False)) for _ in range(3)]
    assert opened == [(False, False), (False, False), (True, False)]
    conditions = [breaker.condition]
    assert breaker.answered(storing=True) is True
    conditions.append(breaker.condition)
    assert conditions == [Condition.DOWN, Condition.UP]


def test_a_refusal_to_store_is_told_once_though_queries_are_answered(breaker: Breaker):
    told = [(breaker.refused("http_403", storing=True), breaker.answered(storing=False)) for _ in range(3)]
    assert told == [(True, False), (False, False), (False, False)]


def test_who_failed_at_a_query_last_is_up_at_the_next_answer(breaker: Breaker):
    breaker.failed("http_507", storing=True)
    breaker.failed("no_answer")
    breaker.failed("no_answer")
    assert breaker.answered(storing=False) is True


def test_one_asks_while_the_others_wait_and_its_answer_lets_all_go(breaker: Breaker, clock: ManualClock):
    for _ in range(3):
        breaker.failed("no_answer")
    clock.advance(8.1)
    assert breaker.wait_s() == 0.0
    assert breaker.wait_s() > 0.0
    assert breaker.answered() is True
    assert breaker.wait_s() == 0.0


def test_a_question_that_was_lost_or_withdrawn_may_be_asked_by_another(breaker: Breaker, clock: ManualClock):
    for _ in range(3):
        breaker.failed("no_answer")
    clock.advance(8.1)
    assert breaker.wait_s() == 0.0
    clock.advance(PROBE_LOST_AFTER_S + 1)
    assert breaker.wait_s() == 0.0
    breaker.withdrew()
    assert breaker.wait_s() == 0.0


def test_a_misconfigured_endpoint_is_asked_every_minute_and_told_once(breaker: Breaker, clock: ManualClock):
    assert [breaker.refused("http_401"), breaker.refused("http_401")] == [True, False]
    assert breaker.wait_s() == 60.0
    clock.advance(60.0)
    assert breaker.wait_s() == 0.0


def test_setting_the_wall_clock_moves_nothing(breaker: Breaker, clock: ManualClock):
    breaker.refused("http_401")
    clock.jump(86400.0)
    assert breaker.wait_s() == 60.0
    clock.jump(-2 * 86400.0)
    assert breaker.wait_s() == 60.0


def test_back_off_grows_to_its_cap_and_is_never_shorter_than_asked_for():
    backoff = Backoff(base_s=1.0, cap_s=8.0)
    assert [backoff.ceiling_s(failures) for failures in (1, 2, 3, 4, 5, 1000)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert all(0.0 <= backoff.wait_s(4) <= 8.0 for _ in range(100))
    assert 30.0 <= backoff.wait_s(1, 30.0) <= 31.0
    assert backoff.wait_s(1, 1e9) <= MAX_RETRY_AFTER_S + 1.0
