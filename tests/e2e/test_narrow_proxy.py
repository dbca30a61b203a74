"""Behind an nginx that strips a path, takes 1 MiB at once and knows no PATCH: everything is told with the path, and
`relaypacs send` finds its way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.dicom_samples import instance
from tests.e2e.lab import PASSWORD, UPLOADER, Answer, Http, Lab, Pacs, running_lab
from tests.e2e.narrow import PATH, narrow, requests_in
from tests.e2e.test_send import archive, held, state_of
from tests.scale import SOAK
from tools.ports import free_port

__all__ = ["archive"]  # a fixture


@pytest.fixture
def lab(tmp_path: Path, archive: str) -> Iterator[Lab]:
    port = free_port()
    settings = {"server": {"trusted_proxies": ["127.0.0.1"], "public_url": f"http://127.0.0.1:{port}{PATH}"}}
    with running_lab(tmp_path / "gateway", Pacs(archive), settings=settings, serving=False) as one:
        one.add_user("root", "admin")
        one.start()
        yield one


def outside(lab: Lab) -> int:
    """Where nginx is to listen."""
    told = next(line for line in lab.config.read_text().splitlines() if line.startswith("public_url"))
    return int(urlsplit(told.split('"')[1]).port or 0)


def behind(lab: Lab) -> int:
    return int(urlsplit(lab.url).port or 0)


@pytest.mark.parametrize("refuses", [403, 405, 501] if SOAK else [403, 405])
def test_send_halves_its_pieces_and_posts_what_is_no_patch(
    lab: Lab, archive: str, tmp_path: Path, refuses: int
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    contents = [instance(pixel_data=hashlib.shake_128(bytes([n])).digest(5_000_000)) for n in range(3)]
    for number, content in enumerate(contents):
        (images / f"{number}.dcm").write_bytes(content)
    place = tmp_path / "nginx"
    with narrow(place, behind=behind(lab), port=outside(lab), refuses=refuses, limit="128k") as address:
        sent = lab.command(
            *("send", str(images), "--to", address, "--user", UPLOADER, "-q", "--state", str(state_of(lab))),
            *("--at-once", str(len(contents))),
            env={"RELAYPACS_PASSWORD": PASSWORD},
        )
    assert sent.returncode == 0, sent.stderr + sent.stdout
    assert held(archive) == sorted(contents)
    asked = requests_in(tmp_path / "nginx")
    assert ("POST", 413) in asked
    assert ("PATCH", refuses) in asked
    assert ("POST", 204) in asked
    # What was found out holds for every file: those at once may find it out at one time, and nobody does again.
    assert asked.count(("PATCH", refuses)) <= len(contents)
    assert sum(status == 413 for _, status in asked) <= 4 * len(contents)


def test_everything_that_is_told_has_the_path(lab: Lab, tmp_path: Path) -> None:
    with narrow(tmp_path / "nginx", behind=behind(lab), port=outside(lab)) as address:
        root = Http(address)
        told = _call(root, "POST", "/auth/login", {"username": "root", "password": PASSWORD}).json
        admin = root.with_token(told["access_token"])
        code = _call(admin, "POST", "/qr", {"endpoint_id": "main"}).json
        assert code["url"].startswith(f"{address}/#qr=")
        wish = {"study_metadata": {}, "total_files": 1, "total_size_bytes": 3}
        opened = _call(admin, "POST", "/upload/init", wish).json
        assert opened["tus_url"] == f"{address}/files/"
        holder = admin.with_token(opened["upload_token"])
        made = holder.tus("POST", urlsplit(opened["tus_url"]).path, None, {"Upload-Length": "3"}).expect(201)
        assert made.headers["Location"].startswith(f"{address}/files/")
        holder.patch(urlsplit(made.headers["Location"]).path, 0, b"abc").expect(204)
        draft = {"Upload-Complete": "?0", "Upload-Draft-Interop-Version": "9"}
        assert _call(admin, "POST", "/files/", None, draft).headers["Location"].startswith(f"{address}/files/")
        described = _call(root, "GET", "/openapi.json").json
        assert described["servers"] == [{"url": address}]
        page = _call(root, "GET", "/docs")
        assert f"<code>{address}</code>".encode() in page.body


def _call(http: Http, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
    return http.call(method, PATH + path, body, headers).expect(200, 201)
