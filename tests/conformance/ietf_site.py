"""Requests of the IETF draft, with the interim responses that they hear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.tus_site import Site, Wire
from tests.e2e.lab import Answer, Http

PAGE = Path(__file__).parents[2] / "docs" / "ietf-conformance.md"
PARTIAL = "application/partial-upload"
PROBLEM = "https://iana.org/assignments/http-problem-types#"
SPOKEN = (6, 8, 9)

Case = Callable[[Site], None]
CASES: dict[str, Case] = {}


@dataclass(frozen=True)
class Heard:
    """What a request heard: interim responses, then the final one."""

    interim: list[Answer]
    final: Answer

    def expect(self, *statuses: int) -> Answer:
        return self.final.expect(*statuses)


def marks(version: int | None) -> tuple[str, ...]:
    return (f"Upload-Draft-Interop-Version: {version}",) if version is not None else ("X-Nothing: 1",)


def ask(http: Http, method: str, url: str, *lines: str, version: int | None = 9, body: bytes | None = None) -> Heard:
    """One request on a connection of its own. :param body: None: none; sent with its Content-Length."""
    with Wire(http, *marks(version)) as wire:
        wire.head(method, url, *lines, *(() if body is None else (f"Content-Length: {len(body)}",)))
        wire.send(body or b"")
        return listen(wire, method)


def listen(wire: Wire, method: str = "PATCH") -> Heard:
    interim: list[Answer] = []
    while (answer := wire.answer(method)).status < 200:
        interim.append(answer)
    return Heard(interim, answer)


def create(site: Site, *lines: str, version: int | None = 9, body: bytes | None = None, complete: bool = False) -> str:
    """The URL of a new file."""
    heard = ask(site.http, "POST", site.url, said(complete), *lines, version=version, body=body)
    return str(heard.expect(200, 201).headers["Location"])


def said(complete: bool) -> str:
    return f"Upload-Complete: ?{int(complete)}"


def append(
    http: Http, url: str, at: int, body: bytes, *lines: str, complete: bool = False, version: int | None = 9
) -> Heard:
    usual = (f"Upload-Offset: {at}", said(complete), f"Content-Type: {PARTIAL}")
    return ask(http, "PATCH", url, *usual, *lines, version=version, body=body)


def look(http: Http, url: str, version: int | None = 9) -> Answer:
    return ask(http, "HEAD", url, version=version).expect(204)


def clause(clause_id: str) -> Callable[[Case], Case]:
    """The function that tries this line of docs/ietf-conformance.md."""

    def register(case: Case) -> Case:
        assert clause_id not in CASES
        CASES[clause_id] = case
        return case

    return register


def statuses_of_page() -> dict[str, str]:
    """id -> status, as the page has them."""
    rows = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {row[1].strip(): row[3].strip() for row in rows if row[1].strip() != "id"}
