"""The gateway as its users run it: a configuration in a folder, the command as a process, HTTP from outside.

`Lab` holds one configuration and starts, stops, kills and starts again the `serve` that uses it; `Http` is a client
that adds nothing of its own. Nothing here imports the gateway.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import functools
import http.client
import json
import os
import secrets
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from tools.ports import free_port

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
OCTETS = "application/offset+octet-stream"
START_WITHIN_S = 40.0
STOP_WITHIN_S = 40.0
FINAL_STATES = frozenset({"success", "partial", "failed"})


def wait_until(what: str, condition: Callable[[], T], within_s: float = 30.0) -> T:
    """The first true value of `condition`; fails by name after `within_s`."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"it did not happen within {within_s:g} s: {what}")
        time.sleep(0.05)
    return value


# -- HTTP


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of problem+json."""
        return str(self.json["code"])

    @property
    def offset(self) -> int:
        return int(self.headers["Upload-Offset"])

    def expect(self, *statuses: int) -> Answer:
        """Itself, if it is one of these."""
        assert self.status in statuses, f"{self.status} instead of {statuses}: {self.body[:600]!r}"
        return self


@dataclass(frozen=True)
class Http:
    """Requests to one gateway with one bearer, each on a connection of its own; safe in several threads."""

    base: str
    token: str = ""
    timeout_s: float = 60.0

    def with_token(self, token: str) -> Http:
        return Http(self.base, token, self.timeout_s)

    def connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.base)
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=self.timeout_s)

    def call(self, method: str, url: str, body: bytes | Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """:param url: absolute, or a path. :param body: bytes, an iterable of bytes (chunked), or what goes as JSON."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, url.removeprefix(self.base), body, sent | dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    # tus

    def tus(self, method: str, url: str, body: bytes | Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        return self.call(method, url, body, {"Tus-Resumable": "1.0.0"} | dict(headers or {}))

    def create(self, length: int, metadata: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        headers = {"Upload-Length": str(length), "Upload-Metadata": metadata_header(metadata or {})}
        return self.tus("POST", "/files/", body or None, headers | ({"Content-Type": OCTETS} if body else {}))

    def patch(self, url: str, offset: int, body: bytes | Any, headers: Mapping[str, str] | None = None) -> Answer:
        mine = {"Upload-Offset": str(offset), "Content-Type": OCTETS}
        return self.tus("PATCH", url, body, mine | dict(headers or {}))

    def head(self, url: str) -> Answer:
        return self.tus("HEAD", url)

    # REST

    def chunk(self, upload_id: str, file_id: str, index: int, body: bytes, total: int | None = None) -> Answer:
        query = f"file_id={file_id}&chunk_index={index}" + (f"&total_chunks={total}" if total is not None else "")
        headers = {"Content-Type": "application/octet-stream"}
        return self.call("PUT", f"/upload/{upload_id}/chunk?{query}", body, headers)

    def complete(self, upload_id: str, wait_s: int = 30, wish: Mapping[str, Any] | None = None) -> Answer:
        body = dict(wish or {})
        return self.call("POST", f"/upload/{upload_id}/complete", body, {"Prefer": f"wait={wait_s}"})

    def status(self, upload_id: str) -> Any:
        return self.call("GET", f"/upload/{upload_id}/status").expect(200).json

    def outcome(self, upload_id: str, within_s: float = 60.0) -> Any:
        """The status, once it is final."""

        def look() -> Any:
            status = self.status(upload_id)
            return status if status["state"] in FINAL_STATES else None

        return wait_until("the upload's end", look, within_s)


def metadata_header(values: Mapping[str, str]) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())


def begin_patch(http_: Http, url: str, offset: int, length: int, first: bytes) -> socket.socket:
    """A PATCH of `length` bytes, being read by the gateway, of which only `first` were sent; the caller goes on, or
    breaks the line.
    """
    parts = urlsplit(url)
    line = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=http_.timeout_s)
    line.sendall(
        f"PATCH {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {http_.token}\r\n"
        f"Tus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\nContent-Type: {OCTETS}\r\n"
        f"Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n".encode()
    )
    assert line.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.sendall(first)
    return line


