"""The nginx and HAProxy examples in front of a gateway: a big upload goes on through what happens to it on its way."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.commands.test_transport import certificate
from tests.dicom_samples import instance
from tests.e2e.lab import PASSWORD, UPLOADER, Lab, Pacs, running_lab, wait_until
from tests.e2e.middle import middle
from tests.e2e.orthanc import fill_disk, tiny_disk
from tests.e2e.test_send import archive, held, state_of, upload_under_way
from tests.e2e.throttle import ThrottlingRelay
from tools.ports import free_port

__all__ = ["archive", "certificate"]  # fixtures

CONFIG = Path(__file__).parents[2] / "config"
PROXIED = {"server": {"trusted_proxies": ["127.0.0.1"]}}
#: folder, the gateway's port, its own, certificate and key -> the command that runs it.
Example = Callable[[Path, int, int, tuple[Path, Path]], list[str]]


@pytest.fixture
def lab(tmp_path: Path, archive: str) -> Iterator[Lab]:
    with running_lab(tmp_path / "gateway", Pacs(archive), settings=PROXIED) as one:
        yield one


def nginx(folder: Path, behind: int, port: int, certificate: tuple[Path, Path]) -> list[str]:
    """The example, with this machine's places; the command that runs it."""
    text = (CONFIG / "nginx.example.conf").read_text()
    for theirs, ours in (
        ("127.0.0.1:8080", f"127.0.0.1:{behind}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/relay.example.org.pem", str(certificate[0])),
        ("/etc/ssl/private/relay.example.org.key", str(certificate[1])),
        ("/var/log/nginx/relaypacs.log", str(folder / "access.log")),
    ):
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    temp = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}} http {{ {temp}\n{text}\n}}"
    (folder / "nginx.conf").write_text(whole)
    return ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")]


