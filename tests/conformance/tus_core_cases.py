"""The core protocol: OPTIONS, versions, HEAD, PATCH, method override."""

from __future__ import annotations

import contextlib
from itertools import pairwise

from tests.conformance.tus_site import (
    EXTENSIONS,
    GONE,
    MAX_FILE_SIZE,
    Site,
    Wire,
    clause,
    metadata,
    payload,
)
from tests.e2e.lab import OCTETS, Answer, Http


@clause("OPT-01")
def _(site: Site) -> None:
    answer = site.lab.http.call("OPTIONS", site.url).expect(200, 204)
    assert "1.0.0" in answer.headers["Tus-Version"].split(",")


@clause("OPT-02")
def _(site: Site) -> None:
    site.http.call("OPTIONS", site.url, headers={"Tus-Resumable": "0.2.2"}).expect(200, 204)


@clause("OPT-03")
def _(site: Site) -> None:
    answer = site.http.call("OPTIONS", site.url)
    assert set(answer.headers["Tus-Extension"].split(",")) == EXTENSIONS


@clause("OPT-05")
def _(site: Site) -> None:
    answer = site.lab.http.call("OPTIONS", site.url).expect(200, 204)
    assert answer.headers["Tus-Checksum-Algorithm"].split(",") == ["sha1", "sha256", "sha512", "md5"]


@clause("OPT-04")
def _(site: Site) -> None:
    assert int(site.http.call("OPTIONS", site.url).headers["Tus-Max-Size"]) == MAX_FILE_SIZE


@clause("VER-01")
def _(site: Site) -> None:
    other = {"Tus-Resumable": "0.2.2"}
    url = site.create(5)
    created = site.http.tus("POST", site.url, None, {"Upload-Length": "5"} | other)
    answers = [
        created,
        site.http.tus("HEAD", url, None, other),
        site.http.patch(url, 0, b"hello", other),
        site.http.tus("DELETE", url, None, other),
    ]
    for answer in answers:
        assert answer.expect(412).headers["Tus-Version"] == "1.0.0"
    assert created.headers["Location"] is None
    assert site.offset(url) == 0


@clause("VER-02")
def _(site: Site) -> None:
    site.http.call("POST", site.url, headers={"Upload-Length": "5"}).expect(412)


@clause("VER-03")
def _(site: Site) -> None:
    url = site.create(5)
    answers = [
        site.http.tus("POST", site.url, None, {"Upload-Length": "5"}),
        site.http.tus("POST", site.url, None, {}),
        site.http.head(url),
        site.http.head(site.url + "nothing"),
        site.http.patch(url, 3, b"lo"),
        site.http.patch(url, 0, b"x", {"Content-Type": "text/plain"}),
        site.http.with_token("").head(url),
        site.http.patch(url, 0, b"hello"),
    ]
    assert [answer.status for answer in answers] == [201, 400, 200, 404, 409, 415, 401, 204]
    assert {answer.headers["Tus-Resumable"] for answer in answers} == {"1.0.0"}


@clause("HEA-01")
def _(site: Site) -> None:
    answer = site.http.head(site.url + "0" * 32).expect(404)
    assert answer.headers["Upload-Offset"] is None


@clause("HEA-02")
def _(site: Site) -> None:
    url = site.create(10)
    with Wire(site.http) as wire:
        wire.head("HEAD", url, "Connection: close")
        answer = wire.answer("HEAD").expect(200)
        assert (answer.offset, answer.headers["Upload-Length"]) == (0, "10")
        assert wire.ends() == b""
    site.http.patch(url, 0, bytes(10)).expect(204)
    assert site.offset(url) == 10


@clause("HEA-03")
def _(site: Site) -> None:
    assert site.http.head(site.create(5)).headers["Cache-Control"] == "no-store"


@clause("HEA-04")
def _(site: Site) -> None:
    given = metadata({"filename": "Füße.dcm".encode(), "note": bytes(range(256)), "empty": b""}).rstrip() + ",flag"
    url = site.create(5, **{"Upload-Metadata": given})
    there = dict(one.partition(" ")[::2] for one in site.http.head(url).headers["Upload-Metadata"].split(","))
    assert there == dict(one.partition(" ")[::2] for one in given.split(","))


@clause("PAT-01")
def _(site: Site) -> None:
    file = site.file(payload(100_000))
    assert file.patch(0, 100_000).expect(204).offset == 100_000
    file.is_right()


@clause("PAT-02")
def _(site: Site) -> None:
    file = site.file(payload(200_000))
    cuts = [0, 1, 1000, 65_536, 65_537, 131_072, 199_999, 200_000]
    for at, until in pairwise(cuts):
        assert file.patch(at, until).expect(204).offset == until
    file.is_right()


@clause("PAT-03")
def _(site: Site) -> None:
    url = site.create(5)
    site.http.patch(url, 0, b"hello", {"Content-Type": "application/octet-stream"}).expect(415)
    site.http.tus("PATCH", url, b"hello", {"Upload-Offset": "0"}).expect(415)
    assert site.offset(url) == 0


@clause("PAT-04")
def _(site: Site) -> None:
    file = site.file(payload(10))
    file.patch(0, 5).expect(204)
    for at in (0, 4, 6, 10, 11, 10**12):
        answer = site.http.with_token(file.http.token).patch(file.url, at, b"xy").expect(409)
        assert answer.offset == 5
    file.go_on()


