from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Conflict, TooLarge
from gateway.protocol.chunks import (
    Chunk,
    ChunkedFile,
    accept,
    check_place,
    check_size,
    is_whole,
    is_whole_at_complete,
    ranges,
    start_of,
)

EMPTY = ChunkedFile(chunk_size=10, total_chunks=None, received_bytes=0, chunks=0, highest_index=-1)


def taken(*sizes: tuple[int, int], total: int | None = None) -> ChunkedFile:
    """A file after chunks of (index, size)."""
    file = EMPTY
    for index, size in sizes:
        file = accept(file, Chunk(index, total), size)
    return file


def code(*sizes: tuple[int, int], chunk: Chunk, size: int, total: int | None = None) -> str:
    with pytest.raises(Conflict) as caught:
        accept(taken(*sizes, total=total), chunk, size)
    return caught.value.code


def test_a_chunk_lies_at_its_index_times_the_chunk_size():
    assert start_of(EMPTY, 3) == 30


def test_a_file_is_whole_when_its_last_chunk_is_told_and_all_are_there():
    file = taken((2, 4), (0, 10), total=3)
    assert not is_whole(file)
    assert is_whole(accept(file, Chunk(1, None), 10))


def test_a_short_chunk_marks_the_last():
    file = taken((0, 10), (1, 3))
    assert file.total_chunks == 2
    assert is_whole(file)


def test_a_short_chunk_may_come_first():
    file = taken((2, 3))
    assert not is_whole(file)
    assert is_whole(accept(accept(file, Chunk(0, None), 10), Chunk(1, None), 10))


def test_a_last_chunk_of_the_full_size_marks_nothing_until_complete():
    file = taken((0, 10), (1, 10))
    assert not is_whole(file)
    assert is_whole_at_complete(file)


def test_a_file_with_a_hole_isnt_whole_even_at_complete():
    assert not is_whole_at_complete(taken((0, 10), (2, 10)))


def test_a_file_that_lacks_a_told_chunk_isnt_whole_even_at_complete():
    assert not is_whole_at_complete(taken((0, 10), (1, 10), total=3))


def test_nothing_isnt_a_whole_file():
    assert not is_whole_at_complete(EMPTY)


def test_an_empty_file_is_one_empty_chunk():
    assert is_whole(taken((0, 0)))


def test_a_second_short_chunk_is_refused():
    assert code((3, 5), chunk=Chunk(1, None), size=5) == "chunk_size_mismatch"


def test_a_short_chunk_before_the_last_is_refused_when_the_total_is_told():
    assert code(chunk=Chunk(0, 2), size=9) == "chunk_size_mismatch"


def test_a_short_chunk_before_one_that_is_there_is_refused():
    assert code((2, 10), chunk=Chunk(1, None), size=9) == "chunk_size_mismatch"


def test_a_chunk_beyond_the_end_is_refused():
    assert code((1, 5), chunk=Chunk(2, None), size=5) == "chunk_size_mismatch"
    assert code(chunk=Chunk(2, 2), size=5) == "chunk_size_mismatch"


def test_an_empty_chunk_is_no_end_of_a_file_that_has_others():
    assert code((0, 10), chunk=Chunk(1, None), size=0) == "chunk_size_mismatch"


def test_another_total_than_before_is_refused():
    assert code((0, 10), chunk=Chunk(1, 4), size=10, total=3) == "length_mismatch"


def test_a_total_below_what_is_there_is_refused():
    assert code((5, 10), chunk=Chunk(0, 3), size=10) == "length_mismatch"


def test_a_chunk_longer_than_chunk_size_is_too_large():
    with pytest.raises(TooLarge) as caught:
        check_size(EMPTY, 11)
    assert caught.value.code == "body_too_large"
    check_size(EMPTY, 10)


def test_a_chunk_that_is_there_may_be_named_again():
    check_place(taken((0, 10), (1, 3)), Chunk(1, 2))


@pytest.mark.parametrize(
    ("indexes", "shown"),
    [
        ([], []),
        ([0], [[0, 0]]),
        ([0, 1, 2], [[0, 2]]),
        ([0, 1, 2, 5], [[0, 2], [5, 5]]),
        ([3, 5, 6], [[3, 3], [5, 6]]),
    ],
)
def test_ranges_are_inclusive(indexes, shown):
    assert ranges(indexes) == shown


@given(size=st.integers(0, 95), tells_total=st.booleans(), data=st.data())
def test_any_order_of_a_files_chunks_makes_it_whole_exactly_at_the_last(size, tells_total, data):
    sizes = [min(10, size - at) for at in range(0, size, 10)] or [0]
    order = data.draw(st.permutations(range(len(sizes))))
    total = len(sizes) if tells_total else None
    file = EMPTY
    for number, index in enumerate(order):
        assert not is_whole(file)
        file = accept(file, Chunk(index, total), sizes[index])
        if number + 1 < len(sizes):
            assert not (is_whole(file) and not tells_total and sizes[-1] == 10)
    assert file.received_bytes == size
    assert is_whole_at_complete(file)
    assert is_whole(file) == (tells_total or sizes[-1] < 10)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 6), st.one_of(st.none(), st.integers(1, 7)), st.integers(0, 10)), max_size=12
    )
)
def test_no_sequence_of_chunks_makes_a_whole_file_with_a_hole(steps):
    file, there = EMPTY, {}
    for index, total, size in steps:
        if index in there:
            continue
        try:
            file = accept(file, Chunk(index, total), size)
        except Conflict:
            continue
        there[index] = size
    assert file == replace(file, chunks=len(there), received_bytes=sum(there.values()))
    if is_whole_at_complete(file):
        assert sorted(there) == list(range(len(there)))
        assert all(there[index] == 10 for index in range(len(there) - 1))
