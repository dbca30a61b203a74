"""The servers that are compared, each a process of its own in a folder of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.client import Connection, Refused
from bench.machine import give_room_back
from bench.measure import Tree
from bench.payload import Part, Payload
from tools.node import node
from tools.ports import free_port

REPOSITORY = Path(__file__).resolve().parent.parent
NODE_MODULES = REPOSITORY / "tests" / "node"
ORTHANC_PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
ACCOUNT = "bench"
START_WITHIN_S = 30.0


class Missing(Exception):
    """Something that the comparison needs isn't installed; says what."""


class Process:
    """A server's process; its output goes to a file beside its data."""

    def __init__(self, folder: Path, command: Sequence[str], *, told: str = "", under: Sequence[str] = ()) -> None:
        """:param told: the word in a line of its output that its address follows; empty: nothing to wait for.
        :param under: a command that runs it, as strace does.
        """
        self.folder = folder
        self._under = bool(under)
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*under, *command], stdout=log, stderr=log, start_new_session=True, cwd=REPOSITORY
            )
        self.tree = Tree(self._process.pid)
        self.url = self._told(told) if told else ""

    def stop(self) -> None:
        for pid in self._first_children() if self._under else [self._process.pid]:
            os.kill(pid, signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _first_children(self) -> list[int]:
        """What strace is told to end it passes on to nobody."""
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def ended(self) -> bool:
        return self._process.poll() is not None

    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

    def _told(self, word: str) -> str:
        end = time.monotonic() + START_WITHIN_S
        while time.monotonic() < end and not self.ended():
            for line in self._log.read_text(errors="replace").splitlines():
                if word in line:
                    return line.rpartition(" ")[2]
            time.sleep(0.05)
        self.stop()
        raise Missing(f"{self.folder.name} did not start:\n{self.last_words()}")


class Node:
    """@tus/server over @tus/file-store: no encryption, no accounts, nothing synced."""

    name = "node"
    durable = False

    def __init__(self, folder: Path, under: Sequence[str] = ()) -> None:
        if not (NODE_MODULES / "node_modules" / "@tus" / "server").is_dir():
            raise Missing("the peer is Node.js with @tus/server: `make node` installs it")
        self.folder = folder
        self._store = folder / "store"
        self._store.mkdir(parents=True)
        peer = str(Path(__file__).with_name("peer.mjs"))
        self._process = Process(
            folder, [node(), peer, str(NODE_MODULES), str(self._store)], told="listening on", under=under
        )
        self.tree = self._process.tree

    def open(self, _files: int, _size_bytes: int) -> tuple[str, str | None]:
        """Creation URL and bearer token for so many files of so many bytes in all."""
        return f"{self._process.url}/files", None

    def clear(self) -> None:
        """The bytes of all that it stored go."""
        give_room_back(self._store)

    def stop(self) -> None:
        self._process.stop()


class Gateway:
    """The gateway as an operator starts it, with one endpoint.

    :param pacs_url: of the endpoint; None: nothing listens there.
    """

    name = "gateway"
    durable = True

    def __init__(
        self,
        folder: Path,
        payload: Payload,
        pacs_url: str | None = None,
        auth: str = "",
        under: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        config = folder / "relaypacs.toml"
        config.write_text(_gateway_config(folder, pacs_url or "http://127.0.0.1:9/dicom-web", auth))
        self.password = password = secrets.token_urlsafe(16)
        command = [sys.executable, "-m", "gateway"]
        user = [*command, "user", "add", ACCOUNT, "--role", "uploader", "--password-stdin", "-c", str(config)]
        added = subprocess.run(user, input=password + "\n", capture_output=True, text=True, check=False, cwd=REPOSITORY)
        if added.returncode:
            raise Missing(f"the account could not be made:\n{added.stderr[-2000:]}")
        self._process = Process(folder, [*command, "serve", "-c", str(config)], told="listening on", under=under)
        self.tree = self._process.tree
        self._payload = payload
        login = self.call("POST", "/auth/login", None, {"username": ACCOUNT, "password": password})
        self._access_token: str = login["access_token"]
        self._uploads: list[str] = []

    @property
    def url(self) -> str:
        return self._process.url

    def open(self, files: int, size_bytes: int) -> tuple[str, str | None]:
        """Creation URL and upload token of a new upload."""
        wish = {"study_metadata": {}, "total_files": files, "total_size_bytes": size_bytes}
        opened = self.call("POST", "/upload/init", self._access_token, wish)
        self._uploads.append(opened["upload_id"])
        return f"{self._process.url}/files/", opened["upload_token"]

    def complete(self, token: str) -> str:
        """Complete the upload that was opened last, and wait until it is delivered; its status."""
        path = f"/upload/{self._uploads[-1]}"
        while True:
            answer = self.call("POST", f"{path}/complete", token, {}, {"Prefer": "wait=60"})
            if "status" in answer:
                return str(answer["status"])

    def clear(self) -> None:
        """Everything that it stored goes."""
        for upload_id in self._uploads:
            # 409: delivered, its bytes go by themselves
            with contextlib.suppress(Refused):
                self.call("DELETE", f"/upload/{upload_id}", self._access_token)
        self._uploads.clear()
        end = time.monotonic() + 60
        while time.monotonic() < end and any(
            True for shard in os.scandir(self.folder / "spool") if len(shard.name) == 2 for _ in os.scandir(shard.path)
        ):
            time.sleep(0.1)

    def call(
        self, method: str, path: str, token: str | None, body: object = None, headers: dict[str, str] | None = None
    ) -> Any:
        """A call with JSON, on a connection of its own: the rounds of others may take longer than one is kept.

        :raises Refused: an error answer.
        """
        head = dict(headers or {})
        if token is not None:
            head["Authorization"] = f"Bearer {token}"
        part = None
        if body is not None:
            text = json.dumps(body).encode()
            head["Content-Type"] = "application/json"
            part = Part(text, len(text))
        with contextlib.closing(Connection(self._process.url, self._payload)) as connection:
            answer = connection.request(method, path, head, part)
        if answer.status >= 400:
            raise Refused(f"{method}: {answer.status} {answer.body[:300]!r}")
        return answer.json() if answer.body else None

    def stop(self) -> None:
        self._process.stop()


def _gateway_config(folder: Path, pacs_url: str, auth: str) -> str:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return f"""\
[server]
port = 0
[database]
url = "sqlite://{folder}/relaypacs.db"
[spool]
url = "file://{folder}/spool"
[spool.keys]
active = "k1"
k1 = "{key}"
[uploads]
autocomplete = "1h"
[tokens]
secret = "{secrets.token_urlsafe(48)}"
access_ttl = "12h"
upload_ttl = "1h"
[retention]
interval = "1s"
[endpoints.main]
kind = "dicomweb"
url = "{pacs_url}"
{auth}
[audit]
file = "{folder}/audit.jsonl"
"""


class Orthanc:
    """A real archive, empty."""

    USER, PASSWORD = "bench", "bench"

    def __init__(self, folder: Path) -> None:
        program = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
        if not Path(program).exists() or not Path(ORTHANC_PLUGIN).exists():
            raise Missing("Orthanc with DICOMweb is needed: apt-get install orthanc orthanc-dicomweb")
        store = folder / "db"
        store.mkdir(parents=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = folder / "orthanc.json"
        config.write_text(json.dumps(self._config(store, port)))
        self._process = Process(folder, [program, str(config)])
        self.tree = self._process.tree
        end = time.monotonic() + START_WITHIN_S
        while not self._answers():
            if self._process.ended() or time.monotonic() > end:
                self.stop()
                raise Missing(f"Orthanc did not start:\n{self._process.last_words()}")
            time.sleep(0.1)

    @property
    def dicomweb_url(self) -> str:
        return f"{self.url}/dicom-web"

    @property
    def authorization(self) -> str:
        """Value of the request header."""
        return "Basic " + base64.b64encode(f"{self.USER}:{self.PASSWORD}".encode()).decode()

    @property
    def gateway_auth(self) -> str:
        """As a line of the gateway's configuration."""
        return f'auth = {{ kind = "basic", username = "{self.USER}", password = "{self.PASSWORD}" }}'

    def clear(self) -> None:
        """Everything that it stored goes."""
        for patient in json.loads(self._request("GET", "/patients")):
            self._request("DELETE", f"/patients/{patient}")

    def stop(self) -> None:
        self._process.stop()

    def _answers(self) -> bool:
        try:
            self._request("GET", "/system")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    def _request(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", self.authorization)
        with urllib.request.urlopen(request, timeout=120) as response:
            body: bytes = response.read()
            return body

    def _config(self, store: Path, port: int) -> dict[str, object]:
        return {
            "Name": "bench",
            "StorageDirectory": str(store),
            "IndexDirectory": str(store),
            "Plugins": [ORTHANC_PLUGIN],
            "HttpPort": port,
            "HttpBindAddresses": ["127.0.0.1"],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {self.USER: self.PASSWORD},
            "DicomServerEnabled": False,
            "OverwriteInstances": False,
            "StableAge": 60,
            "KeepAlive": True,
            "TcpNoDelay": True,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
