"""Connections: how many an address may have, how long a head may take, and which one goes when handles run short.

Promises: an address holds a bounded number of connections that showed no good bearer; whoever is new gets in, and the
idlest of the same address goes for it; whatever one address holds, handles are left for the others, the ledger and the
spool. What a body brought before its connection went is kept. Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from aiohttp import web

from gateway.errors import TooMany
from gateway.identity.throttle import network_of
from gateway.uploads.body import BodyBroken


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may take.

    :param unproven: of one address without a good bearer.
    :param most: of all addresses together; handles beyond are kept for other things.
    :param head_timeout_s: in which the first request's head must have come.
    :param exempt: proxies, whose clients share one address.
    """

    unproven: int = 64
    most: int = 1 << 16
    head_timeout_s: float = 10.0
    exempt: tuple[IPv4Network | IPv6Network, ...] = ()


@dataclass(slots=True, eq=False)
class Line:
    """One connection, as it is counted."""

    handler: CountedHandler
    address: str
    exempt: bool
    heard_at: float
    proven: bool = False


@dataclass(slots=True)
class Connections:
    """All connections of a listener, by address."""

    limits: ConnectionLimits
    now: Callable[[], float]
    _by_address: dict[str, dict[Line, None]] = field(default_factory=dict)
    _count: int = 0

    def add(self, handler: CountedHandler, peer: str) -> Line:
        """A new connection; another one goes for it if there are too many."""
        line = Line(handler, network_of(peer), self._is_exempt(peer), self.now())
        lines = self._by_address.setdefault(line.address, {})
        unproven = [one for one in lines if not one.proven]
        lines[line] = None
        self._count += 1
        if not line.exempt and len(unproven) >= self.limits.unproven:
            min(unproven, key=_worth).handler.give_way()
        elif self._count > self.limits.most:
            crowd = max(self._by_address.values(), key=len)
            min((one for one in crowd if one is not line), key=_worth, default=line).handler.give_way()
        return line

    def remove(self, line: Line) -> None:
        """It is closed, or about to be."""
        lines = self._by_address.get(line.address, {})
        if line in lines:
            del lines[line]
            self._count -= 1
            if not lines:
                del self._by_address[line.address]

    def _is_exempt(self, peer: str) -> bool:
        try:
            address = ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self.limits.exempt)


def _worth(line: Line) -> tuple[bool, bool, float]:
    """What is worth least goes first: nobody known, nothing asked in full, silent for longest."""
    return line.proven, line.handler.is_answering(), line.heard_at


class CountedHandler(web.RequestHandler):
    """aiohttp's side of a connection, counted."""

    __slots__ = ("_connections", "_head_timer", "line")

    def __init__(self, *args: Any, connections: Connections, **known: Any) -> None:
        super().__init__(*args, **known)
        self._connections = connections
        self._head_timer: asyncio.TimerHandle | None = None
        self.line: Line | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is counted from now on, and its first head has to come in time."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.line = self._connections.add(self, str(peer[0]) if peer else "")
        self._head_timer = self._loop.call_later(self._connections.limits.head_timeout_s, self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is counted no longer."""
        self._not_counted()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """It isn't idle."""
        if self.line is not None:
            self.line.heard_at = self._connections.now()
        super().data_received(data)
        if self._head_timer is not None and self._request_count:
            self._head_timer.cancel()
            self._head_timer = None

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Receive again, if that was stopped. aiohttp asks for it after each piece of a body that is read."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def is_answering(self) -> bool:
        """A request came in full, and is being answered."""
        request = self._current_request
        return request is not None and request.content.is_eof()

    def give_way(self) -> None:
        """End: another connection needs the place. A body under way hears why, and what came of it is kept."""
        self._not_counted()
        request = self._current_request
        if request is None or request.content.is_eof():
            self.force_close()
        elif self.line is not None and self.line.proven:
            request.content.set_exception(BodyBroken("there are too many connections"))
        else:
            request.content.set_exception(
                TooMany(
                    "this address has too many connections without a good token",
                    code="quota_exceeded",
                    limit="limits.unproven_connections",
                    retry_after_s=1,
                )
            )

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self._request_count:
            self.force_close()

    def _not_counted(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self.line is not None:
            self._connections.remove(self.line)


def mark_proven(request: web.Request) -> None:
    """The connection that a request came by has shown a good bearer."""
    handler = request.protocol
    if isinstance(handler, CountedHandler) and handler.line is not None:
        handler.line.proven = True
