"""The scanner as a check: hostile bytes are judged in long-lived child processes, never in the server.

Promises: a file that crashes, hangs or bloats its child costs that child only (`CheckBroke`); the next file gets a
fresh one. What the source raises while it is read is passed on as it is. Thread-safe.
"""

from __future__ import annotations

import json
import queue
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hooks.checks.child_protocol import (
    ASK,
    BEGINNING_BYTES,
    BYTES,
    MAX_READ_BYTES,
    MAX_VERDICT_BYTES,
    READ,
    READ_KIND,
    VERDICT,
    BadMessage,
    frame,
    load_verdict,
    unframed,
)
from hooks.contract import CheckBroke, Source, Verdict

LEVELS = ("standard", "strict")
#: How long those wait who have something else to do: for a child that takes their questions, then for its verdicts.
BESIDE_S = 0.1
#: After it took longer nobody asks in this way for so long.
PAUSE_S = 5.0
#: Files that are asked about together, at most.
MOST_TOGETHER = 64
#: Slowest reading that isn't taken for a hang: pixel data in many fragments is read through.
SLOWEST_BYTES_PER_S = 32 * 2**20

#: No environment and no site packages: `-I -S` starts in a third of the time, and nothing of ours leaks in.
CHILD = "import sys; sys.path.append(sys.argv[1]); from hooks.checks.scanner_child import main; main(int(sys.argv[2]))"


