"""Whose file is looked at next: of those who wait, who has cost least so far. Pure but for the clock it is given.

Accounts take turns, and within an account its uploads do, both by what they cost: many uploads of one account are to
the others what one is. Promises: an upload whose files take long holds up itself. It has one seat until its first file
is done, and uploads with files that take long leave one seat to the others; a newcomer is not behind what came before
it, but beside it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

#: A file that takes longer is no usual one: those take some milliseconds.
LONG_S = 0.5
#: Uploads that nobody waits for at the moment, and whose cost is remembered.
REMEMBERED = 100


@dataclass(slots=True)
class _AccountTurns:
    """What its uploads have cost together."""

    spent_s: float
    reached_s: float = 0.0  #: what that of its uploads has cost that was served last: another begins there
    wanted: int = 0  #: things that wait or are under way


@dataclass(slots=True)
class _UploadQueue(Generic[T]):
    """What is wanted of one upload."""

    account: _AccountTurns
    spent_s: float
    waiting: deque[T] = field(default_factory=deque)
    began: list[float] = field(default_factory=list)  #: its turns under way
    known: bool = False  #: a file of it is done
    long: bool = False  #: what was done last took long

    def running_s(self, now: float) -> float:
        """Of the turns under way."""
        return sum(now - began for began in self.began)

    def takes_long(self, now: float) -> bool:
        """What it has, or may have, takes long."""
        return self.long or any(now - began > LONG_S for began in self.began)


@dataclass(frozen=True, slots=True)
class Turn(Generic[T]):
    """What is to be dealt with now, one after the other."""

    upload_id: str
    began: float  #: monotonic seconds
    things: Sequence[T]


class Turns(Generic[T]):
    """Things that wait, by the account and the upload they are of.

    :param seats: turns under way at once.
    :param now: monotonic seconds.
    """

    def __init__(self, seats: int, now: Callable[[], float]) -> None:
        self._seats = seats
        self._now = now
        self._flows: OrderedDict[str, _UploadQueue[T]] = OrderedDict()
        self._accounts: dict[str, _AccountTurns] = {}
        self._reached_s = 0.0  #: what the account has cost that was served last: a newcomer begins there

    def put(self, account_id: str, upload_id: str, thing: T) -> None:
        """It waits behind the others of its upload."""
        account = self._accounts.setdefault(account_id, _AccountTurns(self._reached_s))
        if not account.wanted:
            account.spent_s = max(account.spent_s, self._reached_s)
        account.wanted += 1
        flow = self._flows.get(upload_id)
        if flow is None:
            flow = self._flows[upload_id] = _UploadQueue(account, account.reached_s)
            self._forget()
        if not flow.waiting and not flow.began:
            flow.spent_s = max(flow.spent_s, account.reached_s)
        flow.waiting.append(thing)

    def take(self, most: int) -> Turn[T] | None:
        """Begin a turn of up to `most` things of an upload. None: nothing may begin now."""
        now = self._now()
        working = [flow for flow in self._flows.values() if flow.began]
        free = self._seats - sum(len(flow.began) for flow in working)
        long = sum(len(flow.began) for flow in working if flow.takes_long(now))
        running_s: dict[int, float] = {}  #: of each account, by its object
        for flow in working:
            running_s[id(flow.account)] = running_s.get(id(flow.account), 0.0) + flow.running_s(now)
        may = [
            (
                flow.account.spent_s + running_s.get(id(flow.account), 0.0),
                flow.spent_s + flow.running_s(now),
                upload_id,
            )
            for upload_id, flow in self._flows.items()
            if flow.waiting
            and (flow.known or not flow.began)
            and not (flow.takes_long(now) and long >= max(1, self._seats - 1))
        ]
        if free <= 0 or not may:
            return None
        *_, upload_id = min(may)
        flow = self._flows[upload_id]
        self._reached_s = max(self._reached_s, flow.account.spent_s)
        flow.account.reached_s = max(flow.account.reached_s, flow.spent_s)
        usual = flow.known and not flow.takes_long(now)
        number = min(-(-len(flow.waiting) // free), most) if usual else 1
        flow.began.append(now)
        return Turn(upload_id, now, [flow.waiting.popleft() for _ in range(number)])

    def done(self, turn: Turn[T], left: Sequence[T] = ()) -> None:
        """End a turn. :param left: what was not dealt with; it is first again."""
        flow = self._flows[turn.upload_id]
        flow.began.remove(turn.began)
        took_s = self._now() - turn.began
        flow.spent_s += took_s
        flow.account.spent_s += took_s
        flow.account.wanted -= len(turn.things) - len(left)
        flow.known = True
        flow.long = took_s > LONG_S * (len(turn.things) - len(left))
        flow.waiting.extendleft(reversed(left))
        self._flows.move_to_end(turn.upload_id)

    def _forget(self) -> None:
        idle = [upload_id for upload_id, flow in self._flows.items() if not flow.waiting and not flow.began]
        for upload_id in idle[: max(0, len(idle) - REMEMBERED)]:
            del self._flows[upload_id]
        known = {id(flow.account) for flow in self._flows.values()}
        for account_id in [one for one, account in self._accounts.items() if id(account) not in known]:
            del self._accounts[account_id]
