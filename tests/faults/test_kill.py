"""kill -9 at every phase, and at any moment: nothing acknowledged is lost, all arrives once, no success is false, and
nothing of a patient is left readable.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import pacs_of
from tests.e2e.lab import ROOT, Lab, Pacs, running_lab, wait_until
from tests.e2e.orthanc import Orthanc
from tests.e2e.parrot import Parrot
from tests.faults.campaign import (
    CHUNK_SIZE,
    LONG_TOKENS,
    Archive,
    Campaign,
    OrthancArchive,
    ParrotArchive,
    readable_on_disk,
    small_study,
)
from tests.faults.killpoints.sitecustomize import POINTS
from tests.scale import count

pytestmark = pytest.mark.root

#: The phases that every run must have been killed in; the other points lie between them.
PHASES = ("mid-body", "synced, no row", "row, no job", "mid-STOW", "answered, not recorded", "receipt, no purge")
KILLS = count(15, 200)
PER_PHASE = count(1, 5)
#: A point may be passed so often before the kill.
LATEST = {
    "mid-body": 6,  # each of six small files is an append at least
    "written, not synced": 3,
    "synced, no row": 3,  # of three lanes' appends every three may share one
    "row, no job": 8,
    "committed, not told": 5,
    "mid-STOW": 2,
}
HOUR_S = 3600
ORPHAN, FRESH = "ab" * 16, "cd" * 16


class Mortal:
    """A gateway with points at which it dies."""

    def __init__(self, lab: Lab, archive: Archive) -> None:
        self.lab = lab
        self.archive = archive
        self.orders = lab.folder / "orders"
        self.who = lab.login()

    def campaign(self, seed: int) -> Campaign:
        return Campaign(self.lab, self.who, self.archive, small_study(seed), seed)

    def die_at(self, point: str, number: int) -> None:
        self.orders.with_suffix(".new").write_text(f"{point} {number}")
        self.orders.with_suffix(".new").rename(self.orders)

    def dead(self) -> bool:
        """The process has ended; it is still the lab's to bury."""
        process = self.lab.process
        return process is None or os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def rise(self) -> None:
        """Once more, after an end without a word."""
        self.orders.unlink(missing_ok=True)
        self.lab.kill()
        assert readable_on_disk(self.lab) == []
        self.lab.start()

    def finish(self, campaign: Campaign) -> None:
        """After the restart: the log holds, the rest is sent, all is there once, nothing is left."""
        campaign.after_restart()
        assert campaign.send()
        campaign.arrived()
        self.lab.spool_empties()


def mortal_lab(folder: Path, pacs: Pacs) -> Iterator[Lab]:
    environment = {"KILL_POINTS": str(folder / "orders"), "PYTHONPATH": f"{Path(__file__).parent}/killpoints:{ROOT}"}
    settings = {"uploads": {"chunk_size": CHUNK_SIZE}} | LONG_TOKENS
    with running_lab(folder, pacs, environment=environment, settings=settings) as lab:
        yield lab


@pytest.fixture(scope="module")
def before_orthanc(tmp_path_factory: pytest.TempPathFactory, orthanc_of_session: Orthanc) -> Iterator[Mortal]:
    for lab in mortal_lab(tmp_path_factory.mktemp("mortal") / "gateway", pacs_of(orthanc_of_session)):
        yield Mortal(lab, OrthancArchive(orthanc_of_session))


@pytest.fixture(scope="module")
def before_parrot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    with Parrot() as pacs:
        for lab in mortal_lab(tmp_path_factory.mktemp("mortal") / "gateway", Pacs(pacs.url)):
            yield Mortal(lab, ParrotArchive(pacs))


def killed_at(gateway: Mortal, point: str, seed: int) -> None:
    campaign = gateway.campaign(seed)
    gateway.die_at(point, random.Random(seed).randint(1, LATEST.get(point, 1)))
    campaign.send()
    wait_until(f"the gateway comes to {point}", gateway.dead)
    gateway.rise()
    gateway.finish(campaign)


@pytest.mark.parametrize("round_", range(PER_PHASE))
@pytest.mark.parametrize("phase", PHASES)
def test_a_gateway_killed_in_this_phase_loses_nothing_and_delivers_once(
    before_orthanc: Mortal, orthanc: Orthanc, phase: str, round_: int
) -> None:
    killed_at(before_orthanc, phase, seed=1000 * round_ + PHASES.index(phase))


@pytest.mark.parametrize("seed", range(count(1, 5)))
def test_nor_does_one_killed_at_every_step_between_these_phases_of_one_upload(before_parrot: Mortal, seed: int) -> None:
    campaign, dice = before_parrot.campaign(seed), random.Random(seed)
    for point in (one for one in POINTS if one not in PHASES):
        before_parrot.die_at(point, dice.randint(1, LATEST.get(point, 1)))
        campaign.send()
        wait_until(f"the gateway comes to {point}", before_parrot.dead)
        before_parrot.rise()
    before_parrot.finish(campaign)


@pytest.mark.timeout(count(300, 3600))
def test_killed_at_any_moment_of_its_work_it_loses_nothing_and_delivers_once(before_parrot: Mortal) -> None:
    gateway, seed = before_parrot, secrets.randbits(32)
    dice = random.Random(seed)
    print(f"seed {seed}")  # shown where the test fails
    began = time.monotonic()
    campaign = gateway.campaign(seed)
    assert campaign.send()
    gateway.lab.spool_empties()
    active_s = time.monotonic() - began

    for number in range(KILLS - len(PHASES) * PER_PHASE):
        campaign = gateway.campaign(seed + number)
        killer = Killer(gateway, dice.uniform(0, active_s))
        finished = killer.during(campaign)
        gateway.rise()
        gateway.finish(campaign)
        print(f"killed after {killer.after_s:.2f} of {active_s:.2f} s; finished before: {finished}")


class Killer:
    """Kills after a time that begins with the sending."""

    def __init__(self, gateway: Mortal, after_s: float) -> None:
        self._gateway = gateway
        self.after_s = after_s

    def during(self, campaign: Campaign) -> bool:
        timer = threading.Timer(self.after_s, self._gateway.lab.signal, [signal.SIGKILL])
        timer.start()
        try:
            return campaign.send()
        finally:
            timer.join()


def test_the_sweep_takes_orphans_and_nothing_else(before_parrot: Mortal) -> None:
    lab = before_parrot.lab
    for name, age_s in ((ORPHAN, 2 * HOUR_S), (FRESH, 0)):
        path = lab.spool / name[:2] / name
        path.write_bytes(b"sealed by nobody")
        os.utime(path, (time.time() - age_s,) * 2)
    campaign = before_parrot.campaign(7)
    campaign._open()
    client = campaign._bearer()
    url = client.create(1000, {"file_id": "f0"}, b"x" * 500).expect(201).headers["Location"]
    purged = lab.command("purge")
    assert purged.returncode == 0, purged.stderr
    assert "1 stray blobs removed" in purged.stdout
    left = {path.name for path in lab.segments()}
    assert ORPHAN not in left
    assert FRESH in left
    assert client.head(url).expect(200).offset == 500
    (lab.spool / FRESH[:2] / FRESH).unlink()
    client.call("DELETE", f"/upload/{campaign.upload_id}").expect(204)
    lab.spool_empties()
