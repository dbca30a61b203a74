"""One client that does its worst, and another that sends a series and logs in meanwhile (docs/security.md, the table of
what is shared): the other hardly notices, and is never told that something is used up.
"""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.e2e.attacks import ATTACKS
from tests.e2e.lab import PASSWORD, ROOT, Answer, Lab, Pacs, running_lab
from tests.e2e.load import rss_bytes
from tests.e2e.series import NAMES, Series, make

pytestmark = [pytest.mark.timing, pytest.mark.soak]

MALLORY, GREEDY = "mallory", "greedy"
#: Whoever has done these has used up its own quota.
TAKE_ALL = {"empty_reservations", "many_logins"}
#: The other's requests take at most so many times as long as in quiet, nineteen of twenty; what is quicker than the
#: floor anyway is no burden.
SLOWER, FLOOR_S = 3.0, 0.05
RSS_MORE_BYTES = 128 << 20
#: What an attack has before the other begins.
HEAD_START_S = 1.5
SETTINGS = {"spool": {"max_bytes": "2GiB"}, "uploads": {"max_upload_size": "1GiB"}}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("one-client") / "gateway"
    with running_lab(folder, Pacs("http://127.0.0.1:9/dicom-web"), settings=SETTINGS) as lab:
        for name in (MALLORY, GREEDY):
            lab.add_user(name, "uploader")
        yield lab


@pytest.fixture
def other(lab: Lab, name: str) -> str:
    """Whoever is there beside an attack: for each somebody else, for ten of them in a minute are too many logins."""
    account = f"beside-{name.replace('_', '-')}"
    lab.add_user(account, "uploader")
    return account


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    return make("ct_ge_28" if "ct_ge_28" in NAMES else "synthetic", tmp_path_factory.mktemp("series"))


def percentile(times: list[float]) -> float:
    return sorted(times)[math.ceil(0.95 * len(times)) - 1]


def once(lab: Lab, series: Series, other: str) -> list[float]:
    """Log in, send the series, ask how it fares: how long each request took, in seconds. None may be refused."""
    took: list[float] = []

    @contextlib.contextmanager
    def timed() -> Iterator[None]:
        begun = time.perf_counter()
        yield
        took.append(time.perf_counter() - begun)

    def fine(answer: Answer) -> Answer:
        return answer.expect(200, 201, 202, 204)

    files = [path.read_bytes() for path in series.files]
    with timed():
        who = lab.login(other)
    with timed():
        upload_id, holder = lab.open_upload(who, files)
    for number, content in enumerate(files):
        with timed():
            made = fine(holder.create(len(content), {"file_id": f"f{number}"}))
        with timed():
            fine(holder.patch(made.headers["Location"], 0, content))
    with timed():
        fine(holder.complete(upload_id, wait_s=0))
    with timed():
        fine(lab.http.call("GET", "/healthz"))
    with timed():
        fine(lab.http.call("POST", "/auth/login", {"username": other, "password": PASSWORD}))
    fine(who.call("DELETE", f"/upload/{upload_id}"))
    return took


@contextlib.contextmanager
def attacking(lab: Lab, name: str) -> Iterator[None]:
    """Mallory is at it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.attacks", name, lab.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(
            json.dumps({"username": GREEDY if name in TAKE_ALL else MALLORY, "password": PASSWORD}) + "\n"
        )
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        time.sleep(HEAD_START_S)  # there is no event to wait for: the load is the matter
        yield
        assert process.poll() is None, "it was at it until the end"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", ATTACKS)
def test_whatever_one_client_does_the_other_hardly_notices(lab: Lab, series: Series, name: str, other: str) -> None:
    quiet_s, quiet_bytes = percentile(once(lab, series, other)), rss_bytes(lab.pid)
    with attacking(lab, name):
        took = once(lab, series, other)
        more_bytes = rss_bytes(lab.pid) - quiet_bytes
    print(f"{name}: p95 {percentile(took):.3f} s, quiet {quiet_s:.3f} s, {more_bytes >> 20} MiB more")
    assert percentile(took) <= SLOWER * max(quiet_s, FLOOR_S)
    assert more_bytes <= RSS_MORE_BYTES
