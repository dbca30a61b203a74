"""The process in which the scanner meets hostile bytes: bounded memory, time, handles; no environment, no core dump.

It sees neither file names nor storage: it asks its parent for bytes by offset. Imports the standard library and its
neighbours only.
"""

from __future__ import annotations

import resource
import socket
from collections import deque
from json import loads

from hooks.checks.child_protocol import (
    ASK,
    BYTES,
    MAX_READ_BYTES,
    READ,
    READ_KIND,
    VERDICT,
    BadMessage,
    dump_verdict,
    frame,
    unframed,
)
from hooks.checks.scanner import scan

MAX_OPEN_FILES = 16
#: What is received at once: questions about several files come together.
RECEIVE_BYTES = 128 * 1024


class Parent:
    """The other end of the socket, and the file it holds, as `hooks.checks.dicom_reader.ReadAt`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._gathered = bytearray()
        self._asked: deque[bytes] = deque()  #: questions that came before the one in hand was answered
        self._beginning = b""
        self.size_bytes = 0

    def question(self) -> bytes:
        """The next one. :raises EOFError: the parent is gone."""
        if self._asked:
            return self._asked.popleft()
        kind, payload = self._receive()
        if kind != ASK:
            raise BadMessage
        return payload

    def _receive(self) -> tuple[bytes, bytes]:
        while (message := unframed(self._gathered, MAX_READ_BYTES)) is None:
            piece = self._sock.recv(RECEIVE_BYTES)
            if not piece:
                raise EOFError
            self._gathered += piece
        return message

    def send(self, kind: bytes, payload: bytes) -> None:
        """Send a message."""
        self._sock.sendall(frame(kind, payload))

    def begin(self, size_bytes: int, beginning: bytes) -> None:
        """From now on it is about another file, of which this is here already."""
        self.size_bytes, self._beginning = size_bytes, beginning

    def read_at(self, offset: int, size: int) -> bytes:
        if offset + size <= len(self._beginning):
            return self._beginning[offset : offset + size]
        self.send(READ_KIND, READ.pack(offset, size))
        while True:
            kind, payload = self._receive()
            if kind == BYTES:
                return payload
            if kind != ASK:
                raise BadMessage
            self._asked.append(payload)


def main(memory_limit_bytes: int) -> None:
    """Judge files until the parent closes the socket on standard input."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_AS, (memory_limit_bytes, memory_limit_bytes))
    parent = Parent(socket.socket(fileno=0))
    while True:
        try:
            payload = parent.question()
        except (EOFError, ConnectionError):
            return
        line, _, beginning = payload.partition(b"\n")
        question = loads(line)
        parent.begin(question["size_bytes"], beginning)
        _allow_cpu(question["cpu_s"])
        parent.send(VERDICT, dump_verdict(scan(parent, question["level"])))


def _allow_cpu(more_s: int) -> None:
    """Move the soft limit: RLIMIT_CPU counts over the whole life, and this process lives long."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + more_s + 1, hard))
