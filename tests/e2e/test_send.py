"""`relaypacs send` as a process, to a gateway as a process, on to an archive: killed, cut off, and run again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.demo.archive import create_archive
from tests.dicom_samples import instance, new_uid
from tests.e2e.lab import PASSWORD, UPLOADER, Http, Lab, Pacs, running_lab, wait_until


@contextlib.contextmanager
def running_archive(folder: Path) -> Iterator[str]:
    """The little archive as the PACS."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(create_archive(folder))

    async def listen() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    port = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/dicom-web"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(runner.cleanup())
        loop.close()


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[str]:
    """The little archive."""
    with running_archive(tmp_path / "archive") as url:
        yield url


@pytest.fixture
def lab(tmp_path: Path, archive: str) -> Iterator[Lab]:
    with running_lab(tmp_path / "gateway", Pacs(archive)) as one:
        yield one


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "Doe_Jane"
    made.mkdir()
    return made


def write(folder: Path, count: int, size_bytes: int, patient: str = "PAT-0042") -> list[Path]:
    """Instances of one series of a patient."""
    study, series = new_uid(), new_uid()
    paths = []
    for number in range(count):
        path = folder / f"{patient}-{number}.dcm"
        pixels = hashlib.shake_128(path.name.encode()).digest(size_bytes)
        path.write_bytes(
            instance(study_instance_uid=study, series_instance_uid=series, patient_id=patient, pixel_data=pixels)
        )
        paths.append(path)
    return paths


def held(archive: str) -> list[bytes]:
    """What the archive has, byte for byte."""
    found = get_json(archive + "/instances")
    urls = [one["00081190"]["Value"][0] for one in found]
    return sorted(get(url) for url in urls)


def get(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": "application/dicom"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return bytes(answer.read())


def get_json(url: str) -> Any:
    return json.loads(get(url))


def on_disk(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in folder.iterdir())


def start(lab: Lab, folder: Path, *more: str) -> subprocess.Popen[str]:
    """The same command as `Lab.send`, not waited for."""
    arguments = ["send", str(folder), "--to", lab.url, "--user", UPLOADER, "--quiet", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", *arguments, "--state", str(state_of(lab))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=lab.folder, env=lab.environ() | {"RELAYPACS_PASSWORD": PASSWORD},
    )  # fmt: skip


def state_of(lab: Lab) -> Path:
    return lab.folder / "send.state"


def upload_under_way(lab: Lab, owner: Http) -> str:
    """The upload's id, once some of its bytes are at the gateway and some aren't."""

    def look() -> str:
        if not state_of(lab).exists():
            return ""
        for entry in json.loads(state_of(lab).read_text())["uploads"].values():
            if entry["upload_id"]:
                status = owner.status(entry["upload_id"])
                assert status["uploaded_bytes"] < status["total_bytes"], "it was over too soon for this test"
                return str(entry["upload_id"]) if status["uploaded_bytes"] else ""
        return ""

    return wait_until("bytes are on their way", look)


def test_a_folder_is_in_the_pacs_byte_for_byte_and_the_spool_is_empty(lab: Lab, archive: str, folder: Path) -> None:
    write(folder, 12, 20_000)
    sent = lab.send(folder)
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout.startswith("upload 1 of 1: success, receipt ")
    assert held(archive) == on_disk(folder)
    lab.spool_empties()


def test_each_patient_is_an_upload(lab: Lab, archive: str, folder: Path) -> None:
    write(folder, 2, 1000, "PAT-0001")
    write(folder, 3, 1000, "PAT-0002")
    (folder / "readme.txt").write_text("no image")
    sent = lab.send(folder)
    assert sent.returncode == 0, sent.stderr
    assert sorted(line.rsplit(", ", 1)[1] for line in sent.stdout.splitlines()) == ["2 files", "3 files"]
    assert len(held(archive)) == 5
    assert sent.stderr == "not sent: 1 not DICOM (-v names them)\n"


def test_nothing_of_the_patient_is_said_or_kept(lab: Lab, folder: Path) -> None:
    odd = instance(patient_id="PAT-0042", patient_name="Doe^Jane", patient_birth_date="1970x101")
    (folder / "Doe_Jane.dcm").write_bytes(odd)
    sent = lab.send(folder)
    kept = "".join(path.read_text() for path in lab.folder.glob("send.state*"))
    for word in ["Doe", "PAT-0042", "1970x101", "Jane"]:
        assert word not in sent.stdout + sent.stderr + kept + lab.log_text()


def test_a_killed_send_goes_on_in_the_same_upload(lab: Lab, archive: str, folder: Path) -> None:
    write(folder, 6, 8_000_000)
    first = start(lab, folder, "--chunk", "64KiB")
    owner = lab.login()
    upload_id = upload_under_way(lab, owner)
    first.kill()
    first.communicate()
    before = owner.status(upload_id)["uploaded_bytes"]
    assert before > 0
    again = lab.send(folder)
    assert again.returncode == 0, again.stderr
    assert owner.status(upload_id)["state"] == "success"
    assert owner.status(upload_id)["pacs_receipt_id"] in again.stdout
    assert held(archive) == on_disk(folder)


def test_an_interrupted_send_says_that_it_can_go_on(lab: Lab, archive: str, folder: Path) -> None:
    write(folder, 6, 8_000_000)
    first = start(lab, folder, "--chunk", "64KiB")
    upload_under_way(lab, lab.login())
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=20)
    assert (first.returncode, out) == (130, "")
    assert err.strip() == "relaypacs send: interrupted; run it again, and it goes on where it stopped"
    assert lab.send(folder).returncode == 0
    assert held(archive) == on_disk(folder)


