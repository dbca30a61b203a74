"""`relaypacs send`: what can't go is named, what can go goes, and the exit status says so."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from gateway.client import scan
from tests.unit.client.conftest import MakeFile
from tests.unit.client.test_send_command import Send, parse, qr_link, run, sent, state
from tests.unit.client.toy_gateway import ToyGateway, problem

__all__ = ["run", "state"]  # fixtures

BAD_SECTOR = 300_000


@pytest.fixture
def bad_sectors(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Files of which some bytes can't be read, as `os.pread` tells it; the real disk is in `tests/e2e`."""
    bad: set[tuple[int, int]] = set()
    whole = os.pread

    def pread(handle: int, size: int, at: int) -> bytes:
        facts = os.fstat(handle)
        if (facts.st_dev, facts.st_ino) in bad and at + size > BAD_SECTOR:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return whole(handle, size, at)

    monkeypatch.setattr(os, "pread", pread)
    return lambda path: bad.add((path.stat().st_dev, path.stat().st_ino))


def test_a_bad_sector_is_named_and_everything_else_arrives(
    run: Send,
    gateway: ToyGateway,
    make_file: MakeFile,
    bad_sectors: Callable[[Path], None],
    capsys: pytest.CaptureFixture,
) -> None:
    good = [make_file(f"{number}.dcm", 400_000).read_bytes() for number in range(3)]
    bad_sectors(make_file("broken.dcm", 400_000))
    later = make_file("later.dcm", PatientID="P2", PatientName="Roe^Rick").read_bytes()
    assert run("--chunk", "100KiB") == 3
    printed = capsys.readouterr()
    whole = [data for upload in gateway.uploads.values() for data in upload.received().values() if len(data) != 300_000]
    assert all(data in whole for data in [*good, later])
    assert "broken.dcm: can't be read" in printed.err
    assert "can't be reached" not in printed.err
    assert [one["reason"] for upload in gateway.uploads.values() for one in upload.skipped] == ["unreadable"]
    assert [line.split(": ")[1].split(",")[0] for line in printed.out.splitlines()] == ["success", "success"]


def test_of_a_patient_all_of_whose_files_are_unreadable_nothing_is_left_at_the_gateway(
    run: Send, gateway: ToyGateway, make_file: MakeFile, bad_sectors: Callable[[Path], None]
) -> None:
    bad_sectors(make_file("broken.dcm", 400_000))
    assert run() == 4
    assert gateway.only_upload().state == "cancelled"


def test_the_next_run_does_not_call_an_upload_a_full_success_that_went_without_a_file(
    run: Send, gateway: ToyGateway, make_file: MakeFile, bad_sectors: Callable[[Path], None]
) -> None:
    make_file("good.dcm")
    bad_sectors(make_file("broken.dcm", 400_000))
    gateway.pending_polls = 1
    assert run("--wait", "0") == 1
    assert run() == 3


