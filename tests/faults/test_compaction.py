"""A disk without holes, on which what lives of a mostly dead segment is copied elsewhere: the gateway is killed at each step
of that, and the power goes with it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.dicom_samples import study
from tests.e2e.lab import ROOT, Lab, Pacs, running_lab, wait_until
from tests.e2e.parrot import Parrot
from tests.e2e.series import sha256
from tests.faults.campaign import LONG_TOKENS
from tests.faults.killpoints.sitecustomize import COPYING
from tests.faults.power import Disk, forgetful_disk
from tests.scale import count

pytestmark = pytest.mark.root

FILES, KEPT = 24, 8


@contextmanager
def without_holes(folder: Path) -> Iterator[tuple[Lab, Disk, Parrot]]:
    """A gateway whose disk forgets, too, what wasn't synced."""
    gateway = folder / "gateway"
    environment = {
        "KILL_POINTS": str(gateway / "orders"),
        "PYTHONPATH": f"{Path(__file__).parent}/killpoints:{ROOT}",
    }
    with (
        forgetful_disk(gateway / "var") as disk,
        Parrot() as pacs,
        running_lab(gateway, Pacs(pacs.url), settings=LONG_TOKENS, environment=environment) as lab,
    ):
        disk.sync()
        yield lab, disk, pacs


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Disk, Parrot]]:
    with without_holes(tmp_path_factory.mktemp("copying")) as one:
        yield one


def dead(lab: Lab) -> bool:
    process = lab.process
    return process is None or os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@pytest.mark.timeout(count(120, 3600))
@pytest.mark.parametrize("round_", range(count(1, 10)))
def test_a_gateway_that_dies_at_each_step_of_copying_loses_nothing_and_copies_it_after_all(
    gateway: tuple[Lab, Disk, Parrot], round_: int
) -> None:
    (lab, disk, pacs), dice = gateway, random.Random(round_)
    files = study(FILES, pixel_bytes=40_000)
    upload_id, client = lab.open_upload(lab.login(), files)
    urls = [
        client.create(len(data), {"file_id": f"f{number}"}, data).expect(201).headers["Location"]
        for number, data in enumerate(files)
    ]
    kept = sorted(dice.sample(range(FILES), KEPT))
    for number in set(range(FILES)) - set(kept):
        client.call("DELETE", f"/upload/{upload_id}/files/f{number}").expect(204)
    (before,) = lab.segments()

    orders, torn = lab.folder / "orders", 0
    for point in COPYING:
        lab.kill()
        disk.cut(torn)
        orders.write_text(f"{point} 1")
        lab.start()  # its predecessor's segment is closed now
        wait_until(f"the gateway comes to {point}", lambda: dead(lab))
        orders.unlink()
        torn = dice.choice([0, dice.randrange(1, 1 << 30)])
    lab.kill()
    disk.cut(torn)
    lab.start()

    wait_until("what lives is elsewhere", lambda: lab.segments() and before not in lab.segments())
    most = int(1.2 * sum(len(files[number]) for number in kept)) + 65_536
    wait_until("little else is there", lambda: sum(path.stat().st_size for path in lab.segments()) <= most)
    for number in kept:
        assert client.head(urls[number]).expect(200).offset == len(files[number])
    pacs.held.clear()
    assert client.complete(upload_id).expect(200).json["status"] == "success"
    assert sorted(sha256(one.content) for one in pacs.held.values()) == sorted(sha256(files[one]) for one in kept)
    lab.spool_empties()
