"""`relaypacs send` over TLS that breaks in mid-body: a broken line is waited out, a bad certificate isn't."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.commands.test_transport import certificate
from tests.unit.client.conftest import MakeFile
from tests.unit.client.test_send_command import on_disk, parse, sent
from tests.unit.client.toy_gateway import ToyGateway

__all__ = ["certificate"]  # a fixture


class Relay:
    """TLS in front of a gateway; the first lines break without a word after so many bytes of theirs."""

    def __init__(self, to: str, certificate: tuple[Path, Path], breaks: int, after_bytes: int) -> None:
        self._to = ("127.0.0.1", urlsplit(to).port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listening.getsockname()[1]}"
        self.breaks = breaks
        self._after_bytes = after_bytes
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listening.accept()
                threading.Thread(target=self._pass_on, args=(line,), daemon=True).start()

    def _pass_on(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError), socket.create_connection(self._to) as behind:
            inside = self._context.wrap_socket(line, server_side=True)
            came = 0
            while True:
                if not inside.pending():
                    select.select([inside, behind], [], [])
                if inside.pending() or select.select([inside], [], [], 0)[0]:
                    data = inside.recv(16384)
                    came += len(data)
                    if not data:
                        break
                    behind.sendall(data)
                    if came > self._after_bytes and self.breaks > 0:
                        self.breaks -= 1
                        socket.socket.shutdown(inside, socket.SHUT_RDWR)  # no close_notify: a process that is gone
                        break
                if select.select([behind], [], [], 0)[0]:
                    data = behind.recv(65536)
                    if not data:
                        break
                    inside.sendall(data)
            socket.socket.close(inside)

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def relay(gateway: ToyGateway, certificate: tuple[Path, Path]) -> Iterator[Relay]:
    one = Relay(gateway.url, certificate, breaks=3, after_bytes=300_000)
    yield one
    one.close()


def send(relay: Relay, folder: Path, tmp_path: Path) -> int:
    words = ["--to", relay.url, "--token", "access-0", "--state", str(tmp_path / "send.json"), "--patience", "20", "-q"]
    args = parse([str(folder), *words, "--chunk", "1MiB"])
    return int(args.run(args))


def test_a_line_that_breaks_in_mid_body_is_gone_on_with(
    gateway: ToyGateway,
    relay: Relay,
    make_file: MakeFile,
    folder: Path,
    tmp_path: Path,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_file("large.dcm", 3_000_000)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    monkeypatch.setattr("gateway.client.retry._FIRST_PAUSE_S", 0.01)
    gateway.public_origin = relay.url
    assert send(relay, folder, tmp_path) == 0
    assert relay.breaks == 0
    assert sent(gateway) == on_disk(folder)


def test_a_certificate_that_is_not_believed_ends_it_at_once(
    relay: Relay, make_file: MakeFile, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    make_file("1.dcm")
    assert send(relay, folder, tmp_path) == 4
    assert "certificate can't be verified" in capsys.readouterr().err


def test_a_bundle_that_is_none_is_wrong_use(
    relay: Relay, make_file: MakeFile, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_file("1.dcm")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing.pem"))
    assert send(relay, folder, tmp_path) == 2
