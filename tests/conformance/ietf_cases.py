"""Creation, appending, looking, lengths; and what the two protocols promise each other."""

from __future__ import annotations

import base64
import hashlib

from tests.conformance.ietf_site import PARTIAL, PROBLEM, SPOKEN, append, ask, clause, create, look, marks, said
from tests.conformance.tus_site import GONE, MAX_FILE_SIZE, Site, Wire, payload


@clause("R01")
def _(site: Site) -> None:
    for odd in ("1", "true", "?2", "", "?1, ?1", '"?1"', "?é"):
        answer = ask(site.http, "POST", site.url, f"Upload-Complete: {odd}", body=b"hello").expect(400)
        assert answer.headers["Location"] is None
    url = create(site, "Upload-Length: -5", 'Upload-Draft-Interop-Version: "9"', version=None)
    assert look(site.http, url).headers["Upload-Length"] is None
    for odd in ("-1", "1.0", "abc", "1" * 16, "(0)"):
        usual = (said(complete=False), f"Content-Type: {PARTIAL}", f"Upload-Offset: {odd}")
        ask(site.http, "PATCH", url, *usual, body=b"hello").expect(400)
    assert append(site.http, url, 0, b"hello", "Upload-Length: 5;a=b").expect(204).offset == 5
    assert look(site.http, url).headers["Upload-Length"] == "5"


@clause("R02")
def _(site: Site) -> None:
    for version in (None, 0, 3, 4, 5, 7, 10, 99):
        mark = "Upload-Incomplete: ?0" if version == 3 else said(complete=True)
        heard = ask(site.http, "POST", site.url, mark, version=version, body=b"hello")
        heard.expect(200)
        assert heard.interim == []
    for version in SPOKEN:
        heard = ask(site.http, "POST", site.url, said(complete=True), version=version, body=b"hello")
        heard.expect(200)
        assert [one.headers["Upload-Draft-Interop-Version"] for one in heard.interim] == [str(version)]
    old = ask(site.http, "POST", site.url, "Upload-Incomplete: ?1", version=3, body=b"hello").expect(201)
    assert (old.headers["Upload-Incomplete"], old.headers["Upload-Complete"]) == ("?1", None)


@clause("R03")
def _(site: Site) -> None:
    for version in (None, *SPOKEN):
        answer = ask(site.http.with_token(""), "OPTIONS", site.url, version=version).expect(204)
        assert answer.headers["Upload-Limit"] == f"max-size={MAX_FILE_SIZE}, min-size=0"


@clause("R04")
def _(site: Site) -> None:
    for version in SPOKEN:
        for body in (payload(100_000), b""):
            heard = ask(site.http, "POST", site.url, said(complete=True), version=version, body=body)
            told = heard.expect(200)
            assert (told.headers["Upload-Complete"], told.offset) == ("?1", len(body))
            assert f"max-size={MAX_FILE_SIZE}" in heard.interim[0].headers["Upload-Limit"]
            url = heard.interim[0].headers["Location"]
            assert told.json["file_id"] == url.rpartition("/")[2]
            assert told.json["state"] == ("delivering" if site.kind == "access token" else "uploading")
            assert site.http.status(told.json["upload_id"])["state"] == told.json["state"]


@clause("R05")
def _(site: Site) -> None:
    for version in (*SPOKEN, None):
        for body in (None, b"", b"hello"):
            answer = ask(site.http, "POST", site.url, said(complete=False), version=version, body=body).expect(201)
            assert (answer.headers["Upload-Complete"], answer.offset) == ("?0", len(body or b""))
            assert "max-size" in answer.headers["Upload-Limit"]
            assert look(site.http, answer.headers["Location"], version).offset == len(body or b"")


@clause("R06")
def _(site: Site) -> None:
    for complete in (False, True):
        heard = ask(site.http, "POST", site.url, said(complete), body=b"hello")
        location = heard.expect(200, 201).headers["Location"]
        assert [one.headers["Location"] for one in heard.interim] == [location]
        assert location.startswith(site.url)


@clause("R07")
def _(site: Site) -> None:
    kind = PROBLEM + "inconsistent-upload-length"
    first = ask(site.http, "POST", site.url, said(complete=True), "Upload-Length: 6", body=b"hello").expect(400)
    assert (first.json["type"], first.code, first.headers["Location"]) == (kind, "inconsistent_length", None)
    url = create(site, "Upload-Length: 10")
    for body, complete, told in ((b"hello", True, ""), (b"hello", False, "11"), (bytes(10), True, "11")):
        lines = (f"Upload-Length: {told}",) if told else ()
        answer = append(site.http, url, 0, body, *lines, complete=complete).expect(400)
        assert (answer.json["type"], answer.headers["Upload-Complete"]) == (kind, "?0")
    assert look(site.http, url).headers["Upload-Length"] == "10"
    with Wire(site.http, *marks(9)) as wire:  # without a Content-Length it shows at the end
        usual = ("Upload-Offset: 0", said(complete=True), f"Content-Type: {PARTIAL}", "Transfer-Encoding: chunked")
        wire.head("PATCH", url, *usual)
        wire.send(b"5\r\nhello\r\n0\r\n\r\n")
        assert wire.answer().expect(400).json["type"] == kind
    assert append(site.http, url, 5, b"world", complete=True).expect(200).offset == 10


