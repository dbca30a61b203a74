"""A client that costs little: blocking sockets, bodies sent by the kernel (sendfile), one connection per thread."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from bench.payload import Part, Payload

TIMEOUT_S = 120


class Refused(Exception):
    """Another answer than the one that was wanted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Of a request: status, headers with lower-case names, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One connection that is kept alive. For one thread.

    :param url: of the server; only host and port count.
    :param headers: sent with every request.
    :param source: the address that it comes from; empty: the system's choice.
    """

    def __init__(self, url: str, payload: Payload, headers: Mapping[str, str] | None = None, source: str = "") -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._fixed = {"Host": parts.netloc, **(headers or {})}
        self._payload = payload
        self._source = (source, 0) if source else None
        self._sock: socket.socket | None = None
        self._read = b""

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
        self._sock, self._read = None, b""

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: Part | None = None
    ) -> Answer:
        """A whole request and its answer. :raises Refused: no answer."""
        self.begin(method, path, headers, body.size if body is not None else None, body.head if body else b"")
        if body is not None and body.size > len(body.head):
            # An answer before the body's end cuts the sending; it can still be read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send(body.size - len(body.head), body.at)
        return self.answer(method)

    def begin(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        length: int | None = None,
        head: bytes = b"",
    ) -> None:
        """Send a request's head, and the beginning of its body; `send` gives the rest of its `length`."""
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in {**self._fixed, **(headers or {})}.items()]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        sent = ("\r\n".join(lines) + "\r\n\r\n").encode() + head
        more = length is not None and length > len(head)
        self._connected().sendall(sent, socket.MSG_MORE if more else 0)

    def send(self, size: int, at: int) -> None:
        """More of the body."""
        self._payload.send(self._connected().fileno(), size, at)

    def write(self, data: bytes, *, last: bool = False) -> None:
        """Bytes of the body that aren't of the payload."""
        self._connected().sendall(data, 0 if last else socket.MSG_MORE)

    def trickle(self, size: int) -> None:
        """A little more of the body."""
        self._connected().sendall(self._payload.bytes_at(size, 0))

    def answer(self, method: str) -> Answer:
        """The answer to what was begun. :raises Refused: none came."""
        while b"\r\n\r\n" not in self._read:
            self._receive()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = b""
        if method != "HEAD" and status not in (204, 304):
            chunked = "chunked" in headers.get("transfer-encoding", "")
            body = self._chunks() if chunked else self._exactly(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, body)

    def _chunks(self) -> bytes:
        pieces: list[bytes] = []
        while True:
            while b"\r\n" not in self._read:
                self._receive()
            size, _, self._read = self._read.partition(b"\r\n")
            piece = self._exactly(int(size.partition(b";")[0], 16))
            self._exactly(2)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._receive()
        data, self._read = self._read[:size], self._read[size:]
        return data

    def _connected(self) -> socket.socket:
        if self._sock is None:
            sock = socket.create_connection(self._address, TIMEOUT_S, self._source)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(None)  # with Python's own time-out the socket wouldn't block, and sendfile would spin
            limit = struct.pack("ll", TIMEOUT_S, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            self._sock, self._read = sock, b""
        return self._sock

    def _receive(self) -> None:
        try:
            data = self._connected().recv(1 << 16)
        except BlockingIOError:
            raise Refused(f"no answer within {TIMEOUT_S} s") from None
        if not data:
            raise Refused("the server closed the connection")
        self._read += data


class Tus:
    """tus 1.0.0 over one connection.

    :param url: the creation URL.
    :param source: see `Connection`.
    """

    def __init__(self, url: str, payload: Payload, token: str | None = None, source: str = "") -> None:
        headers = {"Tus-Resumable": "1.0.0"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self.connection = Connection(url, payload, headers, source)
        self._url = url
        self._path = urlsplit(url).path

    def create(self, size: int, name: str, body: Part | None = None) -> str:
        """POST, with all its bytes if `body` is given; the path of the new file."""
        encoded = base64.b64encode(name.encode()).decode()
        headers = {"Upload-Length": str(size), "Upload-Metadata": f"file_id {encoded}"}
        if body is not None:
            headers["Content-Type"] = "application/offset+octet-stream"
        answer = self.connection.request("POST", self._path, headers, body if body is not None else Part(b"", 0))
        if answer.status != 201 or (body is not None and answer.headers.get("upload-offset") != str(size)):
            raise Refused(f"creation: {answer.status} {answer.body[:300]!r}")
        return urlsplit(urljoin(self._url, answer.headers["location"])).path

    def append(self, path: str, offset: int, body: Part) -> None:
        """PATCH."""
        self._ended(self.connection.request("PATCH", path, self._patch(offset), body), offset + body.size)

    def begin_append(self, path: str, size: int) -> None:
        """The head of a PATCH from the beginning; the body comes by `connection.trickle`."""
        self.connection.begin("PATCH", path, self._patch(0), size)

    def end_append(self, size: int) -> None:
        """Its answer."""
        self._ended(self.connection.answer("PATCH"), size)

    def close(self) -> None:
        self.connection.close()

    @staticmethod
    def _patch(offset: int) -> dict[str, str]:
        return {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}

    @staticmethod
    def _ended(answer: Answer, offset: int) -> None:
        if answer.status != 204 or answer.headers.get("upload-offset") != str(offset):
            raise Refused(f"PATCH: {answer.status} {answer.body[:300]!r}")
