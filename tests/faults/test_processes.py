"""A gateway as a process among others: told to stop, stopped without being told, doubled, starved of file handles."""

from __future__ import annotations

import contextlib
import http.client
import resource
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dicom_samples import study
from tests.e2e.lab import Http, Lab, Pacs, begin_patch, running_lab, wait_until
from tests.e2e.parrot import Parrot, slow
from tests.e2e.series import sha256
from tests.scale import count

pytestmark = pytest.mark.root

DRAIN_S = 8
HANDLES = 75
SIZE = 2_000_000


@pytest.fixture
def lab(tmp_path: Path, pacs: Parrot) -> Iterator[Lab]:
    with running_lab(tmp_path / "gateway", Pacs(pacs.url), settings={"server": {"drain_seconds": DRAIN_S}}) as lab:
        yield lab


def begin(lab: Lab, data: bytes) -> tuple[str, Http, str]:
    upload_id, client = lab.open_upload(lab.login(), [data])
    return upload_id, client, client.create(len(data), {"file_id": "f0"}).expect(201).headers["Location"]


def answer_of(line: socket.socket) -> bytes:
    line.settimeout(30)
    got = b""
    while b"\r\n\r\n" not in got and (piece := line.recv(65536)):
        got += piece
    return got


def is_alive(client: Http) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return client.call("GET", "/healthz").status == 200
    return False


def test_a_body_in_flight_is_taken_to_its_last_byte_before_the_gateway_ends(lab: Lab) -> None:
    data = study(1, pixel_bytes=SIZE)[0]
    upload_id, client, url = begin(lab, data)
    with contextlib.closing(begin_patch(client, url, 0, len(data), data[:100_000])) as line:
        time.sleep(0.2)
        lab.signal(signal.SIGTERM)
        for at in range(100_000, len(data), 400_000):
            time.sleep(0.1)
            line.sendall(data[at : at + 400_000])
        answer = answer_of(line)
    assert answer.startswith(b"HTTP/1.1 204"), answer[:300]
    assert f"Upload-Offset: {len(data)}".encode() in answer
    assert lab._ended() == 0
    lab.start()
    assert client.complete(upload_id).expect(200).json["status"] == "success"


def test_a_body_that_does_not_end_is_cut_in_time_and_every_byte_that_came_is_kept(lab: Lab) -> None:
    data = study(1, pixel_bytes=SIZE)[0]
    upload_id, client, url = begin(lab, data)
    with contextlib.closing(begin_patch(client, url, 0, len(data), data[:777_777])):
        time.sleep(0.5)
        began = time.monotonic()
        lab.signal(signal.SIGTERM)
        assert lab._ended() == 0
        assert time.monotonic() - began <= DRAIN_S
    lab.start()
    assert client.head(url).expect(200).offset == 777_777
    client.patch(url, 777_777, data[777_777:]).expect(204)
    assert client.complete(upload_id).expect(200).json["status"] == "success"


def test_a_delivery_to_a_slow_pacs_does_not_hold_up_the_end_and_goes_on_afterwards(lab: Lab, pacs: Parrot) -> None:
    data = study(1, pixel_bytes=8_000_000)[0]
    upload_id, client, url = begin(lab, data)
    pacs.script(slow(500_000))
    client.patch(url, 0, data).expect(204)
    client.complete(upload_id, wait_s=0).expect(202)
    wait_until("the sending begins", lambda: pacs.stows)
    began = time.monotonic()
    lab.stop()
    assert time.monotonic() - began <= DRAIN_S
    lab.start()
    assert client.outcome(upload_id)["state"] == "success"
    assert [sha256(one.content) for one in pacs.held.values()] == [sha256(data)]


def test_a_second_gateway_on_the_same_ledger_is_refused_and_the_first_does_not_notice(lab: Lab) -> None:
    second = lab.command("serve", env={"RELAYPACS__SERVER__PORT": "0"})
    assert second.returncode != 0
    assert "another gateway serves this database" in second.stderr
    assert len([line for line in second.stderr.splitlines() if line.startswith("relaypacs: ")]) == 1
    assert "Traceback" not in second.stderr
    lab.login().call("GET", "/endpoints").expect(200)


