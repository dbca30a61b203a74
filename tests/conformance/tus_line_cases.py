"""Lines that break, and requests that meet."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.conformance.tus_site import (
    File,
    Site,
    Wire,
    clause,
    payload,
)
from tests.e2e.lab import wait_until


def has(file: File, offset: int) -> bool:
    return file.offset() == offset


@clause("NET-01")
def _(site: Site) -> None:
    for how in ("closed", "reset", "chunked"):
        file = site.file(payload(300_000))
        with Wire(file.http) as wire:
            wire.begin_patch(file.url, 0, None if how == "chunked" else 300_000)
            wire.send(b"ea60\r\n" * (how == "chunked") + file.data[:60_000])
            if how == "reset":
                assert file.offset() == 60_000  # the bytes are there: a reset throws away what is on its way
                wire.reset()
        wait_until("what came is told", partial(has, file, 60_000))
        file.go_on()


@clause("NET-02")
def _(site: Site) -> None:
    file = site.file(payload(100_000))
    with Wire(file.http) as wire:
        wire.begin_patch(file.url, 0, 100_000)
        wire.send(file.data[:60_000])
        assert file.offset() == 60_000
        assert wire.answer().expect(409).code == "taken_over"
    file.go_on()


@clause("NET-03")
def _(site: Site) -> None:
    file = site.file(payload(100_000))
    with Wire(file.http) as wire:
        began = time.monotonic()
        wire.begin_patch(file.url, 0, 100_000)
        first = file.patch(0, 50_000)
        assert first.status == 423 or time.monotonic() - began > 1
        assert first.status == 204 or int(first.headers["Retry-After"]) > 0
        wait_until("the newcomer has it", lambda: first.status == 204 or file.patch(0, 50_000).status == 204, 15)
        assert file.offset() == 50_000
    file.go_on()


@clause("NET-04")
def _(site: Site) -> None:
    file = site.file(payload(100_000))
    with Wire(file.http) as wire:
        wire.begin_patch(file.url, 0, 100_000)
        wire.send(file.data[:10_000])
        assert file.offset() == 10_000
        file.patch(10_000, 20_000).expect(204)
        with contextlib.suppress(OSError):  # it was closed already
            wire.send(b"\xff" * 90_000)
    assert file.offset() == 20_000
    file.go_on()


@clause("NET-05")
def _(site: Site) -> None:
    file = site.file(payload(200_000))
    with ThreadPoolExecutor(8) as pool:
        statuses = [answer.status for answer in pool.map(lambda _: file.patch(0, 100_000), range(8))]
    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 409, 423}
    assert file.offset() == 100_000
    file.go_on()


@clause("NET-06")
def _(site: Site) -> None:
    url = site.create(100_000)
    with Wire(site.http) as wire:
        wire.patch(url, 7, "Content-Length: 50000")
        with contextlib.suppress(OSError):  # it was closed after the refusal
            wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".ljust(50_000, b"x"))
            wire.head("HEAD", url, "Connection: close")
        wire.answer().expect(409)
        rest = wire.ends()
        assert rest == b"" or (rest.startswith(b"HTTP/1.1 200") and b"Upload-Offset: 0" in rest)
        assert rest.count(b"HTTP/1.1") <= 1


@clause("NET-07")
def _(site: Site) -> None:
    url = site.create(10)
    with Wire(site.http) as wire:
        wire.patch(url, 0, "Content-Length: 5", "Transfer-Encoding: chunked")
        wire.send(b"5\r\nhello\r\n0\r\n\r\n")
        assert wire.answer().status in {204, 400}
    name = url.rpartition("/")[2]
    for path in (f"..%2f{name}", f"{name}%00", f"{name}/", f"/{name}", f"./{name}x", "%2e%2e", "%ff%fe", name.upper()):
        with Wire(site.http) as wire:
            wire.head("HEAD", "/files/" + path)
            assert 400 <= wire.answer("HEAD").status < 500 or path == name
