"""A line between two network namespaces, as packets see one: rate, delay, jitter, loss, a queue, outages and moves.

What a proxy can't imitate (TCP under loss, a connection that dies without a word) shows here. In user space, between two
veth pairs, frame by frame: no qdisc, device file or module of the kernel is needed that a container hasn't. Whoever lays the
line is its server's side and has to be in a network namespace of its own (`measure.py`); both ends have loopback addresses
by name, so plain HTTP is as good as on one machine.
"""

from __future__ import annotations

import array
import bisect
import contextlib
import fcntl
import os
import random
import select
import socket
import struct
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

SERVER, CLIENT = "127.0.0.1", "127.0.0.2"
KIB = 1024
_MTU = 1400
_ETHERNET_BYTES = 14
_ETH_P_IP, _SO_RCVBUFFORCE = 0x0800, 33  # <linux/if_ether.h>, <asm/socket.h>
_SIOCETHTOOL, _STXCSUM, _STSO, _SGSO = 0x8946, 0x17, 0x1F, 0x24  # <linux/sockios.h>, <linux/ethtool.h>
#: Of both ends: so a frame that leaves the one is right for the other as it is, and for nobody between them.
_MAC = "02:00:00:00:00:01"
_LONGEST_SLEEP_S = 0.2
_SAMPLE_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Terms:
    """What a line is like. Its queue is that of its narrowest place, one each way.

    :param loss: part of the packets, each way.
    :param outage_s: every so long it is down for so long, at the end of the span.
    :param first_outage_s: when the first begins; None: as the others.
    :param move_s: so often the client is on another network: every connection that there is dies without a word.
    :param moves_s: when it moves, where that isn't regular.
    """

    up_kbit: int
    round_trip_s: float
    loss: float
    down_kbit: int = 8000
    jitter_s: float = 0.02
    queue_bytes: int = 128 * KIB
    outage_s: tuple[float, float] | None = None
    first_outage_s: float | None = None
    move_s: float | None = None
    moves_s: tuple[float, ...] = ()

    def network(self, at_s: float) -> int:
        """Which one the client is on."""
        return bisect.bisect(self.moves_s, at_s) + (int(at_s // self.move_s) if self.move_s else 0)

    def is_down(self, at_s: float) -> bool:
        """Whether nothing goes through."""
        if self.outage_s is None:
            return False
        every_s, lasts_s = self.outage_s
        begins_s = every_s - lasts_s if self.first_outage_s is None else self.first_outage_s
        return at_s >= begins_s and (at_s - begins_s) % every_s < lasts_s

    def least_s(self, size_bytes: int) -> float:
        """What it needs for so many bytes upwards, outages counted, if not a byte is lost."""
        left, step = round(100 * size_bytes / (self.up_kbit * 125)), 0  # hundredths of a second
        while left:
            left -= not self.is_down(step / 100)
            step += 1
        return step / 100


class Way:
    """One direction: packets wait for their turn, travel, and arrive in order, or don't.

    :param out: where they come out.
    """

    def __init__(self, out: socket.socket, kbit: int, terms: Terms, chance: random.Random) -> None:
        self._out = out
        self._rate = kbit * 125.0
        self._terms = terms
        self._chance = chance
        self._free_at = 0.0
        self._under_way: deque[tuple[float, bytes]] = deque()

    @property
    def due(self) -> float | None:
        """When the next packet arrives."""
        return self._under_way[0][0] if self._under_way else None

    def take(self, frame: bytes, now: float, *, is_down: bool) -> None:
        """It goes in."""
        if is_down or (self._free_at - now) * self._rate > self._terms.queue_bytes:
            return
        self._free_at = max(self._free_at, now) + (len(frame) - _ETHERNET_BYTES) / self._rate
        if self._chance.random() < self._terms.loss:
            return
        due = self._free_at + self._terms.round_trip_s / 2 + self._chance.random() * self._terms.jitter_s
        last = self._under_way[-1][0] if self._under_way else 0.0
        self._under_way.append((max(due, last), frame))

    def deliver(self, now: float) -> None:
        """What has arrived comes out."""
        while self._under_way and self._under_way[0][0] <= now:
            frame = self._under_way.popleft()[1]
            with contextlib.suppress(OSError):  # whom it was for is gone
                self._out.send(frame)


@dataclass(slots=True)
class _Connection:
    network: int
    first_ack: int | None = None
    acknowledged: int = 0


@dataclass(slots=True)
class Traffic:
    """What is seen of the TCP connections that cross a line."""

    terms: Terms
    sent_bytes: int = 0  #: payload upwards, what went again counted again
    _connections: dict[int, _Connection] = field(default_factory=dict)

    @property
    def acknowledged_bytes(self) -> int:
        """Payload upwards that the server's system has acknowledged."""
        return sum(one.acknowledged for one in self._connections.values())

    def passes(self, packet: bytes, at_s: float, *, upwards: bool) -> bool:
        """Note it; whether its connection still is one."""
        if packet[9] != socket.IPPROTO_TCP:
            return True
        head = (packet[0] & 15) * 4
        ports = struct.unpack_from("!HH", packet, head)
        acknowledged = struct.unpack_from("!I", packet, head + 8)[0]
        flags = packet[head + 13]
        network = self.terms.network(at_s)
        port = ports[0] if upwards else ports[1]
        if upwards and flags & 0x12 == 0x02:  # SYN alone
            self._connections[port] = _Connection(network)
        known = self._connections.setdefault(port, _Connection(network))
        if known.network != network:
            return False
        if upwards:
            self.sent_bytes += len(packet) - head - (packet[head + 12] >> 4) * 4
        elif flags & 0x10:
            if known.first_ack is None:
                known.first_ack = acknowledged
            known.acknowledged = max(known.acknowledged, (acknowledged - known.first_ack) & 0xFFFFFFFF)
        return True


class Line:
    """It carries packets from when it is entered until it is left."""

    def __init__(self, terms: Terms, server: socket.socket, client: socket.socket, client_pid: int, seed: int) -> None:
        self.terms = terms
        self.traffic = Traffic(terms)
        self.samples: list[tuple[float, int]] = []  #: seconds since the first packet, acknowledged bytes
        self.first_s = 0.0  #: so long after `begin` the client's first packet came
        self._server, self._client = server, client
        self._client_pid = client_pid
        self._chance = random.Random(seed)
        self._asked = time.monotonic()
        self._began: float | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="line", daemon=True)

    def at_client(self, *command: str) -> list[str]:
        """The command, to be run at the client's end."""
        return _inside(self._client_pid, *command)

    def begin(self) -> None:
        """Outages, moves, bytes and samples count from the client's next packet on: a program's start is not the line's."""
        self.traffic = Traffic(self.terms)
        self.samples = []
        self._asked, self._began = time.monotonic(), None

    def _at_s(self, now: float) -> float:
        """On the line's clock, which stands until the client's first packet."""
        return 0.0 if self._began is None else now - self._began

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_fault: object) -> None:
        self._end.set()
        self._thread.join()

    def _carry(self) -> None:
        up = Way(self._server, self.terms.up_kbit, self.terms, self._chance)
        down = Way(self._client, self.terms.down_kbit, self.terms, self._chance)
        while not self._end.is_set():
            dues = [way.due for way in (up, down) if way.due is not None]
            wait_s = min([_LONGEST_SLEEP_S, *(due - time.monotonic() for due in dues)])
            ready, _, _ = select.select([self._client, self._server], [], [], max(0.0, wait_s))
            for end in ready:
                self._take(end, up if end is self._client else down)
            now = time.monotonic()
            up.deliver(now)
            down.deliver(now)
            at_s = self._at_s(now)
            if not self.samples or at_s - self.samples[-1][0] >= _SAMPLE_EVERY_S:
                self.samples.append((at_s, self.traffic.acknowledged_bytes))

    def _take(self, end: socket.socket, way: Way) -> None:
        """All that waits at one end."""
        with contextlib.suppress(BlockingIOError):
            while frame := end.recv(65536):
                now = time.monotonic()
                if self._began is None and end is self._client:
                    self._began, self.first_s = now, now - self._asked
                at_s = self._at_s(now)
                if self.traffic.passes(frame[_ETHERNET_BYTES:], at_s, upwards=end is self._client):
                    way.take(frame, now, is_down=self.terms.is_down(at_s))


