"""Hundreds of clients that send a byte a second: whoever sends at a normal pace hardly notices."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.dicom_samples import instance, new_uid
from tests.e2e.lab import OCTETS, Lab, Pacs, metadata_header, running_lab
from tests.e2e.test_send import archive
from tests.scale import count

__all__ = ["archive"]  # a fixture

pytestmark = [pytest.mark.timing, pytest.mark.soak, pytest.mark.timeout(count(240, 900))]

CLIENTS, SLOW_S = 500, count(15, 300)
#: One account has at most 128 requests under way from one address.
CROWD = [f"slow-{number}" for number in range(5)]
#: Of a study that passes at a normal pace.
FILES, FILE_BYTES = 40, 500_000
#: A study alone that took less would be compared with the clock's grain.
LEAST_S = 1.0


@pytest.fixture
def lab(tmp_path: Path, archive: str) -> Iterator[Lab]:
    roomy = {"limits": {"open_uploads": 2 * CLIENTS}, "tokens": {"upload_ttl": "1h", "access_ttl": "1h"}}
    with running_lab(tmp_path / "gateway", Pacs(archive), settings=roomy, serving=False) as one:
        for name in CROWD:
            one.add_user(name, "uploader")
        one.start()
        yield one


def send_study(lab: Lab, folder: Path) -> float:
    """Seconds that `relaypacs send` needs for a new study, the PACS's answer included."""
    study = new_uid()
    folder.mkdir()
    for number in range(FILES):
        pixels = hashlib.shake_128(f"{folder.name}{number}".encode()).digest(FILE_BYTES)
        path = folder / f"{number}.dcm"
        path.write_bytes(instance(study_instance_uid=study, patient_id=folder.name, pixel_data=pixels))
    begun = time.monotonic()
    sent = lab.send(folder)
    took_s = time.monotonic() - begun
    assert sent.returncode == 0, sent.stderr
    assert "success" in sent.stdout
    return took_s


class Crowd:
    """Clients, each with a body under way of which it sends a byte a second."""

    def __init__(self, lab: Lab) -> None:
        self._url = urlsplit(lab.url)
        sizes = [SLOW_S + 60] * (CLIENTS // len(CROWD))
        self._holders = [lab.open_upload(lab.login(name), sizes)[1] for name in CROWD]
        self.sending = 0
        self.cut = 0

    async def run(self, until: asyncio.Event) -> None:
        """All of them, until then."""
        await asyncio.gather(*(self._one(number, until) for number in range(CLIENTS)))

    async def _one(self, number: int, until: asyncio.Event) -> None:
        await asyncio.sleep(number / CLIENTS)  # they aren't in step
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        try:
            name = hashlib.sha256(str(number).encode()).hexdigest()[:16]
            metadata = metadata_header({"file_id": name})
            writer.write(
                f"POST /files/ HTTP/1.1\r\nHost: {self._url.netloc}\r\nAuthorization: Bearer {self._holders[number % len(CROWD)].token}\r\n"
                f"Tus-Resumable: 1.0.0\r\nUpload-Length: {SLOW_S + 60}\r\nUpload-Metadata: {metadata}\r\n"
                f"Content-Type: {OCTETS}\r\nContent-Length: {SLOW_S + 60}\r\n\r\n".encode()
            )
            self.sending += 1
            with contextlib.suppress(ConnectionError):
                while not until.is_set():
                    writer.write(b"x")
                    await writer.drain()
                    if reader.at_eof():
                        self.cut += 1
                        return
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(until.wait(), 1.0)
        finally:
            writer.close()


async def beside(lab: Lab, folder: Path) -> tuple[float, Crowd]:
    """Seconds of a study while the crowd sends, and the crowd."""
    crowd, until = Crowd(lab), asyncio.Event()
    sending = asyncio.create_task(crowd.run(until))
    begun = time.monotonic()
    while crowd.sending < CLIENTS:
        await asyncio.sleep(0.05)
    took_s = await asyncio.to_thread(send_study, lab, folder)
    await asyncio.sleep(max(0.0, SLOW_S - (time.monotonic() - begun)))
    until.set()
    await sending
    return took_s, crowd


def test_a_normal_study_passes_a_slow_crowd_in_at_most_twice_its_time(lab: Lab, tmp_path: Path) -> None:
    send_study(lab, tmp_path / "WARM-UP")
    alone_s = send_study(lab, tmp_path / "ALONE")
    beside_s, crowd = asyncio.run(beside(lab, tmp_path / "BESIDE"))
    print(f"alone {alone_s:.2f} s, beside {CLIENTS} slow clients {beside_s:.2f} s; {crowd.cut} of them were cut off")
    assert crowd.cut == 0, "they were there all the time"
    assert beside_s <= 2 * max(alone_s, LEAST_S)
    assert lab.http.call("GET", "/readyz").status == 200
