"""TCP connections of several senders on one line, as rounds of windows: loss by chance, a queue that overflows. No packets,
no time but the simulation's own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.client.width import Width

STEP_S = 0.05
SAMPLE_EVERY = 5  #: steps
PACKET_BYTES = 1400
_FIRST_WINDOW, _SHAKE_TRIPS = 10.0, 2
_GROWTH, _SHRINK = 0.53, 0.7  # of CUBIC where windows are small (RFC 9438 4.3)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a line is like."""

    rate_bps: float  #: bytes per second
    round_trip_s: float
    loss: float
    queue_bytes: int = 128 * 1024


@dataclass(slots=True)
class _Connection:
    opens_at_s: float
    window: float = _FIRST_WINDOW
    slow_start: bool = True
    may_shrink_at_s: float = 0.0


@dataclass(slots=True)
class Sender:
    """`width`: None: a fixed number of connections."""

    width: Width | None
    count: int
    starts_at_s: float = 0.0
    acknowledged: float = 0.0
    told: list[float] = field(default_factory=list)  #: acknowledged bytes by second
    connections: list[_Connection] = field(default_factory=list)


class Line:
    """:param terms: what it is like from each moment on, by seconds."""

    def __init__(self, terms: dict[float, Terms], senders: list[Sender], seed: int) -> None:
        self._terms = terms
        self._senders = senders
        self._chance = random.Random(seed)
        self._queue = 0.0

    def run(self, seconds: float) -> None:
        """From its beginning."""
        terms = self._terms[0.0]
        per_s = round(1 / STEP_S)
        for step in range(round(seconds * per_s)):
            at_s = step * STEP_S
            terms = self._terms.get(at_s, terms)
            under_way = [one for one in self._senders if at_s >= one.starts_at_s]
            for sender in under_way:
                self._man(sender, at_s, terms)
            self._move(under_way, at_s, terms)
            for sender in under_way:
                if sender.width is not None and step % SAMPLE_EVERY == 0:
                    sender.count = sender.width.sampled(at_s, int(sender.acknowledged), len(sender.connections), 0)
            if step % per_s == 0:
                for sender in self._senders:
                    sender.told.append(sender.acknowledged)

    def _man(self, sender: Sender, at_s: float, terms: Terms) -> None:
        """A connection that isn't wanted any more ends: its piece is over."""
        del sender.connections[sender.count :]
        while len(sender.connections) < sender.count:
            sender.connections.append(_Connection(at_s + _SHAKE_TRIPS * terms.round_trip_s))

    def _move(self, senders: list[Sender], at_s: float, terms: Terms) -> None:
        trip_s = terms.round_trip_s + self._queue / terms.rate_bps
        offered = [
            (sender, one, one.window * STEP_S / trip_s)
            for sender in senders
            for one in sender.connections
            if at_s >= one.opens_at_s
        ]
        total = sum(packets for _, _, packets in offered) * PACKET_BYTES
        room = terms.rate_bps * STEP_S
        served = min(1.0, (room + terms.queue_bytes) / total) if total else 1.0
        carried = min(room, self._queue + total)
        before = self._queue
        self._queue = min(float(terms.queue_bytes), max(0.0, self._queue + total - room))
        overflow = max(0.0, before + total - room - terms.queue_bytes) / total if total else 0.0
        for sender, one, packets in offered:
            sender.acknowledged += carried * packets * PACKET_BYTES / total if total else 0.0
            self._adapt(one, packets * served, at_s, trip_s, terms.loss + overflow)

    def _adapt(self, one: _Connection, packets: float, at_s: float, trip_s: float, loss: float) -> None:
        if at_s >= one.may_shrink_at_s and self._chance.random() < 1 - (1 - min(0.9, loss)) ** packets:
            one.window = max(2.0, one.window * _SHRINK)
            one.slow_start = False
            one.may_shrink_at_s = at_s + trip_s
        elif one.slow_start:
            one.window += packets
        else:
            one.window += _GROWTH * packets / one.window


def carried(terms: dict[float, Terms], sender: Sender, seed: int, windows: Sequence[tuple[int, int]]) -> list[float]:
    """Bytes per second of this sender alone, between each of these seconds."""
    Line(terms, [sender], seed).run(windows[-1][1] + 1)
    return [(sender.told[until] - sender.told[since]) / (until - since) for since, until in windows]


def best(
    terms: dict[float, Terms], least: int, most: int, seed: int, windows: Sequence[tuple[int, int]]
) -> list[float]:
    """Of the best fixed number in each."""
    tried = {least, most, *(one for one in (3, 4, 6, 8, 11) if least < one < most)}
    each = [carried(terms, Sender(None, count), seed, windows) for count in tried]
    return [max(those) for those in zip(*each, strict=True)]
