"""Concatenation, with parts that are whole and with parts that aren't yet."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from tests.conformance.tus_site import GONE, MAX_FILE_SIZE, Site, clause, metadata, payload
from tests.e2e.lab import OCTETS, Answer

PART = {"Upload-Concat": "partial"}


def part(site: Site, data: bytes, length: int | None = None, headers: Mapping[str, str] | None = None) -> str:
    """The URL of a part that has these bytes."""
    url = site.create(len(data) if length is None else length, **PART, **(headers or {}))
    if data:
        site.http.patch(url, 0, data).expect(204)
    return url


def final(site: Site, *urls: str, **headers: str) -> Answer:
    return site.http.tus("POST", site.url, None, {"Upload-Concat": "final;" + " ".join(urls), **headers})


def told(site: Site, url: str) -> tuple[str | None, str | None, str | None]:
    """Offset, length and what HEAD echoes of a concatenation."""
    headers = site.http.head(url).expect(200).headers
    return headers["Upload-Offset"], headers["Upload-Length"], headers["Upload-Concat"]


@clause("CON-01")
def _(site: Site) -> None:
    url = part(site, b"hello", 7)
    assert told(site, url) == ("5", "7", "partial")
    assert site.http.patch(url, 5, b"!!").expect(204).headers["Upload-Expires"]
    assert told(site, url) == ("7", "7", "partial")
    whole = site.http.tus("POST", site.url, b"all", {**PART, "Upload-Length": "3", "Content-Type": OCTETS}).expect(201)
    assert whole.offset == 3


@clause("CON-02")
def _(site: Site) -> None:
    pieces = [payload(size) for size in (70_000, 1, 200_000)]
    urls = [part(site, data) for data in pieces]
    answer = final(site, *urls).expect(201)
    assert told(site, answer.headers["Location"])[:2] == ("270001", "270001")


@clause("CON-03")
def _(site: Site) -> None:
    first, second = part(site, b"a"), part(site, b"b")
    named = f"{urlsplit(first).path} {second} {first.rpartition('/')[2]}"
    url = final(site, named).expect(201).headers["Location"]
    assert told(site, url) == ("3", "3", f"final;{named}")


@clause("CON-04")
def _(site: Site) -> None:
    whole = final(site, part(site, b"ab")).expect(201).headers["Location"]
    waiting = final(site, part(site, b"ab", 3)).expect(201).headers["Location"]
    for url in (whole, waiting):
        for at in (0, 2, 3):
            assert site.http.patch(url, at, b"x").expect(403).code == "final_upload"
    assert told(site, whole)[:2] == ("2", "2")


@clause("CON-05")
def _(site: Site) -> None:
    of_part, of_final = metadata({"part": b"x"}), metadata({"final": b"y"})
    url = part(site, b"a", headers={"Upload-Metadata": of_part})
    assert site.http.head(url).expect(200).headers["Upload-Metadata"] == of_part
    assert site.http.head(final(site, url).expect(201).headers["Location"]).headers["Upload-Metadata"] is None
    named = final(site, part(site, b"a"), **{"Upload-Metadata": of_final}).expect(201).headers["Location"]
    assert site.http.head(named).expect(200).headers["Upload-Metadata"] == of_final


@clause("CON-06")
def _(site: Site) -> None:
    mine, whole = part(site, b"a"), site.create(0)
    theirs = site.stranger.tus("POST", site.url, None, {**PART, "Upload-Length": "1"}).expect(201).headers["Location"]
    for url in (mine + "00nope", "/files/" + "0" * 32, "http://127.0.0.1:9/x", f"{mine}?x", theirs):
        final(site, mine, url).expect(404)
    assert final(site, mine, whole).expect(409).code == "not_a_part"
    for value in ("banana", "final;", "final", "partial;x"):
        site.http.tus("POST", site.url, None, {"Upload-Concat": value, "Upload-Length": "1"}).expect(400)
    final(site, mine, **{"Upload-Length": "1"}).expect(400)
    assert told(site, mine)[2] == "partial", "nothing has happened to it"


@clause("CON-07")
def _(site: Site) -> None:
    first, second = part(site, b"hel", 5), site.http.tus("POST", site.url, None, {**PART, "Upload-Defer-Length": "1"})
    last = second.expect(201).headers["Location"]
    answer = final(site, first, last).expect(201)
    url = answer.headers["Location"]
    assert answer.headers["Upload-Offset"] is None
    named = f"final;{first} {last}"
    assert told(site, url) == (None, None, named)
    site.http.patch(last, 0, b"world", {"Upload-Length": "6"}).expect(204)
    assert told(site, url) == (None, "11", named)
    site.http.patch(last, 5, b"!").expect(204)
    site.http.patch(first, 3, b"lo").expect(204)
    assert told(site, url) == ("11", "11", named)


@clause("CON-08")
def _(site: Site) -> None:
    first = part(site, b"ab")
    url = final(site, first, first, part(site, b""), first).expect(201).headers["Location"]
    assert told(site, url)[:2] == ("6", "6")


@clause("CON-09")
def _(site: Site) -> None:
    url = part(site, b"hel", 5)
    waiting = final(site, part(site, b"x"), url).expect(201).headers["Location"]
    site.http.tus("DELETE", url).expect(204)
    assert site.http.head(url).status in GONE
    assert site.http.head(waiting).status in GONE
    assert final(site, url).status in GONE
    lonely = part(site, b"hel", 5)
    site.http.tus("DELETE", lonely).expect(204)
    assert site.http.head(lonely).status in GONE


@clause("CON-10")
def _(site: Site) -> None:
    half = MAX_FILE_SIZE // 2 + 1
    first, second = (site.create(half, **PART) for _ in range(2))
    final(site, first, second).expect(413)
    for url in (first, second):
        site.http.tus("DELETE", url).expect(204)
