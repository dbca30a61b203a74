"""What clients of one gateway did to a file and were told of it, and whether all of that can be true.

Each request is noted with the moment before it left and the moment after its answer came, by one monotonic clock: of two
requests one was before the other only if it had ended when that one began. Whatever became of the gateway meanwhile:

- an offset that was told is never undercut by a request that began later, and what was told is never lost;
- no offset is told that nobody's bytes reach, and no two appends are told the same place;
- the bytes that are read at the end are, between the ends of an append that was told, that append's; elsewhere they are
  those of appends of which nobody knows what came, each from its beginning on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise


class Outcome(Enum):
    """What became of a request."""

    TOLD = auto()  #: its bytes are there, or it only asked
    REFUSED = auto()  #: none of its bytes counts
    UNKNOWN = auto()  #: it broke off, or was broken off: all, some or none of its bytes count
    LOST = auto()  #: the gateway says that it has lost what was there


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request about one file. Times in seconds of a monotonic clock.

    :param ended_s: infinite: no answer came.
    :param offset: that the answer told; None: it told none.
    :param writer: who sent bytes; None: nobody, the request only asked.
    :param at: where the bytes belong.
    :param size: how many were sent.
    """

    began_s: float
    ended_s: float = math.inf
    outcome: Outcome = Outcome.TOLD
    offset: int | None = None
    writer: int | None = None
    at: int = 0
    size: int = 0

    @property
    def end(self) -> int:
        """Of the bytes that were sent."""
        return self.at + self.size


BytesOf = Callable[[int], bytes]  #: everything that a writer would have in the file


def faults(requests: Iterable[Request], content: bytes | None = None, bytes_of: BytesOf | None = None) -> list[str]:
    """What can't be true.

    :param content: of the file, as it was read after all requests; None: it wasn't.
    :param bytes_of: needed with `content`.
    """
    history = sorted(requests, key=lambda one: one.began_s)
    found = [*_undercut(history), *_from_nowhere(history), *_told_twice(history)]
    if content is not None:
        assert bytes_of is not None
        found += _not_what_was_sent(history, content, bytes_of)
    return found


def _undercut(history: Sequence[Request]) -> list[str]:
    """In the order of their beginnings, beside those that had ended by then."""
    found: list[str] = []
    ended = sorted((one for one in history if one.offset is not None), key=lambda one: one.ended_s)
    highest, passed = 0, 0
    for one in history:
        while passed < len(ended) and ended[passed].ended_s < one.began_s:
            highest = max(highest, ended[passed].offset or 0)
            passed += 1
        if one.outcome is Outcome.LOST:
            if highest:
                found.append(f"{highest} was told, and later the file is lost")
        elif one.offset is not None and one.offset < highest:
            found.append(f"{highest} was told, and later {one.offset}")
    return found


def _from_nowhere(history: Sequence[Request]) -> list[str]:
    sent = [one for one in history if one.writer is not None and one.outcome is not Outcome.REFUSED]
    found: list[str] = []
    for one in history:
        offset = one.offset
        if not offset:
            continue
        if one.writer is not None and one.outcome is Outcome.TOLD and offset != one.end:
            found.append(f"an append of {one.size} bytes at {one.at} was told {offset}")
        if not any(other.began_s < one.ended_s and other.at < offset <= other.end for other in sent):
            found.append(f"{offset} was told, and nobody had sent bytes up to there")
    return found


def _told(history: Iterable[Request]) -> list[Request]:
    """Appends that were told, by their places."""
    return sorted(
        (one for one in history if one.writer is not None and one.size and one.outcome is Outcome.TOLD),
        key=lambda one: one.at,
    )


def _told_twice(history: Sequence[Request]) -> list[str]:
    told = _told(history)
    return [
        f"two appends were told that they are at {second.at}"
        for first, second in pairwise(told)
        if second.at < first.end
    ]


def _not_what_was_sent(history: Sequence[Request], content: bytes, bytes_of: BytesOf) -> list[str]:
    found: list[str] = []
    unknown = [one for one in history if one.writer is not None and one.outcome is Outcome.UNKNOWN]
    here = 0
    for one in _told(history):
        assert one.writer is not None
        if not _made_of(unknown, content, here, one.at, one.ended_s, bytes_of):
            found.append(f"the bytes from {here} to {one.at} are nobody's")
        if content[one.at : one.end] != bytes_of(one.writer)[one.at : one.end]:
            found.append(f"the bytes from {one.at} to {one.end} are not those of who was told so")
        here = max(here, one.end)
    if len(content) < here:
        found.append(f"{here} was told, and the file has {len(content)} bytes")
    elif not _made_of(unknown, content, here, len(content), math.inf, bytes_of):
        found.append(f"the bytes from {here} to {len(content)} are nobody's")
    return found


def _made_of(
    unknown: Sequence[Request], content: bytes, start: int, end: int, before_s: float, bytes_of: BytesOf
) -> bool:
    """Whether beginnings of these appends, one behind the other, make up the bytes from `start` to `end`.

    :param before_s: none of them began later.
    """
    reached, ahead = {start}, [start]
    while ahead:
        here = ahead.pop()
        if here >= end:
            return True
        for one in unknown:
            if one.at != here or one.writer is None or one.began_s >= before_s:
                continue
            there = here + _alike(content[here : min(one.end, end)], bytes_of(one.writer)[here : one.end])
            nexts = {other.at for other in unknown if here < other.at <= there} | ({end} if there >= end else set())
            ahead += nexts - reached
            reached |= nexts
    return start >= end


def _alike(first: bytes, second: bytes) -> int:
    """How many bytes at the beginning are the same."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
