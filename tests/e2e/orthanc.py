"""A real Orthanc with DICOMweb as fixture: `orthanc` for a session, `own_orthanc` for tests that hurt it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tools.ports import free_port

HOW_TO_GET_IT = "Orthanc with DICOMweb is needed: apt-get install orthanc orthanc-dicomweb"
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
USER, PASSWORD = "gw", "secret"
START_WITHIN_S = 30.0
#: Somebody else may have taken a free port before Orthanc does.
PORTS_TO_TRY, PORT_TAKEN = 3, "already in use"


class Orthanc:
    """One process over one folder; `start` after `stop` serves the same instances on the same port."""

    def __init__(
        self,
        folder: Path,
        *,
        dicom_server: bool = False,
        storage: Path | None = None,
        modalities: Mapping[str, Mapping[str, Any]] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.settings = settings or {}  #: of its own configuration
        self.modalities = modalities or {}
        self.storage = storage or folder / "db"  #: where the files are; the index is in `db` in any case
        self.port = free_port()
        self.dicom_port = free_port()
        self._known = False  #: it has been there at this port
        self.dicom_server = dicom_server
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def dicomweb_url(self) -> str:
        return f"{self.url}/dicom-web"

    @property
    def auth(self) -> tuple[str, str, str]:
        return ("basic", USER, PASSWORD)

    def start(self) -> None:
        program = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
        if not Path(program).exists() or not Path(PLUGIN).exists():
            pytest.fail(HOW_TO_GET_IT)
        for _ in range(PORTS_TO_TRY):
            if self._runs(program):
                self._known = True
                return
            if self._known or PORT_TAKEN not in self._said():
                break  # who knows where it is looks for it there
            self.port, self.dicom_port = free_port(), free_port()
        pytest.fail(f"Orthanc did not start:\n{self._said()}")

    def _said(self) -> str:
        return (self.folder / "orthanc.log").read_text()[-2000:]

    def _runs(self, program: str) -> bool:
        config = self.folder / "orthanc.json"
        config.write_text(json.dumps(self._config()))
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen([program, str(config)], stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_WITHIN_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                return False
            try:
                self.process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        return True

    def stop(self) -> None:
        """An orderly end; returns when it is gone, so that the port is free."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """A call of Orthanc's own REST interface, beside DICOMweb."""
        request = urllib.request.Request(self.url + path, data=body, method=method)
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.read()

    def json(self, path: str) -> Any:
        return json.loads(self.request("GET", path))

    def instances(self) -> list[dict[str, Any]]:
        """Every stored instance with its main tags."""
        return self.json("/instances?expand")

    def stored_bytes(self) -> list[bytes]:
        """The files as they were stored."""
        return [self.request("GET", f"/instances/{entry['ID']}/file") for entry in self.instances()]

    def clear(self) -> None:
        for patient in self.json("/patients"):
            self.request("DELETE", f"/patients/{patient}")

    def _answers(self) -> bool:
        try:
            self.request("GET", "/system")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    def _config(self) -> dict[str, Any]:
        db = self.folder / "db"
        db.mkdir(exist_ok=True)
        return {
            "Name": "test",
            "StorageDirectory": str(self.storage),
            "IndexDirectory": str(db),
            "Plugins": [PLUGIN],
            "HttpPort": self.port,
            "HttpBindAddresses": ["127.0.0.1"],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "DicomServerEnabled": self.dicom_server,
            "DicomPort": self.dicom_port,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": False,
            "DicomAlwaysAllowStore": True,
            "DicomModalities": self.modalities,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowFind": True,
            "OverwriteInstances": False,
            "StableAge": 2,
            "KeepAlive": True,
            "TcpNoDelay": True,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
            **self.settings,
        }


@contextmanager
def running_orthanc(folder: Path, **more: Any) -> Iterator[Orthanc]:
    """:param more: see `Orthanc`."""
    orthanc = Orthanc(folder, **more)
    orthanc.start()
    try:
        yield orthanc
    finally:
        orthanc.stop()


@contextmanager
def tiny_disk(folder: Path, size: str = "6m") -> Iterator[None]:
    """A file system of `size` at `folder` (root only)."""
    if os.geteuid() != 0:
        pytest.fail("mounting a small file system needs root")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_disk(folder: Path) -> Path:
    """Somebody else takes all the room that is left on the file system of `folder`: the file that does."""
    path = folder / "of somebody else"
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return path


@pytest.fixture(scope="session")
def orthanc_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as orthanc:
        yield orthanc


@pytest.fixture
def orthanc(orthanc_of_session: Orthanc) -> Orthanc:
    """The session's Orthanc, empty."""
    orthanc_of_session.clear()
    return orthanc_of_session


@pytest.fixture
def own_orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """One that a test may stop, kill or fill."""
    with running_orthanc(tmp_path) as orthanc:
        yield orthanc
