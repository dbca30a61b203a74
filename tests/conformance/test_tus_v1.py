"""tus 1.0.0, line by line of docs/tus-conformance.md, against a gateway that is served."""

from __future__ import annotations

import contextlib
import email.utils
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import pytest

from tests.conformance.tus_site import (
    CASES,
    MAX_FILE_SIZE,
    ORIGIN,
    File,
    Site,
    Wire,
    clause,
    clauses_of_page,
    metadata,
    payload,
)
from tests.e2e.lab import OCTETS, Answer, Lab, Pacs, running_lab, wait_until

NOWHERE = Pacs("http://127.0.0.1:9/dicom-web")
EXTENSIONS = {"creation", "creation-with-upload", "expiration", "termination"}
GONE = (404, 410)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    settings = {"server": {"cors_origins": [ORIGIN]}, "uploads": {"max_file_size": MAX_FILE_SIZE}}
    with running_lab(tmp_path_factory.mktemp("tus") / "gateway", NOWHERE, settings=settings) as lab:
        lab.add_user("stranger", "uploader")
        yield lab


@pytest.fixture(scope="module", params=["upload token", "access token"])
def site(request: pytest.FixtureRequest, lab: Lab) -> Site:
    """Files of one upload that declares many, or each in an upload of its own."""
    client = lab.login()
    if request.param == "upload token":
        _, client = lab.open_upload(client, [MAX_FILE_SIZE] * 40)
    return Site(lab, request.param, client, lab.login("stranger"))


def test_each_line_of_the_page_is_tried_and_nothing_else() -> None:
    page = clauses_of_page()
    assert page.keys() == CASES.keys()
    assert set(page.values()) == {"MUST", "SHOULD", "ours"}


@pytest.mark.parametrize("clause_id", clauses_of_page())
def test_clause(site: Site, clause_id: str) -> None:
    CASES[clause_id](site)


# -- Core


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


# -- Creation, creation with upload


@clause("CRE-01")
def _(site: Site) -> None:
    urls = {site.create(10) for _ in range(3)}
    assert len(urls) == 3
    assert all(url.startswith(site.url) for url in urls)


@clause("CRE-02")
def _(site: Site) -> None:
    site.http.tus("POST", site.url).expect(400)
    for length in ("-1", "abc", "1.5", "0x10", "1e3", "1_0", "+5", "٣", ""):
        with Wire(site.http) as wire:
            wire.head("POST", site.url, f"Upload-Length: {length}", "Content-Length: 0")
            wire.answer().expect(400)


@clause("CRE-03")
def _(site: Site) -> None:
    site.http.create(MAX_FILE_SIZE + 1).expect(413)
    for length in (2**63 - 1, 2**63, 2**64, 10**30):
        site.http.create(length).expect(400, 413)


@clause("CRE-04")
def _(site: Site) -> None:
    head = site.http.head(site.create(0)).expect(200)
    assert (head.offset, head.headers["Upload-Length"]) == (0, "0")
    assert head.headers["Upload-Expires"] is None


@clause("CRE-05")
def _(site: Site) -> None:
    for given in ("a !!!", "a YQ==,a Yg==", "a YQ== x", ",", "a YQ==,,b Yg=="):
        site.http.tus("POST", site.url, None, {"Upload-Length": "5", "Upload-Metadata": given}).expect(400)


@clause("CRE-06")
def _(site: Site) -> None:
    nasty = metadata({"filename": b"../../etc/passwd\r\nX-Evil: 1", "filetype": b"\r\n\r\nHTTP/1.1 200 OK"})
    url = site.create(5, **{"Upload-Metadata": nasty})
    assert re.fullmatch(re.escape(site.url) + "[0-9a-f]+", url)
    head = site.http.head(url).expect(200)
    assert head.headers["X-Evil"] is None
    assert head.headers["Upload-Metadata"] == nasty


@clause("CRE-07")
def _(site: Site) -> None:
    upload_id, client = site.lab.open_upload(site.lab.login(), [100, 200])
    who = client if site.kind == "upload token" else site.http
    named = {"file_id": "one", "upload_id": upload_id}
    first = who.create(100, named).expect(201)
    who.patch(first.headers["Location"], 0, bytes(40)).expect(204)
    again = who.create(100, named).expect(201)
    assert (again.headers["Location"], again.offset) == (first.headers["Location"], 40)
    who.create(200, named).expect(409)


@clause("CRE-08")
def _(site: Site) -> None:
    much = metadata({"filename": bytes(48 * 1024)})
    answer = site.http.tus("POST", site.url, None, {"Upload-Length": "5", "Upload-Metadata": much})
    assert 400 <= answer.status < 500
    site.create(5)


@clause("CWU-01")
def _(site: Site) -> None:
    assert site.http.create(5, {}, b"hello").expect(201).offset == 5
    part = site.http.create(10, {}, b"hello").expect(201)
    assert part.offset == 5
    assert site.http.patch(part.headers["Location"], 5, b"world").expect(204).offset == 10


@clause("CWU-02")
def _(site: Site) -> None:
    headers = {"Upload-Length": "5", "Content-Type": "text/plain"}
    site.http.tus("POST", site.url, b"hello", headers).expect(415)


@clause("CWU-03")
def _(site: Site) -> None:
    site.http.create(5, {}, b"too long").expect(413)
    headers = {"Upload-Length": "5", "Content-Type": OCTETS}
    site.http.tus("POST", site.url, iter([b"too", b" long"]), headers).expect(413)


@clause("CWU-04")
def _(site: Site) -> None:
    headers = {"Upload-Length": "5", "Content-Type": OCTETS}
    answer = site.http.tus("POST", site.url, b"", headers).expect(201)
    assert site.offset(answer.headers["Location"]) == 0


