"""Peers that speak DIMSE: DCMTK's storescp, and a scripted one for faults that no real peer makes."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made at run time

from tests.dicom_samples import DEFLATED, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, JPEG_2000, JPEG_BASELINE
from tests.e2e.lab import wait_until
from tests.e2e.test_proxies import _listens
from tools.ports import free_port

SYNTAXES = [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED, JPEG_BASELINE, JPEG_2000]


@dataclass(frozen=True)
class StoreScp:
    """A storescp that writes what it reads (`+B`)."""

    port: int
    folder: Path

    def data_sets(self) -> list[bytes]:
        """As they came. It writes no file meta with `+B`? It does: what is behind it is as it came."""
        return [path.read_bytes() for path in sorted(self.folder.iterdir())]


@contextlib.contextmanager
def storescp(folder: Path, *options: str) -> Iterator[StoreScp]:
    program = shutil.which("storescp")
    if program is None:
        pytest.fail("DCMTK is needed: apt-get install dcmtk")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [program, "-od", str(folder), "+uf", *options, str(port)]
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until("storescp listens", lambda: _listens(port))
            yield StoreScp(port, folder)
        finally:
            process.kill()
            process.wait()


Handler = Callable[[evt.Event], Any]


@contextlib.contextmanager
def scp(
    handlers: Sequence[tuple[Any, Handler]],
    sop_classes: Sequence[str],
    *,
    aet: str = "PEER",
    maximum_associations: int = 10,
    require_called: bool = False,
    require_calling: Sequence[str] = (),
) -> Iterator[int]:
    """pynetdicom's, on a port of its own."""
    ae = AE(ae_title=aet)
    ae.maximum_associations = maximum_associations
    ae.require_called_aet = require_called
    ae.require_calling_aet = list(require_calling)
    ae.add_supported_context(Verification)
    for uid in sop_classes:
        ae.add_supported_context(uid, SYNTAXES)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(handlers))
    assert server is not None
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


@dataclass
class RawPeer:
    """A socket that does as its script says with each connection."""

    port: int
    seen: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def raw_peer(script: Callable[[socket.socket], None]) -> Iterator[RawPeer]:
    """`script` runs in a thread of its own for each connection; what it raises ends the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    peer = RawPeer(listener.getsockname()[1])
    lines: list[socket.socket] = []

    def talk(line: socket.socket) -> None:
        with contextlib.suppress(OSError), line:
            script(line)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = listener.accept()
                lines.append(line)
                threading.Thread(target=talk, args=(line,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield peer
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for line in lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
