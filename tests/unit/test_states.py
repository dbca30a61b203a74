from __future__ import annotations

import pytest

from gateway.errors import Conflict, Gone
from gateway.states import (
    DEAD_STATES,
    FINISHED_STATES,
    RECEIVING_STATES,
    TRANSITIONS,
    FileState,
    UploadEvent,
    UploadState,
    after,
    refusal,
)

S, E = UploadState, UploadEvent


def test_the_states_are_those_of_the_contract():
    assert [str(state) for state in S] == (
        ["open", "uploading", "delivering", "held", "success", "partial", "failed", "cancelled", "expired"]
    )
    assert {str(state) for state in FileState} == {
        "receiving",
        "whole",
        "queued",
        "sending",
        "stored",
        "already_there",
        "rejected",
        "failed",
        "skipped",
        "lost",
        "removed",
    }


def test_every_state_can_be_reached_from_open():
    reached = {S.OPEN}
    for _ in S:
        reached |= {to for (state, _), to in TRANSITIONS.items() if state in reached}
    assert reached == set(S)


@pytest.mark.parametrize("state", sorted(DEAD_STATES))
@pytest.mark.parametrize("event", E)
def test_nothing_happens_to_a_dead_upload_any_more(state, event):
    with pytest.raises(Gone) as caught:
        after(state, event)
    assert caught.value.code == "upload_gone"
    assert caught.value.extra["state"] == state


@pytest.mark.parametrize("state", sorted(set(S) - RECEIVING_STATES - DEAD_STATES))
@pytest.mark.parametrize("event", [E.BYTES, E.COMPLETE, E.EXPIRE])
def test_no_byte_and_no_end_comes_after_the_completion(state, event):
    with pytest.raises(Conflict) as caught:
        after(state, event)
    assert caught.value.code == "upload_completed"


@pytest.mark.parametrize("state", sorted(RECEIVING_STATES))
def test_while_bytes_come_an_upload_can_be_completed_cancelled_and_expire(state):
    assert after(state, E.BYTES) is S.UPLOADING
    assert after(state, E.COMPLETE) is S.DELIVERING
    assert after(state, E.CANCEL) is S.CANCELLED
    assert after(state, E.EXPIRE) is S.EXPIRED


def test_a_success_is_final():
    assert not [event for (state, event) in TRANSITIONS if state is S.SUCCESS]
    with pytest.raises(Conflict):
        after(S.SUCCESS, E.CANCEL)


@pytest.mark.parametrize("state", sorted(set(S) - {S.HELD} - DEAD_STATES))
def test_only_what_is_held_can_be_released(state):
    with pytest.raises(Conflict) as caught:
        after(state, E.RELEASE)
    assert caught.value.code == "not_held"
    assert after(S.HELD, E.RELEASE) is S.DELIVERING


def test_only_what_failed_in_part_or_in_all_is_retried():
    assert {state for (state, event) in TRANSITIONS if event is E.RETRY} == {S.PARTIAL, S.FAILED}
    assert {S.SUCCESS, S.PARTIAL, S.FAILED} == FINISHED_STATES


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("event", E)
def test_every_state_has_an_answer_to_every_event(state, event):
    if (state, event) in TRANSITIONS:
        assert after(state, event) in S
    else:
        assert refusal(state, event).extra["state"] == state