def haproxy(folder: Path, behind: int, port: int, certificate: tuple[Path, Path]) -> list[str]:
    """Likewise."""
    (folder / "both.pem").write_bytes(certificate[0].read_bytes() + certificate[1].read_bytes())
    text = (CONFIG / "haproxy.example.cfg").read_text()
    for theirs, ours in (
        ("127.0.0.1:8080", f"127.0.0.1:{behind}"),
        ("bind :443", f"bind 127.0.0.1:{port}"),
        ("/etc/haproxy/relay.example.org.pem", str(folder / "both.pem")),
        ("log /dev/log local0", f"log {folder}/log local0"),
        ("check inter 5s", "check inter 200ms"),
    ):
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    (folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-f", str(folder / "haproxy.cfg"), "-db"]


EXAMPLES = pytest.mark.parametrize("example", [nginx, haproxy])


@contextlib.contextmanager
def in_front(lab: Lab, folder: Path, certificate: tuple[Path, Path], example: Example, line: int = 0) -> Iterator[int]:
    """The proxy runs: its port. `line`: the port that the gateway is reached by, if not its own."""
    port = free_port()
    folder.mkdir()
    command = example(folder, line or urlsplit(lab.url).port or 0, port, certificate)
    program = shutil.which(command[0], path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program, f"{command[0]} is missing: apt-get install nginx-light haproxy"
    with (folder / "out").open("wb") as out, subprocess.Popen([program, *command[1:]], stdout=out, stderr=out) as proxy:
        try:
            wait_until("the proxy listens", lambda: _listens(port))
            assert spoken(port, certificate[0]) == "http/1.1"
            yield port
        finally:
            proxy.terminate()


@contextlib.contextmanager
def sending(
    lab: Lab, folder: Path, port: int, certificate: tuple[Path, Path], *more_words: str
) -> Iterator[subprocess.Popen[str]]:
    """`relaypacs send` of the folder through the proxy, under way; it has to end well."""
    words = ["send", str(folder), "--to", f"https://127.0.0.1:{port}", "--user", UPLOADER, "-q", "--chunk", "1MiB"]
    more = {"RELAYPACS_PASSWORD": PASSWORD, "REQUESTS_CA_BUNDLE": str(certificate[0])}
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", *words, "--state", str(state_of(lab)), *more_words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=lab.folder, env=lab.environ() | more,
    ) as process:  # fmt: skip
        try:
            yield process
            told, said = process.communicate(timeout=90)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 0, said + told


def image(folder: Path, size_bytes: int) -> bytes:
    """One instance of about this size, in a folder that is made: its bytes."""
    content = instance(pixel_data=hashlib.shake_128(b"x").digest(size_bytes))
    folder.mkdir()
    (folder / "1.dcm").write_bytes(content)
    return content


@EXAMPLES
def test_a_big_upload_goes_on_through_a_restart_in_mid_body(
    lab: Lab, archive: str, tmp_path: Path, certificate: tuple[Path, Path], example: Example
) -> None:
    content = image(tmp_path / "images", 40_000_000)
    with (
        middle(urlsplit(lab.url).port or 0, [], stands_after=13_000_000) as line,
        in_front(lab, tmp_path / "proxy", certificate, example, line.port) as port,
        sending(lab, tmp_path / "images", port, certificate),
    ):
        upload_under_way(lab, lab.login())
        lab.kill()
        line.goes_on.set()
        lab.start()
    assert held(archive) == [content]


@pytest.mark.root
@EXAMPLES
def test_an_upload_waits_while_the_spool_is_full_and_goes_on_when_there_is_room(
    archive: str, tmp_path: Path, certificate: tuple[Path, Path], example: Example
) -> None:
    content = image(tmp_path / "images", 40_000_000)
    disk = tmp_path / "gateway" / "var" / "spool"
    with (
        tiny_disk(disk, "96m"),
        running_lab(tmp_path / "gateway", Pacs(archive), settings=PROXIED) as lab,
        middle(urlsplit(lab.url).port or 0, [], stands_after=13_000_000) as line,
        in_front(lab, tmp_path / "proxy", certificate, example, line.port) as port,
        # It stands in the middle of a part: who begins a new one then is told to come back when the purge has run.
        sending(lab, tmp_path / "images", port, certificate, "--at-once", "1", "--chunk", "256KiB"),
    ):
        upload_under_way(lab, lab.login())
        foreign = fill_disk(disk)
        line.goes_on.set()
        wait_until("the client was told", lambda: "code=spool_full" in lab.log_text())
        assert lab.http.call("GET", "/readyz").expect(503).json["parts"]["spool"] == "spool_full"
        foreign.unlink()
    assert held(archive) == [content]


@EXAMPLES
def test_a_relay_that_opens_tls_and_throttles_costs_time_and_no_byte(
    lab: Lab, archive: str, tmp_path: Path, certificate: tuple[Path, Path], example: Example
) -> None:
    content = image(tmp_path / "images", 6_000_000)
    with (
        in_front(lab, tmp_path / "proxy", certificate, example) as port,
        ThrottlingRelay(port, certificate, bytes_per_s=2_000_000, cut_after_bytes=2_500_000) as relay,
        sending(lab, tmp_path / "images", relay.port, certificate),
    ):
        pass
    assert held(archive) == [content]
    assert relay.cuts == 1
    assert len(content) < relay.carried_bytes < 1.5 * len(content)


@pytest.mark.parametrize(("example", "passes", "heard"), [(nginx, False, ["200"]), (haproxy, True, ["104", "200"])])
def test_a_client_of_the_draft_hears_the_interim_answer_where_the_proxy_passes_it(
    archive: str, tmp_path: Path, certificate: tuple[Path, Path], example: Example, passes: bool, heard: list[str]
) -> None:
    settings = {"server": PROXIED["server"] | {"proxies_pass_interim": passes}}
    with (
        running_lab(tmp_path / "gateway", Pacs(archive), settings=settings) as lab,
        in_front(lab, tmp_path / "proxy", certificate, example) as port,
    ):
        told = subprocess.run(
            [
                *("curl", "--silent", "--verbose", "--cacert", str(certificate[0]), "--data-binary", "bytes"),
                *("--header", f"Authorization: Bearer {lab.login().token}", "--header", "Upload-Complete: ?1"),
                *("--header", "Upload-Draft-Interop-Version: 6", f"https://127.0.0.1:{port}/files/"),
            ],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert [line.split()[2] for line in told.stderr.splitlines() if line.startswith("< HTTP/")] == heard


def spoken(port: int, authority: Path) -> str | None:
    """What it speaks to a browser, which offers both (RFC 7301)."""
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", port)) as line,
        context.wrap_socket(line, server_hostname="127.0.0.1") as sealed,
    ):
        return sealed.selected_alpn_protocol()


def _listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0