@contextlib.contextmanager
def laid(terms: Terms, seed: int = 0) -> Iterator[Line]:
    """A line from here to a namespace of its own, which goes with it.

    :raises OSError: the kernel gives no packet socket.
    :raises subprocess.CalledProcessError: it has no veth, or iproute2 isn't here.
    """
    other = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    try:
        _await_namespace(other.pid)
        with _end_of("rpserver", "atserver") as server, _end_of("rpclient", "atclient") as client:
            subprocess.run(["ip", "link", "set", "rpclient", "netns", str(other.pid)], check=True)
            _address(os.getpid(), "rpserver", SERVER, CLIENT)
            _address(other.pid, "rpclient", CLIENT, SERVER)
            with Line(terms, server, client, other.pid, seed) as line:
                yield line
    finally:
        other.kill()
        other.wait()


def _await_namespace(pid: int) -> None:
    mine, its = (Path(f"/proc/{one}/ns/net") for one in ("self", pid))
    until = time.monotonic() + 10
    while its.readlink() == mine.readlink():
        if time.monotonic() > until:
            raise TimeoutError("unshare makes no network namespace")
        time.sleep(0.01)


def _end_of(interface: str, middle: str) -> socket.socket:
    """A new interface's frames, at the other end of its pair."""
    kind = ["mtu", str(_MTU), "arp", "off", "type", "veth", "peer", "name", middle, "mtu", str(_MTU)]
    subprocess.run(["ip", "link", "add", interface, "address", _MAC, *kind], check=True)
    subprocess.run(["ip", "link", "set", middle, "up"], check=True)
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IP))
    for command in (_STXCSUM, _STSO, _SGSO):  # whole packets with whole checksums, as a wire has them
        value = array.array("I", [command, 0])
        request = struct.pack("16sP16x", interface.encode(), value.buffer_info()[0])
        fcntl.ioctl(frames, _SIOCETHTOOL, request)
    with contextlib.suppress(OSError):  # else as much as anybody may have
        frames.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1024 * KIB)
    frames.setblocking(False)
    frames.bind((middle, _ETH_P_IP))
    return frames


def _inside(pid: int, *command: str) -> list[str]:
    return ["nsenter", f"--net=/proc/{pid}/ns/net", *command]


def _address(pid: int, interface: str, mine: str, other: str) -> None:
    """Loopback addresses over an interface: else the whole of 127.0.0.0/8 is this machine, and nothing leaves it. CUBIC
    (RFC 9438), whatever this machine has, because clients have it.
    """
    kept = "/proc/sys/net/ipv4"
    steps = f"""
        ip link set lo up
        ip address del 127.0.0.1/8 dev lo 2>/dev/null
        for one in all {interface}; do
            echo 1 > {kept}/conf/$one/route_localnet && echo 0 > {kept}/conf/$one/rp_filter || exit 1
        done
        ip address add {mine} peer {other} dev {interface} && ip link set {interface} up mtu {_MTU} || exit 1
        ip route del local 127.0.0.0/8 table local 2>/dev/null
        ip route replace {other} dev {interface} src {mine} congctl cubic || {{ echo 'no CUBIC for a route' >&2; exit 1; }}
        exit 0
    """
    subprocess.run(_inside(pid, "sh", "-c", steps), check=True, stdout=subprocess.DEVNULL)
