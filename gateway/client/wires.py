"""The TCP connections beneath the requests: how long one may be silent.

A connection that dies without a word (another network, a NAT that forgot it) is given up 5 s and 4 round trips after the
last byte that the other end acknowledged, where the system can: TCP_USER_TIMEOUT (RFC 5482) while bytes are under way,
keep-alive (RFC 9293 3.8.4) while an answer is waited for. One whose bytes move is left alone.
"""

from __future__ import annotations

import socket

#: A satellite's: the round trip isn't known before there is a connection.
ROUND_TRIP_S = 0.6
SILENT_S = 5.0 + 4 * ROUND_TRIP_S
_PROBE_AFTER_S, _PROBE_EVERY_S = 5, 1


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
