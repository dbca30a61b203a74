"""Round trips that a run doesn't wait for: what can be asked beside something else is, and the last parts wait for nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from tests.unit.client.conftest import MakeFile
from tests.unit.client.test_send_command import Send, on_disk, run, sent, state
from tests.unit.client.toy_gateway import ToyGateway, once, problem

__all__ = ["run", "state"]  # fixtures

MIB = 1024 * 1024


def is_join(request: web.Request) -> bool:
    return request.headers.get("Upload-Concat", "").startswith("final;")


def test_the_upload_is_opened_while_it_is_asked_what_the_gateway_takes(
    run: Send, gateway: ToyGateway, make_file: MakeFile
) -> None:
    make_file("1.dcm")
    gateway.meeting = asyncio.Barrier(2)
    gateway.troubles = [lambda request: "meet" if request.path in {"/endpoints", "/upload/init"} else None]
    assert run() == 0


def test_what_was_opened_with_a_file_too_many_is_cancelled_and_opened_without_it(
    run: Send, gateway: ToyGateway, make_file: MakeFile
) -> None:
    make_file("small.dcm", 10_000)
    make_file("large.dcm", 50_000)
    gateway.limits = {"max_file_size": 20_000, "max_upload_size": 1 << 30, "max_files": 100}
    assert run() == 3
    first, second = gateway.uploads.values()
    assert (first.state, first.body["total_files"]) == ("cancelled", 2)
    assert (second.state, second.body["total_files"]) == ("success", 1)


def test_what_could_not_be_opened_is_said_once(
    run: Send, gateway: ToyGateway, make_file: MakeFile, capsys: pytest.CaptureFixture[str]
) -> None:
    make_file("1.dcm")
    gateway.troubles = [once("POST", "/upload/init", problem(429, "quota_exceeded", "too many uploads are open"))]
    gateway.troubles += [once("POST", "/upload/init", problem(403, "forbidden", "not for you"))]
    assert run() != 0
    assert capsys.readouterr().err.count("not for you") == 1
    assert gateway.count("POST", "/upload/init") == 2


def test_complete_waits_for_no_answer_of_the_joining(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    make_file("large.dcm", 4 * MIB)
    gateway.joins = True
    gateway.meeting = asyncio.Barrier(2)
    left = [True]

    def meets(request: web.Request) -> str | None:
        if is_join(request):
            return "meet"
        if left[0] and request.path.endswith("/complete"):
            left[0] = False
            return "meet"
        return None

    gateway.troubles = [meets]
    assert run() == 0
    assert sent(gateway) == on_disk(folder)


def test_where_complete_comes_before_the_joining_it_is_said_again(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    make_file("large.dcm", 4 * MIB)
    gateway.joins = True
    gateway.troubles = [once("POST", "/complete", problem(409, "incomplete", "files are missing"))]
    assert run() == 0
    assert gateway.count("POST", "/complete") == 2
    assert gateway.bodies_bytes == sum(map(len, on_disk(folder)))  # and nothing is sent again for that
    assert sent(gateway) == on_disk(folder)


def test_a_last_part_that_is_late_goes_again_beside(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    make_file("large.dcm", 8 * MIB)
    gateway.joins = True
    seen: list[str] = []

    def hangs(request: web.Request) -> str | None:
        """The first of the small ones: nobody hears of it again."""
        if request.headers.get("Upload-Concat") != "partial" or int(request.headers["Upload-Length"]) > 70_000:
            return None
        seen.append(request.headers["Upload-Metadata"])
        return "hang" if len(seen) == 1 else None

    gateway.troubles = [hangs]
    assert run() == 0
    assert gateway.hanging.is_set()
    assert sent(gateway) == on_disk(folder)


def test_a_joining_whose_answer_is_lost_is_no_fault_once_complete_has_been_taken(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    make_file("large.dcm", 4 * MIB)
    gateway.joins = True
    seen: list[str] = []

    def is_lost(request: web.Request) -> web.Response | str | None:
        """The first joining is done, and nobody hears of it until `complete` is there."""
        if not is_join(request):
            return None
        seen.append("join")
        if len(seen) > 1:
            return problem(409, "upload_completed")
        gateway.lost_joins = 1
        return None

    gateway.troubles = [is_lost]
    assert run() == 0
    assert len(seen) == 2
    assert sent(gateway) == on_disk(folder)


def test_where_the_answers_to_the_joining_and_to_complete_are_lost_it_is_asked_what_has_become_of_it(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    """The device is on another network just then; by the time it asks again all has been delivered and erased."""
    make_file("large.dcm", 4 * MIB)
    gateway.joins = True
    joined: list[str] = []
    completed: list[str] = []

    def are_lost(request: web.Request) -> web.Response | str | None:
        if is_join(request):
            joined.append("join")
            if len(joined) > 1:
                return problem(410, "file_gone", "one of the parts is gone")
            gateway.lost_joins = 1
        if request.path.endswith("/complete"):
            completed.append("complete")
            return "lost" if len(completed) == 1 else None
        return None

    gateway.troubles = [are_lost]
    assert run() == 0
    assert len(joined) == 2
    assert sent(gateway) == on_disk(folder)
