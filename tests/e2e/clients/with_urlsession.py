"""`python -m tests.e2e.clients.with_urlsession FILES_URL FILE VERSION [unheard]`: what URLSession's resumable uploads do.

It sends the whole file with `Upload-Complete: ?1`; a 104 tells where the upload is. If the line breaks afterwards, it
asks there with HEAD and sends the rest with PATCH, `?1` again. Without a 104 nothing can be resumed: it begins anew.
(WWDC23 session 10006; draft-ietf-httpbis-resumable-upload.) `unheard`: something on the way keeps the 104 to itself, so
it isn't waited for. The final answer's body goes to the standard output.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_BLOCK_BYTES = 64 * 1024
_TRIES = 200
_WAIT_S = 0.2


class Broken(Exception):
    """The line."""


@dataclass
class Line:
    """A connection with one request on it."""

    url: str
    _socket: socket.socket = field(init=False)
    _held: bytes = b""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        try:
            self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=30)
        except OSError as error:
            raise Broken from error

    def head(self, method: str, headers: dict[str, str]) -> None:
        """Send the request's head."""
        parts = urlsplit(self.url)
        told = {"Host": parts.netloc, "Authorization": f"Bearer {os.environ['TOKEN']}", **headers}
        target = parts._replace(scheme="", netloc="").geturl()
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    def send(self, data: bytes) -> None:
        """:raises Broken: it broke."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Broken from error

    def answer(self) -> tuple[int, dict[str, str]]:
        """The next answer's status and header fields, interim ones too. :raises Broken: there is none."""
        while b"\r\n\r\n" not in self._held:
            self._more()
        raw, _, self._held = self._held.partition(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        return int(first.split()[1]), {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }

    def final(self, seen: dict[str, str]) -> tuple[int, dict[str, str]]:
        """The final answer; what interim ones say of the place goes into `seen`."""
        while True:
            status, headers = self.answer()
            if status >= 200:
                return status, headers
            if status == 104 and "location" in headers:
                seen["location"] = headers["location"]

    def body(self, size_bytes: int) -> bytes:
        """The final answer's. :raises Broken: there is less."""
        while len(self._held) < size_bytes:
            self._more()
        return self._held[:size_bytes]

    def _more(self) -> None:
        try:
            came = self._socket.recv(1 << 16)
        except OSError as error:
            raise Broken from error
        if not came:
            raise Broken
        self._held += came

    def close(self) -> None:
        """It is of no use any more."""
        self._socket.close()


class Upload:
    """One file on its way."""

    def __init__(self, url: str, path: Path, version: str, *, heard: bool) -> None:
        self._url = url
        self._content = path.read_bytes()
        self._name = path.name
        self._version = version
        self._heard = heard
        self._seen: dict[str, str] = {}

    def run(self) -> None:
        """:raises SystemExit: it isn't taken."""
        for _ in range(_TRIES):
            try:
                if self._step():
                    return
            except Broken:
                time.sleep(_WAIT_S)
        raise SystemExit("gave up")

    def _step(self) -> bool:
        """Whether that was all."""
        place = self._seen.get("location")
        if place is None:
            line = Line(self._url)
            headers = {"Content-Disposition": f'attachment; filename="{self._name}"'}
            return self._sent(line, "POST", headers, 0)
        at = self._look(place)
        if at is None:
            return True
        headers = {"Upload-Offset": str(at), "Content-Type": "application/partial-upload"}
        return self._sent(Line(place), "PATCH", headers, at)

    def _look(self, place: str) -> int | None:
        """Where to go on; None: it is complete."""
        line = Line(place)
        try:
            line.head("HEAD", {"Upload-Draft-Interop-Version": self._version})
            status, headers = line.final(self._seen)
        finally:
            line.close()
        if status >= 500:
            raise Broken
        if status >= 300:
            raise SystemExit(f"HEAD: {status}")
        return None if headers["upload-complete"] == "?1" else int(headers["upload-offset"])

    def _sent(self, line: Line, method: str, headers: dict[str, str], at: int) -> bool:
        rest = self._content[at:]
        told = {
            "Upload-Draft-Interop-Version": self._version,
            "Upload-Complete": "?1",
            "Content-Length": str(len(rest)),
        }
        try:
            line.head(method, told | headers)
            if method == "POST" and self._heard:  # it hears where the upload is before it sends any of it
                status, interim = line.answer()
                if status != 104:
                    raise SystemExit(f"{method}: {status} before the body")
                self._seen["location"] = interim["location"]
            for begin in range(0, len(rest), _BLOCK_BYTES):
                line.send(rest[begin : begin + _BLOCK_BYTES])
            status, answer = line.final(self._seen)
            body = line.body(int(answer.get("content-length", "0")))
        finally:
            line.close()
        if status in (409, 423) or status >= 500:
            raise Broken
        if not 200 <= status < 300:
            raise SystemExit(f"{method}: {status}")
        sys.stdout.buffer.write(body)
        return True


if __name__ == "__main__":
    Upload(sys.argv[1], Path(sys.argv[2]), sys.argv[3], heard="unheard" not in sys.argv[4:]).run()
