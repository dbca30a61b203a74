"""`relaypacs send` of a medium with everything wrong at once: what can go has gone, every rest is named, in one run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dicom_samples import instance, new_uid
from tests.e2e.lab import Lab, Pacs, running_lab
from tests.e2e.test_send import archive, held
from tests.faults.power import HOW_TO_GET_IT

__all__ = ["archive"]  # a fixture


@pytest.fixture
def lab(tmp_path: Path, archive: str) -> Iterator[Lab]:
    limits = {"uploads": {"max_file_size": "2MiB"}}
    with running_lab(tmp_path / "gateway", Pacs(archive), settings=limits) as one:
        yield one


@pytest.fixture
def medium(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """The folder behind a bad disk, and the disk."""
    if not Path("/dev/fuse").exists() or os.geteuid() != 0:
        pytest.fail(HOW_TO_GET_IT)
    folder, disk = tmp_path / "folder", tmp_path / "disk"
    folder.mkdir()
    disk.mkdir()
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("bad_disk.py")), str(disk), str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "mounted\n"
        yield folder, disk
        process.stdin.write("\n")
        process.stdin.close()
        process.wait(20)


def test_what_can_go_has_gone_and_every_rest_is_named(lab: Lab, archive: str, medium: tuple[Path, Path]) -> None:
    folder, disk = medium
    (folder / "closed").mkdir()
    (folder / "closed" / "1.dcm").write_bytes(instance())
    study = new_uid()
    good = [instance(study_instance_uid=study, patient_id="GOOD", pixel_data=bytes([n]) * 256) for n in range(3)]
    for number, content in enumerate(good):
        (folder / f"{number}.dcm").write_bytes(content)
    broken = instance(study_instance_uid=study, patient_id="GOOD", pixel_data=bytes(1 << 20))
    (folder / "sector.dcm").write_bytes(broken)
    (folder / "large.dcm").write_bytes(instance(patient_id="GOOD", pixel_data=bytes(3 << 20)))
    # The PACS knows this number of somebody else.
    known = instance(patient_id="HELD", patient_name="ROE^RICK", patient_birth_date="19500505")
    (folder.parent / "known").mkdir()
    (folder.parent / "known" / "1.dcm").write_bytes(known)
    assert lab.send(folder.parent / "known").returncode == 0
    suspect = instance(patient_id="HELD", patient_name="DOE^JANE", patient_birth_date="19991231")
    (folder / "suspect.dcm").write_bytes(suspect)

    sent = lab.send(disk)
    assert sent.returncode == 3, sent.stderr + sent.stdout
    for name, reason in (
        ("closed", "a folder that can't be read"),
        ("sector.dcm", "can't be read"),
        ("large.dcm", "larger than the gateway takes"),
    ):
        assert f"{disk}/{name}: {reason}" in sent.stderr
    assert "pacs_patient_conflict" in sent.stdout
    assert held(archive) == sorted([*good, known])

    only = folder.parent / "only"
    only.mkdir()
    (only / "suspect.dcm").write_bytes(suspect)
    alone = lab.send(only)
    assert alone.returncode == 5, alone.stderr + alone.stdout
    assert "  reason: pacs_patient_conflict" in alone.stdout
