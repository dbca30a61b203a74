"""A connection to the gateway is told how long it may be silent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from gateway.client.errors import TryAgain
from gateway.client.http import GatewayHttp
from gateway.clock import SystemClock


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # the connection is kept

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_words: object) -> None:
        """Nothing is said."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Answering) as one:
        thread = threading.Thread(target=one.serve_forever, args=[0.01])
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def test_a_connection_whose_bytes_nobody_acknowledges_is_given_up_after_seconds(
    server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[socket.socket] = []
    connect = socket.socket.connect

    def noted(wire: socket.socket, address: tuple[str, int]) -> None:
        made.append(wire)
        connect(wire, address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    http = GatewayHttp(f"http://127.0.0.1:{server.server_port}", SystemClock())
    http.request("GET", f"{http.base_url}/")
    (wire,) = made
    # Five seconds, and four round trips: on loopback they are nothing.
    assert 5000 <= wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) < 6000
    assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    idle_s, every_s = (wire.getsockopt(socket.IPPROTO_TCP, one) for one in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL))
    assert (idle_s, every_s) == (5, 1)
    http.close()


def test_what_the_other_end_has_acknowledged_is_known_of_connections_that_are_closed_too(server: HTTPServer) -> None:
    http = GatewayHttp(f"http://127.0.0.1:{server.server_port}", SystemClock())
    assert http.acknowledged_bytes() == 0
    http.request("GET", f"{http.base_url}/", headers={"X-Long": "x" * 5000})
    known = http.acknowledged_bytes()
    assert known is not None
    assert 5000 < known < 6000
    http.close()
    assert http.acknowledged_bytes() == known


@pytest.mark.parametrize("listening", [True, False], ids=["nobody answers", "nobody listens"])
def test_a_silent_line_is_told_from_a_gateway_that_is_down(listening: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one may be back any moment; the other gets the time that it needs to start."""
    monkeypatch.setattr("gateway.client.http.CONNECT_TIMEOUTS_S", (0.2,))
    with socket.create_server(("127.0.0.1", 0), backlog=0) as door:
        port = door.getsockname()[1]
        waiting = [socket.create_connection(("127.0.0.1", port))] if listening else []  # the one that has a place
        if not listening:
            door.close()
        http = GatewayHttp(f"http://127.0.0.1:{port}", SystemClock())
        with pytest.raises(TryAgain) as caught:
            http.request("GET", f"{http.base_url}/", read_timeout_s=0.2)
        assert caught.value.silent is listening
        for one in waiting:
            one.close()
        http.close()
