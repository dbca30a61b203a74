"""`relaypacs send` against a gateway of the tests' own, through the command's own parser."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from gateway.cli import send
from tests.unit.client.conftest import MakeFile
from tests.unit.client.toy_gateway import ToyGateway, once, problem

Send = Callable[..., int]


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    send.add_parser(parser.add_subparsers())
    return parser.parse_args(["send", *arguments])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / "send.json"


@pytest.fixture
def run(gateway: ToyGateway, folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Send:
    """The command, on the folder, with the toy's token; pauses are short."""
    monkeypatch.setattr("gateway.client.retry._FIRST_PAUSE_S", 0.01)

    def command(*more: str, paths: list[Path] | None = None, who: tuple[str, ...] = ("--token", "access-0")) -> int:
        where = [str(path) for path in paths or [folder]]
        args = parse([*where, "--to", gateway.url, *who, "--state", str(state), "--patience", "5", *more])
        return int(args.run(args))

    return command


def sent(gateway: ToyGateway) -> list[bytes]:
    return sorted(data for upload in gateway.uploads.values() for data in upload.received().values())


def on_disk(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in folder.rglob("*.dcm"))


def test_a_folder_arrives_byte_for_byte_and_its_receipt_is_printed(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path, state: Path, capsys: pytest.CaptureFixture
) -> None:
    for number in range(7):
        make_file(f"a/{number}.dcm", 1000 + number)
    assert run() == 0
    upload = gateway.only_upload()
    assert sent(gateway) == on_disk(folder)
    printed = capsys.readouterr()
    assert printed.out == f"upload 1 of 1: success, receipt receipt-{upload.upload_id}, 7 files\n"
    assert upload.body["total_files"] == 7
    assert upload.body["study_metadata"]["patient_id"] == "P1"
    assert json.loads(state.read_text())["uploads"] == {}


def test_small_files_take_one_request_each(run: Send, gateway: ToyGateway, make_file: MakeFile) -> None:
    for number in range(5):
        make_file(f"{number}.dcm")
    assert run() == 0
    assert gateway.count("POST", "/files/") == 5
    assert gateway.count("PATCH", "/files/") == gateway.count("HEAD", "/files/") == 0


