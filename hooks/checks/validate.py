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

    def check(self, source: Source) -> Verdict:
        child = self._idle.get()
        try:
            time_s = self._timeout_s + source.size_bytes / SLOWEST_BYTES_PER_S
            return child.judge(source, self._level, time_s)
        finally:
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

    def judge(self, source: Source, level: str, time_s: float) -> Verdict:
        """:raises CheckBroke: crashed, or not done within `time_s` seconds."""
        done = False
        if self._process is not None and self._process.poll() is not None:
            self.end()  # it went while idle; this file has nothing to do with it
        sock = self._sock or self._start()
        beginning = source.read_at(0, min(source.size_bytes, BEGINNING_BYTES))
        try:
            conversation = _Conversation(sock, source, time.monotonic() + time_s)
            question = {"size_bytes": source.size_bytes, "level": level, "cpu_s": int(time_s) + 1}
            verdict = conversation.hold(json.dumps(question).encode() + b"\n" + beginning)
            done = True
            return verdict
        except _Lost:
            raise CheckBroke("the scanner crashed, hung or ran out of memory") from None
        finally:
            if not done:
                self.end()

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
        if sock is not None:
            sock.close()
        if process is not None:
            process.kill()
            process.wait()


class _Lost(Exception):
    """The child is gone, late, or talks nonsense."""


class _Conversation:
    """About one file: the child asks for bytes until it gives its verdict."""

    def __init__(self, sock: socket.socket, source: Source, deadline: float) -> None:
        self._sock = sock
        self._source = source
        self._deadline = deadline
        self._gathered = bytearray()

    def hold(self, question: bytes) -> Verdict:
        """:raises _Lost: see there; what the source raises is passed on."""
        self._send(ASK, question)
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
            if size > MAX_READ_BYTES or offset + size > self._source.size_bytes:
                raise _Lost
            self._send(BYTES, self._source.read_at(offset, size))

    def _send(self, kind: bytes, payload: bytes) -> None:
        left = memoryview(frame(kind, payload))
        while left:
            self._limit(socket.SO_SNDTIMEO)
            try:
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
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise _Lost
        whole_s = int(left_s)
        rest_us = max(1, int((left_s - whole_s) * 1e6))  # all zero would mean for ever
        self._sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", whole_s, rest_us))