@clause("PAT-05")
def _(site: Site) -> None:
    url = site.create(5)
    site.http.tus("PATCH", url, b"hello", {"Content-Type": OCTETS}).expect(400)
    for at in ("-1", "abc", "1.0", "+0", "0x0", "1_0", "", "1" + "0" * 30):
        site.http.patch(url, 0, b"hello", {"Upload-Offset": at}).expect(400)
    assert site.offset(url) == 0


@clause("PAT-06")
def _(site: Site) -> None:
    url = site.create(10)
    site.http.patch(url, 0, b"hello").expect(204)
    with Wire(site.http) as wire:
        wire.patch(url, 0, "Upload-Offset: 5", "Content-Length: 5")
        wire.send(b"world")
        wire.answer().expect(400)
    assert site.offset(url) == 5


@clause("PAT-07")
def _(site: Site) -> None:
    for body in (bytes(6), iter([bytes(3), bytes(3)])):
        url = site.create(5)
        site.http.patch(url, 0, body).expect(413)
        assert site.offset(url) <= 5


@clause("PAT-08")
def _(site: Site) -> None:
    site.http.patch(site.url + "0" * 32, 0, b"hello").expect(404)


@clause("PAT-09")
def _(site: Site) -> None:
    file = site.file(payload(5))
    assert file.patch(0, 0).expect(204).offset == 0
    file.patch(0, 5).expect(204)
    assert 400 <= file.http.patch(file.url, 5, b"more").status < 500
    assert file.http.patch(file.url, 5, b"").expect(204).offset == 5
    file.is_right()


@clause("PAT-10")
def _(site: Site) -> None:
    file = site.file(payload(300_000))
    pieces = (file.data[at : at + 7_000] for at in range(0, 300_000, 7_000))
    assert file.http.patch(file.url, 0, pieces).expect(204).offset == 300_000
    file.is_right()


@clause("PAT-11")
def _(site: Site) -> None:
    url = site.create(5)
    expects = ("Content-Length: 5", "Expect: 100-continue")
    with Wire(site.http) as wire:
        wire.patch(url, 3, *expects)
        wire.answer().expect(409)
    with Wire(site.http) as wire:
        wire.patch(url, 0, *expects)
        wire.answer().expect(100)
        wire.send(b"hello")
        assert wire.answer().expect(204).offset == 5


@clause("PAT-12")
def _(site: Site) -> None:
    file = site.file(payload(50_000))
    file.patch(0, 20_000).expect(204)
    file.patch(0, 20_000).expect(409)
    file.go_on()


@clause("PAT-13")
def _(site: Site) -> None:
    file = site.file(payload(5))
    file.patch(0, 5).expect(204)
    for expects in ((), ("Expect: 100-continue",)):
        statuses = []
        for body in (b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n"):
            with Wire(file.http) as wire:
                wire.patch(file.url, 5, "Transfer-Encoding: chunked", *expects)
                if expects:
                    wire.answer().expect(100)
                wire.send(body)
                statuses.append(wire.answer().status)
        assert statuses == [204, 409 if site.kind == "access token" else 413]
    file.is_right()


@clause("PAT-14")
def _(site: Site) -> None:
    url = site.create(5)
    for coding in ("gzip", "br", "identity, gzip"):
        site.http.patch(url, 0, b"hello", {"Content-Encoding": coding}).expect(415)
    for coding in ("gzip, chunked", "gzip", "chunked, chunked"):
        with Wire(site.http) as wire:
            wire.patch(url, 0, f"Transfer-Encoding: {coding}")
            with contextlib.suppress(OSError):  # it was refused already
                wire.send(b"5\r\nhello\r\n0\r\n\r\n")
            wire.answer().expect(400, 501)
    assert site.http.patch(url, 0, b"hello", {"Content-Encoding": "identity"}).expect(204).offset == 5


@clause("OVR-01")
def _(site: Site) -> None:
    def post(url: str, method: str, body: bytes | None = None, **headers: str) -> Answer:
        return site.http.tus("POST", url, body, {"X-HTTP-Method-Override": method} | headers)

    url = site.create(10)
    headers = {"Upload-Offset": "0", "Content-Type": OCTETS}
    assert post(url, "PATCH", b"hello", **headers).expect(204).offset == 5
    assert post(url, "HEAD").expect(200).offset == 5
    post(url, "DELETE").expect(204)
    site.http.head(url).expect(*GONE)
    assert "1.0.0" in post(site.url, "OPTIONS").expect(200, 204).headers["Tus-Version"]


@clause("OVR-02")
def _(site: Site) -> None:
    def post(http: Http, url: str, method: str) -> Answer:
        return http.tus("POST", url, None, {"X-HTTP-Method-Override": method})

    url, nobody = site.create(10), site.http.with_token("")
    for method in ("Options", "options", "OPTIONS"):
        for where in (url, site.url):
            assert "1.0.0" in post(nobody, where, method).expect(200, 204).headers["Tus-Version"]
    for method in ("Head", "head"):
        assert post(site.http, url, method).expect(200).offset == 0
        post(nobody, url, method).expect(401)
    for where, method in ((url, "Put"), (url, "get"), (url, "POST"), (site.url, "Patch"), (site.url, "x y")):
        assert "OPTIONS" in post(site.http, where, method).expect(405).headers["Allow"]
    given = {"X-HTTP-Method-Override": "Post", "Upload-Length": "5"}
    site.http.tus("POST", site.url, None, given).expect(201)
    answer = site.http.tus(
        "POST", url, b"hello", {"X-HTTP-Method-Override": "Patch", "Upload-Offset": "0", "Content-Type": OCTETS}
    )
    assert answer.expect(204).offset == 5
    post(site.http, url, "Delete").expect(204)
    site.http.head(url).expect(*GONE)
