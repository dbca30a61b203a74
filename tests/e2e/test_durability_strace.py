"""No offset is told before its bytes and its row are on the disk: watched at the system's door.

The controls run the same requests with the syncs taken out; the watcher must notice.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.spool import HEADER_SIZE, sealed_size
from tests import scale
from tests.e2e.lab import Lab, Pacs, begin_patch, running_lab
from tests.e2e.strace_log import STRACE, Told, Trace

pytestmark = pytest.mark.root

#: Nothing of the gateway's own writes to the ledger beside the requests.
SETTINGS = {"retention": {"interval": "1h"}, "uploads": {"chunk_size": "64KiB"}}

NO_SYNC_OF_SEGMENTS = "import os\nos.fdatasync = lambda handle: None\n"
NO_SYNC_OF_FOLDERS = "import os\nos.fsync = lambda handle: None\n"
#: So slow that whoever writes at once meets the others there, on any machine.
SLOW_SYNC_OF_SEGMENTS = """
import os, time
sync = os.fdatasync
def slowly(handle):
    time.sleep(0.2)
    sync(handle)
os.fdatasync = slowly
"""
NO_SYNC_OF_LEDGER = """
import sqlite3
connect = sqlite3.connect
def loosely(*args, factory=sqlite3.Connection, **more):
    class Loose(factory):
        def execute(self, sql, *values):
            return super().execute(sql.replace("synchronous = FULL", "synchronous = OFF"), *values)
    return connect(*args, factory=Loose, **more)
sqlite3.connect = loosely
"""


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Lab]:
    """A gateway that isn't served yet; nothing is delivered."""
    if shutil.which("strace") is None:
        pytest.fail("strace is needed: apt-get install strace")
    nowhere = Pacs("http://127.0.0.1:9/dicom-web")
    with running_lab(tmp_path / "gateway", nowhere, serving=False, settings=SETTINGS) as lab:
        yield lab


def trace_of(lab: Lab) -> Trace:
    lab.stop()
    return Trace.read(lab.folder / "strace.log", lab.spool, lab.database)


def start_watched(lab: Lab, first: str = "") -> None:
    """Serve under strace; `first` runs in the gateway before anything else."""
    patch = lab.folder / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(first)
    path = f"{patch}:{lab.environ()['PYTHONPATH']}"
    lab.start(under=[*STRACE, str(lab.folder / "strace.log")], env={"PYTHONPATH": path})


def one_client(lab: Lab) -> list[int]:
    """Every way in which an offset is told, one request at a time; the offsets above 0 that were told."""
    told = []
    upload_id, client = lab.open_upload(lab.login(), [400_000] * 6)

    url = client.create(400_000, {"file_id": "patched"}).expect(201).headers["Location"]
    for at in (0, 1_500, 100_000):
        size = {0: 1_500, 1_500: 98_500, 100_000: 300_000}[at]
        told.append(client.patch(url, at, bytes(size)).expect(204).offset)

    told.append(client.create(400_000, {"file_id": "at-once"}, bytes(400_000)).expect(201).offset)
    told.append(client.create(400_000, {"file_id": "in-part"}, bytes(70_000)).expect(201).offset)

    url = client.create(400_000, {"file_id": "broken"}).expect(201).headers["Location"]
    line = begin_patch(client, url, 0, 400_000, bytes(50_000))
    told.append(client.head(url).expect(200).offset)  # cuts the PATCH: what came is kept, and told
    assert told[-1] == 50_000
    line.close()

    for index in (3, 0, 1, 0, 2):
        taken = client.chunk(upload_id, "chunked", index, bytes(65_536), 7).expect(200)
        told.append(taken.json["received_bytes"])
    return told


def test_each_offset_is_told_after_its_bytes_and_its_row_are_synced(watched: Lab) -> None:
    start_watched(watched)
    offsets = one_client(watched)
    trace = trace_of(watched)
    assert [told.offset for told in trace.told if told.offset] == offsets
    assert trace.faults() == []


