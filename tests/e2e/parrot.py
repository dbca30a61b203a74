"""A PACS that does what it is told: stores and shows instances over DICOMweb, and lies, stalls or hangs up by script.

In a test: `with Parrot() as pacs: pacs.script(status(503, retry_after=2), html())`; each act answers one STOW-RS
request, afterwards it stores like any other. `pacs.held` has the bytes. As a process:

    python -m tests.e2e.parrot [--port N] ACT...      acts: silent, partial, html, half, status:503:2, hang:60 ...

Speaks just enough: STOW-RS, QIDO-RS of instances and studies, WADO-RS of an instance. Standard library and pydicom.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pydicom

ROOT = "/dicom-web"
DICOM_JSON = "application/dicom+json"
COMMITMENT = "/commitment-requests/"
BLOCK = 1 << 16


@dataclass(frozen=True)
class Held:
    """An instance as the parrot has it."""

    uid: str
    sop_class_uid: str
    study: str
    series: str
    patient_id: str
    content: bytes
    shown_from: float

    def record(self) -> dict[str, Any]:
        """A QIDO-RS result."""
        values = {
            "00080016": ("UI", self.sop_class_uid),
            "00080018": ("UI", self.uid),
            "0020000D": ("UI", self.study),
            "0020000E": ("UI", self.series),
            "00100020": ("LO", self.patient_id),
        }
        return {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in values.items() if value}


class Exchange:
    """One STOW-RS request, for an act to deal with."""

    def __init__(self, pacs: Parrot, handler: BaseHTTPRequestHandler) -> None:
        self.pacs = pacs
        self._handler = handler
        self.length = int(handler.headers.get("Content-Length", 0))

    def read(self, *, at_most: int | None = None, bytes_per_s: float = 0.0) -> bytes:
        """The body, or the beginning of it."""
        wanted, got = self.length if at_most is None else min(at_most, self.length), bytearray()
        while len(got) < wanted:
            piece = self._handler.rfile.read(min(BLOCK, wanted - len(got)))
            if not piece:
                raise ConnectionError
            got += piece
            if bytes_per_s:
                time.sleep(len(piece) / bytes_per_s)
        return bytes(got)

    def parts(self, **how: Any) -> list[Held]:
        """The instances of the body."""
        found = re.search(r'boundary="?([^";]+)', self._handler.headers["Content-Type"])
        assert found, "a STOW-RS request has a boundary"
        body = self.read(**how)
        pieces = body.split(b"--" + found[1].encode())[1:-1]
        held = [self.pacs.parsed(piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")) for piece in pieces]
        self.pacs.taken.extend(one.uid for one in held)
        return held

    def store(self, parts: Sequence[Held]) -> None:
        """Keep them; of one UID the first."""
        self.pacs.keep(parts)

    def answer(self, status: int, body: bytes = b"", content_type: str = DICOM_JSON, **headers: str) -> None:
        """The whole of an answer."""
        self._handler.send_response(status)
        self._handler.send_header("Content-Type", content_type)
        self._handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()
        self._handler.wfile.write(body)

    def answer_half(self, body: bytes) -> None:
        """The head promises all of `body`; half of it comes, then the line is cut."""
        self._handler.send_response(200)
        self._handler.send_header("Content-Type", DICOM_JSON)
        self._handler.send_header("Content-Length", str(len(body)))
        self._handler.end_headers()
        self._handler.wfile.write(body[: len(body) // 2])
        self._handler.wfile.flush()
        self.hang_up()

    def hang_up(self, *, reset: bool = False) -> None:
        """End the connection: in order, or by RST."""
        sock = self._handler.connection
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._handler.close_connection = True
        sock.close()


Act = Callable[[Exchange], None]


def told(stored: Sequence[Held] = (), failed: Sequence[tuple[Held, int]] = ()) -> bytes:
    """A Store Instances Response (PS3.18 annex I.2)."""

    def item(one: Held, **more: int) -> dict[str, Any]:
        item: dict[str, Any] = {
            "00081150": {"vr": "UI", "Value": [one.sop_class_uid]},
            "00081155": {"vr": "UI", "Value": [one.uid]},
        }
        return item | {tag: {"vr": "US", "Value": [value]} for tag, value in more.items()}

    answer: dict[str, Any] = {"00081199": {"vr": "SQ", "Value": [item(one) for one in stored]}}
    if failed:
        answer["00081198"] = {"vr": "SQ", "Value": [item(one, **{"00081197": reason}) for one, reason in failed]}
    return json.dumps(answer).encode()


# -- acts


def store(exchange: Exchange) -> None:
    """As it should be: stored, named."""
    parts = exchange.parts()
    exchange.store(parts)
    exchange.answer(200, told(parts))


def silent(exchange: Exchange) -> None:
    """A full disk: 200, nothing named, nothing stored."""
    exchange.parts()
    exchange.answer(200, told())


def mute(exchange: Exchange) -> None:
    """Everything is stored, nothing named."""
    exchange.store(exchange.parts())
    exchange.answer(200, told())


def partial(reason: int = 0xC000, *, count: int = 1) -> Act:
    """202: the first `count` refused with `reason`, the rest stored (PS3.18 10.5.3)."""

    def act(exchange: Exchange) -> None:
        parts = exchange.parts()
        exchange.store(parts[count:])
        exchange.answer(202, told(parts[count:], [(one, reason) for one in parts[:count]]))

    return act


def status(code: int, *, retry_after: float | None = None) -> Act:
    """A status and nothing that says more; nothing is stored."""

    def act(exchange: Exchange) -> None:
        exchange.read()
        headers = {} if retry_after is None else {"Retry_After": str(retry_after)}
        exchange.answer(code, b"", "text/plain", **headers)

    return act


def html(exchange: Exchange) -> None:
    """A proxy's page with 200; nothing is stored."""
    exchange.read()
    exchange.answer(200, b"<html><body>Please log in</body></html>", "text/html")


