"""The TCP connections beneath the requests: how long one may be silent.

A connection that dies without a word (another network, a NAT that forgot it) is given up 5 s and 4 round trips after the
last byte that the other end acknowledged, where the system can: TCP_USER_TIMEOUT (RFC 5482) while bytes are under way,
keep-alive (RFC 9293 3.8.4) while an answer is waited for. One whose bytes move is left alone. And what the other ends have
acknowledged: not what was handed to the system, which takes some seconds of a slow line at once.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import struct
import sys
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from requests.adapters import HTTPAdapter

#: A satellite's: the round trip isn't known before there is a connection.
ROUND_TRIP_S = 0.6
SILENT_BESIDE_TRIPS_S = 5.0
SILENT_S = SILENT_BESIDE_TRIPS_S + 4 * ROUND_TRIP_S
_PROBE_AFTER_S, _PROBE_EVERY_S = 5, 1
#: In so long a block of a body goes, also over a line of 600 bytes per second. Where the system knows nothing of the time-outs
#: above this is the one that ends a connection which died.
_BLOCK_WITHIN_S = 120.0
#: Of Linux' `struct tcp_info`: tcpi_snd_mss, tcpi_unacked, tcpi_sacked, tcpi_lost, tcpi_retrans, tcpi_last_ack_recv, tcpi_rtt,
#: tcpi_snd_cwnd, tcpi_bytes_acked (RFC 4898 tcpEStatsAppHCThruOctetsAcked), tcpi_min_rtt, tcpi_delivered (linux/tcp.h).
_TCP_INFO = struct.Struct("=16xI4x4I16xI8xI8xI36xQ20xI40xI")
#: What it says of the least round trip before there was one: all bits are set.
_NO_TRIP_S = 4294.0
#: Packets that take so much longer than the quickest did wait for each other: the line is full.
QUEUED_S = 0.06
#: And so much of a round trip is none: packets are never equally quick.
EMPTY_OF_TRIP = 0.25


def options() -> list[tuple[int, int, int]]:
    """Level, name and value of each option of a new connection, as far as this system has them."""
    wanted = [
        ("TCP_NODELAY", 1),
        ("TCP_KEEPIDLE", _PROBE_AFTER_S),
        ("TCP_KEEPINTVL", _PROBE_EVERY_S),
        ("TCP_KEEPCNT", round((SILENT_S - _PROBE_AFTER_S) / _PROBE_EVERY_S)),
        ("TCP_USER_TIMEOUT", int(SILENT_S * 1000)),
    ]
    known = [(socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in wanted if hasattr(socket, name)]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *known]


@dataclass(frozen=True, slots=True)
class WireState:
    """What a connection's TCP tells of it.

    :ivar is_owed: bytes of it are under way.
    :ivar heard_s: since the other end last said anything.
    :ivar delivered_bytes: that have arrived there, also behind a lost packet; by packets, so about.
    :ivar under_way_bytes: sent, and neither arrived nor known to be lost; by packets.
    :ivar window_bytes: so much may be under way, as TCP sees it (RFC 5681 cwnd).
    """

    acknowledged_bytes: int
    round_trip_s: float
    heard_s: float
    is_owed: bool
    least_round_trip_s: float = 0.0
    delivered_bytes: int = 0
    under_way_bytes: int = 0
    window_bytes: int = 0


def state_of(wire: socket.socket) -> WireState:
    """:raises OSError: it is closed.
    :raises struct.error: this system has an older way to tell.
    """
    told = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    packet_bytes, owed, sacked, lost, again, heard_ms, trip_us, window, acknowledged_bytes, least_us, delivered = (
        _TCP_INFO.unpack(told)
    )
    return WireState(
        acknowledged_bytes,
        trip_us / 1e6,
        heard_ms / 1e3,
        owed > 0,
        least_us / 1e6,
        delivered * packet_bytes,
        max(0, owed - sacked - lost + again) * packet_bytes,
        window * packet_bytes,
    )


class Wires:
    """The connections that there are and were. For all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[socket.socket, int] = {}
        self._closed_bytes = 0
        self.address: tuple[Any, ...] | None = None  #: the other end of the last one
        self.on_new: Callable[[socket.socket], None] = lambda _: None  #: is told of each
        self.one_stood = threading.Event()  #: there has been one

    def add(self, wire: socket.socket) -> None:
        """One that was made."""
        self.on_new(wire)
        with self._lock:
            self._open[wire] = 0
        with contextlib.suppress(OSError):
            self.address = wire.getpeername()
        self.one_stood.set()

    def states(self) -> dict[socket.socket, WireState]:
        """Of those that are open; of none where this system doesn't tell."""
        if sys.platform != "linux":
            return {}
        found: dict[socket.socket, WireState] = {}
        with self._lock:
            for wire in list(self._open):
                try:
                    found[wire] = state_of(wire)
                except (OSError, struct.error):
                    self._closed_bytes += self._open.pop(wire)
                else:
                    self._open[wire] = found[wire].acknowledged_bytes
        return found

    def least_round_trip_s(self) -> float:
        """Of the quickest packet; 0: nobody tells."""
        known = [one.least_round_trip_s for one in self.states().values() if one.least_round_trip_s < _NO_TRIP_S]
        return min(known, default=0.0)

    def acknowledged_bytes(self) -> int | None:
        """What the other ends have acknowledged of all, as TCP counts (its own bytes, those of TLS and HTTP too); None:
        this system doesn't tell. Of a closed one it is what was known when this was last asked.
        """
        if sys.platform != "linux":
            return None
        self.states()
        with self._lock:
            return self._closed_bytes + sum(self._open.values())


