"""`relaypacs demo --lan` as a process: what a phone gets before and after it trusts the authority."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import select
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.demo.lan import hostnames
from gateway.web import qr_picture

ROOT = Path(__file__).parents[2]
CERTIFICATE = "/relaypacs-demo-ca.crt"


@dataclass(frozen=True)
class Demo:
    """A running one."""

    folder: Path
    said: str

    def port(self, what: str) -> int:
        found = re.search(rf"^  {what} +https?://127\.0\.0\.1:(\d+)", self.said, re.MULTILINE)
        assert found, self.said
        return int(found[1])

    def plain(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port("on a phone"), timeout=20)) as line:
            line.request(method, path, headers=headers)
            answer = line.getresponse()
            return answer.status, dict(answer.headers), answer.read()

    def handshake(self, trust: ssl.SSLContext, name: str) -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", self.port("gateway")), timeout=20)
        with contextlib.closing(raw):
            return trust.wrap_socket(raw, server_hostname=name)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Demo]:
    arguments = ["demo", "--lan", "--host", "127.0.0.1", "--port", "0", "--dir", str(folder)]
    with (
        (folder.parent / "log").open("ab") as log,
        subprocess.Popen(
            [sys.executable, "-m", "gateway", *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process,
    ):
        assert process.stdout is not None
        try:
            ready, _, _ = select.select([process.stdout], [], [], 60)
            said = ""
            while ready and "Ctrl-C" not in said and (line := process.stdout.readline()):
                said += line
            assert said.startswith("listening on https://127.0.0.1:"), (folder.parent / "log").read_text()
            yield Demo(folder, said)
        finally:
            process.terminate()
            assert process.wait(30) == 0


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with running(tmp_path_factory.mktemp("lan") / "demo") as demo:
        yield demo


@pytest.mark.parametrize("name", ["127.0.0.1", *hostnames(socket.gethostname())])
def test_with_the_certificate_from_the_page_the_app_can_be_trusted(demo, name):
    _, headers, der = demo.plain(CERTIFICATE)
    assert headers["Content-Type"] == "application/x-x509-ca-cert"
    demo.handshake(ssl.create_default_context(cadata=der), name).close()


def test_without_it_nobody_trusts_the_app(demo):
    with pytest.raises(ssl.SSLCertVerificationError):
        demo.handshake(ssl.create_default_context(), "127.0.0.1")


def test_the_authority_does_not_speak_for_other_names(demo):
    trust = ssl.create_default_context(cadata=demo.plain(CERTIFICATE)[2])
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        demo.handshake(trust, "relay.example.org")


def test_the_gateway_is_ready_there(demo):
    trust = ssl.create_default_context(cafile=str(demo.folder / "ca.crt"))
    port = demo.port("gateway")
    with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=20)) as line:
        line.request("GET", "/readyz")
        assert line.getresponse().status == 200


@pytest.mark.parametrize(
    ("accepted", "language", "title"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "de", "Handy"),
        ("fr-FR,de;q=0.9,en;q=0.8", "de", "Handy"),
        ("en-GB,en;q=0.9", "en", "phone"),
        ("fr", "en", "phone"),
    ],
)
def test_the_page_speaks_the_phones_language(demo, accepted, language, title):
    status, headers, body = demo.plain("/", **{"Accept-Language": accepted})
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    text = body.decode()
    assert f'<html lang="{language}">' in text
    assert title in re.findall("<h1>(.*?)</h1>", text)[0]


@pytest.mark.parametrize("path", ["/en", "/de"])
def test_the_page_has_the_steps_the_way_to_the_app_and_the_fingerprint_of_the_terminal(demo, path):
    _, headers, body = demo.plain(path)
    text = body.decode().replace("<wbr>", "")
    assert f'href="{CERTIFICATE}"' in text
    assert f'href="https://127.0.0.1:{demo.port("gateway")}/"' in text
    assert "iPhone" in text
    assert "Android" in text
    shown = re.search(r"SHA-256 <code>([0-9A-F:]+)</code>", text)
    assert shown
    assert shown[1] in re.sub(r"\s", "", demo.said)
    assert "<script" not in text
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")


@pytest.mark.parametrize("path", ["/healthz", "/files/", "/auth/login", "/index.html", "/ca.pem", "/../ca.pem", "/EN"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_plain_http_has_nothing_else_and_leads_nowhere(demo, path, method):
    status, headers, _ = demo.plain(path, method)
    assert status == 404
    assert "Location" not in headers


def test_private_keys_are_private(demo):
    secret = [path for path in demo.folder.iterdir() if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert {path.name for path in secret} == {"ca.pem", "server.pem"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert stat.S_IMODE(demo.folder.stat().st_mode) == 0o700


def test_it_prints_the_pages_code_and_what_it_is_not_for(demo):
    assert qr_picture.text(f"http://127.0.0.1:{demo.port('on a phone')}/") in demo.said
    assert "not for patients' data" in demo.said
    assert re.search(r"^  account +admin\n  password +\S+$", demo.said, re.MULTILINE)


def test_the_next_start_has_the_same_authority_so_a_phone_trusts_it_once(tmp_path):
    with running(tmp_path / "demo") as first:
        der = first.plain(CERTIFICATE)[2]
        assert "phones have to trust it first" in first.said
    with running(tmp_path / "demo") as second:
        assert second.plain(CERTIFICATE)[2] == der
        second.handshake(ssl.create_default_context(cadata=der), "127.0.0.1").close()
        assert "phones that trusted it before go straight to the app" in second.said


def said_by(capsys, *words: str) -> str:
    assert main(["demo", *words]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


def test_without_a_network_it_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gateway.demo.lan.lan_addresses", tuple)
    assert "no address that a phone could reach" in said_by(capsys, "--lan", "--dir", str(tmp_path))


def test_an_address_of_another_machine_is_refused_by_name(tmp_path, capsys):
    said = said_by(capsys, "--lan", "--host", "203.0.113.77", "--dir", str(tmp_path))
    assert "203.0.113.77 is no address of this machine" in said


@pytest.mark.parametrize("word", ["--host=127.0.0.1", "--ca-port=0"])
def test_what_goes_with_lan_is_refused_without_it(tmp_path, capsys, word):
    assert "go with --lan" in said_by(capsys, word, "--dir", str(tmp_path))
