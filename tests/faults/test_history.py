"""Several clients write to the same files while the gateway is killed, or its power cut: what each was told, by real time,
and what the PACS has in the end fit together.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab import ROOT, Http, Lab, Pacs, running_lab
from tests.e2e.parrot import Parrot
from tests.faults.campaign import LONG_TOKENS
from tests.faults.crowd import Crowd
from tests.faults.history import Outcome, Request, faults
from tests.faults.power import Disk, forgetful_disk
from tests.faults.storage import FAULTS, fault, under_shim
from tests.scale import count

pytestmark = pytest.mark.root

#: Rows of 256 bytes: small files, and one whose appends have a segment for themselves.
SIZES = [600, 900, 12_000]
PIECES = [2_000, 10_000, 50_000, 2_500_000]
KILLS = count(3, 5)  #: of each round
ROUNDS, POWERED_ROUNDS, FAULTY_ROUNDS = count(1, 25), count(1, 10), count(1, 25)
KILLPOINTS = f"{Path(__file__).parent}/killpoints:{ROOT}"


@dataclass
class Stage:
    """A gateway that dies and comes back.

    :param disk: what it stands on; None: what the system has, which forgets nothing when a process dies.
    """

    lab: Lab
    pacs: Parrot
    who: Http
    disk: Disk | None = None

    def crowd(self, seed: int, sizes: Sequence[int] = SIZES) -> Crowd:
        return Crowd(self.lab, self.who, seed, list(sizes), PIECES)

    def fall(self, crowd: Crowd, torn: int = 0) -> None:
        """The process dies, and the power goes with it where it can; then all is there again."""
        crowd.alive.clear()
        self.lab.kill()
        if self.disk is not None:
            self.disk.cut(torn)
        self.lab.start()
        crowd.alive.set()

    def arrived(self, crowd: Crowd) -> list[str]:
        """The files are whole: they come to the PACS; what of them can't be true."""
        assert crowd.client.complete(crowd.upload_id, wait_s=60).expect(200).json["status"] == "success"
        return [fault for file in crowd.files for fault in file.faults(self.pacs.held[file.uid].content)]


@contextmanager
def stage_of(folder: Path, pacs: Parrot, environment: Mapping[str, str], disk: Disk | None = None) -> Iterator[Stage]:
    environment = {"PYTHONPATH": KILLPOINTS, **environment}
    with running_lab(folder, Pacs(pacs.url), settings=LONG_TOKENS, environment=environment) as lab:
        if disk is not None:
            disk.sync()  # the account was put there by a copy
        yield Stage(lab, pacs, lab.login(), disk)


@contextmanager
def powered(folder: Path, **environment: str) -> Iterator[Stage]:
    gateway = folder / "gateway"
    with forgetful_disk(gateway / "var") as disk, Parrot() as pacs, stage_of(gateway, pacs, environment, disk) as one:
        yield one


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Stage]:
    with Parrot() as pacs, stage_of(tmp_path / "gateway", pacs, {}) as stage:
        yield stage


def played(stage: Stage, seed: int, sizes: Sequence[int]) -> None:
    """A crowd writes some files while the gateway falls again and again; then all of it is held together."""
    print(f"seed {seed}")  # shown where the test fails
    dice, falls = random.Random(seed), 0
    crowd = stage.crowd(seed, sizes)
    with crowd.at_work() as all_written:
        while falls < KILLS and not all_written(0):
            crowd.some_more(dice.randint(1, 20))  # who only asks never ends
            stage.fall(crowd, dice.choice([0, dice.randrange(1, 1 << 30)]))
            falls += 1
        assert all_written(120) or crowd.faults()
    assert crowd.faults() == []
    assert stage.arrived(crowd) == []
    told = sum(one.offset is not None for file in crowd.files for one in file.requests)
    print(f"{falls} falls, {told} offsets told of {sum(len(file.requests) for file in crowd.files)} requests")
    stage.lab.spool_empties()


@pytest.mark.timeout(count(300, 3600))
def test_whatever_clients_are_told_is_true_however_often_the_gateway_is_killed(mortal: Stage) -> None:
    seed = secrets.randbits(32)
    for number in range(ROUNDS):
        played(mortal, seed + number, SIZES)