@clause("R08")
def _(site: Site) -> None:
    url = create(site)
    for at in (0, 5):
        assert append(site.http, url, at, b"hello").expect(204).offset == at + 5
    assert look(site.http, url).headers["Upload-Length"] is None
    append(site.http, url, 10, b"", complete=True).expect(200)
    known = create(site, "Upload-Length: 5")
    append(site.http, known, 0, b"hello").expect(204)
    head = look(site.http, known)
    assert (head.offset, head.headers["Upload-Length"], head.headers["Upload-Complete"]) == (5, "5", "?0")
    append(site.http, known, 5, b"", complete=True).expect(200)
    assert look(site.http, known).headers["Upload-Complete"] == "?1"


@clause("R10")
def _(site: Site) -> None:
    for version in (None, *SPOKEN):
        url = create(site, "Upload-Length: 10", version=version, body=b"hello")
        head = look(site.http, url, version)
        assert (head.offset, head.headers["Upload-Length"], head.headers["Upload-Complete"]) == (5, "10", "?0")
        assert head.headers["Cache-Control"] == "no-store"
        key = "expires" if version == 6 else "max-age"
        limits = dict(one.strip().split("=") for one in head.headers["Upload-Limit"].split(","))
        assert 0 < int(limits[key]) <= 24 * 3600
        status = 204 if version == 9 else 405
        assert ask(site.http, "GET", url, version=version).expect(status).headers["Upload-Offset"] in {"5", None}
    ask(site.http, "HEAD", create(site), "Upload-Offset: 5", version=6).expect(400)
    ask(site.http, "HEAD", site.url + "0" * 32).expect(404)


@clause("R12")
def _(site: Site) -> None:
    for version in (None, *SPOKEN):
        url = create(site, version=version)
        for at in (0, 5):
            answer = append(site.http, url, at, b"hello", version=version).expect(201 if version == 6 else 204)
            assert (answer.headers["Upload-Complete"], answer.offset) == ("?0", at + 5)


@clause("R13")
def _(site: Site) -> None:
    for version in (None, *SPOKEN):
        url = create(site, "Upload-Length: 10", version=version, body=b"hello")
        told = append(site.http, url, 5, b"world", complete=True, version=version).expect(200)
        assert (told.headers["Upload-Complete"], told.offset) == ("?1", 10)
        assert url.endswith(told.json["file_id"])


@clause("R14")
def _(site: Site) -> None:
    for lines in ((), ("Upload-Length: 5",)):
        url = create(site, *lines, body=b"hello")
        assert append(site.http, url, 5, b"", complete=True).expect(200).headers["Upload-Complete"] == "?1"
    empty = create(site, "Upload-Length: 0")
    assert look(site.http, empty).headers["Upload-Complete"] == "?0"
    append(site.http, empty, 0, b"", complete=True).expect(200)


@clause("R15")
def _(site: Site) -> None:
    url = create(site, body=b"hello")
    for at in (0, 4, 6, 10**12):
        answer = append(site.http, url, at, b"xy", complete=at == 4).expect(409)
        assert (answer.offset, answer.headers["Upload-Complete"]) == (5, "?0")
        told = {"type": PROBLEM + "mismatching-upload-offset", "expected-offset": 5, "provided-offset": at}
        assert answer.json.items() >= told.items()
    assert look(site.http, url).offset == 5


@clause("R16")
def _(site: Site) -> None:
    url = create(site)
    for version in (None, *SPOKEN):
        for kind in ((), ("Content-Type: application/octet-stream",)):
            usual = ("Upload-Offset: 0", said(complete=False), *kind)
            ask(site.http, "PATCH", url, *usual, version=version, body=b"hello").expect(415)
    ask(site.http, "PATCH", url, "Upload-Offset: 0", said(complete=False), version=5, body=b"hello").expect(201)


@clause("R17")
def _(site: Site) -> None:
    for counted in (False, True):
        url = create(site, "Upload-Length: 5")
        with Wire(site.http, *marks(9)) as wire:
            size = "Transfer-Encoding: chunked" if counted else "Content-Length: 8"
            wire.head("PATCH", url, "Upload-Offset: 0", said(complete=False), f"Content-Type: {PARTIAL}", size)
            wire.send(b"8\r\ntoo long\r\n0\r\n\r\n" if counted else b"too long")
            answer = wire.answer().expect(400)
        assert answer.json["type"] == PROBLEM + "inconsistent-upload-length"
        ask(site.http, "HEAD", url).expect(*GONE)
        append(site.http, url, 5, b"", complete=True).expect(*GONE)


@clause("R19")
def _(site: Site) -> None:
    for version in SPOKEN:
        url = create(site, version=version, body=b"hello")
        first = append(site.http, url, 5, b"", complete=True, version=version).expect(200)
        again = append(site.http, url, 5, b"", complete=True, version=version).expect(200)
        assert (again.json["file_id"], again.headers["Upload-Complete"]) == (first.json["file_id"], "?1")
        late = append(site.http, url, 5, b"more", complete=True, version=version).final
        assert 400 <= late.status < 500
        assert late.headers["Upload-Complete"] == "?1"


