"""Slows down who fails too often. In memory, bounded; a restart forgets it."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache

from gateway.clock import Clock
from gateway.errors import TooMany


class SlidingWindow:
    """At most `limit` events of a key within any `window_s` seconds.

    :param max_keys: the least recently touched keys beyond it are forgotten.
    """

    def __init__(self, limit: int, window_s: float, max_keys: int = 10_000) -> None:
        self._limit = limit
        self._window_s = window_s
        self._max_keys = max_keys
        self._events: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def wait_s(self, key: Hashable, now: float) -> float:
        """Seconds until another event of this key is allowed; 0: now."""
        events = self._recent(key, now)
        if events is None or len(events) < self._limit:
            return 0.0
        return max(events[0] + self._window_s - now, 0.0)

    def add(self, key: Hashable, now: float) -> None:
        """Count an event."""
        events = self._events.setdefault(key, deque(maxlen=self._limit))
        events.append(now)
        self._events.move_to_end(key)
        while len(self._events) > self._max_keys:
            self._events.popitem(last=False)

    def __len__(self) -> int:
        return len(self._events)

    def _recent(self, key: Hashable, now: float) -> deque[float] | None:
        events = self._events.get(key)
        while events and events[0] <= now - self._window_s:
            events.popleft()
        if events is not None and not events:
            del self._events[key]
            return None
        return events


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """How many logins may fail within the window, and how many of one name may succeed in a minute."""

    per_name: int = 10
    per_address: int = 60
    window_s: float = 300.0
    per_minute: int = 30


class LoginGuard:
    """Slows down guessing, per name and per address.

    From an address where a name has got in before, its failures count apart: whoever fails elsewhere in that name
    can't keep its owner out.
    """

    def __init__(self, limits: LoginLimits, clock: Clock, *, max_known: int = 10_000) -> None:
        self._clock = clock
        self._names = SlidingWindow(limits.per_name, limits.window_s)
        self._addresses = SlidingWindow(limits.per_address, limits.window_s)
        self._logins = SlidingWindow(limits.per_minute, 60.0)
        self._known: OrderedDict[tuple[bytes, str], None] = OrderedDict()
        self._max_known = max_known

    def check(self, name: bytes, address: str) -> None:
        """:raises TooMany: another guess isn't allowed yet; `retry_after_s` says when."""
        now, network = self._clock.monotonic(), network_of(address)
        wait_s = max(self._addresses.wait_s(network, now), self._names.wait_s(self._key(name, network), now))
        if wait_s > 0:
            raise TooMany("too many failed logins: wait before trying again", retry_after_s=math.ceil(wait_s))
        if (name, network) in self._known:  # nobody else is told that there is such a name
            self._check_logins(name, now)

    def failed(self, name: bytes, address: str) -> None:
        """A guess was wrong."""
        now, network = self._clock.monotonic(), network_of(address)
        self._addresses.add(network, now)
        self._names.add(self._key(name, network), now)

    def succeeded(self, name: bytes, address: str) -> None:
        """Its owner is there: remember from where.

        :raises TooMany: `quota_exceeded`: it has logged in too often lately.
        """
        now = self._clock.monotonic()
        self._check_logins(name, now)
        self._logins.add(name, now)
        place = (name, network_of(address))
        self._known[place] = None
        self._known.move_to_end(place)
        while len(self._known) > self._max_known:
            self._known.popitem(last=False)

    def _check_logins(self, name: bytes, now: float) -> None:
        wait_s = self._logins.wait_s(name, now)
        if wait_s > 0:
            raise TooMany(
                "this account logs in too often: keep the tokens and renew them",
                code="quota_exceeded",
                limit="limits.logins_per_minute",
                retry_after_s=math.ceil(wait_s),
            )

    def _key(self, name: bytes, network: str) -> Hashable:
        return (name, network) if (name, network) in self._known else name


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What one party is likely to have: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)
