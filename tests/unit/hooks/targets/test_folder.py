"""A folder as a PACS: whole files under their names, never over another, durable, read back."""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hooks.contract import (
    Comparison,
    Instance,
    LookupRefused,
    OutcomeKind,
    SourceBroke,
    Stopped,
    TargetDown,
    TargetMisconfigured,
)
from hooks.targets.folder import ABANDONED_AFTER_S, UNFINISHED, FolderTarget
from tests.dicom_samples import as_instance, instance, new_uid

LAYOUT = "{PatientID}/{StudyInstanceUID}/{SOPInstanceUID}.dcm"


def never() -> bool:
    return False


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def target(inbox: Path) -> FolderTarget:
    return FolderTarget(inbox, LAYOUT)


def files(inbox: Path) -> dict[str, bytes]:
    return {str(path.relative_to(inbox)): path.read_bytes() for path in sorted(inbox.rglob("*")) if path.is_file()}


def kinds(target: FolderTarget, *instances: Instance) -> list[OutcomeKind]:
    told = target.deliver(instances, never)
    return [told[one.instance_id].kind for one in instances]


def test_an_instance_is_there_to_the_last_bit_under_its_name(inbox, target):
    data = instance(patient_id="4711")
    one = as_instance(data)
    told = target.deliver([one], never)[one.instance_id]
    assert (told.kind, told.compared) == (OutcomeKind.STORED, True)
    assert files(inbox) == {f"4711/{one.study_instance_uid}/{one.sop_instance_uid}.dcm": data}


def test_files_and_folders_are_for_their_group_and_for_nobody_else(inbox, target):
    one = as_instance(instance(patient_id="4711"))
    target.deliver([one], never)
    (file,) = inbox.glob("4711/*/*.dcm")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o750
    assert stat.S_IMODE((inbox / UNFINISHED).stat().st_mode) == 0o700


def test_what_is_there_is_compared_and_never_written_over(inbox, target):
    uids: dict[str, Any] = {
        "sop_instance_uid": new_uid(),
        "study_instance_uid": new_uid(),
        "series_instance_uid": new_uid(),
    }
    first, other = (as_instance(instance(**uids, pixel_data=pixel * 256)) for pixel in (b"\1", b"\2"))
    assert kinds(target, first) == [OutcomeKind.STORED]
    before = files(inbox)
    assert kinds(target, first) == kinds(target, other) == [OutcomeKind.DUPLICATE]
    assert target.compare(first) is Comparison.SAME
    assert target.compare(other) is Comparison.DIFFERENT
    assert files(inbox) == before


def test_what_was_taken_away_can_not_be_compared(inbox, target):
    one = as_instance(instance())
    target.deliver([one], never)
    next(inbox.rglob("*.dcm")).unlink()
    assert target.compare(one) is Comparison.UNAVAILABLE


def test_of_fifty_at_once_one_gets_the_name(inbox, target):
    uids: dict[str, Any] = {
        "sop_instance_uid": new_uid(),
        "study_instance_uid": new_uid(),
        "series_instance_uid": new_uid(),
    }
    racing = [as_instance(instance(**uids, pixel_data=bytes([number]) * 256)) for number in range(50)]
    told: list[OutcomeKind] = []
    threads = [threading.Thread(target=lambda one=one: told.extend(kinds(target, one))) for one in racing]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [OutcomeKind.DUPLICATE] * 49 + [OutcomeKind.STORED]
    (content,) = files(inbox).values()
    assert content in {one.open().read_at(0, one.size_bytes) for one in racing}


def test_a_file_system_without_links_is_written_by_renaming(inbox, target, monkeypatch):
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    one = as_instance(instance())
    assert kinds(target, one) == [OutcomeKind.STORED]
    assert kinds(target, one) == [OutcomeKind.DUPLICATE]
    assert len(files(inbox)) == 1


def test_a_patient_whose_id_is_a_way_out_stays_inside(inbox, target):
    one = as_instance(instance(patient_id="../../../evil"))
    assert kinds(target, one) == [OutcomeKind.STORED]
    assert len(files(inbox)) == 1
    assert not list(inbox.parent.glob("*evil*"))


def test_a_transfer_that_is_stopped_leaves_nothing(inbox, target):
    with pytest.raises(Stopped):
        target.deliver([as_instance(instance())], lambda: True)
    assert files(inbox) == {}


def test_what_was_stored_before_a_stop_is_told(inbox, target):
    one, other = as_instance(instance()), as_instance(instance())
    asked = iter([False, True])
    told = target.deliver([one, other], lambda: next(asked))
    assert [told[each.instance_id].kind for each in (one, other)] == [OutcomeKind.STORED, OutcomeKind.UNKNOWN]
    assert len(files(inbox)) == 1


def test_an_instance_that_is_shorter_than_it_should_be_gets_no_name(inbox, target):
    one = as_instance(instance())
    with pytest.raises(SourceBroke):
        target.deliver([dataclasses.replace(one, size_bytes=one.size_bytes + 2)], never)
    assert files(inbox) == {}


def test_bytes_that_come_back_otherwise_get_no_name(inbox, target):
    one = dataclasses.replace(as_instance(instance()), sha256="0" * 64)
    with pytest.raises(TargetDown, match="folder_reads_otherwise"):
        target.deliver([one], never)
    assert files(inbox) == {}


def test_what_a_crash_left_is_taken_away_when_nobody_can_be_writing_it(inbox):
    (inbox / UNFINISHED).mkdir()
    old, young = (inbox / UNFINISHED / name for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half a file")
    os.utime(old, (time.time() - 2 * ABANDONED_AFTER_S,) * 2)
    FolderTarget(inbox, LAYOUT).deliver([as_instance(instance())], never)
    assert not old.exists()
    assert young.exists()


def test_it_can_not_be_asked(target):
    with pytest.raises(LookupRefused):
        target.present("1.2", ["1.3"])
    with pytest.raises(LookupRefused):
        target.patients(patient_id="1")
    with pytest.raises(LookupRefused):
        target.shows("1.2")


def test_a_folder_that_is_not_mounted_is_not_made(tmp_path):
    gone = FolderTarget(tmp_path / "share", LAYOUT)
    with pytest.raises(TargetMisconfigured, match="folder_missing"):
        gone.probe()
    with pytest.raises(TargetMisconfigured, match="folder_missing"):
        gone.deliver([as_instance(instance())], never)
    assert not (tmp_path / "share").exists()


def test_probing_changes_nothing(inbox, target):
    assert "can be written" in target.probe()
    assert list(inbox.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "error", "code"),
    [
        (errno.ENOSPC, TargetDown, "folder_full"),
        (errno.EDQUOT, TargetDown, "folder_full"),
        (errno.EIO, TargetDown, "folder_failed"),
        (errno.ESTALE, TargetDown, "folder_failed"),
        (errno.EACCES, TargetMisconfigured, "folder_denied"),
        (errno.EROFS, TargetMisconfigured, "folder_read_only"),
    ],
)
def test_a_disk_that_fails_says_so_by_a_code_and_keeps_nothing_half(inbox, target, monkeypatch, number, error, code):
    def write(*_: object) -> int:
        raise OSError(number, "the disk", str(inbox / "DOE^JANE"))

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(error) as caught:
        target.deliver([as_instance(instance())], never)
    assert caught.value.code == code
    assert "DOE" not in repr(caught.value)
    monkeypatch.undo()
    assert files(inbox) == {}
