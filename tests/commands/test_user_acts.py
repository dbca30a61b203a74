"""`relaypacs user`: roles, deletion, the last admin; and who the trail says did it."""

from __future__ import annotations

import getpass
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.ledger.chain import from_line, to_line
from gateway.ledger.rows import AuditRow
from tests.commands.site import config, events, relaypacs

ROOT = Path(__file__).parents[2]


async def test_the_last_admin_is_neither_disabled_nor_deleted_nor_made_less(gate):
    await gate.person("root", "admin")
    for words in (("disable", "root"), ("delete", "root"), ("role", "root", "uploader")):
        said = await relaypacs(gate, "user", *words)
        assert said.status == 1
        assert "last admin" in said.err
    await gate.person("second", "admin")
    assert (await relaypacs(gate, "user", "role", "root", "uploader")).status == 0
    assert (await relaypacs(gate, "user", "delete", "second")).status == 1


async def test_a_role_that_changes_ends_the_sessions_that_say_the_former_one(gate):
    await gate.person("root", "admin")
    maria = await gate.person("maria", "issuer")
    assert (await gate.ask("GET", "/qr", maria.token)).status == 200
    assert (await relaypacs(gate, "user", "role", "maria", "uploader")).status == 0
    gate.clock.advance(5)
    listed = json.loads((await relaypacs(gate, "user", "list", "--json")).out)
    assert {one["name"]: one["role"] for one in listed} == {"root": "admin", "maria": "uploader"}


@pytest.mark.parametrize("act", ["add", "password"])
async def test_a_password_for_once_lets_its_owner_set_another_and_nothing_else(gate, act, monkeypatch):
    words = ["add", "maria", "--role", "uploader"]
    if act == "password":
        await gate.person("maria")
        words = ["password", "maria"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("for this one time\n"))
    said = await relaypacs(gate, "user", *words, "--password-stdin", "--must-change")
    assert (said.status, said.err) == (0, "")
    assert "must set another one" in said.out
    login = {"username": "maria", "password": "for this one time"}
    refused = await gate.ask("POST", "/auth/login", json=login)
    assert (refused.status, refused.code) == (403, "password_change_required")
    token = refused.json["access_token"]
    assert (await gate.ask("GET", "/endpoints", token)).status == 403
    new = {"password": login["password"], "new_password": "a password of her own"}
    assert (await gate.ask("POST", "/auth/password", token, json=new)).status == 204
    login["password"] = "a password of her own"
    assert (await gate.ask("POST", "/auth/login", json=login)).status == 200


async def test_without_the_flag_a_password_stays(gate, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("for a long time\n"))
    words = ("add", "maria", "--role", "uploader", "--password-stdin")
    assert (await relaypacs(gate, "user", *words)).status == 0
    login = {"username": "maria", "password": "for a long time"}
    assert (await gate.ask("POST", "/auth/login", json=login)).status == 200


async def test_a_deleted_account_is_nobody_s_and_its_name_is_free(gate):
    await gate.person("root", "admin")
    maria = await gate.person("maria")
    opened = await gate.init(maria.token)
    assert (await relaypacs(gate, "user", "delete", "maria")).status == 0
    gate.services.accounts.forget_bearers()
    assert (await gate.ask("GET", "/endpoints", maria.token)).status == 401
    assert "maria" not in (await relaypacs(gate, "user", "list")).out
    await gate.person("maria")
    row = await gate.ledger.read(lambda tx: tx.uploads.get(opened.upload_id))
    assert row is not None
    assert row.owner_id == maria.row.account_id
    assert ("account.deleted", f"cli:{getpass.getuser()}") in await events(gate)


async def test_an_export_that_is_cut_off_by_its_reader_is_quiet(gate):
    for number in range(200):
        await gate.person(f"person-{number}")
    done = subprocess.run(
        f"{sys.executable} -m gateway audit export -c {config(gate)} | head -c 100 > /dev/null",
        shell=True, capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.stderr == ""


def test_times_of_the_audit_file_are_those_of_rfc_3339_and_lose_nothing():
    for at in (1795685199.8142097, 1795685199.0, 0.5, 1795685199.1000001):
        row = AuditRow(1, at, "login", "account:1", None, "{}", b"\1")
        line = to_line(row)
        assert from_line(line) == row
        assert json.loads(line)["at"].endswith("Z")
    assert json.loads(to_line(AuditRow(1, 1795685199.25, "x", "y", None, "{}", b"")))["at"] == "2026-11-26T09:26:39.25Z"


def test_a_line_of_a_former_release_is_still_read():
    line = to_line(AuditRow(1, 1795685199.8142097, "login", "account:1", None, "{}", b"\1"))
    former = json.dumps(json.loads(line) | {"at": 1795685199.8142097}).encode()
    assert from_line(former) == from_line(line)
