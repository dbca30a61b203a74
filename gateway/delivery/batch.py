"""How instances are put together for one request. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar


class Sized(Protocol):
    """What can be batched."""

    @property
    def size_bytes(self) -> int:
        """Length of the instance."""

    @property
    def study_instance_uid(self) -> str:
        """The study it belongs to."""


S = TypeVar("S", bound=Sized)


def batches(items: Iterable[S], *, max_instances: int, max_bytes: int) -> Iterator[list[S]]:
    """Batches in the order of `items`; each of one study, at most so many and so large, never empty.

    An instance over `max_bytes` goes alone.
    """
    batch: list[S] = []
    batch_bytes = 0
    for item in items:
        if batch and (
            len(batch) >= max_instances
            or batch_bytes + item.size_bytes > max_bytes
            or item.study_instance_uid != batch[0].study_instance_uid
        ):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += item.size_bytes
    if batch:
        yield batch


def halves(batch: Sequence[S]) -> tuple[list[S], list[S]]:
    """A refused batch of two or more as two smaller ones."""
    middle = len(batch) // 2
    return list(batch[:middle]), list(batch[middle:])
