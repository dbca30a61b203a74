"""`relaypacs user`, `keys` and `purge` as processes, beside a running `serve`."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "import sys; from gateway.cli import main; sys.exit(main())"]
PASSWORD = "correct horse battery"


@pytest.fixture
def environment(tmp_path):
    config = tmp_path / "relaypacs.toml"
    config.write_text(f"""
[server]
port = 0
[database]
url = "sqlite://{tmp_path}/data/relaypacs.db"
[spool]
url = "file://{tmp_path}/spool"
[spool.keys]
active = "k1"
k1 = {{ env = "K1" }}
[tokens]
secret = "{secrets.token_urlsafe(32)}"
[endpoints.main]
kind = "dicomweb"
url = "http://127.0.0.1:1/dicom-web"
default = true
[audit]
file = "{tmp_path}/audit.jsonl"
""")
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {**os.environ, "RELAYPACS_CONFIG": str(config), "K1": key, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def relaypacs(environment, tmp_path):
    def run(*words, stdin="", **changed):
        done = subprocess.run(
            [*COMMAND, *words],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=environment | changed,
            cwd=tmp_path,
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def url(environment, tmp_path):
    """A gateway that runs."""
    with subprocess.Popen(
        [*COMMAND, "serve"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, cwd=tmp_path
    ) as serving:
        assert serving.stdout is not None
        said = serving.stdout.readline()
        assert said.startswith("listening on "), said
        yield said.split()[-1]
        serving.terminate()
        assert serving.wait(30) == 0


def post(url, body=None, token=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(body or {}).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def test_an_account_lives_its_life_beside_a_running_gateway(relaypacs, url):
    login = {"username": "ada", "password": PASSWORD}
    assert post(f"{url}/auth/login", login)[0] == 401

    status, out, err = relaypacs("user", "add", "ada", "--role", "uploader", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert (status, err) == (0, "")
    assert "ada" in out
    status, tokens = post(f"{url}/auth/login", login)
    assert status == 200

    assert relaypacs("user", "disable", "ada")[0] == 0
    assert post(f"{url}/auth/login", login)[0] == 401
    assert post(f"{url}/auth/refresh", token=tokens["refresh_token"])[0] == 401
    status, out, _ = relaypacs("user", "list")
    assert "uploader  disabled" in out

    assert relaypacs("user", "enable", "ada")[0] == 0
    assert relaypacs("user", "limit", "ada", "--endpoint", "main")[1] == "ada may send to main\n"
    assert relaypacs("user", "limit", "ada")[1] == "ada may send to every endpoint\n"
    assert relaypacs("user", "password", "ada", "--password-stdin", stdin="another password\n")[0] == 0
    assert post(f"{url}/auth/login", login)[0] == 401
    assert post(f"{url}/auth/login", login | {"password": "another password"})[0] == 200
    status, out, err = relaypacs("purge")
    assert (status, err) == (0, "")


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("user", "add", "bob", "--role", "root", "--password-stdin"), PASSWORD, "a role is one of"),
        (("user", "add", "bob", "--role", "admin", "--password-stdin"), "short", "a password has"),
        (("user", "add", "bob", "--role", "admin"), "", "--password-stdin"),
        (("user", "disable", "nobody"), "", "no account of that name"),
        (("user", "limit", "nobody"), "", "no account of that name"),
        (("user", "limit", "ada", "--endpoint", "moon"), "", "there is no endpoint moon"),
        (("user", "list", "-c", "/nowhere.toml"), "", "/nowhere.toml"),
    ],
)
def test_what_can_not_be_done_is_one_line_on_stderr(relaypacs, words, stdin, said):
    status, out, err = relaypacs(*words, stdin=stdin)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("relaypacs: ")
    assert said in err


def test_a_wrapping_key_that_is_missing_is_named(relaypacs):
    assert relaypacs("user", "list")[0] == 0
    other = base64.b64encode(secrets.token_bytes(32)).decode()
    status, _, err = relaypacs("user", "list", RELAYPACS__SPOOL__KEYS__ACTIVE="k2", K1=other)
    assert status == 1
    assert "spool.keys" in err


def test_every_new_key_is_another_one_of_32_bytes(relaypacs):
    keys = {relaypacs("keys", "new")[1] for _ in range(3)}
    assert len(keys) == 3
    assert all(len(base64.b64decode(key, validate=False)) == 32 and key.endswith("\n") for key in keys)