def test_a_folder_that_cannot_be_listed_is_named_and_makes_3(
    run: Send,
    gateway: ToyGateway,
    make_file: MakeFile,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    make_file("1.dcm")
    make_file("closed/2.dcm")
    listing = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied")
        return listing(path)

    monkeypatch.setattr("os.scandir", scandir)
    assert run() == 3
    assert f"not sent: {folder}/closed: a folder that can't be read" in capsys.readouterr().err
    assert len(sent(gateway)) == 1


def test_a_folder_that_breaks_off_in_the_middle_gives_what_it_gave(
    make_file: MakeFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_file("1.dcm")
    listing = os.scandir

    class Broken:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            return

        def __iter__(self) -> object:
            yield from listing(folder)
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.scandir", lambda _: Broken())
    search = scan.find([folder])
    assert [found.path.name for found in search.found] == ["1.dcm"]
    assert search.losses == [(folder, scan.LeftOut.FOLDER)]


def test_where_nothing_can_be_read_it_is_4_and_not_wrong_use(run: Send, folder: Path, monkeypatch) -> None:
    def scandir(_: Path) -> object:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("os.scandir", scandir)
    assert run() == 4


def test_a_file_over_the_limit_is_named_and_the_rest_goes(
    run: Send, gateway: ToyGateway, make_file: MakeFile, capsys: pytest.CaptureFixture
) -> None:
    make_file("small.dcm")
    make_file("large.dcm", 50_000)
    gateway.limits = {"max_file_size": 20_000, "max_upload_size": 1 << 30, "max_files": 100}
    assert run() == 3
    assert "large.dcm: larger than the gateway takes" in capsys.readouterr().err
    assert len(sent(gateway)) == 1


def test_a_file_that_the_gateway_itself_calls_too_large_is_left_out_alone(
    run: Send, gateway: ToyGateway, make_file: MakeFile, capsys: pytest.CaptureFixture
) -> None:
    make_file("small.dcm")
    make_file("large.dcm", 50_000)

    def refuse(request):
        too_large = request.path == "/files/" and int(request.headers["Upload-Length"]) > 20_000
        return problem(413, "file_too_large") if too_large else None

    gateway.troubles = [refuse]
    assert run() == 3
    assert "large.dcm: larger than the gateway takes" in capsys.readouterr().err
    assert len(sent(gateway)) == 1


def test_a_patient_with_too_many_files_is_named_and_the_others_go(
    run: Send, gateway: ToyGateway, make_file: MakeFile, capsys: pytest.CaptureFixture
) -> None:
    for number in range(4):
        make_file(f"many-{number}.dcm", PatientID="MANY")
    make_file("one.dcm", PatientID="ONE")
    gateway.limits = {"max_files": 3}
    assert run() == 3
    assert "4 files of one patient are more than the 3 of one upload, the first of them " in capsys.readouterr().err
    assert len(sent(gateway)) == 1


def test_held_uploads_are_not_waited_for_and_say_why_and_whom_to_ask(
    run: Send, gateway: ToyGateway, make_file: MakeFile, capsys: pytest.CaptureFixture
) -> None:
    make_file("1.dcm")
    gateway.outcome = "held"
    assert run() == 5
    printed = capsys.readouterr().out.splitlines()
    upload = gateway.only_upload()
    assert printed[0].startswith("upload 1 of 1: held, 1 file at the gateway")
    assert printed[1:4] == [f"  upload: {upload.upload_id}", "  reason: two_patients", "  contact: +00 000 0000"]
    upload.state = "success"
    assert run() == 0, "the next run learns what became of it"
    assert len(gateway.uploads) == 1


def test_with_wait_held_uploads_are_waited_for(run: Send, gateway: ToyGateway, make_file: MakeFile) -> None:
    make_file("1.dcm")
    gateway.outcome = "held"
    polls = iter(range(100))

    def release(request):
        if request.path.endswith("/status") and next(polls) == 2:
            gateway.only_upload().state = "success"

    gateway.troubles = [release]
    assert run("--wait", "60") == 0


def test_receipts_are_kept_in_the_folder_that_is_named(
    run: Send, gateway: ToyGateway, make_file: MakeFile, tmp_path: Path
) -> None:
    make_file("1.dcm")
    assert run("--receipts", str(tmp_path / "receipts")) == 0
    upload_id = gateway.only_upload().upload_id
    (kept,) = (tmp_path / "receipts").iterdir()
    assert (kept.name, kept.read_text()) == (f"receipt-{upload_id}.jws", f"signed.{upload_id}.receipt\n")


def test_v_names_the_local_file_of_a_warning(
    run: Send, gateway: ToyGateway, make_file: MakeFile, capsys: pytest.CaptureFixture
) -> None:
    path = make_file("1.dcm")
    gateway.outcome = "failed"

    def warn(request):
        if request.path.endswith("/complete"):
            upload = gateway.only_upload()
            upload.warnings = [{"code": "bad_vr", "message": "bad vr", "file_id": next(iter(upload.files))}]

    gateway.troubles = [warn]
    assert run("-v") == 4
    assert capsys.readouterr().out.splitlines()[1] == f"  warning: bad_vr: {path}"


def test_a_token_comes_from_a_file_or_from_stdin(
    run: Send, gateway: ToyGateway, make_file: MakeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_file("1.dcm")
    held = tmp_path / "token"
    held.write_text("access-0\n")
    assert run(who=("--token-file", str(held))) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("access-0\n"))
    assert run(who=("--token", "-")) == 0


def test_a_qr_link_comes_from_stdin_as_a_mail_has_it(
    run: Send, gateway: ToyGateway, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_file("1.dcm")
    gateway.qr_tokens = {"qr-1"}
    link = qr_link(gateway, "qr-1")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"Please use <{link[:60]}\n{link[60:]}>.\n"))
    assert run(who=("--qr", "-")) == 0


@pytest.mark.parametrize("words", [("--token-file", "/nowhere/token"), ("--token-file", "/dev/null")])
def test_a_token_file_that_holds_none_is_wrong_use_in_one_line(
    words: tuple[str, str], gateway: ToyGateway, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    args = parse([str(folder), "--to", gateway.url, *words])
    assert args.run(args) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_without_a_home_folder_it_is_one_line_that_says_what_to_do(make_file: MakeFile, gateway: ToyGateway) -> None:
    path = make_file("1.dcm")
    program = """
import pathlib, sys
def homeless(): raise RuntimeError("Could not determine home directory.")
pathlib.Path.home = homeless
from gateway.cli import main
sys.exit(main(sys.argv[1:]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "send", str(path), "--to", gateway.url, "--token", "access-0"],
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--state" in done.stderr
