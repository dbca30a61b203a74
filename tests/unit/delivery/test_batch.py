"""How instances are put together."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.batch import batches, halves


@dataclass(frozen=True)
class Sized:
    size_bytes: int
    study_instance_uid: str = "1.2"


@given(
    st.lists(st.builds(Sized, st.integers(0, 100), st.sampled_from(["1.2", "1.3"])), max_size=40),
    st.integers(1, 10),
    st.integers(1, 150),
)
def test_batches_keep_order_and_limits_and_lose_nothing(items: list[Sized], most: int, max_bytes: int):
    made = list(batches(items, max_instances=most, max_bytes=max_bytes))
    assert [item for batch in made for item in batch] == items
    for batch in made:
        assert 1 <= len(batch) <= most
        assert len({item.study_instance_uid for item in batch}) == 1
        assert len(batch) == 1 or sum(item.size_bytes for item in batch) <= max_bytes


def test_halves_are_never_empty():
    items = [Sized(1) for _ in range(5)]
    assert [len(half) for half in halves(items)] == [2, 3]
    assert [len(half) for half in halves(items[:2])] == [1, 1]