def test_a_large_file_goes_in_chunks_of_the_size_that_is_wanted(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    size = make_file("large.dcm", 1_000_000).stat().st_size
    assert run("--chunk", "100KiB") == 0
    assert gateway.count("PATCH", "/files/") == -(-size // (100 * 1024))
    assert sent(gateway) == on_disk(folder)


def test_several_files_travel_at_once(run: Send, gateway: ToyGateway, make_file: MakeFile) -> None:
    for number in range(12):
        make_file(f"{number}.dcm")
    gateway.meeting = asyncio.Barrier(6)
    gateway.troubles = [lambda request: "meet" if (request.method, request.path) == ("POST", "/files/") else None]
    assert run("--jobs", "6") == 0


def test_each_patient_gets_an_upload_of_their_own(
    run: Send, gateway: ToyGateway, make_file: MakeFile, capsys: pytest.CaptureFixture
) -> None:
    make_file("1.dcm", PatientID="P1")
    make_file("2.dcm", PatientID="P2", PatientName="Roe^Rick")
    make_file("3.dcm", PatientID="P1")
    assert run() == 0
    assert sorted(one.body["total_files"] for one in gateway.uploads.values()) == [1, 2]
    assert len({line.split()[-3] for line in capsys.readouterr().out.splitlines()}) == 2


def test_metadata_of_tus_says_nothing_but_an_opaque_id_and_the_type(
    run: Send, gateway: ToyGateway, make_file: MakeFile
) -> None:
    make_file("Doe_Jane_19700101.dcm")
    assert run() == 0
    (file,) = gateway.only_upload().files.values()
    pairs = {k: base64.b64decode(v).decode() for k, v in (one.split(" ") for one in file.metadata.split(","))}
    assert set(pairs) == {"file_id", "filetype"}
    assert pairs["filetype"] == "application/dicom"
    assert len(pairs["file_id"]) <= 64


def test_nothing_of_a_patient_is_in_the_state_file_or_on_the_terminal(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path, state: Path, capsys: pytest.CaptureFixture
) -> None:
    make_file("Doe_Jane.dcm", PatientID="PAT-0042", AccessionNumber="ACC.77")
    (folder / "Doe_Jane.txt").write_text("no image")
    gateway.troubles = [once("POST", "/complete", problem(422, "study_mismatch", "patient_id differs"))]
    assert run() == 4
    printed = capsys.readouterr()
    kept = state.read_text() + "".join(path.name for path in state.parent.iterdir())
    for word in ["Doe_", "Jane", "PAT-0042", "19700101", "ACC.77", "1.2.3", str(folder)]:
        assert word not in printed.out + printed.err
        assert word not in kept
    assert state.stat().st_mode & 0o777 == 0o600
    assert state.parent.stat().st_mode & 0o777 == 0o700
    assert "patient_id differs" in printed.err


def test_a_run_after_a_failed_one_sends_only_what_is_missing(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    for number in range(6):
        make_file(f"{number}.dcm", 50_000)
    refuse_fourth = iter([None] * 3)

    def trouble(request: web.Request) -> web.Response | None:
        if request.method == "POST" and request.path == "/files/":
            return next(refuse_fourth, problem(415, "unsupported_media_type"))
        return None

    gateway.troubles = [trouble]
    assert run("--jobs", "1") == 4
    first_bytes = gateway.bodies_bytes
    gateway.troubles = []
    assert run("--jobs", "1") == 0
    assert len(gateway.uploads) == 1
    assert gateway.bodies_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert 0 < first_bytes < gateway.bodies_bytes
    assert gateway.count("POST", "/upload/init") == 1


def test_a_file_that_was_cut_off_goes_on_at_the_byte_that_arrived(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    path = make_file("large.dcm", 3_000_000)
    gateway.troubles = [once("PATCH", "/files/", "cut:700000", times=2)]
    assert run("--chunk", "1MiB") == 0
    assert sent(gateway) == on_disk(folder)
    assert gateway.count("HEAD", "/files/") == 2
    assert gateway.bodies_bytes < path.stat().st_size + 2 * (1 << 20)


def test_a_creation_whose_answer_is_lost_makes_no_second_file(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    make_file("1.dcm", 50_000)
    gateway.lose_answers = 1
    assert run() == 0
    assert len(gateway.only_upload().files) == 1
    assert sent(gateway) == on_disk(folder)


@pytest.mark.parametrize("status", [423, 429, 500, 502, 503])
def test_passing_trouble_is_waited_out(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path, status: int
) -> None:
    make_file("1.dcm", 500_000)
    gateway.troubles = [
        once("POST", "/upload/init", problem(status, "unavailable", headers={"Retry-After": "0"})),
        once("POST", "/files/", problem(status, "unavailable")),
        once("PATCH", "/files/", problem(status, "locked", headers={"Retry-After": "0"}), times=3),
        once("POST", "/complete", problem(status, "unavailable")),
    ]
    assert run("--chunk", "100KiB") == 0
    assert sent(gateway) == on_disk(folder)


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_patch_that_is_refused_without_a_code_and_a_code_of_the_gateways_are_two_things(
    run: Send, gateway: ToyGateway, make_file: MakeFile, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    make_file("1.dcm", 500_000)
    gateway.troubles = [once("PATCH", "/files/", problem(status, "forbidden"), times=100)]
    assert run("--chunk", "100KiB") != 0
    assert gateway.count("PATCH", "/files/") == 1
    assert capsys.readouterr().err


def test_another_offset_than_expected_is_asked_for_and_gone_on_from(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    make_file("1.dcm", 500_000)
    gateway.troubles = [once("PATCH", "/files/", problem(409, "offset_mismatch"))]
    assert run("--chunk", "100KiB") == 0
    assert gateway.count("HEAD", "/files/") == 1
    assert sent(gateway) == on_disk(folder)


def test_a_gateway_that_is_not_there_is_given_up_after_patience_is_over(
    run: Send, make_file: MakeFile, gateway: ToyGateway, capsys: pytest.CaptureFixture
) -> None:
    make_file("1.dcm")
    gateway.troubles = [once("POST", "/upload/init", problem(503, "unavailable", "restarting"), times=1000)]
    assert run("--patience", "0.2s") == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "restarting" in err
    assert "run it again" in err


def test_what_is_waited_for_is_said_once(
    run: Send, make_file: MakeFile, gateway: ToyGateway, capsys, monkeypatch
) -> None:
    monkeypatch.setattr("gateway.client.retry._FIRST_WORD_S", 0.02)
    make_file("1.dcm")
    full = problem(507, "spool_full", "the spool is full")
    gateway.troubles = [once("POST", "/upload/init", full, times=5)]
    assert run() == 0
    assert capsys.readouterr().err == "waiting: the spool is full\n"


def test_an_upload_token_that_runs_out_on_the_way_is_renewed_once_for_all(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    for number in range(12):
        make_file(f"{number}.dcm", 100_000)
    files = iter(range(100))

    def expire(request: web.Request) -> web.Response | None:
        if request.method == "POST" and request.path == "/files/" and next(files) == 5:
            gateway.upload_tokens.clear()
        return None

    gateway.troubles = [expire]
    assert run() == 0
    assert gateway.count("POST", "/token") == 1
    assert sent(gateway) == on_disk(folder)


def test_an_upload_token_is_renewed_shortly_before_it_runs_out(
    run: Send, gateway: ToyGateway, make_file: MakeFile
) -> None:
    gateway.expires_in = 1e-9  # type: ignore[assignment]  # about to run out whenever it is looked at
    make_file("1.dcm", 500_000)
    assert run("--chunk", "100KiB") == 0
    assert gateway.count("POST", "/token") >= 5


def test_the_owner_gets_an_upload_token_when_the_refresh_token_is_dead(
    run: Send, gateway: ToyGateway, make_file: MakeFile
) -> None:
    make_file("1.dcm", 500_000)
    patches = iter(range(100))

    def expire(request: web.Request) -> web.Response | None:
        if request.method == "PATCH" and next(patches) == 2:
            gateway.upload_tokens.clear()
            gateway.refresh_tokens.clear()
        return None

    gateway.troubles = [expire]
    assert run("--chunk", "100KiB") == 0
    assert gateway.count("POST", "/token") == 2


def test_a_user_logs_in_and_out(
    run: Send, gateway: ToyGateway, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_file("1.dcm")
    monkeypatch.setenv("RELAYPACS_PASSWORD", "pass word")
    assert run(who=("--user", "jane")) == 0
    assert gateway.count("POST", "/auth/login") == gateway.count("POST", "/auth/logout") == 1


def test_a_wrong_password_ends_with_2_before_anything_is_sent(
    run: Send, gateway: ToyGateway, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    make_file("1.dcm")
    monkeypatch.setenv("RELAYPACS_PASSWORD", "wrong")
    assert run(who=("--user", "jane")) == 2
    assert not gateway.uploads
    assert "wrong" not in capsys.readouterr().err


def test_a_bad_access_token_ends_with_2(run: Send, make_file: MakeFile, capsys: pytest.CaptureFixture) -> None:
    make_file("1.dcm")
    assert run(who=("--token", "stale")) == 2
    assert "fresh one" in capsys.readouterr().err


def test_a_netrc_does_not_replace_the_token(
    run: Send, make_file: MakeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    make_file("1.dcm")
    assert run() == 0


def qr_link(gateway: ToyGateway, token: str) -> str:
    session = json.dumps({"endpoint_id": "er", "upload_token": token, "expires_at": "2099-01-01T00:00:00Z"})
    return f"{gateway.url}/#qr=" + base64.urlsafe_b64encode(session.encode()).decode().rstrip("=")


def test_a_qr_link_opens_an_upload_to_its_endpoint(run: Send, gateway: ToyGateway, make_file: MakeFile) -> None:
    gateway.qr_tokens = {"qr-1"}
    make_file("1.dcm")
    assert run(who=("--qr", qr_link(gateway, "qr-1"))) == 0
    assert gateway.only_upload().body["endpoint_id"] == "er"


def test_a_qr_link_takes_one_patient_only(run: Send, gateway: ToyGateway, make_file: MakeFile) -> None:
    gateway.qr_tokens = {"qr-1"}
    make_file("1.dcm")
    make_file("2.dcm", PatientID="P2")
    assert run(who=("--qr", qr_link(gateway, "qr-1"))) == 2
    assert gateway.log == []


@pytest.mark.parametrize(("outcome", "status"), [("success", 0), ("partial", 3), ("failed", 4)])
def test_the_exit_status_is_the_outcome(
    run: Send, gateway: ToyGateway, make_file: MakeFile, outcome: str, status: int, capsys: pytest.CaptureFixture
) -> None:
    gateway.outcome = outcome
    gateway.pending_polls = 3
    gateway.warnings = [{"code": "not_yet_visible", "message": "stored, but not shown\x1b[2J yet"}]
    make_file("1.dcm")
    assert run() == status
    printed = capsys.readouterr().out
    assert f": {outcome}, receipt " in printed
    assert "warning: stored, but not shown [2J yet (not_yet_visible)" in printed


def test_one_patient_s_failure_does_not_keep_the_others_back(
    run: Send, gateway: ToyGateway, make_file: MakeFile
) -> None:
    make_file("1.dcm", PatientID="P1")
    make_file("2.dcm", PatientID="P2")
    gateway.troubles = [once("POST", "/upload/init", problem(413, "upload_too_large"))]
    assert run() == 3
    assert [one.state for one in gateway.uploads.values()] == ["success"]


def test_when_waiting_time_is_over_the_next_run_learns_the_outcome(
    run: Send, gateway: ToyGateway, make_file: MakeFile, capsys: pytest.CaptureFixture
) -> None:
    gateway.pending_polls = 1_000_000
    make_file("1.dcm")
    assert run("--wait", "0") == 1
    assert "run it again" in capsys.readouterr().out
    gateway.only_upload().pending_polls = 0
    before = gateway.bodies_bytes
    assert run() == 0
    assert gateway.bodies_bytes == before
    assert gateway.count("POST", "/complete") == 1


def test_an_upload_that_is_gone_begins_anew(run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path) -> None:
    make_file("1.dcm")
    gateway.pending_polls = 1_000_000
    assert run("--wait", "0") == 1
    gateway.only_upload().state = "cancelled"
    gateway.pending_polls = 0
    assert run() == 0
    assert [one.state for one in gateway.uploads.values()] == ["cancelled", "success"]


def test_after_success_the_same_files_make_a_new_upload(run: Send, gateway: ToyGateway, make_file: MakeFile) -> None:
    make_file("1.dcm")
    assert run() == run() == 0
    assert len(gateway.uploads) == 2


def test_what_the_gateway_lost_is_sent_again(run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path) -> None:
    for number in range(3):
        make_file(f"{number}.dcm", 10_000)
    gateway.troubles = [once("POST", "/complete", problem(422, "invalid_field"))]
    assert run() == 4
    gateway.only_upload().files.popitem()
    assert run() == 0
    assert sent(gateway) == on_disk(folder)


def test_a_file_that_changes_on_the_way_is_not_delivered_as_a_mixture(
    run: Send, gateway: ToyGateway, make_file: MakeFile, capsys: pytest.CaptureFixture
) -> None:
    path = make_file("1.dcm", 500_000)

    def change(request: web.Request) -> None:
        if request.method == "PATCH" and gateway.count("PATCH", "/files/") == 2:
            path.write_bytes(path.read_bytes()[:-1000])

    gateway.troubles = [change]
    assert run("--chunk", "100KiB") == 1
    assert "changed" in capsys.readouterr().err
    assert gateway.only_upload().state == "cancelled"


def test_a_gateway_that_knows_itself_by_another_name_is_reached_where_the_user_said(
    run: Send, gateway: ToyGateway, make_file: MakeFile
) -> None:
    gateway.public_origin = "https://relay.example.org"
    make_file("1.dcm", 300_000)
    assert run("--chunk", "100KiB") == 0


def test_an_endpoint_that_is_not_there_is_wrong_use(
    run: Send, gateway: ToyGateway, make_file: MakeFile, capsys
) -> None:
    make_file("1.dcm")
    gateway.troubles = [once("POST", "/upload/init", problem(422, "unknown_endpoint"))]
    assert run("--endpoint", "nowhere") == 2
    assert "--endpoint" in capsys.readouterr().err


def test_what_is_no_gateway_is_wrong_use(run: Send, gateway: ToyGateway, make_file: MakeFile, capsys) -> None:
    make_file("1.dcm")
    gateway.troubles = [once("POST", "/upload/init", web.Response(status=404, text="<html>nothing here"))]
    assert run() == 2
    assert "check --to" in capsys.readouterr().err


def test_a_redirect_is_not_followed(run: Send, gateway: ToyGateway, make_file: MakeFile, capsys) -> None:
    make_file("1.dcm")
    gateway.troubles = [
        once("POST", "/upload/init", web.Response(status=308, headers={"Location": "http://elsewhere.example/"}))
    ]
    assert run() == 2
    assert "final address" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["{folder}", "--to", "ftp://x", "--token", "t"], "--to"),
        (["{folder}", "--to", "http://u:p@127.0.0.1:1", "--token", "t"], "--to"),
        (["{folder}", "--to", "http://127.0.0.1:99999", "--token", "t"], "--to"),
        (["{folder}", "--token", "t"], "--to"),
        (["{folder}", "--to", "http://127.0.0.1:1"], "--user"),
        (["{folder}", "--to", "http://127.0.0.1:1", "--token", "a b"], "token"),
        (["{folder}", "--to", "http://127.0.0.1:1", "--qr", "http://127.0.0.1:1/"], "--qr"),
        (["{folder}", "--to", "http://127.0.0.1:1", "--token", "t"], "no DICOM"),
        (["{folder}/nothing", "--to", "http://127.0.0.1:1", "--token", "t"], "path number 1"),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do_and_2(
    folder: Path, arguments: list[str], hint: str, state: Path, capsys: pytest.CaptureFixture, monkeypatch
) -> None:
    monkeypatch.delenv("RELAYPACS_TOKEN", raising=False)
    args = parse([one.format(folder=folder) for one in arguments] + ["--state", str(state)])
    assert args.run(args) == 2
    err = capsys.readouterr().err
    assert err.startswith("relaypacs send: ")
    assert err.count("\n") == 1
    assert hint in err


COMMAND = """
import argparse, sys
from gateway.cli import send
parser = argparse.ArgumentParser()
send.add_parser(parser.add_subparsers())
args = parser.parse_args(["send", *sys.argv[1:]])
sys.exit(args.run(args))
"""


def start(gateway: ToyGateway, folder: Path, state: Path, *more: str) -> subprocess.Popen[str]:
    arguments = [str(folder), "--to", gateway.url, "--token", "access-0", "--state", str(state), *more]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_ended_is_gone_on_with(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path, state: Path, way: signal.Signals
) -> None:
    for number in range(8):
        make_file(f"{number}.dcm", 300_000)
    arrived = iter(range(100))

    def hang_in_the_middle(request: web.Request) -> str | None:
        return "hang" if request.method == "POST" and request.path == "/files/" and next(arrived) >= 4 else None

    gateway.troubles = [hang_in_the_middle]
    process = start(gateway, folder, state, "--jobs", "2")
    assert gateway.hanging.wait(20)
    process.send_signal(way)
    out, err = process.communicate(timeout=20)
    if way is signal.SIGINT:
        assert process.returncode == 130
        assert "run it again" in err
        assert "Traceback" not in err
    assert out == ""
    gateway.troubles = []
    before = gateway.bodies_bytes
    assert run() == 0
    assert len(gateway.uploads) == 1
    assert sent(gateway) == on_disk(folder)
    if way is signal.SIGINT:
        assert gateway.bodies_bytes - before <= 6 * 310_000


def test_two_runs_with_one_state_file_keep_out_of_each_other_s_way(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path, tmp_path: Path, state: Path, capsys
) -> None:
    other = tmp_path / "other"
    make_file("1.dcm")
    make_file("2.dcm", to=other, PatientID="P2")
    gateway.troubles = [once("POST", "/files/", "hang")]
    process = start(gateway, folder, state)
    assert gateway.hanging.wait(20)
    assert run() == 1  # the same files
    assert "another `relaypacs send`" in capsys.readouterr().err
    assert run(paths=[other]) == 0  # others
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert run() == 0


def test_a_damaged_state_file_is_named_as_the_trouble(
    run: Send, make_file: MakeFile, state: Path, capsys: pytest.CaptureFixture
) -> None:
    make_file("1.dcm")
    state.parent.mkdir()
    state.write_text("{")
    assert run() == 2
    assert "--state" in capsys.readouterr().err


def test_threads_end_with_the_run(run: Send, make_file: MakeFile) -> None:
    make_file("1.dcm")
    assert run() == 0
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("send-", "display"))]
