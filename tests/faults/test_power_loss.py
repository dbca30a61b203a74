"""The power is cut while a gateway works, its spool and its ledger both on a disk that forgets what wasn't synced."""

from __future__ import annotations

import random
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.lab import ROOT, Http, Lab, Pacs, running_lab
from tests.e2e.parrot import Parrot
from tests.faults.campaign import CHUNK_SIZE, LONG_TOKENS, Campaign, ParrotArchive, readable_on_disk, small_study
from tests.faults.power import Disk, forgetful_disk
from tests.scale import count

pytestmark = pytest.mark.root

POINTS = count(10, 200)


class Powered:
    """A gateway on a disk that can lose its power."""

    def __init__(self, lab: Lab, disk: Disk, pacs: Parrot) -> None:
        self.lab = lab
        self.disk = disk
        self.pacs = pacs
        self.who: Http = lab.login()

    def campaign(self, seed: int) -> Campaign:
        return Campaign(self.lab, self.who, ParrotArchive(self.pacs), small_study(seed), seed)

    def send_until_cut(self, campaign: Campaign, after_s: float, torn: int) -> None:
        """The power goes `after_s` after the begin, and comes back."""
        timer = threading.Timer(after_s, self.lab.signal, [signal.SIGKILL])
        timer.start()
        try:
            campaign.send()
        finally:
            timer.join()
        self.lab.kill()
        self.disk.cut(torn)
        assert readable_on_disk(self.lab) == []
        self.lab.start()


@contextmanager
def powered_lab(folder: Path, environment: dict[str, str]) -> Iterator[Powered]:
    folder, settings = folder / "gateway", {"uploads": {"chunk_size": CHUNK_SIZE}} | LONG_TOKENS
    with (
        forgetful_disk(folder / "var") as disk,
        Parrot() as pacs,
        running_lab(folder, Pacs(pacs.url), settings=settings, environment=environment) as lab,
    ):
        disk.sync()  # the account was put there by a copy
        yield Powered(lab, disk, pacs)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Powered]:
    with powered_lab(tmp_path_factory.mktemp("powered"), {}) as gateway:
        yield gateway


@pytest.mark.timeout(count(300, 3600))
def test_nothing_acknowledged_is_lost_with_the_power(gateway: Powered) -> None:
    seed = secrets.randbits(32)
    dice = random.Random(seed)
    print(f"seed {seed}")  # shown where the test fails
    began = time.monotonic()
    campaign = gateway.campaign(seed)
    assert campaign.send()
    gateway.lab.spool_empties()
    active_s = time.monotonic() - began

    for number in range(POINTS):
        campaign = gateway.campaign(seed + number)
        torn = dice.choice([0, dice.randrange(1, 1 << 30)])
        after_s = dice.uniform(0, active_s)
        print(f"power cut after {after_s:.2f} of {active_s:.2f} s, torn: {torn}")
        gateway.send_until_cut(campaign, after_s, torn)
        campaign.after_restart()
        assert campaign.send()
        campaign.arrived()
        gateway.lab.spool_empties()


def test_what_was_erased_stays_unreadable_after_a_power_cut(gateway: Powered) -> None:
    lab = gateway.lab
    upload_id, client = lab.open_upload(gateway.who, [500_000])
    client.create(500_000, {"file_id": "f0"}, b"x" * 200_000).expect(201)
    client.call("DELETE", f"/upload/{upload_id}").expect(204)
    lab.kill()
    gateway.disk.cut(0)
    lab.start()
    assert client.call("GET", f"/upload/{upload_id}/status").expect(410).json["state"] == "cancelled"
    lab.spool_empties()


def test_a_gateway_that_does_not_sync_is_caught_by_this_test(tmp_path: Path) -> None:
    killpoints = f"{Path(__file__).parent}/killpoints:{ROOT}"
    with powered_lab(tmp_path, {"PYTHONPATH": killpoints, "NO_SYNC": "1"}) as gateway:
        campaign = gateway.campaign(1)
        campaign._open()
        client = campaign._bearer()
        made = client.create(300_000, {"file_id": "f0"}, b"x" * 200_000).expect(201)
        campaign.urls[0] = made.headers["Location"]
        campaign.told[0] = made.offset
        assert made.offset == 200_000
        gateway.lab.kill()
        gateway.disk.cut(0)
        gateway.lab.start()
        with pytest.raises(AssertionError):
            campaign.after_restart()