@clause("R22")
def _(site: Site) -> None:
    for answer in (
        ask(site.http, "POST", site.url, said(complete=False), f"Upload-Length: {MAX_FILE_SIZE + 1}").expect(413),
        append(site.http, create(site), 0, b"x", f"Upload-Length: {MAX_FILE_SIZE + 1}").expect(413),
    ):
        assert f"max-size={MAX_FILE_SIZE}" in answer.headers["Upload-Limit"]


@clause("R25")
def _(site: Site) -> None:
    data = payload(100_000)
    for name in ("sha-256", "sha-512"):

        def told(body: bytes, name: str = name) -> str:
            raw = hashlib.new(name.replace("-", ""), body).digest()
            return f"Content-Digest: {name}=:{base64.b64encode(raw).decode()}:"

        url = create(site)
        wrong = append(site.http, url, 0, bytes(100_000), told(data)).expect(460)
        assert (wrong.code, look(site.http, url).offset) == ("checksum_mismatch", 0)
        append(site.http, url, 0, data, told(data), complete=True).expect(200)
        lost = ask(site.http, "POST", site.url, said(complete=True), told(b"a"), body=b"b")
        lost.expect(460)
        ask(site.http, "HEAD", lost.interim[0].headers["Location"]).expect(*GONE)


@clause("R26")
def _(site: Site) -> None:
    url = create(site)
    with Wire(site.http, *marks(9)) as wire:
        usual = ("Upload-Offset: 0", said(complete=True), f"Content-Type: {PARTIAL}", "Transfer-Encoding: chunked")
        wire.head("PATCH", url, *usual)
        wire.send(b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n")
        assert wire.answer().expect(200).offset == 10
    ask(site.http, "POST", site.url, said(complete=True), "Content-Encoding: gzip", body=b"hello").expect(415)


@clause("R27")
def _(site: Site) -> None:
    url = create(site)
    for method in ("HEAD", "DELETE"):
        ask(site.stranger, method, url).expect(404)
    append(site.stranger, url, 0, b"hello").expect(404)
    ask(site.http.with_token(""), "POST", site.url, said(complete=False)).expect(401)
    assert look(site.http, url).offset == 0


@clause("X01")
def _(site: Site) -> None:
    url = create(site)
    for mark in ("Tus-Resumable: 1.0.0", "Upload-Metadata: a YQ==", "Upload-Defer-Length: 1"):
        for method, where in (("POST", site.url), ("HEAD", url), ("DELETE", url)):
            ask(site.http, method, where, said(complete=False), mark).expect(400)
        assert append(site.http, url, 0, b"hello", mark).expect(400).code == "mixed_protocols"
    assert look(site.http, url).offset == 0


@clause("X02")
def _(site: Site) -> None:
    file = site.file(data := payload(50_000))
    file.patch(0, 10_000).expect(204)
    assert append(file.http, file.url, 10_000, data[10_000:20_000]).expect(204).offset == 20_000
    file.patch(20_000, 30_000).expect(204)
    assert look(file.http, file.url).headers["Upload-Length"] == "50000"
    append(file.http, file.url, 30_000, data[30_000:], complete=True).expect(200)
    file.is_right()
    begun = site.file(data)
    assert append(begun.http, begun.url, 0, data).expect(204).headers["Upload-Complete"] == "?0"
    assert begun.offset() == 50_000
    assert look(begun.http, begun.url).headers["Upload-Complete"] == "?1"
    begun.is_right()
    unsized = create(site, body=b"hello")
    head = site.http.head(unsized).expect(200)
    assert (head.headers["Upload-Defer-Length"], head.offset) == ("1", 5)
    site.http.patch(unsized, 5, b"world", {"Upload-Length": "10"}).expect(204)
    assert look(site.http, unsized).headers["Upload-Complete"] == "?1"


@clause("X03")
def _(site: Site) -> None:
    named = "Content-Disposition: inline; filename=\"x.dcm\"; filename*=UTF-8''F%C3%BC%C3%9Fe.dcm"
    url = create(site, named)
    told = "filename " + base64.b64encode("Füße.dcm".encode()).decode()
    assert site.http.head(url).expect(200).headers["Upload-Metadata"] == told
    upload_id, client = site.lab.open_upload(site.lab.login(), [5])
    who = client if site.kind == "upload token" else site.http
    query = f"{site.url}?upload_id={upload_id}&endpoint_id=main"
    assert ask(who, "POST", query, said(complete=True), body=b"hello").expect(200).json["upload_id"] == upload_id
    ask(site.http, "POST", f"{site.url}?endpointid=main", said(complete=False)).expect(422)
    if site.kind == "access token":
        refused = ask(site.http, "POST", f"{site.url}?endpoint_id=nowhere", said(complete=False)).expect(422)
        assert refused.code == "unknown_endpoint"
