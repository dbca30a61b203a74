from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Conflict, TooLarge
from gateway.protocol.engine import Append, Completes, FileView, Plan, Settlement, plan, settle

MAX = 1000


def view(offset: int = 0, length: int | None = 100, *, whole: bool = False) -> FileView:
    return FileView(offset, length, whole)


def wish(at: int = 0, size: int | None = 10, completes: Completes = Completes.WHEN_FULL) -> Append:
    return Append(at, size, completes)


def test_an_append_at_the_end_may_read_the_rest_of_the_file():
    assert plan(view(40), wish(40), MAX) == Plan(40, 60)


def test_a_file_of_unknown_length_may_grow_to_the_largest_that_any_file_may_be():
    assert plan(view(40, None), wish(40), MAX) == Plan(40, MAX - 40)


@pytest.mark.parametrize("at", [0, 39, 41, 100, 10**17])
def test_an_append_elsewhere_is_refused_with_the_offset_at_which_to_go_on(at):
    with pytest.raises(Conflict) as caught:
        plan(view(40), wish(at), MAX)
    assert caught.value.code == "offset_mismatch"
    assert caught.value.extra["offset"] == 40


@pytest.mark.parametrize(("length", "size"), [(100, 61), (None, 961)])
def test_a_body_that_says_it_is_longer_than_the_rest_is_refused_before_a_byte_is_read(length, size):
    with pytest.raises(TooLarge) as caught:
        plan(view(40, length), wish(40, size), MAX)
    assert caught.value.code == "file_too_large"


@pytest.mark.parametrize("size", [60, 0, None])
def test_a_body_that_fits_exactly_says_nothing_or_is_empty_may_come(size):
    assert plan(view(40), wish(40, size), MAX).room == 60


def test_a_wrong_offset_is_told_before_a_wrong_size():
    with pytest.raises(Conflict):
        plan(view(40), wish(0, 10_000), MAX)


def test_a_tus_file_is_whole_at_its_last_byte_even_if_the_line_broke_after_it():
    assert settle(view(40), wish(40), 60, ended_cleanly=False) == Settlement(100, whole=True)


def test_a_tus_file_is_not_whole_one_byte_before():
    assert settle(view(40), wish(40), 59, ended_cleanly=True) == Settlement(99, whole=False)


def test_a_file_without_a_length_is_never_full():
    assert not settle(view(40, None), wish(40), 60, ended_cleanly=True).whole


@pytest.mark.parametrize(
    ("length", "stored", "cleanly", "whole"),
    [
        (None, 60, True, True),
        (None, 0, True, True),
        (None, 60, False, False),
        (100, 60, True, True),
        (100, 59, True, False),
        (100, 60, False, False),
    ],
)
def test_an_append_that_completes_at_its_end_does_so_only_at_a_clean_end_and_a_fitting_length(
    length, stored, cleanly, whole
):
    done = settle(view(40, length), wish(40, None, Completes.AT_END), stored, ended_cleanly=cleanly)
    assert done == Settlement(40 + stored, whole)


@pytest.mark.parametrize("length", [100, None])
def test_an_append_that_never_completes_doesnt_even_at_the_length(length):
    assert not settle(view(40, length), wish(40, 60, Completes.NEVER), 60, ended_cleanly=True).whole


@pytest.mark.parametrize("completes", Completes)
def test_what_is_whole_stays_whole(completes):
    assert settle(view(100, whole=True), wish(100, 0, completes), 0, ended_cleanly=False).whole


@given(
    offset=st.integers(0, 100),
    length=st.one_of(st.none(), st.integers(0, 100)),
    size=st.one_of(st.none(), st.integers(0, 200)),
    completes=st.sampled_from(Completes),
    cleanly=st.booleans(),
    data=st.data(),
)
def test_no_offset_is_ever_beyond_the_length_and_whole_means_full(offset, length, size, completes, cleanly, data):
    if length is not None:
        offset = min(offset, length)
    file, append = FileView(offset, length, whole=False), Append(offset, size, completes)
    try:
        leave = plan(file, append, MAX)
    except TooLarge:
        return
    stored = data.draw(st.integers(0, leave.room if size is None else min(size, leave.room)))
    done = settle(file, append, stored, ended_cleanly=cleanly)
    assert done.offset == offset + stored
    assert done.offset <= (MAX if length is None else length)
    if done.whole and length is not None:
        assert done.offset == length
