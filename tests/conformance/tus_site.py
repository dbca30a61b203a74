"""A gateway to try tus on, and requests that no HTTP library would make."""

from __future__ import annotations

import base64
import hashlib
import http.client
import itertools
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Self
from urllib.parse import urlsplit

from tests.e2e.lab import OCTETS, Answer, Http, Lab, Pacs

PAGE = Path(__file__).parents[2] / "docs" / "tus-conformance.md"
ORIGIN = "https://app.example.org"
MAX_FILE_SIZE = 64 << 20
NOWHERE = Pacs("http://127.0.0.1:9/dicom-web")
EXTENSIONS = {
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
    "concatenation-unfinished",
}
GONE = (404, 410)

_serial = itertools.count()


def payload(size: int) -> bytes:
    """Different bytes at each call."""
    return Random(next(_serial)).randbytes(size)


@dataclass(frozen=True)
class Site:
    """One kind of bearer at one gateway."""

    lab: Lab
    kind: str  #: "upload token" or "access token"
    http: Http
    stranger: Http  #: another account's access token

    @property
    def url(self) -> str:
        return self.http.base + "/files/"

    def create(self, length: int, **headers: str) -> str:
        """The URL of a new file."""
        answer = self.http.tus("POST", self.url, None, {"Upload-Length": str(length)} | headers).expect(201)
        return str(answer.headers["Location"])

    def offset(self, url: str) -> int:
        return self.http.head(url).expect(200).offset

    def file(self, data: bytes) -> File:
        """A file for these bytes, whose content can be asked about: with an upload token, in an upload of its own."""
        if self.kind == "access token":
            return File(self.http, self.create(len(data)), data, "")
        upload_id, client = self.lab.open_upload(self.lab.login(), [len(data)])
        made = client.create(len(data), {"file_id": "content"}).expect(201)
        return File(client, made.headers["Location"], data, upload_id)


@dataclass(frozen=True)
class File:
    """A file that is to have `data`."""

    http: Http
    url: str
    data: bytes
    upload_id: str

    def offset(self) -> int:
        return self.http.head(self.url).expect(200).offset

    def patch(self, at: int, until: int) -> Answer:
        return self.http.patch(self.url, at, self.data[at:until])

    def go_on(self) -> None:
        """Send what is missing, as HEAD says; it is whole then, and has the right bytes."""
        self.patch(self.offset(), len(self.data)).expect(204)
        self.is_right()

    def is_right(self) -> None:
        assert self.offset() == len(self.data)
        if self.upload_id:
            digest = base64.b64encode(hashlib.sha256(self.data).digest()).decode()
            wish = {"checksums": {"content": f"sha-256=:{digest}:"}}
            self.http.complete(self.upload_id, 0, wish).expect(200, 202)


class Wire:
    """One connection, byte by byte."""

    def __init__(self, http_: Http, *marks: str) -> None:
        """:param marks: header lines of every request, in place of tus' version."""
        parts = urlsplit(http_.base)
        self._http = http_
        self._marks = marks or ("Tus-Resumable: 1.0.0",)
        self._host = parts.netloc
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=20)
        self._left = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def head(self, method: str, url: str, *lines: str) -> None:
        """Request line, the usual headers and these; no body."""
        path = url.removeprefix(self._http.base)
        usual = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"Authorization: Bearer {self._http.token}"]
        self.send("\r\n".join([*usual, *self._marks, *lines, "", ""]).encode())

    def patch(self, url: str, at: int, *lines: str) -> None:
        self.head("PATCH", url, f"Upload-Offset: {at}", f"Content-Type: {OCTETS}", *lines)

    def begin_patch(self, url: str, at: int, length: int | None) -> None:
        """A PATCH of `length` bytes (None: chunked) that the gateway is reading when this returns."""
        size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        self.patch(url, at, size, "Expect: 100-continue")
        self.answer().expect(100)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reset(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def answer(self, method: str = "PATCH") -> Answer:
        """The next answer: an interim one, too."""
        while b"\r\n\r\n" not in self._left:
            self._more()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        headers = http.client.parse_headers(BytesIO(head.partition(b"\r\n")[2] + b"\r\n\r\n"))
        size = 0 if method == "HEAD" or status in {100, 104, 204} else int(headers.get("Content-Length") or 0)
        while len(self._left) < size:
            self._more()
        body, self._left = self._left[:size], self._left[size:]
        return Answer(status, headers, body)

    def ends(self) -> bytes:
        """What comes until the other side closes."""
        try:
            while True:
                self._more()
        except OSError:
            return self._left

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed by the gateway")
        self._left += data


Case = Callable[[Site], None]
CASES: dict[str, Case] = {}


def clause(clause_id: str) -> Callable[[Case], Case]:
    """The function that tries this line of docs/tus-conformance.md."""

    def register(case: Case) -> Case:
        assert clause_id not in CASES
        CASES[clause_id] = case
        return case

    return register


def clauses_of_page() -> dict[str, str]:
    """id -> level, as the page has them."""
    rows = (line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| "))
    return {row[1].strip(): row[2].strip() for row in rows if row[1].strip() != "id"}


def metadata(values: Mapping[str, bytes]) -> str:
    return ",".join(f"{name} {base64.b64encode(value).decode()}" for name, value in values.items())
