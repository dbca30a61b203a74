"""Clients that know nothing of each other and nothing of us, each left alone, and cut off in the middle and with the gateway
killed and started again after that: the bytes are the file's.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.dicom_samples import instance, new_uid
from tests.e2e.lab import ROOT, Http, Lab, Pacs, running_lab, wait_until
from tests.e2e.middle import middle
from tests.e2e.narrow import narrow
from tests.e2e.test_send import running_archive
from tests.scale import SOAK
from tools.node import node
from tools.ports import free_port

NODE = ROOT / "tests" / "node"
JAVA = ROOT / "tests" / "java"
#: A multiple of what goes into one request: tus-java-client ends such a file with a request that has nothing.
SIZE_BYTES = 3_000_000

Command = Callable[[str, Path], Sequence[str]]


def python(module: str, *more: str) -> Command:
    return lambda url, path: [sys.executable, "-m", f"tests.e2e.clients.{module}", url, str(path), *more]


def tus_js(package: str, protocol: str, *parts: str) -> Command:
    return lambda url, path: [node(), str(NODE / "resume.mjs"), package, protocol, url, str(path), *parts]


@functools.cache
def java_classes() -> str:
    """Where tus-java-client is: Maven brings it."""
    wish = ["mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", "-DoutputDirectory=target"]
    subprocess.run(wish, cwd=JAVA, check=True, timeout=600)
    return str(JAVA / "target" / "*")


def tus_java(url: str, path: Path) -> Sequence[str]:
    return ["java", "-cp", java_classes(), str(JAVA / "Send.java"), url, str(path)]


CLIENTS: Mapping[str, Command] = {
    "tuspy": python("with_tuspy"),
    "aiotus": python("with_aiotus"),
    "tus-js-client 4.3.1": tus_js("tus-js-client", "tus-v1"),
    "tus-js-client 4.3.1, three parts at once": tus_js("tus-js-client", "tus-v1", "3"),
    "tus-js-client 5.0.0-pre2": tus_js("tus-js-client-5", "tus-v1"),
    "tus-js-client 5.0.0-pre2, ietf-draft-03": tus_js("tus-js-client-5", "ietf-draft-03"),
    "tus-js-client 5.0.0-pre2, ietf-draft-05": tus_js("tus-js-client-5", "ietf-draft-05"),
    "curl": lambda url, path: [str(Path(__file__).parent / "clients" / "with_curl.sh"), url, str(path)],
    "as URLSession, interop 6": python("with_urlsession", "6"),
    "as URLSession, interop 8": python("with_urlsession", "8"),
    # A development kit and Maven are more than the rest of what the tests need together: it runs where they are.
    **({"tus-java-client 0.5.1": tus_java} if SOAK and shutil.which("javac") and shutil.which("mvn") else {}),
}
FAULTS = ("cut off, then gateway killed", *(("alone", "cut off", "gateway killed") if SOAK else ()))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("clients")
    settings = {"uploads": {"chunk_size": "64KiB"}, "server": {"trusted_proxies": ["127.0.0.1"]}}
    with (
        running_archive(folder / "archive") as archive,
        running_lab(folder / "gateway", Pacs(archive), settings=settings) as one,
    ):
        yield one


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "image.dcm"
    uids: dict[str, Any] = {f"{kind}_instance_uid": new_uid() for kind in ("sop", "study", "series")}
    around = len(instance(pixel_data=b"", **uids))
    path.write_bytes(instance(pixel_data=hashlib.shake_128(b"pixels").digest(SIZE_BYTES - around), **uids))
    assert path.stat().st_size == SIZE_BYTES
    return path


def port_of(lab: Lab) -> int:
    return int(urlsplit(lab.url).port or 0)


def restart(lab: Lab) -> None:
    lab.kill()
    lab.start()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CLIENTS)
def test_a_foreign_client_brings_its_file(lab: Lab, file: Path, name: str, fault: str) -> None:
    cut, kill = (SIZE_BYTES // 3, lambda: None), (2 * SIZE_BYTES // 3, lambda: restart(lab))
    acts = {
        "alone": [],
        "cut off, then gateway killed": [cut, kill],
        "cut off": [cut],
        "gateway killed": [kill],
    }
    upload_id, holder = lab.open_upload(lab.login(), [file.stat().st_size])
    with middle(port_of(lab), acts[fault]) as between:
        run(CLIENTS[name](f"http://127.0.0.1:{between.port}/files/", file), holder)
        assert not between.acts, "what was to happen in the middle has happened"
    is_there(holder, upload_id, file)


BEHIND_NGINX = [
    ("tus-js-client 4.3.1", False),
    ("tus-js-client 4.3.1, three parts at once", False),
    ("curl", False),
    ("curl", True),
    # The one that does what URLSession does waits for a 104, which nginx doesn't pass on.
    *((name, False) for name in CLIENTS if SOAK and "URLSession" not in name),
]


@pytest.mark.parametrize(("name", "buffering"), sorted(set(BEHIND_NGINX)))
def test_a_foreign_client_brings_its_file_through_nginx_past_a_killed_gateway(
    lab: Lab, file: Path, tmp_path: Path, name: str, buffering: bool
) -> None:
    upload_id, holder = lab.open_upload(lab.login(), [file.stat().st_size])
    acts: list[tuple[int, Callable[[], None]]] = [(SIZE_BYTES // 2, lambda: restart(lab))]
    if "draft" in name:
        acts = []  # likewise: where its creation breaks, such a client has nothing to go on with
    with (
        middle(port_of(lab), acts) as between,
        narrow(
            tmp_path / "nginx", behind=between.port, port=free_port(), path="", limit="0", buffering=buffering
        ) as address,
    ):
        run(CLIENTS[name](f"{address}/files/", file), holder)
        assert not between.acts
    is_there(holder, upload_id, file)


@pytest.mark.parametrize("killed", [True, False] if SOAK else [True])
@pytest.mark.parametrize("version", ["6", "8"])
def test_who_hears_no_104_behind_nginx_begins_anew_and_its_file_is_there(
    lab: Lab, file: Path, tmp_path: Path, version: str, killed: bool
) -> None:
    account = lab.login()
    acts: list[tuple[int, Callable[[], None]]] = [(SIZE_BYTES // 2, lambda: restart(lab))] if killed else []
    with (
        middle(port_of(lab), acts) as between,
        narrow(tmp_path / "nginx", behind=between.port, port=free_port(), path="", limit="0") as address,
    ):
        url = f"{address}/files/?endpoint_id=main"
        told = run(python("with_urlsession", version, "unheard")(url, file), account)
        assert not between.acts
    upload_id = json.loads(told)["upload_id"]
    assert account.outcome(upload_id)["state"] == "success"
    (one,) = account.call("GET", f"/upload/{upload_id}/files").expect(200).json["files"]
    assert (one["outcome"], one["sha256"]) == ("stored", hashlib.sha256(file.read_bytes()).hexdigest())


def run(command: Sequence[str], holder: Http) -> str:
    """The client, to its end; what it says."""
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TOKEN": holder.token},
        cwd=NODE,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def is_there(holder: Http, upload_id: str, file: Path) -> None:
    """It got to the archive, and what was received is the file."""

    def whole() -> bool:
        return holder.status(upload_id)["files"].get("whole") == 1

    wait_until("the file is whole", whole)
    holder.complete(upload_id).expect(200, 202)
    assert holder.outcome(upload_id)["state"] == "success"
    (one,) = holder.call("GET", f"/upload/{upload_id}/files").expect(200).json["files"]
    assert one["outcome"] == "stored"
    assert one["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("version", ["6", "8"])
def test_curl_sees_the_interim_answer(lab: Lab, tmp_path: Path, version: str) -> None:
    who = lab.login()
    body = tmp_path / "body"
    body.write_bytes(b"bytes")
    done = subprocess.run(
        [
            *("curl", "--silent", "--verbose", "--data-binary", f"@{body}", f"{lab.url}/files/"),
            *("--header", f"Authorization: Bearer {who.token}", "--header", "Upload-Complete: ?1"),
            *("--header", f"Upload-Draft-Interop-Version: {version}"),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    answers = [line.split()[2] for line in done.stderr.splitlines() if line.startswith("< HTTP/1.1 ")]
    places = {line.split()[2] for line in done.stderr.splitlines() if line.lower().startswith("< location:")}
    assert answers == ["104", "200"]
    assert len(places) == 1, "the interim answer names the same place as the final one"


@pytest.mark.parametrize("version", ["6", "8"])
def test_nodes_http_sees_the_interim_answer(lab: Lab, version: str) -> None:
    done = subprocess.run(
        [node(), str(NODE / "interim.mjs"), f"{lab.url}/files/", version],
        env={"PATH": os.environ["PATH"], "TOKEN": lab.login().token},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["status"] == 200
    assert told["heard"][0] == {"status": 104, "location": told["location"]}