# -- the gateway


@dataclass
class Pacs:
    """Where a gateway delivers to."""

    url: str
    username: str = ""
    password: str = ""

    def auth(self) -> str:
        if not self.username:
            return '{ kind = "none" }'
        return f'{{ kind = "basic", username = "{self.username}", password = "{self.password}" }}'


#: Short times, so that what a test waits for comes soon.
QUICK: Mapping[str, Mapping[str, Any]] = {
    "server": {"port": 0, "drain_seconds": 10},
    "uploads": {"autocomplete": "30s"},
    "retention": {"interval": "1s"},
    "delivery": {"retry_base": "200ms"},
}

#: Of all gateways of this test process: they begin with copies of the same ledger.
MASTER_KEY = base64.b64encode(secrets.token_bytes(32)).decode()
UPLOADER, PASSWORD = "sender", "correct horse battery staple"


@dataclass
class Lab:
    """One gateway's folder, and the process that serves it.

    :param settings: table -> key -> value, put over `QUICK`.
    :param environment: for every process of this gateway.
    """

    folder: Path
    pacs: Pacs
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    url: str = ""
    _under: bool = False

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.temp.mkdir()
        self.config.write_text(self._toml())

    @property
    def config(self) -> Path:
        return self.folder / "relaypacs.toml"

    @property
    def data(self) -> Path:
        """Everything that the gateway writes: spool, ledger, audit file."""
        return self.folder / "var"

    @property
    def spool(self) -> Path:
        return self.data / "spool"

    @property
    def database(self) -> Path:
        return self.data / "relaypacs.db"

    @property
    def temp(self) -> Path:
        return self.folder / "tmp"

    @property
    def log(self) -> Path:
        return self.folder / "serve.log"

    def _toml(self) -> str:
        tables: dict[str, dict[str, Any]] = {
            "database": {"url": f"sqlite://{self.database}"},
            "spool": {"url": f"file://{self.spool}"},
            "spool.keys": {"active": "k1", "k1": MASTER_KEY},
            "tokens": {"secret": secrets.token_hex(32)},
            "audit": {"file": str(self.data / "audit.jsonl")},
        }
        for one in (QUICK, self.settings):
            for name, values in one.items():
                tables.setdefault(name, {}).update(values)
        endpoint = {"kind": "dicomweb"} | tables.pop("endpoints.main", {})
        by_pacs = endpoint["kind"] == "dicomweb" and "endpoints.main.auth" not in tables
        if endpoint["kind"] == "dicomweb":
            endpoint.setdefault("url", self.pacs.url)
        lines = []
        for name, values in tables.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        lines += ["[endpoints.main]", *(f"{key} = {json.dumps(value)}" for key, value in endpoint.items())]
        return "\n".join([*lines, *([f"auth = {self.pacs.auth()}"] if by_pacs else []), ""])

    def environ(self) -> dict[str, str]:
        mine = {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.temp), "RELAYPACS_CONFIG": str(self.config)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAYPACS")}
        return kept | mine | dict(self.environment)

    # commands

    def command(
        self, *arguments: str, stdin: str = "", timeout_s: float = 90.0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`relaypacs` with these arguments, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=self.folder,
            env=self.environ() | dict(env or {}),
            check=False,
        )

    def add_user(self, name: str, role: str) -> None:
        done = self.command("user", "add", name, "--role", role, "--password-stdin", stdin=PASSWORD + "\n")
        assert done.returncode == 0, done.stderr

    def send(self, *paths: Path, timeout_s: float = 90.0) -> subprocess.CompletedProcess[str]:
        """`relaypacs send` of these as the uploader, quietly, with a state file in this folder."""
        arguments = ["send", *map(str, paths), "--to", self.url, "--user", UPLOADER, "--quiet"]
        return self.command(
            *arguments,
            "--state",
            str(self.folder / "send.state"),
            timeout_s=timeout_s,
            env={"RELAYPACS_PASSWORD": PASSWORD},
        )

    # serve

    def start(self, under: Sequence[str] = (), env: Mapping[str, str] | None = None) -> None:
        """Start `serve`, and return when it takes requests; after a first start always on the same port.

        :param under: a command that runs it, as strace does.
        """
        assert self.process is None
        environment = self.environ() | dict(env or {})
        environment["RELAYPACS__SERVER__PORT"] = str(urlsplit(self.url).port if self.url else free_port())
        self._under = bool(under)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*under, sys.executable, "-m", "gateway", "serve"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
                env=environment,
            )
        self.url = self._listening(self.process)

    def _listening(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_WITHIN_S)
        line = process.stdout.readline() if ready else ""
        if not line.startswith("listening on http://"):
            self.kill()
            pytest.fail(f"serve did not start: {line!r}\n{self.log_text()}")
        return line.removeprefix("listening on ").strip()

    def stop(self) -> None:
        """SIGTERM; it must end well."""
        if self.process is not None:
            self.signal(signal.SIGTERM)
            assert self._ended() == 0, self.log_text()

    def kill(self) -> None:
        """SIGKILL, without a word."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self._ended()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    @property
    def pid(self) -> int:
        """Of serve itself, also under strace."""
        assert self.process is not None
        first = self.process.pid
        if not self._under:
            return first
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return int(children[0]) if children else first

    def _ended(self) -> int:
        process, self.process = self.process, None
        assert process is not None
        try:
            return process.wait(STOP_WITHIN_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")[-20_000:] if self.log.exists() else ""

    # clients

    @property
    def http(self) -> Http:
        """Without a token."""
        return Http(self.url)

    def login(self, name: str = UPLOADER) -> Http:
        """A client with an access token."""
        answer = self.http.call("POST", "/auth/login", {"username": name, "password": PASSWORD}).expect(200)
        return self.http.with_token(answer.json["access_token"])

    def open_upload(self, who: Http, files: Sequence[bytes] | Sequence[int], **more: Any) -> tuple[str, Http]:
        """`POST /upload/init` for these files (or sizes); its id, and a client with its upload token."""
        sizes = [one if isinstance(one, int) else len(one) for one in files]
        wish = {"study_metadata": {}, "total_files": len(sizes), "total_size_bytes": sum(sizes)} | more
        opened = who.call("POST", "/upload/init", wish).expect(201).json
        return opened["upload_id"], who.with_token(opened["upload_token"])

    # what lies in the spool

    def segments(self) -> list[Path]:
        return [path for path in self.spool.rglob("*") if path.is_file()]

    def entries(self) -> int:
        """What rows name in the spool; a small file that came at once is one entry."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM runs").fetchone()[0])

    def spool_empties(self, within_s: float = 30.0) -> None:
        wait_until("the spool is empty", lambda: not self.segments(), within_s)


@functools.cache
def _with_uploader() -> Path:
    """The files of a gateway to which `relaypacs user add` has added the uploader; made once per test process."""
    folder = Path(tempfile.mkdtemp(prefix="relaypacs-lab-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    lab = Lab(folder / "gateway", Pacs("http://127.0.0.1:9/dicom-web"))
    lab.add_user(UPLOADER, "uploader")
    return lab.data


@contextlib.contextmanager
def running_lab(folder: Path, pacs: Pacs, *, serving: bool = True, **more: Any) -> Iterator[Lab]:
    """A lab with an uploader, serving; stopped in good order unless the test did so itself."""
    lab = Lab(folder, pacs, **more)
    shutil.copytree(_with_uploader(), lab.data, dirs_exist_ok=True)
    if serving:
        lab.start()
    try:
        yield lab
        lab.stop()
    finally:
        lab.kill()
        print(f"--- {lab.log}\n{lab.log_text()}")  # pytest shows it where a test failed
