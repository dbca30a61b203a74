"""A PACS that says what a test tells it to: an HTTP server in a thread, one function as its script."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DICOM_JSON = "application/dicom+json"


@dataclass
class Call:
    """A request as it came, its body read unless the script wants to."""

    handler: BaseHTTPRequestHandler
    method: str
    path: str
    headers: Message
    body: bytes = b""

    def header(self, name: str) -> str:
        return str(self.headers.get(name, ""))

    def answer(self, status: int, body: bytes = b"", content_type: str = DICOM_JSON, **headers: str) -> None:
        self.handler.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}.items():
            if value:
                self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def answer_json(self, status: int, value: Any) -> None:
        self.answer(status, json.dumps(value).encode())


@dataclass
class ScriptedPacs:
    script: Callable[[Call], object]
    reads_bodies: bool = True
    calls: list[Call] = field(default_factory=list)
    url: str = ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the play."""

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]


@contextmanager
def scripted(
    script: Callable[[Call], object], *, reads_bodies: bool = True, tls: ssl.SSLContext | None = None
) -> Iterator[ScriptedPacs]:
    pacs = ScriptedPacs(script, reads_bodies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def run_script(self) -> None:
            call = Call(self, self.command, self.path, self.headers)
            if pacs.reads_bodies:
                call.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            pacs.calls.append(call)
            pacs.script(call)

        do_GET = do_POST = run_script  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Quiet."""

    server = _Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    pacs.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/dicom-web"
    try:
        yield pacs
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def stow_answer(stored: Mapping[str, int | None] | None = None, failed: Mapping[str, int | None] | None = None) -> dict:
    """DICOM JSON of a STOW-RS answer: SOPInstanceUID -> warning or failure reason."""

    def items(named: Mapping[str, int | None] | None, reason_tag: str) -> dict:
        value = []
        for uid, reason in (named or {}).items():
            item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
            if reason is not None:
                item[reason_tag] = {"vr": "US", "Value": [reason]}
            value.append(item)
        return {"vr": "SQ", "Value": value}

    return {"00081199": items(stored, "00081196"), "00081198": items(failed, "00081197")}
