"""Who sends a study over a line: each returns when all of it is there. Every command runs at the client's end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bench.peers import Tusd
from tests.e2e.lab import PASSWORD, ROOT, UPLOADER, Lab
from tests.e2e.orthanc import PASSWORD as ORTHANC_PASSWORD
from tests.e2e.orthanc import USER as ORTHANC_USER
from tests.e2e.orthanc import Orthanc
from tests.e2e.test_proxies import nginx as example
from tests.lines.line import Line
from tools.node import node
from tools.ports import free_port

#: One that isn't done by then hasn't ended.
LONGEST_S = 400.0
_TRIES = 40


class NotDone(Exception):
    """The study didn't arrive in any time that somebody would wait."""


@dataclass(frozen=True, slots=True)
class Study:
    """What is sent."""

    folder: Path
    more: Sequence[str] = ()  #: arguments of the client's own

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@dataclass(slots=True)
class Timed:
    """Runs commands at the client's end, and takes their time."""

    line: Line
    seconds: float = 0.0
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    folder: Path = Path("/")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """To its end.

        :raises NotDone: it takes too long.
        """
        began = time.monotonic()
        try:
            return subprocess.run(
                self.line.at_client(*command), env=self.environment, cwd=self.folder, capture_output=True, text=True,
                timeout=LONGEST_S - self.seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise NotDone(command[0]) from None
        finally:
            self.seconds += time.monotonic() - began

    def insist(self, *command: str) -> None:
        """Again and again until it ends well: what a person would do with a program that gives up.

        :raises NotDone: it never does.
        """
        said = ""
        for _ in range(_TRIES):
            done = self.run(*command)
            if done.returncode == 0:
                return
            said = done.stderr[-500:]
        raise NotDone(said)


def by_send(lab: Lab, line: Line, study: Study) -> float:
    """`relaypacs send`, until the PACS has it."""
    environment = lab.environ() | {"RELAYPACS_PASSWORD": PASSWORD}
    client = Timed(line, environment=environment, folder=lab.folder)
    words = ["send", str(study.folder), "--to", lab.url, "--user", UPLOADER, "-q", "--state", str(lab.folder / "state")]
    line.begin()
    done = client.run(sys.executable, "-m", "gateway", *words, *study.more)
    if done.returncode != 0:
        raise NotDone(done.stderr[-500:])
    return client.seconds


def by_app(lab: Lab, line: Line, study: Study, url: str = "") -> float:
    """The app in Chromium, from Send until it says that the PACS has it."""
    words = [url or lab.url, UPLOADER, PASSWORD, str(study.folder)]
    done = subprocess.Popen(
        line.at_client(node(), str(Path(__file__).with_name("app.mjs")), *words),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.stdin is not None and done.stdout is not None
    with done:
        assert done.stdout.readline() == "ready\n"
        line.begin()
        done.stdin.write("go\n")
        done.stdin.flush()
        told = done.stdout.readline()
    if not told:
        raise NotDone("the app")
    return float(told)


def by_app_behind_nginx(lab: Lab, line: Line, study: Study) -> float:
    """Likewise, through the nginx example: HTTP/1.1, a connection for each request at once."""
    with nginx(lab, http2=False) as url:
        return by_app(lab, line, study, url)


def by_app_over_http2(lab: Lab, line: Line, study: Study) -> float:
    """Likewise, through an nginx that speaks HTTP/2 (RFC 9113): one connection for all."""
    with nginx(lab, http2=True) as url:
        return by_app(lab, line, study, url)


@contextlib.contextmanager
def nginx(lab: Lab, *, http2: bool) -> Iterator[str]:
    """The example in front of the gateway; its address."""
    folder = lab.folder / "nginx"
    folder.mkdir()
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    about = ["-subj", "/CN=relay.test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*new, *about, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    port = free_port()
    command = example(folder, urlsplit(lab.url).port or 0, port, (certificate, key))
    config = folder / "nginx.conf"
    if os.geteuid() == 0:  # in a namespace of users there is nobody but root
        config.write_text(f"user root;\n{config.read_text()}")
    if http2:
        plain = f"listen 127.0.0.1:{port} ssl"
        assert plain in config.read_text()
        config.write_text(config.read_text().replace(plain, f"{plain} http2"))
    process = subprocess.Popen(command)
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def by_tus_js(lab: Lab, line: Line, study: Study) -> float:
    """tus-js-client with the pauses of its own, three files at once, until the gateway has all."""
    contents = [path.stat().st_size for path in study.files]
    upload_id, owner = lab.open_upload(lab.login(), contents)
    client = Timed(line, environment=dict(os.environ) | {"TOKEN": owner.token}, folder=ROOT)
    line.begin()
    script = Path(__file__).with_name("tusjs.mjs")
    client.insist(node(), str(script), f"{lab.url}/files/", str(lab.folder / "urls"), *map(str, study.files))
    owner.complete(upload_id).expect(200)
    return client.seconds


def by_tus_js_to_tusd(tusd: Tusd, line: Line, study: Study) -> float:
    """The same client to tusd, until that has all."""
    url, _ = tusd.open(len(study.files), 0)
    client = Timed(line, environment=dict(os.environ) | {"TOKEN": "none"}, folder=ROOT)
    line.begin()
    script = Path(__file__).with_name("tusjs.mjs")
    client.insist(node(), str(script), url, str(tusd.folder / "urls"), *map(str, study.files))
    return client.seconds


def by_dcmsend(orthanc: Orthanc, line: Line, study: Study) -> float:
    """C-STORE straight to the PACS; what was broken off is begun anew."""
    client = Timed(line)
    line.begin()
    where = ["127.0.0.1", str(orthanc.dicom_port)]
    client.insist("dcmsend", "--call", "ORTHANC", "--no-halt", "-ta", "10", "-td", "10", *where, *map(str, study.files))
    return client.seconds


def by_stow(orthanc: Orthanc, line: Line, study: Study) -> float:
    """One STOW-RS request straight to the PACS (PS3.18 10.5); what was broken off is begun anew."""
    body = study.folder.parent / "stow"
    with body.open("wb") as out:
        for path in study.files:
            out.write(b"--cut\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n")
        out.write(b"--cut--\r\n")
    client = Timed(line)
    line.begin()
    client.insist(
        "curl", "--silent", "--show-error", "--fail", "--speed-limit", "1", "--speed-time", "10", "--data-binary", f"@{body}",
        "--user", f"{ORTHANC_USER}:{ORTHANC_PASSWORD}", "--header", "Accept: application/dicom+json", "--header", "Expect:",
        "--header", 'Content-Type: multipart/related; type="application/dicom"; boundary=cut',
        f"{orthanc.dicomweb_url}/studies",
    )  # fmt: skip
    return client.seconds


TO_GATEWAY: dict[str, Callable[[Lab, Line, Study], float]] = {
    "send": by_send,
    "app": by_app,
    "app, nginx": by_app_behind_nginx,
    "app, HTTP/2": by_app_over_http2,
    "tus-js-client": by_tus_js,
}
TO_TUSD: dict[str, Callable[[Tusd, Line, Study], float]] = {"tus-js-client to tusd": by_tus_js_to_tusd}
TO_PACS: dict[str, Callable[[Orthanc, Line, Study], float]] = {"dcmsend": by_dcmsend, "STOW by curl": by_stow}
CLIENTS = [*TO_GATEWAY, *TO_TUSD, *TO_PACS]
