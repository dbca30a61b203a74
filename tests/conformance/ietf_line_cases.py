"""Lines that break, requests that meet, and what is heard before the end."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.conformance.ietf_site import PARTIAL, SPOKEN, append, ask, clause, create, listen, look, marks, said
from tests.conformance.tus_site import GONE, Site, Wire, payload
from tests.e2e.lab import wait_until

MIDWAY = 9 << 20  #: more than is written down at once


def has(site: Site, url: str, offset: int) -> bool:
    return look(site.http, url).offset == offset


def begin(wire: Wire, method: str, url: str, size: int, *lines: str, complete: bool = True) -> None:
    """A body of `size` bytes that the gateway is reading when this returns."""
    usual = (said(complete), f"Content-Length: {size}", "Expect: 100-continue")
    patch = ("Upload-Offset: 0", f"Content-Type: {PARTIAL}") if method == "PATCH" else ()
    wire.head(method, url, *usual, *patch, *lines)


@clause("R09")
def _(site: Site) -> None:
    for method, version in (("PATCH", 6), ("PATCH", 9), ("POST", 8)):
        data = payload(2 * MIDWAY)
        url = create(site) if method == "PATCH" else site.url
        with Wire(site.http, *marks(version)) as wire:
            begin(wire, method, url, len(data), complete=False)
            while wire.answer().status != 100:
                pass
            time.sleep(1.1)  # progress is told once a second at most
            wire.send(data[:MIDWAY])
            told = wire.answer().expect(104)
            assert (told.headers["Location"], told.headers["Upload-Draft-Interop-Version"]) == (None, str(version))
            assert 0 < told.offset <= MIDWAY
            wire.send(data[MIDWAY:])
            heard = listen(wire)
            assert heard.expect(201, 204).offset == len(data)
        ask(site.http, "DELETE", heard.final.headers["Location"] or url).expect(204)


@clause("R11")
def _(site: Site) -> None:
    data = payload(300_000)
    url = create(site)
    at = 0
    while at < len(data):
        with Wire(site.http, *marks(8)) as wire:
            wire.head(
                "PATCH", url, f"Upload-Offset: {at}", said(complete=True), f"Content-Type: {PARTIAL}",
                f"Content-Length: {len(data) - at}",
            )  # fmt: skip
            wire.send(data[at : at + 100_000])
            told = listen(wire).expect(200) if at + 100_000 >= len(data) else look(site.http, url)
        assert told.offset >= at
        at = told.offset
    assert look(site.http, url).headers["Upload-Length"] == "300000"


@clause("R18")
def _(site: Site) -> None:
    data = payload(100_000)
    for method in ("POST", "PATCH"):
        url = create(site) if method == "PATCH" else site.url
        with Wire(site.http, *marks(9)) as wire:
            begin(wire, method, url, len(data))
            while (answer := wire.answer()).status != 100:
                url = answer.headers["Location"]
            wire.send(data[:60_000])
        wait_until("what came is told", partial(has, site, url, 60_000))
        head = look(site.http, url)
        assert head.headers["Upload-Complete"] == "?0"
        assert append(site.http, url, 60_000, data[60_000:], complete=True).expect(200).offset == 100_000


@clause("R20")
def _(site: Site) -> None:
    url = create(site)
    with Wire(site.http, *marks(9)) as wire:
        begin(wire, "PATCH", url, 100_000)
        wire.answer().expect(100)
        wire.send(bytes(50_000))
        ask(site.http, "DELETE", url).expect(204)
        listen(wire).expect(409, *GONE)
    ask(site.http, "HEAD", url).expect(*GONE)
    append(site.http, url, 0, b"hello").expect(*GONE)
    ask(site.http, "DELETE", create(site), version=None).expect(204)


@clause("R21")
def _(site: Site) -> None:
    url, data = create(site), payload(100_000)
    with ThreadPoolExecutor(8) as pool:
        statuses = [one.final.status for one in pool.map(lambda _: append(site.http, url, 0, data), range(8))]
    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 409, 423}
    hangs = create(site)
    with Wire(site.http, *marks(9)) as wire:
        begin(wire, "PATCH", hangs, 100_000)
        wire.answer().expect(100)
        wire.send(data[:60_000])
        assert look(site.http, hangs).offset == 60_000
        assert listen(wire).expect(409).code == "taken_over"


@clause("R23")
def _(site: Site) -> None:
    for version in SPOKEN:
        with Wire(site.http, *marks(version)) as wire:
            begin(wire, "POST", site.url, 5)
            assert [wire.answer().status, wire.answer().status] == [104, 100]
            wire.send(b"hello")
            wire.answer().expect(200)
        with Wire(site.http, *marks(version)) as wire:
            begin(wire, "PATCH", create(site, body=b"abc"), 5)
            assert wire.answer().status == 409