def are_queued(states: Collection[WireState], queued_s: float = QUEUED_S) -> bool:
    """Whether packets wait for each other on the line, so long."""
    return _waits_s(states) > queued_s


def is_empty(states: Collection[WireState]) -> bool:
    """Whether a packet waits for hardly anything there, next to what it takes anyway."""
    least_s = min((one.least_round_trip_s for one in states), default=0.0)
    return _waits_s(states) < least_s * EMPTY_OF_TRIP


def _waits_s(states: Collection[WireState]) -> float:
    owed = [one.round_trip_s for one in states if one.is_owed]
    return statistics.median(owed) - min(one.least_round_trip_s for one in states) if owed else 0.0


def end(wire: socket.socket) -> None:
    """Whoever waits for it has it no more, and nothing of what it still holds goes out."""
    with contextlib.suppress(OSError):
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket.shutdown(wire, socket.SHUT_RDWR)  # beneath TLS: that would go on in the clear


def _fit(wire: socket.socket) -> None:
    """Its silence may last as long as its own round trip says, which is known once it stands."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, struct.error):
        silent_s = SILENT_BESIDE_TRIPS_S + 4 * state_of(wire).round_trip_s
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(silent_s * 1000))


class WiredAdapter(HTTPAdapter):
    """Makes connections with these options, and tells of each.

    :param block_bytes: how much of a body is read at once.
    :param most_kept: how many connections are kept for further requests.
    """

    def __init__(self, wires: Wires, block_bytes: int, most_kept: int) -> None:
        self._wires = wires
        self._block_bytes = block_bytes
        super().__init__(pool_maxsize=most_kept)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, blocksize=self._block_bytes, socket_options=options())
        self._tell_of(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        self._tell_of(manager)
        return manager

    def _tell_of(self, manager: Any) -> None:
        pools = manager.pool_classes_by_scheme
        manager.pool_classes_by_scheme = {scheme: _telling(pool, self._wires) for scheme, pool in pools.items()}


def _telling(pool: Any, wires: Wires) -> Any:
    """urllib3's pool, whose connections are told of once they stand."""
    made = pool.ConnectionCls

    def connect(connection: Any) -> None:
        made.connect(connection)
        connection.sock.settimeout(_BLOCK_WITHIN_S)  # else the time for connecting is that of each block of a body, too
        _fit(connection.sock)
        wires.add(connection.sock)

    def request(connection: Any, *args: Any, **kwargs: Any) -> None:
        if connection.sock is not None:  # it stands already: likewise
            connection.timeout = _BLOCK_WITHIN_S
        made.request(connection, *args, **kwargs)

    told = type("WiredConnection", (made,), {"connect": connect, "request": request})
    return type("WiredPool", (pool,), {"ConnectionCls": told})