def half(exchange: Exchange) -> None:
    """Everything is stored; the answer breaks off in the middle."""
    parts = exchange.parts()
    exchange.store(parts)
    exchange.answer_half(told(parts))


def hang(for_s: float = 3600.0, *, stores: bool = False) -> Act:
    """The body is read, and no answer comes."""

    def act(exchange: Exchange) -> None:
        parts = exchange.parts()
        if stores:
            exchange.store(parts)
        exchange.pacs.closing.wait(for_s)
        exchange.hang_up()

    return act


def reset(after_bytes: int = 1000) -> Act:
    """RST in the middle of the body; nothing is stored."""

    def act(exchange: Exchange) -> None:
        exchange.read(at_most=after_bytes)
        exchange.hang_up(reset=True)

    return act


def slow(bytes_per_s: float) -> Act:
    """Reads slowly, then stores."""

    def act(exchange: Exchange) -> None:
        parts = exchange.parts(bytes_per_s=bytes_per_s)
        exchange.store(parts)
        exchange.answer(200, told(parts))

    return act


ACTS: dict[str, Callable[..., Act]] = {
    "store": lambda: store,
    "silent": lambda: silent,
    "mute": lambda: mute,
    "html": lambda: html,
    "half": lambda: half,
    "partial": lambda reason="C000": partial(int(reason, 16)),
    "status": lambda code, after=None: status(int(code), retry_after=None if after is None else float(after)),
    "hang": lambda seconds="3600": hang(float(seconds)),
    "reset": lambda after="1000": reset(int(after)),
    "slow": lambda rate: slow(float(rate)),
}


def act_of(words: str) -> Act:
    """`status:503:2` and the like."""
    name, *arguments = words.split(":")
    return ACTS[name](*arguments)


# -- the server