# -- Lines that break, and requests that meet


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


# -- Expiration, termination


@clause("EXP-01")
def _(site: Site) -> None:
    created = site.http.create(10)
    patched = site.http.patch(created.headers["Location"], 0, b"hello").expect(204)
    for answer in (created, patched):
        told = answer.headers["Upload-Expires"]
        assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", told)
        assert email.utils.parsedate_to_datetime(told).timestamp() > time.time()


@clause("EXP-02")
def _(site: Site) -> None:
    folder = site.lab.folder.parent / site.kind.replace(" ", "-")
    settings = {"uploads": {"expires": "2s"}, "retention": {"interval": "200ms"}}
    with running_lab(folder, NOWHERE, settings=settings) as lab:
        who = lab.login()
        upload_id = ""
        if site.kind == "upload token":
            upload_id, who = lab.open_upload(who, [10])
        url = who.create(10, {}, b"hello").expect(201).headers["Location"]
        if upload_id:  # asked like this it isn't kept alive
            there = lambda: who.call("GET", f"/upload/{upload_id}/status").status  # noqa: E731 - one line
            wait_until("it has expired", lambda: there() == 410)
        else:
            wait_until("it has expired", lambda: not lab.segments())
        assert who.head(url).expect(410).headers["Upload-Offset"] is None
        who.patch(url, 5, b"world").expect(410)


@clause("TER-01")
def _(site: Site) -> None:
    for sent in (b"", b"hello", b"helloworld"):
        file = site.http.create(10, {}, sent).expect(201).headers["Location"]
        site.http.tus("DELETE", file).expect(204)
        site.http.head(file).expect(*GONE)
        site.http.patch(file, len(sent), b"more").expect(*GONE)
        site.http.tus("DELETE", file).expect(*GONE)


@clause("TER-02")
def _(site: Site) -> None:
    site.http.tus("DELETE", site.url + "0" * 32).expect(404)


@clause("TER-03")
def _(site: Site) -> None:
    url = site.create(100_000)
    with Wire(site.http) as wire:
        wire.begin_patch(url, 0, 100_000)
        wire.send(bytes(50_000))
        site.http.tus("DELETE", url).expect(204)
        wire.answer().expect(409, *GONE)
    site.http.head(url).expect(*GONE)


# -- Ours


@clause("GET-01")
def _(site: Site) -> None:
    answer = site.http.tus("GET", site.create(5)).expect(405)
    assert "PATCH" in answer.headers["Allow"]


@clause("NOT-01")
def _(site: Site) -> None:
    for headers in (
        {"Upload-Defer-Length": "1"},
        {"Upload-Length": "5", "Upload-Concat": "partial"},
        {"Upload-Concat": "final;/files/a /files/b"},
        {"Upload-Length": "5", "Upload-Checksum": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="},
    ):
        answer = site.http.tus("POST", site.url, None, headers).expect(501)
        assert (answer.code, answer.headers["Location"]) == ("not_built", None)
    url = site.create(5)
    checked = site.http.patch(url, 0, b"hello", {"Upload-Checksum": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="})
    assert checked.expect(501).code == "not_built"
    assert site.offset(url) == 0


@clause("AUT-01")
def _(site: Site) -> None:
    url = site.create(5)
    for token in ("", "nonsense", site.http.token[:-3] + "abc"):
        nobody = site.http.with_token(token)
        answers = [nobody.create(5), nobody.head(url), nobody.patch(url, 0, b"hello"), nobody.tus("DELETE", url)]
        assert all(answer.expect(401).headers["WWW-Authenticate"].startswith("Bearer") for answer in answers)
    assert site.offset(url) == 0


@clause("AUT-02")
def _(site: Site) -> None:
    url = site.create(5)
    stranger, nothing = site.stranger, site.url + "0" * 32
    for look in (
        stranger.head,
        lambda url: stranger.patch(url, 0, b"hello"),
        lambda url: stranger.tus("DELETE", url),
    ):
        foreign, absent = look(url).expect(404), look(nothing).expect(404)
        assert len(foreign.body) == len(absent.body)
    assert site.offset(url) == 0


ASKED = "authorization,content-type,tus-resumable,upload-length,upload-offset,upload-metadata,x-http-method-override"
READ = "location,upload-offset,upload-length,upload-metadata,upload-expires,tus-resumable,tus-version,tus-extension"


def words(header: str | None) -> set[str]:
    return {word.strip().lower() for word in (header or "").split(",")}


@clause("COR-01")
def _(site: Site) -> None:
    asks = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": ASKED}
    for url in (site.url, site.create(5)):
        answer = site.lab.http.call("OPTIONS", url, headers=asks).expect(200, 204)
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert words("POST,HEAD,PATCH,DELETE") <= words(answer.headers["Access-Control-Allow-Methods"])
        assert words(ASKED) <= words(answer.headers["Access-Control-Allow-Headers"])
        assert "origin" in words(answer.headers["Vary"])


@clause("COR-02")
def _(site: Site) -> None:
    url = site.create(5)
    for origin in (ORIGIN, "https://elsewhere.example.org"):
        headers = {"Origin": origin}
        for answer in (
            site.http.tus("HEAD", url, None, headers).expect(200),
            site.http.tus("HEAD", site.url + "nothing", None, headers).expect(404),
            site.http.patch(url, 3, b"x", headers).expect(409),
            site.http.tus("POST", site.url, None, headers | {"Tus-Resumable": "9"}).expect(412),
        ):
            allowed = answer.headers["Access-Control-Allow-Origin"]
            assert allowed == (ORIGIN if origin == ORIGIN else None)
            if allowed:
                assert words(READ) <= words(answer.headers["Access-Control-Expose-Headers"])
