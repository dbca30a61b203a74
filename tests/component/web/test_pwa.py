from __future__ import annotations

import gzip
import re

import pytest

from gateway.web import pwa
from tests.component.gateway_app import gateway_app

PAGE, SCRIPT = b"<!doctype html><title>app</title>", b"console.log('app')" * 50


@pytest.fixture
def build(tmp_path, monkeypatch):
    """A build of the app in a folder of its own."""
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_bytes(PAGE)
    (folder / "sw.js").write_bytes(SCRIPT)
    (folder / "assets" / "index-a1b2c3.js").write_bytes(SCRIPT)
    (folder / "assets" / "index-a1b2c3.js.gz").write_bytes(gzip.compress(SCRIPT))
    (folder / "assets" / "index-a1b2c3.js.br").write_bytes(b"brotli, for whoever asks")
    (folder / "secret.txt").write_text("not of the app")
    found = pwa.built(folder)
    monkeypatch.setattr(pwa, "built", lambda: found)
    return folder


async def test_the_page_is_asked_for_again_and_may_run_nothing_inline(gate, build):
    answer = await gate.ask("GET", "/")
    assert (answer.status, answer.body) == (200, PAGE)
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Robots-Tag"] == "noindex"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    again = await gate.ask("GET", "/", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


async def test_a_proxy_may_leave_the_path_of_the_public_url_or_strip_it(tmp_path, build):
    async with gateway_app(tmp_path, toml='[server]\npublic_url = "https://h.example/relay"\n') as gate:
        for prefix in ("", "/relay"):
            assert (await gate.ask("GET", f"{prefix}/")).body == PAGE
            assert (await gate.ask("GET", f"{prefix}/assets/index-a1b2c3.js")).body == SCRIPT
            assert (await gate.ask("GET", f"{prefix}/sw.js")).body == SCRIPT


async def test_what_has_its_digest_in_its_name_is_kept_for_ever(gate, build):
    answer = await gate.ask("GET", "/assets/index-a1b2c3.js")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("identity", None),
        ("", None),
        ("brotli", None),
    ],
)
async def test_the_smallest_form_that_the_client_takes(gate, build, accepted, coding):
    answer = await gate.ask(
        "GET", "/assets/index-a1b2c3.js", headers={"Accept-Encoding": accepted}, auto_decompress=False
    )
    assert answer.headers.get("Content-Encoding") == coding
    assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    ["/assets/none.js", "/assets/..%2findex.html", "/assets/%2e%2e/%2e%2e/pwa.py", "/icons/secret.txt", "/secret.txt"],
)
async def test_nothing_outside_the_build_can_be_reached(gate, build, path):
    assert (await gate.ask("GET", path)).status == 404


async def test_an_installation_without_the_app_says_how_to_get_it(gate, monkeypatch):
    monkeypatch.setattr(pwa, "built", dict)
    answer = await gate.ask("GET", "/")
    assert answer.status == 501
    assert "make install" in answer.json["detail"]


def test_the_built_page_holds_nothing_that_its_policy_forbids():
    if not (page := pwa.built().get("index.html")):
        pytest.fail("the app isn't built: make install")
    text = page.plain.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\bstyle=|\bon\w+=|javascript:|https?://", text)
