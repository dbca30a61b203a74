"""Small things that a ledger takes and gives out, and the fault of asking it wrongly."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol


class Watch(Protocol):
    """A place to wait for commits that woke a topic."""

    async def changed(self, timeout_s: float | None = None) -> bool:
        """True as soon as the topic was woken since the last call (or since the watch began); False: timed out."""


class ReadOnly(RuntimeError):
    """An act of `read` tried to write: a fault of ours, told to nobody but us."""


class Reserve(Protocol):
    """Room that is kept for writing down what is there already, and its end. While it is used up no new bytes are taken."""

    @property
    def held(self) -> bool:
        """It is there."""

    def hold(self) -> bool:
        """Take it, also again, if there is room, and say whether it is there. Blocking; never raises."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An act of a group, over a transaction.

    :param done: is told what `write` would return or raise, in its own loop.
    :param client: whose turn it takes.
    """

    act: Callable[[Any], Any]
    done: Future[Any]
    client: Hashable = None

    def tell(self, result: Any, error: BaseException | None = None) -> None:
        """Resolve `done`, from any thread."""
        tell(self.done, result, error)


def tell(done: Future[Any], result: Any, error: BaseException | None = None) -> None:
    """Resolve a future from any thread."""
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        done.get_loop().call_soon_threadsafe(resolve, done, result, error)


def resolve(done: Future[Any], result: Any, error: BaseException | None) -> None:
    """In the loop of `done`, which may have been cancelled."""
    if done.cancelled():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)
