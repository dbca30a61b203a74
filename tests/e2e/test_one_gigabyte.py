"""One instance of a gibibyte goes through, and neither the gateway's memory nor who waits for its loop notices.

`make soak` sends two and a half.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from hooks.targets.data_set_digest import data_set_start
from tests import scale
from tests.dicom_samples import UNDEFINED, header, instance
from tests.e2e.conftest import pacs_of
from tests.e2e.dicom_peers import storescp
from tests.e2e.lab import Http, Lab, Pacs, running_lab
from tests.e2e.orthanc import Orthanc
from tests.e2e.test_dimse import dimse

pytestmark = [pytest.mark.root, pytest.mark.heavy, pytest.mark.timeout(scale.count(300, 1800))]

SIDE = 1024
FRAMES = scale.count(1024, 2560)
DIMSE_FRAMES = scale.count(256, 2560)
PIECE = 1 << 20
ALLOWED_KIB = 150 * 1024
#: By DICOM, on the way to the PACS.
MOST_GROWTH_KIB = 48 * 1024
SAMPLE_EVERY_S = 0.1
#: Of the loop's own thread, between two of its turns. A turn has many callbacks: each has less.
MOST_TURN_CPU_S = 0.1

#: Runs in the gateway: writes down how much processor time the loop's thread used between two turns of a task that
#: wakes up every 5 ms. That is an upper limit of what any callback took.
LOOP_WATCH = """
import asyncio, time, uvloop

async def _watch(path):
    last = time.thread_time()
    with open(path, "a", buffering=1) as file:
        while True:
            await asyncio.sleep(0.005)
            now = time.thread_time()
            if now - last > 0.01:
                print(time.time(), now - last, file=file)
            last = time.thread_time()

def _run(main, _run=uvloop.run, **more):
    async def watched():
        task = asyncio.create_task(_watch({path!r}))
        try:
            return await main
        finally:
            task.cancel()
    return _run(watched(), **more)

uvloop.run = _run
"""


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


@dataclass(frozen=True)
class Loop:
    """What the loop's thread used between two turns, as `LOOP_WATCH` saw it."""

    path: Path

    def watch(self) -> str:
        """A sitecustomize.py that writes it down."""
        return LOOP_WATCH.replace("{path!r}", repr(str(self.path)))

    def most_cpu_s(self, since: float) -> float:
        """:param since: unix seconds."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        seen = [(float(at), float(cpu_s)) for at, cpu_s in (line.split() for line in lines)]
        return max((cpu_s for at, cpu_s in seen if at >= since), default=0.0)


@dataclass(frozen=True)
class Watched:
    """A gateway whose loop is watched."""

    lab: Lab
    loop: Loop


@contextlib.contextmanager
def watched(folder: Path, pacs: Pacs, **settings: Any) -> Iterator[Watched]:
    loop, patch = Loop(folder / "loop.txt"), folder / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(loop.watch())
    with running_lab(folder / "gateway", pacs, serving=False, **settings) as lab:
        lab.start(env={"PYTHONPATH": f"{patch}:{lab.environ()['PYTHONPATH']}"})
        # What any first request and any first delivery load isn't of this instance.
        small = instance()
        upload_id, client = lab.open_upload(lab.login(), [small])
        client.create(len(small), {}, small).expect(201)
        client.complete(upload_id).expect(200)
        yield Watched(lab, loop)


@pytest.fixture
def lab(tmp_path: Path, own_orthanc: Orthanc) -> Iterator[Watched]:
    with watched(tmp_path, pacs_of(own_orthanc)) as found:
        own_orthanc.clear()
        yield found


def send_in_chunks(client: Http, large: Large) -> None:
    url, offset = client.create(large.size).expect(201).headers["Location"], 0
    for part in large.parts(32 << 20):
        offset = client.patch(url, offset, part).expect(204).offset
    assert offset == large.size


def send_in_one(client: Http, large: Large) -> None:
    url = client.create(large.size).expect(201).headers["Location"]
    answer = client.patch(url, 0, large.pieces(), {"Content-Length": str(large.size)})
    assert answer.expect(204).offset == large.size


def goes_through(
    watched: Watched, large: Large, send: Callable[[Http, Large], None], delivery_kib: int = ALLOWED_KIB
) -> None:
    """In, and to the PACS, within the limits. :param delivery_kib: over idle, on the way to the PACS."""
    lab = watched.lab
    upload_id, client = lab.open_upload(lab.login(), [large.size])
    began = time.time()
    with Memory(lab.pid) as intake:
        send(client, large)
    arrived = time.time()
    with Memory(lab.pid) as delivery:
        client.complete(upload_id, wait_s=60).expect(200, 202)
        assert client.outcome(upload_id, within_s=scale.count(250, 1200))["state"] == "success"
    turn_s = watched.loop.most_cpu_s(began)
    print(f"{large.size >> 20} MiB: intake {arrived - began:.1f} s, delivery {time.time() - arrived:.1f} s")
    print(f"over idle: intake {intake.grown_kib() >> 10} MiB, delivery {delivery.grown_kib() >> 10} MiB")
    print(f"the loop's thread between two turns: at most {turn_s * 1000:.0f} ms")
    assert intake.grown_kib() < ALLOWED_KIB
    assert delivery.grown_kib() < delivery_kib
    assert turn_s < MOST_TURN_CPU_S
    lab.spool_empties()


@pytest.mark.parametrize("send", [send_in_one, send_in_chunks])
def test_a_gibibyte_arrives_and_memory_stays_small(lab: Watched, own_orthanc: Orthanc, send) -> None:
    large = Large.make(FRAMES)
    assert large.size >= 1 << 30
    goes_through(lab, large, send)
    [stored] = own_orthanc.instances()
    assert stored_digest(own_orthanc, stored["ID"]) == large.digest()


BUSY_LOOP = """
import asyncio, time, uvloop

async def main():
    await asyncio.sleep(0.1)
    ends_at = time.thread_time() + 0.08
    while time.thread_time() < ends_at:
        pass
    await asyncio.sleep(0.1)

uvloop.run(main())
"""


def test_control_a_callback_that_keeps_the_loop_busy_is_seen(tmp_path: Path) -> None:
    loop = Loop(tmp_path / "loop.txt")
    (tmp_path / "sitecustomize.py").write_text(loop.watch())
    subprocess.run([sys.executable, "-c", BUSY_LOOP], env={"PYTHONPATH": str(tmp_path)}, check=True, timeout=60)
    assert 0.08 <= loop.most_cpu_s(since=0.0) < 0.2


def test_a_large_instance_arrives_by_dicom_and_memory_stays_small(tmp_path: Path) -> None:
    large = Large.make(DIMSE_FRAMES)
    with (
        storescp(tmp_path / "in", "+B", "-pdu", "131072") as peer,
        watched(tmp_path, Pacs(""), settings=dimse(peer.port, called_aet="STORESCP")) as found,
    ):
        goes_through(found, large, send_in_one, MOST_GROWTH_KIB)
        largest = max(peer.folder.iterdir(), key=lambda path: path.stat().st_size)
        with largest.open("rb") as file:
            assert data_set_digest(iter(lambda: file.read(PIECE), b"")) == data_set_digest(large.pieces())


def data_set_digest(pieces: Iterator[bytes]) -> str:
    """Of what is behind the file meta, which is in the first piece."""
    first, found = next(pieces), hashlib.sha256()
    found.update(first[data_set_start([first])[1] :])
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


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
