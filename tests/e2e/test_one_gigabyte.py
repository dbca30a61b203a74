"""One instance of a gibibyte goes through, and the gateway's memory doesn't notice."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from tests import scale
from tests.dicom_samples import UNDEFINED, header, instance
from tests.e2e.conftest import pacs_of
from tests.e2e.lab import Http, Lab, running_lab
from tests.e2e.orthanc import Orthanc

pytestmark = [pytest.mark.root, pytest.mark.heavy, pytest.mark.timeout(300)]

SIDE = 1024
FRAMES = scale.count(1024, 1536)
PIECE = 1 << 20
ALLOWED_KIB = 200 * 1024
SAMPLE_EVERY_S = 0.1


@dataclass(frozen=True)
class Large:
    """A multi-frame instance that is never whole in memory: its head, then frames of noise."""

    head: bytes
    frames: int

    @classmethod
    def make(cls, frames: int) -> Large:
        small = instance(rows=SIDE, columns=SIDE, frames=frames, without=[0x7FE00010])
        length = frames * SIDE * SIDE
        assert length < UNDEFINED
        return cls(small + header(0x7FE00010, "OB", length), frames)

    @property
    def size(self) -> int:
        return len(self.head) + self.frames * SIDE * SIDE

    def pieces(self) -> Iterator[bytes]:
        """All of it, in pieces of about a mebibyte. No two frames are alike."""
        yield self.head
        noise = hashlib.shake_128(b"noise").digest(SIDE * SIDE - 8)
        for number in range(self.frames):
            yield struct.pack("<Q", number) + noise

    def digest(self) -> str:
        found = hashlib.sha256()
        for piece in self.pieces():
            found.update(piece)
        return found.hexdigest()

    def parts(self, size: int) -> Iterator[bytes]:
        """The same in parts of `size`."""
        held = bytearray()
        for piece in self.pieces():
            held += piece
            while len(held) >= size:
                yield bytes(held[:size])
                del held[:size]
        if held:
            yield bytes(held)


def family(pid: int) -> list[int]:
    """A process and all below it."""
    children = [
        int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
    ]
    return [pid, *(one for child in children for one in family(child))]


def resident_kib(pid: int) -> int:
    """Of one process; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)


def peak_kib(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)


@dataclass
class Memory:
    """What a process and its children hold: the sum seen at any moment, and the peaks of those who live at the end."""

    pid: int
    idle_kib: int = 0
    _most_kib: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.idle_kib = sum(map(resident_kib, family(self.pid)))
        for pid in family(self.pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM begins anew
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY_S):
            self._most_kib = max(self._most_kib, sum(map(resident_kib, family(self.pid))))

    def grown_kib(self) -> int:
        """Over idle, at most."""
        peaks = sum(map(peak_kib, family(self.pid)))
        return max(self._most_kib, peaks) - self.idle_kib


@pytest.fixture
def lab(tmp_path: Path, own_orthanc: Orthanc) -> Iterator[Lab]:
    with running_lab(tmp_path / "gateway", pacs_of(own_orthanc)) as lab:
        # What any first request and any first delivery load isn't of this instance.
        small = instance()
        upload_id, client = lab.open_upload(lab.login(), [small])
        client.create(len(small), {}, small).expect(201)
        client.complete(upload_id).expect(200)
        own_orthanc.clear()
        yield lab


def send_in_chunks(client: Http, large: Large) -> None:
    url, offset = client.create(large.size).expect(201).headers["Location"], 0
    for part in large.parts(32 << 20):
        offset = client.patch(url, offset, part).expect(204).offset
    assert offset == large.size


def send_in_one(client: Http, large: Large) -> None:
    url = client.create(large.size).expect(201).headers["Location"]
    answer = client.patch(url, 0, large.pieces(), {"Content-Length": str(large.size)})
    assert answer.expect(204).offset == large.size


@pytest.mark.parametrize("send", [send_in_one, send_in_chunks])
def test_a_gibibyte_arrives_and_memory_stays_small(lab: Lab, own_orthanc: Orthanc, send) -> None:
    large = Large.make(FRAMES)
    assert large.size >= 1 << 30
    upload_id, client = lab.open_upload(lab.login(), [large.size])
    with Memory(lab.pid) as intake:
        send(client, large)
    with Memory(lab.pid) as delivery:
        client.complete(upload_id, wait_s=60).expect(200, 202)
        assert client.outcome(upload_id, within_s=200)["state"] == "success"
    print(f"over idle: intake {intake.grown_kib() >> 10} MiB, delivery {delivery.grown_kib() >> 10} MiB")
    [stored] = own_orthanc.instances()
    assert stored_digest(own_orthanc, stored["ID"]) == large.digest()
    assert intake.grown_kib() < ALLOWED_KIB
    assert delivery.grown_kib() < ALLOWED_KIB
    lab.spool_empties()


def stored_digest(orthanc: Orthanc, orthanc_id: str) -> str:
    """Of the file as Orthanc keeps it on its disk: reading it over HTTP would hold it three times in memory."""
    attachment = orthanc.json(f"/instances/{orthanc_id}/attachments/dicom/info")
    uuid = attachment["Uuid"]
    with (orthanc.folder / "db" / uuid[:2] / uuid[2:4] / uuid).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


HOARDER = """
import subprocess, sys
input()
child = [sys.executable, "-c", "held = bytearray(b'x') * (150 << 20); print(len(held), flush=True); input()"]
done = subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
done.stdout.readline()
mine = bytearray(b'x') * (100 << 20)
del mine
print("ready", flush=True)
input()
done.communicate(b"\\n")
"""


def test_control_memory_of_a_process_and_its_child_is_seen_even_if_it_was_given_back() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOARDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with Memory(process.pid) as memory:
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"
        grown_kib = memory.grown_kib()
        process.stdin.write("\n")
    assert 250 << 10 <= grown_kib < 400 << 10
