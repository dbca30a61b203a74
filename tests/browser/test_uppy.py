"""Uppy in Chromium, several files at once, each in one piece or in parts, from a page of another origin: left alone, cut off,
past a killed gateway, and through nginx.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dicom_samples import instance
from tests.e2e.lab import Lab, Pacs, running_lab
from tests.e2e.middle import middle
from tests.e2e.narrow import narrow
from tests.e2e.test_foreign_clients import port_of, restart, run
from tests.scale import SOAK
from tools.node import node
from tools.ports import free_port

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SEND = Path(__file__).parent / "uppy" / "send.mjs"
COUNT, SIZE_BYTES = 5, 1_200_000


@pytest.fixture(scope="module")
def page_port() -> int:
    """Where the page is from."""
    return free_port()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, page_port: int) -> Iterator[Lab]:
    settings = {
        "server": {"cors_origins": [f"http://127.0.0.1:{page_port}"], "trusted_proxies": ["127.0.0.1"]},
        "uploads": {"chunk_size": "64KiB"},
    }
    folder = tmp_path_factory.mktemp("uppy") / "gateway"
    with running_lab(folder, Pacs("http://127.0.0.1:9/dicom-web"), settings=settings) as one:
        yield one


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    made = []
    for number in range(COUNT):
        path = folder / f"image-{number}.dcm"
        path.write_bytes(instance(pixel_data=hashlib.shake_128(path.name.encode()).digest(SIZE_BYTES)))
        made.append(path)
    return made


BEHIND = "cut off, then gateway killed, behind nginx"
FAULTS = (BEHIND, *(("alone", "cut off", "gateway killed") if SOAK else ()))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("parts", [1, 2])
def test_uppy_brings_several_files_at_once(
    lab: Lab, files: list[Path], page_port: int, tmp_path: Path, parts: int, fault: str
) -> None:
    cut, kill = (COUNT * SIZE_BYTES // 3, lambda: None), (COUNT * SIZE_BYTES // 2, lambda: restart(lab))
    acts = {BEHIND: [cut, kill], "alone": [], "cut off": [cut], "gateway killed": [kill]}
    upload_id, holder = lab.open_upload(lab.login(), [path.stat().st_size for path in files])
    wish = [str(page_port), str(parts), *map(str, files)]
    with middle(port_of(lab), acts[fault]) as between:
        address = f"http://127.0.0.1:{between.port}"
        if fault == BEHIND:
            with narrow(tmp_path / "nginx", behind=between.port, port=free_port(), path="", limit="0") as address:
                run([node(), str(SEND), f"{address}/files/", *wish], holder)
        else:
            run([node(), str(SEND), f"{address}/files/", *wish], holder)
        assert not between.acts, "what was to happen in the middle has happened"
    digests = {
        path.stem: f"sha-256=:{base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()}:"
        for path in files
    }
    holder.complete(upload_id, 0, {"checksums": digests}).expect(202)