def test_a_killed_gateway_leaves_no_lock_behind(lab: Lab) -> None:
    for _ in range(count(2, 20)):
        lab.kill()
        lab.start()
    lab.login()


def test_a_newcomer_after_a_restart_takes_over_from_a_holder_whose_line_still_seems_to_stand(lab: Lab) -> None:
    data = study(1, pixel_bytes=SIZE)[0]
    upload_id, client, url = begin(lab, data)
    with contextlib.closing(begin_patch(client, url, 0, len(data), data[:1_500_000])) as old:
        wait_until("bytes are there", lambda: any(path.stat().st_size for path in lab.segments()))
        lab.kill()
        lab.start()
        at = client.head(url).expect(200).offset
        assert at <= 1_500_000
        client.patch(url, at, data[at : at + 50_000]).expect(204)
        with contextlib.suppress(OSError):  # what the old line still sends counts for nothing
            old.sendall(data[1_500_000:1_600_000])
    assert client.head(url).expect(200).offset == at + 50_000
    client.patch(url, at + 50_000, data[at + 50_000 :]).expect(204)
    assert client.complete(upload_id).expect(200).json["status"] == "success"


def test_a_gateway_that_stood_still_goes_on_as_if_nothing_had_been(lab: Lab, pacs: Parrot) -> None:
    data = study(1, pixel_bytes=SIZE)[0]
    upload_id, client, url = begin(lab, data)
    with contextlib.closing(begin_patch(client, url, 0, len(data), data[:300_000])) as line:
        time.sleep(0.2)
        lab.signal(signal.SIGSTOP)
        line.sendall(data[300_000:500_000])
        time.sleep(3)
        lab.signal(signal.SIGCONT)
        line.sendall(data[500_000:])
        assert answer_of(line).startswith(b"HTTP/1.1 204")
    assert client.complete(upload_id).expect(200).json["status"] == "success"
    assert [sha256(one.content) for one in pacs.held.values()] == [sha256(data)]


def test_without_file_handles_requests_fail_and_nothing_acknowledged_is_lost(tmp_path: Path, pacs: Parrot) -> None:
    with running_lab(tmp_path / "starved", Pacs(pacs.url)) as lab:
        resource.prlimit(lab.pid, resource.RLIMIT_NOFILE, (HANDLES, HANDLES))
        files = study(12, pixel_bytes=100_000)
        upload_id, client = lab.open_upload(lab.login(), files)
        made = [client.create(len(one), {"file_id": f"f{number}"}, one[:50_000]) for number, one in enumerate(files)]
        urls = [one.expect(201).headers["Location"] for one in made]
        lines: list[socket.socket] = []
        for _ in range(HANDLES + 40):  # all handles that are left, and more
            line = socket.create_connection(("127.0.0.1", int(lab.url.rpartition(":")[2])), timeout=5)
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
            lines.append(line)
        handles = Path(f"/proc/{lab.pid}/fd")
        wait_until("no handle is left", lambda: len(list(handles.iterdir())) >= HANDLES)
        for line in lines:
            line.close()
        # The first handle that is left lets a request in; what that needs besides comes with the others.
        wait_until("it has let go of them", lambda: len(list(handles.iterdir())) < HANDLES // 2)
        wait_until("it takes requests again", lambda: is_alive(client))
        for url, data in zip(urls, files, strict=True):
            assert client.head(url).expect(200).offset == 50_000
            client.patch(url, 50_000, data[50_000:]).expect(204)
        assert client.complete(upload_id, wait_s=60).expect(200).json["status"] == "success"
        assert len(pacs.held) == len(files)


def test_no_core_of_a_gateway_is_ever_dumped(lab: Lab) -> None:
    """It would hold keys and patients' bytes, in clear."""
    limits = Path(f"/proc/{lab.pid}/limits").read_text()
    core = next(line.split() for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core[4:6] == ["0", "0"]
    lab.signal(signal.SIGQUIT)
    assert lab._ended() == -signal.SIGQUIT
    assert not list(lab.folder.rglob("core*"))