@dataclass
class Parrot:
    """See the module. Attributes may be changed while it runs.

    :param index_delay_s: instances are shown so long after they were stored.
    :param queries: status that every QIDO-RS request gets instead of an answer; 0: an answer.
    :param page_limit: results of a QIDO-RS request at most, whatever is asked for.
    :param gives_bytes: answers WADO-RS.
    """

    port: int = 0
    index_delay_s: float = 0.0
    queries: int = 0
    page_limit: int = 10_000
    gives_bytes: bool = True
    held: dict[str, Held] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)  #: method and path of each, in order
    acts: deque[Act] = field(default_factory=deque)
    taken: list[str] = field(default_factory=list)  #: SOPInstanceUID of each part that came whole, each time
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Base of the DICOMweb service."""
        return f"http://127.0.0.1:{self.port}{ROOT}"

    @property
    def stows(self) -> int:
        """How many STOW-RS requests came."""
        return sum(request.startswith("POST") and COMMITMENT not in request for request in self.requests)

    def script(self, *acts: Act) -> None:
        """What to do with the next STOW-RS requests."""
        with self.lock:
            self.acts.extend(acts)

    def parsed(self, content: bytes) -> Held:
        """The facts of a part's bytes."""
        dataset = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
        return Held(
            str(dataset.SOPInstanceUID),
            str(dataset.SOPClassUID),
            str(dataset.StudyInstanceUID),
            str(dataset.SeriesInstanceUID),
            str(dataset.get("PatientID", "")),
            content,
            time.monotonic() + self.index_delay_s,
        )

    def keep(self, parts: Sequence[Held]) -> None:
        """Of one UID the first stays."""
        with self.lock:
            for one in parts:
                self.held.setdefault(one.uid, one)

    def shown(self) -> list[Held]:
        """What a query finds now."""
        with self.lock:
            return [one for one in self.held.values() if one.shown_from <= time.monotonic()]

    def next_act(self) -> Act:
        """Of the script; at its end: store."""
        with self.lock:
            return self.acts.popleft() if self.acts else self.stored

    def stored(self, exchange: Exchange) -> None:
        """What it does when the script says nothing."""
        store(exchange)

    def commit(self, exchange: Exchange, method: str, transaction_uid: str) -> None:
        """A request about a transaction of storage commitment: like most archives it knows none."""
        exchange.read()
        exchange.answer(404, b"", "text/plain")

    def query(self, words: list[str], query: dict[str, str]) -> tuple[int, bytes, str]:
        """A QIDO-RS answer: status, body, media type."""
        named = dict(zip(words[::2], words[1::2], strict=False))
        found = [
            one
            for one in self.shown()
            if named.get("studies", one.study) == one.study
            and named.get("series", one.series) == one.series
            and query.get("PatientID", one.patient_id) == one.patient_id
            and query.get("StudyInstanceUID", one.study) == one.study
        ]
        if words[-1] == "studies":
            found = list({one.study: one for one in found}.values())
        start, limit = int(query.get("offset", 0)), min(int(query.get("limit", 10_000)), self.page_limit)
        records = [one.record() for one in found[start : start + limit]]
        return 200, json.dumps(records).encode(), DICOM_JSON

    def writes(self, content: bytes) -> bytes:
        """What it gives back for what it got."""
        return content

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", self.port), _handler_of(self))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A line that was cut is what the script wanted, or what the gateway did: no matter here."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _handler_of(pacs: Parrot) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the base class's name
            pass

        def do_POST(self) -> None:
            pacs.requests.append(f"POST {self.path}")
            if COMMITMENT in self.path:
                pacs.commit(Exchange(pacs, self), "POST", self.path.rpartition("/")[2])
            else:
                pacs.next_act()(Exchange(pacs, self))

        def do_GET(self) -> None:
            pacs.requests.append(f"GET {self.path}")
            if COMMITMENT in self.path:
                pacs.commit(Exchange(pacs, self), "GET", self.path.rpartition("/")[2])
                return
            parts = urlsplit(self.path)
            words = parts.path.removeprefix(ROOT).strip("/").split("/")
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if words[-1] in ("instances", "studies", "series"):
                self._query(words, query)
            else:
                self._retrieve(words[-1])

        def _query(self, words: list[str], query: dict[str, str]) -> None:
            if pacs.queries:
                self._reply(pacs.queries, b"", "text/plain")
                return
            self._reply(*pacs.query(words, query))

        def _retrieve(self, uid: str) -> None:
            one = pacs.held.get(uid)
            if one is None or not pacs.gives_bytes:
                self._reply(404 if one is None else 406, b"", "text/plain")
                return
            body = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + pacs.writes(one.content) + b"\r\n--x--\r\n"
            self._reply(200, body, 'multipart/related; type="application/dicom"; boundary=x')

        def _reply(self, code: int, body: bytes, content_type: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def main() -> None:
    """Run until the standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--index-delay", type=float, default=0.0)
    parser.add_argument("acts", nargs="*", type=act_of)
    options = parser.parse_args()
    with Parrot(options.port, index_delay_s=options.index_delay) as pacs:
        pacs.script(*options.acts)
        print(pacs.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