@pytest.mark.timeout(count(300, 3600))
def test_and_however_often_the_power_goes(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    with powered(tmp_path) as stage:
        for number in range(POWERED_ROUNDS):
            played(stage, seed + number, [300, 6_000])


@pytest.mark.timeout(count(300, 3600))
def test_and_whatever_the_storage_refuses(tmp_path: Path, shim: Path) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # shown where the test fails
    dice, folder = random.Random(seed), tmp_path / "gateway"
    with Parrot() as pacs, stage_of(folder, pacs, under_shim(shim, folder)) as stage:
        for number in range(FAULTY_ROUNDS):
            crowd = stage.crowd(seed + number)
            with crowd.at_work() as all_written:
                for call, part, error in dice.sample(FAULTS, len(FAULTS)):
                    crowd.some_more(dice.randint(1, 20))
                    with fault(stage.lab, call, part, error):
                        crowd.some_more(dice.randint(1, 20))
                assert all_written(120) or crowd.faults()
            assert crowd.faults() == []
            assert stage.arrived(crowd) == []


def found_at_a_fall(stage: Stage) -> list[str]:
    """What can't be true after the first fall, in mid-work."""
    crowd = stage.crowd(1)
    with crowd.at_work():
        for _ in range(KILLS):
            crowd.some_more(20)
            stage.fall(crowd)
            for file in crowd.files:
                crowd.look(file)
            if crowd.faults():
                break
    return crowd.faults()


def test_a_gateway_that_answers_before_its_syncs_is_caught(tmp_path: Path) -> None:
    with powered(tmp_path, LATE_SYNC="1") as stage:
        assert found_at_a_fall(stage)


def test_a_gateway_that_answers_before_its_commits_is_caught(tmp_path: Path) -> None:
    with Parrot() as pacs, stage_of(tmp_path / "gateway", pacs, {"EARLY_ANSWERS": "1"}) as stage:
        assert found_at_a_fall(stage)


# The judge itself, on histories of a few requests.

MINE, YOURS = bytes(range(100)), bytes(range(100, 200))


def bytes_of(writer: int) -> bytes:
    return (MINE, YOURS)[writer]


def append(began: float, ended: float, writer: int, at: int, size: int) -> Request:
    return Request(began_s=began, ended_s=ended, offset=at + size, writer=writer, at=at, size=size)


def broken(began: float, writer: int, at: int, size: int) -> Request:
    return Request(began_s=began, outcome=Outcome.UNKNOWN, writer=writer, at=at, size=size)


def refused(began: float, ended: float, writer: int, at: int, size: int, offset: int) -> Request:
    sent: dict[str, Any] = {"writer": writer, "at": at, "size": size}
    return Request(began_s=began, ended_s=ended, outcome=Outcome.REFUSED, offset=offset, **sent)


def look(began: float, ended: float, offset: int) -> Request:
    return Request(began_s=began, ended_s=ended, offset=offset)


#: Mine to 40; yours broke off somewhere on; mine from 60.
HISTORY = [
    append(0, 1, 0, 0, 40),
    refused(0.5, 1.5, 1, 0, 40, 40),
    broken(2, 1, 40, 50),
    look(3, 4, 60),
    append(5, 6, 0, 60, 40),
]


def test_a_history_that_can_be_true_has_no_faults() -> None:
    assert faults(HISTORY, MINE[:40] + YOURS[40:60] + MINE[60:], bytes_of) == []
    assert faults([append(0, 2, 0, 0, 40), look(1, 3, 0), look(1, 1.5, 40)]) == [], (
        "who asked meanwhile may hear either"
    )


@pytest.mark.parametrize(
    ("history", "fault"),
    [
        ([append(0, 1, 0, 0, 40), look(2, 3, 39)], "40 was told, and later 39"),
        ([append(0, 1, 0, 0, 40), refused(2, 3, 1, 0, 40, 0)], "40 was told, and later 0"),
        (
            [append(0, 1, 0, 0, 40), Request(began_s=2, outcome=Outcome.LOST)],
            "40 was told, and later the file is lost",
        ),
        ([look(0, 1, 5)], "5 was told, and nobody had sent bytes up to there"),
        ([broken(2, 0, 0, 40), look(0, 1, 5)], "5 was told, and nobody had sent bytes up to there"),
        (
            [append(0, 9, 0, 0, 40), append(0, 9, 1, 0, 40)],
            "two appends were told that they are at 0",
        ),
        (
            [Request(began_s=0, ended_s=1, offset=30, writer=0, at=0, size=40)],
            "an append of 40 bytes at 0 was told 30",
        ),
    ],
)
def test_what_cannot_be_true_is_named(history: list[Request], fault: str) -> None:
    assert fault in faults(history)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (YOURS[:40] + YOURS[40:60] + MINE[60:], "the bytes from 0 to 40 are not those of who was told so"),
        (MINE, "the bytes from 40 to 60 are nobody's"),
        (MINE[:40] + YOURS[40:60] + MINE[60:80], "100 was told, and the file has 80 bytes"),
        (MINE[:40] + YOURS[40:60] + MINE[60:] + b"?", "the bytes from 100 to 101 are nobody's"),
    ],
)
def test_bytes_that_nobody_can_have_sent_there_are_named(content: bytes, fault: str) -> None:
    assert fault in faults(HISTORY, content, bytes_of)
