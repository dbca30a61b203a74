"""`relaypacs route`: where files would go, and by which route; nothing of a gateway has to run."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from gateway.cli import main
from tests.dicom_samples import instance

ROUTES = """
[endpoints.main]
url = "http://127.0.0.1:9/dicom-web"
default = true
[endpoints.ct]
url = "http://127.0.0.1:9/dicom-web"
[endpoints.spare]
url = "http://127.0.0.1:9/dicom-web"
[[routes]]
when = { modality = ["CT"] }
to = ["ct", "main"]
required = ["ct"]
fallback = ["spare"]
[[routes]]
when = { account = "ed", declared = { priority = "stat" } }
to = ["spare"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration, and files."""
    key = base64.b64encode(bytes(32)).decode()
    text = f"""
        [database]
        url = "sqlite://{tmp_path}/relaypacs.db"
        [spool]
        url = "file://{tmp_path}/spool"
        [spool.keys]
        active = "k1"
        k1 = "{key}"
        [tokens]
        secret = "a secret of some length"
        {ROUTES}"""
    (tmp_path / "relaypacs.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("RELAYPACS_CONFIG", str(tmp_path / "relaypacs.toml"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ct.dcm").write_bytes(instance(modality="CT"))
    (tmp_path / "mr.dcm").write_bytes(instance(modality="MR"))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    status = main(["route", *words, "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("folder")
def test_each_file_and_all_together_are_told_their_route(capsys: pytest.CaptureFixture[str]) -> None:
    status, told = asked(capsys, "ct.dcm", "mr.dcm")
    assert status == 0
    ct, mr = told["files"]
    assert ct == {"file": "ct.dcm", "route": 1, "to": ["ct", "main"], "required": ["ct"], "fallback": ["spare"]}
    assert (mr["route"], mr["to"]) == (None, ["main"])
    assert (told["together"]["route"], told["together"]["to"]) == (None, ["main"]), "one of them is no CT"


@pytest.mark.usefixtures("folder")
def test_what_else_a_rule_asks_can_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    _, told = asked(capsys, "mr.dcm", "--account", "ed", "--declare", "priority=STAT")
    assert (told["together"]["route"], told["together"]["to"]) == (2, ["spare"])
    _, told = asked(capsys, "mr.dcm", "--endpoint", "ct")
    assert (told["together"]["route"], told["together"]["to"]) == (None, ["ct"])


def test_a_table_is_printed_and_nothing_is_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in folder.iterdir())
    assert main(["route", "ct.dcm"]) == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split() == ["FILE", "ROUTE", "TO", "REQUIRED", "FALLBACK"]
    assert line.split() == ["ct.dcm", "1", "ct,main", "ct", "spare"]
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.usefixtures("folder")
def test_a_file_that_would_not_be_sent_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    status, told = asked(capsys, "ct.dcm", "notes.txt")
    assert status == 1
    assert told["files"][1]["refused"]
    assert told["together"]["route"] == 1


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere.dcm"], "nowhere.dcm can't be read"),
        (["ct.dcm", "--endpoint", "x"], "there is no endpoint x"),
        (["ct.dcm", "--declare", "priority"], "--declare takes FIELD=VALUE"),
    ],
)
def test_wrong_words_are_refused_in_one_line(words, says, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", *words]) == 1
    assert says in capsys.readouterr().err
