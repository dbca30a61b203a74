"""Creation, creation with upload, expiration, termination; and what the gateway promises beyond tus."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import re
import time

from tests.conformance.tus_site import (
    GONE,
    MAX_FILE_SIZE,
    NOWHERE,
    ORIGIN,
    Site,
    Wire,
    clause,
    metadata,
    payload,
)
from tests.e2e.lab import OCTETS, running_lab, wait_until


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


def deferred(site: Site, **headers: str) -> str:
    """The URL of a new file whose length is told later."""
    answer = site.http.tus("POST", site.url, None, {"Upload-Defer-Length": "1"} | headers).expect(201)
    return str(answer.headers["Location"])


@clause("DEF-01")
def _(site: Site) -> None:
    url = deferred(site)
    for sent in (b"", b"hello", b"world"):
        at = site.offset(url)
        assert site.http.patch(url, at, sent).expect(204).offset == at + len(sent)
        head = site.http.head(url).expect(200)
        assert (head.headers["Upload-Defer-Length"], head.headers["Upload-Length"]) == ("1", None)


@clause("DEF-02")
def _(site: Site) -> None:
    for given in ({"Upload-Defer-Length": "0"}, {"Upload-Defer-Length": "2"}, {"Upload-Defer-Length": "true"}):
        site.http.tus("POST", site.url, None, given).expect(400)
    site.http.tus("POST", site.url, None, {"Upload-Defer-Length": "1", "Upload-Length": "5"}).expect(400)


@clause("DEF-03")
def _(site: Site) -> None:
    for at, told in ((5, b""), (5, b"wo"), (0, b"he")):
        url = deferred(site)
        site.http.patch(url, 0, b"hello"[:at]).expect(204)
        site.http.patch(url, at, told, {"Upload-Length": "10"}).expect(204)
        head = site.http.head(url).expect(200)
        assert (head.headers["Upload-Defer-Length"], head.headers["Upload-Length"]) == (None, "10")
        assert site.http.patch(url, head.offset, b"x", {"Upload-Length": "12"}).expect(409).code == "length_mismatch"
        site.http.patch(url, head.offset, bytes(10 - head.offset), {"Upload-Length": "10"}).expect(204)


@clause("DEF-04")
def _(site: Site) -> None:
    url = deferred(site)
    site.http.patch(url, 0, b"hello").expect(204)
    assert site.http.patch(url, 5, b"", {"Upload-Length": "3"}).expect(400).code == "length_too_short"
    site.http.patch(url, 5, b"x", {"Upload-Length": str(MAX_FILE_SIZE + 1)}).expect(413)
    head = site.http.head(url).expect(200)
    assert (head.offset, head.headers["Upload-Length"]) == (5, None)


@clause("DEF-05")
def _(site: Site) -> None:
    url = deferred(site)
    site.http.patch(url, 0, b"hello").expect(204)
    assert site.http.patch(url, 5, b"", {"Upload-Length": "5"}).expect(204).headers["Upload-Expires"] is None
    assert site.http.head(url).expect(200).headers["Upload-Length"] == "5"
    assert 400 <= site.http.patch(url, 5, b"more").status < 500


def checksum(algorithm: str, data: bytes) -> dict[str, str]:
    return {"Upload-Checksum": f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"}


ALGORITHMS = ("sha1", "sha256", "sha512", "md5")


@clause("CHK-01")
def _(site: Site) -> None:
    for algorithm in ALGORITHMS:
        file = site.file(payload(200_000))
        for at, until in ((0, 70_000), (70_000, 200_000)):
            digest = checksum(algorithm, file.data[at:until])
            assert file.http.patch(file.url, at, file.data[at:until], digest).expect(204).offset == until
        file.is_right()
        headers = {"Upload-Length": "5", "Content-Type": OCTETS} | checksum(algorithm, b"hello")
        assert site.http.tus("POST", site.url, b"hello", headers).expect(201).offset == 5


@clause("CHK-02")
def _(site: Site) -> None:
    for algorithm in ALGORITHMS:
        file = site.file(payload(100_000))
        file.patch(0, 30_000).expect(204)
        wrong = file.http.patch(file.url, 30_000, bytes(70_000), checksum(algorithm, file.data[30_000:]))
        assert (wrong.expect(460).code, file.offset()) == ("checksum_mismatch", 30_000)
        right = checksum(algorithm, file.data[30_000:])
        pieces = (file.data[at : at + 7_000] for at in range(30_000, 100_000, 7_000))
        file.http.patch(file.url, 30_000, pieces, right).expect(204)
        file.is_right()
    files = set(site.lab.segments())
    headers = {"Upload-Length": "5", "Content-Type": OCTETS} | checksum("sha1", b"world")
    assert site.http.tus("POST", site.url, b"hello", headers).expect(460).headers["Location"] is None
    wait_until("nothing is left of it", lambda: set(site.lab.segments()) <= files)


@clause("CHK-03")
def _(site: Site) -> None:
    url = site.create(5)
    for given in ("rot13 aGVsbG8=", "sha1", "sha1 ***", "sha1 aGVsbG8=", "crc32 aGVsbA=="):
        site.http.patch(url, 0, b"hello", {"Upload-Checksum": given}).expect(400)
    assert site.offset(url) == 0


@clause("CHK-04")
def _(site: Site) -> None:
    data = payload(200_000)
    url = site.create(len(data))
    told = f"Upload-Checksum: {checksum('sha1', data)['Upload-Checksum']}"
    with Wire(site.http) as wire:
        wire.patch(url, 0, f"Content-Length: {len(data)}", "Expect: 100-continue", told)
        wire.answer().expect(100)
        wire.send(data[:100_000])
    assert site.offset(url) == 0
    site.http.patch(url, 0, data, checksum("sha1", data)).expect(204)


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


@clause("GET-01")
def _(site: Site) -> None:
    answer = site.http.tus("GET", site.create(5)).expect(405)
    assert "PATCH" in answer.headers["Allow"]


@clause("NOT-01")
def _(site: Site) -> None:
    headers = {"Upload-Length": "5", "Trailer": "Upload-Checksum"}
    answer = site.http.tus("POST", site.url, None, headers).expect(501)
    assert (answer.code, answer.headers["Location"]) == ("not_built", None)


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


ASKED = (
    "authorization,content-type,tus-resumable,upload-length,upload-offset,upload-metadata,x-http-method-override,"
    "upload-defer-length,upload-concat,upload-checksum,x-request-id,upload-complete,upload-draft-interop-version,"
    "content-disposition,repr-digest,content-digest,want-repr-digest"
)
READ = (
    "location,upload-offset,upload-length,upload-metadata,upload-expires,upload-defer-length,upload-concat,"
    "tus-resumable,tus-version,tus-extension,tus-max-size,tus-checksum-algorithm,upload-limit,upload-complete,retry-after"
)


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