class ChildCheck:
    """Implements `Check`.

    :param workers: files judged at the same time; the children are started when they are first needed.
    :param memory_limit_bytes: address space of a child.
    :param timeout_s: time for a file, plus a second for each 32 MiB.
    :param level: "standard", or "strict": each warning is a rejection.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        memory_limit_bytes: int = 512 * 2**20,
        timeout_s: float = 20.0,
        level: str = "standard",
    ) -> None:
        if level not in LEVELS:
            raise ValueError(f"level is one of {', '.join(LEVELS)}")
        self._timeout_s = timeout_s
        self._level = level
        self._children = [_Child(memory_limit_bytes) for _ in range(workers)]
        self._idle: queue.LifoQueue[_Child] = queue.LifoQueue()
        for child in self._children:
            self._idle.put(child)
        self._paused_until = 0.0

    def check(self, source: Source) -> Verdict:
        child = self._idle.get()
        try:
            time_s = self._timeout_s + source.size_bytes / SLOWEST_BYTES_PER_S
            return child.judge(source, self._level, time_s)
        finally:
            self._idle.put(child)

    def begin(self, sources: Sequence[Source]) -> BegunCheck | None:
        if len(sources) > MOST_TOGETHER or time.monotonic() < self._paused_until:
            return None
        try:
            child = self._idle.get_nowait()
        except queue.Empty:
            return None
        begun = None
        try:
            if child.has_judged:
                begun = BegunCheck(child, sources, self._level, self._over)
        finally:
            if begun is None:
                self._idle.put(child)
        return begun

    def _over(self, child: _Child, in_time: bool) -> None:
        if not in_time:
            self._paused_until = time.monotonic() + PAUSE_S
        self._idle.put(child)

    def close(self) -> None:
        for child in self._children:
            child.end()


class _Child:
    """A process that is started when needed and again after it broke. For one thread at a time."""

    def __init__(self, memory_limit_bytes: int) -> None:
        self._memory_limit_bytes = memory_limit_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self.has_judged = False  #: the process is there, and has done it before

    def judge(self, source: Source, level: str, time_s: float) -> Verdict:
        """:raises CheckBroke: crashed, or not done within `time_s` seconds."""
        done = False
        sock = self.present() or self._start()
        question = _question(source, level, time_s)
        try:
            conversation = _Conversation(sock, time.monotonic() + time_s)
            conversation.send(ASK, question)
            verdict = conversation.verdict_on(source)
            done = self.has_judged = True
            return verdict
        except _Lost:
            raise CheckBroke("the scanner crashed, hung or ran out of memory") from None
        finally:
            if not done:
                self.end()

    def present(self) -> socket.socket | None:
        """The way to its process, if it has one."""
        if self._process is not None and self._process.poll() is not None:
            self.end()  # it went while idle; the next file has nothing to do with it
        return self._sock

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                root = str(Path(__file__).resolve().parents[2])
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-B", "-c", CHILD, root, str(self._memory_limit_bytes)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={},
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise CheckBroke("the scanner's process could not be started") from None
        self._sock = ours
        return ours

    def end(self) -> None:
        """Stop the process, whatever it does."""
        sock, self._sock = self._sock, None
        process, self._process = self._process, None
        self.has_judged = False
        if sock is not None:
            sock.close()
        if process is not None:
            process.kill()
            process.wait()


class BegunCheck:
    """Implements `Begun`: a child has the questions, and judges while nobody listens.

    :param over: gives the child back; hears whether it was in time.
    """

    def __init__(
        self, child: _Child, sources: Sequence[Source], level: str, over: Callable[[_Child, bool], None]
    ) -> None:
        self._child = child
        self._sources = sources
        self._over = over
        self._conversation: _Conversation | None = None
        sock = child.present()
        if sock is not None:
            self._conversation = _Conversation(sock, time.monotonic() + BESIDE_S)
            try:
                self._conversation.send(ASK, *(_question(source, level, BESIDE_S) for source in sources))
            except _Lost:
                self._conversation = None

    def verdicts(self) -> list[Verdict | None]:
        found: list[Verdict | None] = []
        try:
            if self._conversation is not None:
                self._conversation.deadline = time.monotonic() + BESIDE_S
                with suppress(_Lost):
                    found.extend(self._conversation.verdict_on(source) for source in self._sources)
        finally:  # whatever it was: the child is wanted by others
            in_time = len(found) == len(self._sources)
            if not in_time:
                self._child.end()
            self._over(self._child, in_time)
        return found + [None] * (len(self._sources) - len(found))


class _Lost(Exception):
    """The child is gone, late, or talks nonsense."""


def _question(source: Source, level: str, time_s: float) -> bytes:
    about = {"size_bytes": source.size_bytes, "level": level, "cpu_s": int(time_s) + 1}
    return json.dumps(about).encode() + b"\n" + source.read_at(0, min(source.size_bytes, BEGINNING_BYTES))


class _Conversation:
    """About files, one after the other: the child asks for bytes until it gives its verdict.

    :ivar deadline: when who asked has waited for long enough, monotonic seconds.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self.deadline = deadline
        self._gathered = bytearray()

    def verdict_on(self, source: Source) -> Verdict:
        """:raises _Lost: see there; what the source raises is passed on."""
        while True:
            kind, payload = self._receive()
            if kind == VERDICT:
                try:
                    return load_verdict(payload)
                except BadMessage:
                    raise _Lost from None
            if kind != READ_KIND or len(payload) != READ.size:
                raise _Lost
            offset, size = READ.unpack(payload)
            if size > MAX_READ_BYTES or offset + size > source.size_bytes:
                raise _Lost
            self.send(BYTES, source.read_at(offset, size))

    def send(self, kind: bytes, *payloads: bytes) -> None:
        """Messages of one kind. :raises _Lost: see there."""
        left = memoryview(b"".join(frame(kind, payload) for payload in payloads))
        while left:
            try:
                self._limit(socket.SO_SNDTIMEO)
                left = left[self._sock.send(left) :]
            except OSError:
                raise _Lost from None

    def _receive(self) -> tuple[bytes, bytes]:
        try:
            while (message := unframed(self._gathered, MAX_VERDICT_BYTES)) is None:
                self._limit(socket.SO_RCVTIMEO)
                piece = self._sock.recv(MAX_VERDICT_BYTES)
                if not piece:
                    raise _Lost
                self._gathered += piece
        except (OSError, BadMessage):
            raise _Lost from None
        return message

    def _limit(self, option: int) -> None:
        """Give the next call on the socket the time that is left.

        By the kernel: a time-out of Python's own costs two more calls to the system each time, and at each of them
        another thread may have Python's lock.
        """
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise _Lost
        whole_s = int(left_s)
        rest_us = max(1, int((left_s - whole_s) * 1e6))  # all zero would mean for ever
        self._sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", whole_s, rest_us))
