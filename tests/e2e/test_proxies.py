"""The nginx and HAProxy examples in front of a gateway: a big upload goes on through a restart in mid-body."""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.commands.test_transport import certificate
from tests.dicom_samples import instance
from tests.e2e.lab import PASSWORD, UPLOADER, Lab, Pacs, running_lab, wait_until
from tests.e2e.test_send import archive, held, state_of, upload_under_way

__all__ = ["archive", "certificate"]  # fixtures

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
def lab(tmp_path: Path, archive: str) -> Iterator[Lab]:
    proxied = {"server": {"trusted_proxies": ["127.0.0.1"]}}
    with running_lab(tmp_path / "gateway", Pacs(archive), settings=proxied) as one:
        yield one


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as line:
        return int(line.getsockname()[1])


def nginx(folder: Path, behind: int, port: int, certificate: tuple[Path, Path]) -> list[str]:
    """The example, with this machine's places; the command that runs it."""
    text = (CONFIG / "nginx.example.conf").read_text()
    for theirs, ours in (
        ("127.0.0.1:8080", f"127.0.0.1:{behind}"),
        ("listen 443 ssl http2", f"listen 127.0.0.1:{port} ssl http2"),
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


@pytest.mark.parametrize("example", [nginx, haproxy])
def test_a_big_upload_goes_on_through_a_restart_in_mid_body(
    lab: Lab,
    archive: str,
    tmp_path: Path,
    certificate: tuple[Path, Path],
    example: Callable[[Path, int, int, tuple[Path, Path]], list[str]],
) -> None:
    port, folder, images = free_port(), tmp_path / "proxy", tmp_path / "images"
    folder.mkdir()
    images.mkdir()
    command = example(folder, urlsplit(lab.url).port or 0, port, certificate)
    program = shutil.which(command[0], path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program, f"{command[0]} is missing: apt-get install nginx-light haproxy"
    content = instance(pixel_data=hashlib.shake_128(b"x").digest(40_000_000))
    (images / "1.dcm").write_bytes(content)
    words = ["send", str(images), "--to", f"https://127.0.0.1:{port}", "--user", UPLOADER, "-q", "--chunk", "1MiB"]
    more = {"RELAYPACS_PASSWORD": PASSWORD, "REQUESTS_CA_BUNDLE": str(certificate[0])}
    with (folder / "out").open("wb") as out, subprocess.Popen([program, *command[1:]], stdout=out, stderr=out) as proxy:
        try:
            wait_until("the proxy listens", lambda: _listens(port))
            with subprocess.Popen(
                [sys.executable, "-m", "gateway", *words, "--state", str(state_of(lab))],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=lab.folder, env=lab.environ() | more,
            ) as sending:  # fmt: skip
                upload_under_way(lab, lab.login())
                lab.kill()
                lab.start()
                told, said = sending.communicate(timeout=90)
        finally:
            proxy.terminate()
    assert sending.returncode == 0, said + told
    assert held(archive) == [content]


def _listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0
