"""A file that is most of what has to be sent goes over several connections, to gateways that join its parts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from gateway.client.parts import LEAST_PART_BYTES, PartedFile, spans_of
from gateway.client.scan import LocalFile
from tests.unit.client.conftest import MakeFile
from tests.unit.client.test_send_command import Send, on_disk, run, sent, state
from tests.unit.client.toy_gateway import ToyGateway, once, problem

__all__ = ["run", "state"]  # fixtures

MIB = 1024 * 1024


@pytest.mark.parametrize(("size", "later"), [(8 * MIB, 0), (3 * MIB + 7, MIB), (1, 0), (0, 0), (1024 * MIB, 0)])
def test_spans_are_all_of_a_file_in_order(size: int, later: int) -> None:
    spans = spans_of(size, later, size + later)
    assert [one.start for one in spans] == [sum(before.size_bytes for before in spans[:n]) for n in range(len(spans))]
    assert sum(one.size_bytes for one in spans) == size
    assert len(spans) == 1 or min(one.size_bytes for one in spans) >= LEAST_PART_BYTES // 2


def test_a_study_goes_in_about_as_many_parts_however_many_files_it_has() -> None:
    for count in (1, 2, 14):
        size = 8 * MIB // count
        parts = [spans_of(size, (count - 1 - number) * size, count * size) for number in range(count)]
        assert 36 <= sum(map(len, parts)) <= 56
    assert [len(spans_of(MIB, number * MIB, 400 * MIB)) for number in range(400)] == [1] * 400


def test_all_parts_of_one_file_can_be_named_in_one_header() -> None:
    assert max(len(spans_of(MIB << power, 0, MIB << power)) for power in range(14)) <= 56


def test_what_comes_late_goes_in_smaller_parts() -> None:
    sizes = [one.size_bytes for one in spans_of(8 * MIB, 0, 8 * MIB)]
    assert sizes[0] == 8 * MIB // 12
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("size", range(7 * LEAST_PART_BYTES, 8 * LEAST_PART_BYTES, 5001))
def test_the_last_part_that_all_wait_for_is_not_the_largest(size: int) -> None:
    sizes = [one.size_bytes for one in spans_of(size, 0, size)]
    assert sizes[-1] <= LEAST_PART_BYTES


def test_a_file_that_cannot_be_sent_is_named_once_however_many_of_its_parts_fail() -> None:
    file = LocalFile(Path("large.dcm"), MIB // 2, 0, "", {})
    parted = PartedFile(file, spans_of(MIB // 2, 0, MIB // 2), lambda _: None)
    assert [parted.leave_out() for _ in range(4)] == [True, False, False, False]


def test_one_large_file_goes_as_parts_that_the_gateway_joins(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    make_file("large.dcm", 4 * MIB)
    gateway.joins = True
    assert run("--at-once", "4") == 0
    assert sent(gateway) == on_disk(folder)
    (file,) = gateway.only_upload().files.values()
    assert file.parts is not None
    assert len(file.parts) == 32


def test_parts_of_one_file_travel_at_once(run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path) -> None:
    make_file("large.dcm", 4 * MIB)
    gateway.joins = True
    gateway.meeting = asyncio.Barrier(8)
    waiting = iter(range(8))

    def first_parts(request: web.Request) -> str | None:
        partial = request.headers.get("Upload-Concat") == "partial"
        return "meet" if partial and next(waiting, None) is not None else None

    gateway.troubles = [first_parts]
    assert run() == 0
    assert sent(gateway) == on_disk(folder)


def test_a_gateway_that_joins_nothing_gets_it_over_one(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    make_file("large.dcm", 4 * MIB)
    assert run() == 0
    assert sent(gateway) == on_disk(folder)
    assert gateway.only_upload().parts == {}


def test_parts_that_arrived_are_not_sent_again(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    size = make_file("large.dcm", 4 * MIB).stat().st_size
    gateway.joins = True
    refuse = problem(422, "no")
    gateway.troubles = [lambda request: refuse if "final" in request.headers.get("Upload-Concat", "") else None]
    assert run("--at-once", "4") == 4
    assert sum(len(part.data) for part in gateway.only_upload().parts.values()) == size
    gateway.troubles = []
    gateway.bodies_bytes = 0
    assert run("--at-once", "4") == 0
    assert gateway.bodies_bytes == 0
    assert sent(gateway) == on_disk(folder)


def test_a_part_that_was_cut_off_goes_on_at_the_byte_that_arrived(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    size = make_file("large.dcm", 4 * MIB).stat().st_size
    gateway.joins = True
    gateway.troubles = [once("POST", "/files/", "cut:300000")]
    assert run("--at-once", "4") == 0
    assert sent(gateway) == on_disk(folder)
    assert gateway.bodies_bytes <= size + MIB


@pytest.mark.parametrize("method", ["POST", "PATCH", "HEAD"])
def test_a_request_of_ours_that_came_late_and_took_over_is_no_end(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path, method: str
) -> None:
    """One that was given up may reach the gateway after its successor has."""
    make_file("large.dcm", 4 * MIB)
    gateway.joins = True
    gateway.troubles = [
        once(method, "/files/", problem(409, "taken_over"), times=3),
        once("POST", "/files/", "cut:30000", times=2),
    ]
    assert run("--chunk", "64KiB") == 0
    assert sent(gateway) == on_disk(folder)


def test_a_file_that_was_begun_as_a_whole_goes_on_as_one(
    run: Send, gateway: ToyGateway, make_file: MakeFile, folder: Path
) -> None:
    make_file("large.dcm", 4 * MIB)
    gateway.troubles = [once("PATCH", "/files/", problem(422, "no"))]
    assert run("--chunk", "1MiB") == 4
    gateway.joins = True
    assert run() == 0
    assert sent(gateway) == on_disk(folder)