def test_a_gateway_that_is_killed_and_started_again_is_waited_for(lab: Lab, archive: str, folder: Path) -> None:
    write(folder, 6, 8_000_000)
    sending = start(lab, folder, "--chunk", "64KiB")
    upload_id = upload_under_way(lab, lab.login())
    lab.kill()
    lab.start()
    out, err = sending.communicate(timeout=90)
    assert sending.returncode == 0, err
    assert lab.login().status(upload_id)["pacs_receipt_id"] in out
    assert held(archive) == on_disk(folder)


def test_sent_again_after_success_all_is_there_already(lab: Lab, archive: str, folder: Path) -> None:
    write(folder, 3, 1000)
    first, again = lab.send(folder), lab.send(folder)
    assert (first.returncode, again.returncode) == (0, 0)
    assert first.stdout != again.stdout
    assert held(archive) == on_disk(folder)


def test_another_content_under_a_known_uid_is_partial_and_named(lab: Lab, archive: str, folder: Path) -> None:
    uid, study = new_uid(), new_uid()
    first, other = (
        instance(sop_instance_uid=uid, study_instance_uid=study, pixel_data=bytes([n]) * 256) for n in (1, 2)
    )
    (folder / "1.dcm").write_bytes(first)
    assert lab.send(folder).returncode == 0
    (folder / "1.dcm").write_bytes(other)
    (folder / "2.dcm").write_bytes(instance(study_instance_uid=study))
    sent = lab.send(folder)
    assert sent.returncode == 3, sent.stderr
    assert "uid_conflict" in sent.stdout
    assert uid in sent.stdout
    assert first in held(archive)
    assert other not in held(archive)


def test_nothing_that_a_pacs_could_take_is_4(lab: Lab, folder: Path) -> None:
    (folder / "1.dcm").write_bytes(instance(without=[0x0020000E]))
    sent = lab.send(folder)
    assert sent.returncode == 4, sent.stderr
    assert sent.stdout.startswith("upload 1 of 1: failed, receipt ")


def test_a_wrong_password_and_a_wrong_endpoint_are_2_in_one_line(lab: Lab, folder: Path) -> None:
    write(folder, 1, 1000)
    arguments = ["send", str(folder), "--to", lab.url, "--user", UPLOADER, "--state", str(state_of(lab))]
    wrong = lab.command(*arguments, env={"RELAYPACS_PASSWORD": "wrong"})
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    elsewhere = lab.command(*arguments, "--endpoint", "nowhere", env={"RELAYPACS_PASSWORD": PASSWORD})
    assert (elsewhere.returncode, elsewhere.stderr.count("\n")) == (2, 1)


def test_two_sends_of_different_folders_share_a_state_file(lab: Lab, archive: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for number, one in enumerate(folders):
        one.mkdir()
        write(one, 10, 100_000, f"PAT-{number:04}")
    sending = [start(lab, one) for one in folders]
    for process in sending:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert len(held(archive)) == 20
    assert json.loads(state_of(lab).read_text())["uploads"] == {}