def test_clients_that_write_at_once_are_told_only_what_is_theirs_and_synced(watched: Lab) -> None:
    start_watched(watched, SLOW_SYNC_OF_SEGMENTS)
    sizes = [100_000 + 13_000 * number for number in range(scale.count(16, 64))]
    _, client = watched.open_upload(watched.login(), [*sizes, 1])

    def send(size: int) -> None:
        with_body = size % 26_000 < 13_000
        made = client.create(size, {"file_id": f"f{size}"}, bytes(size) if with_body else b"").expect(201)
        if not with_body:
            client.patch(made.headers["Location"], 0, bytes(size)).expect(204)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, sizes))
    trace = trace_of(watched)
    told = {one.offset: one for one in trace.told if one.offset}
    assert sorted(told) == sizes
    # A larger file's entry is larger: so each answer finds its own.
    assert [
        fault for size in sizes for fault in trace.faults_of_entry(HEADER_SIZE + sealed_size(size), told[size])
    ] == []
    assert len(trace.segments) == 1
    synced = sum(map(len, trace.segment_syncs.values()))
    assert synced < len(sizes), "who writes at once shares a sync"


@pytest.mark.parametrize(
    ("without", "fault"),
    [
        (NO_SYNC_OF_SEGMENTS, "bytes of a segment are not synced"),
        (NO_SYNC_OF_FOLDERS, "bytes of a segment are not synced"),
        (NO_SYNC_OF_LEDGER, "no row of the ledger was written and synced"),
    ],
    ids=["segments", "folders", "ledger"],
)
def test_the_watcher_notices_when_a_sync_is_taken_out(watched: Lab, without: str, fault: str) -> None:
    start_watched(watched, without)
    offsets = one_client(watched)
    trace = trace_of(watched)
    assert [told.offset for told in trace.told if told.offset] == offsets
    assert len([one for one in trace.faults() if fault in one]) >= len(offsets) - 1


# The watcher itself, on logs of a few lines.

MADE = '7 openat(AT_FDCWD</x>, "/s/ab/1", O_WRONLY|O_CREAT|O_EXCL, 0600) = 5</s/ab/1>'
WRITTEN = '7 writev(5</s/ab/1>, [{iov_base="..", iov_len=2}], 1) = 2'
SYNCED = "7 fdatasync(5</s/ab/1>)             = 0"
NAMED = "7 fsync(6</s/ab>)                   = 0"
ROW = '8 pwrite64(4</db-wal>, "..", 2, 32) = 2'
ROW_SYNCED = "8 fdatasync(4</db-wal>)             = 0"
TOLD = '9 sendto(3<TCP:[127.0.0.1:80->127.0.0.1:9]>, "HTTP/1.1 204 No Content\\r\\nUpload-Offset: 5\\r\\n", 40, 0, NULL, 0) = 40'
IN_ORDER = [MADE, WRITTEN, SYNCED, NAMED, ROW, ROW_SYNCED, TOLD]


def faults(lines: list[str]) -> list[str]:
    trace = Trace.of(lines, "/s", "/db-wal")
    assert [(told.status, told.offset) for told in trace.told] == [(204, 5)]
    found = trace.faults()
    assert bool(found) == bool(trace.faults_of("/s/ab/1", Told(204, 5, trace.told[0].began)))
    return found


def test_the_right_order_has_no_fault() -> None:
    assert faults(IN_ORDER) == []


@pytest.mark.parametrize("missing", [SYNCED, NAMED, ROW, ROW_SYNCED])
def test_each_missing_step_is_a_fault(missing: str) -> None:
    assert faults([line for line in IN_ORDER if line != missing])


@pytest.mark.parametrize(
    "order",
    [
        [MADE, SYNCED, WRITTEN, NAMED, ROW, ROW_SYNCED, TOLD],
        [MADE, WRITTEN, ROW, SYNCED, NAMED, ROW_SYNCED, TOLD],
        [MADE, WRITTEN, SYNCED, NAMED, ROW_SYNCED, ROW, TOLD],
        [NAMED, MADE, WRITTEN, SYNCED, ROW, ROW_SYNCED, TOLD],
        [MADE, WRITTEN, SYNCED, NAMED, ROW, TOLD, ROW_SYNCED],
    ],
)
def test_each_wrong_order_is_a_fault(order: list[str]) -> None:
    assert faults(order)


def test_a_sync_that_began_before_the_write_ended_does_not_count() -> None:
    early = "6 fdatasync(5</s/ab/1> <unfinished ...>"
    done = "6 <... fdatasync resumed>) = 0"
    assert faults([MADE, early, WRITTEN, done, NAMED, ROW, ROW_SYNCED, TOLD])
    assert faults([MADE, WRITTEN, early, NAMED, done, ROW, ROW_SYNCED, TOLD]) == []
