"""A running gateway that delivers into a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import scale
from tests.dicom_samples import instance, new_uid, study
from tests.e2e.lab import Http, Lab, Pacs, running_lab, wait_until
from tests.e2e.series import sha256, storable
from tests.e2e.test_outage import upload

pytestmark = pytest.mark.root
MOST_BYTES = 1 << 18


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "inbox").mkdir()
    endpoint = {"kind": "folder", "path": str(folder / "inbox"), "identity": "as-is"}
    with running_lab(folder / "gateway", Pacs(""), settings={"endpoints.main": endpoint}) as lab:
        yield lab


@pytest.fixture
def inbox(lab: Lab) -> Path:
    """The gateway's folder, empty."""
    folder = lab.folder.parent / "inbox"
    shutil.rmtree(folder)
    folder.mkdir()
    return folder


def names(inbox: Path) -> list[Path]:
    return sorted(path for path in inbox.rglob("*") if path.is_file())


def digests(inbox: Path) -> list[str]:
    return sorted(sha256(path.read_bytes()) for path in names(inbox))


def receipt_of(lab: Lab, client: Http, upload_id: str) -> Any:
    """What the receipt says, its signature looked at by the command."""
    jws = client.call("GET", f"/upload/{upload_id}/receipt").expect(200).body
    path = lab.folder / "receipt.jws"
    path.write_bytes(jws)
    done = lab.command("receipt", "verify", str(path), "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_study_is_in_the_folder_to_the_last_bit_and_its_receipt_says_compared(lab: Lab, inbox: Path) -> None:
    files = study(12, patient_id="4711", study_instance_uid=(uid := new_uid()))
    upload_id, client = upload(lab, files)
    done = client.complete(upload_id).expect(200).json
    assert (done["status"], done["warnings"]) == ("success", [])
    assert digests(inbox) == sorted(map(sha256, files))
    assert {path.parent for path in names(inbox)} == {inbox / "4711" / uid}
    receipt = receipt_of(lab, client, upload_id)
    assert receipt["verification"] == "compared"
    assert {one["outcome"] for one in receipt["instances"]} == {"stored"}
    lab.spool_empties()


def test_the_same_again_is_there_already_and_other_content_is_a_conflict(lab: Lab, inbox: Path) -> None:
    uids: dict[str, Any] = {
        "sop_instance_uid": new_uid(), "study_instance_uid": new_uid(), "series_instance_uid": new_uid()
    }  # fmt: skip
    old, new = (instance(**uids, pixel_data=pixel * 256) for pixel in (b"\1", b"\2"))
    for data, status, state in (
        (old, "success", "stored"),
        (old, "success", "already_there"),
        (new, "failed", "failed"),
    ):
        upload_id, client = upload(lab, [data])
        assert client.complete(upload_id).expect(200).json["status"] == status
        page = client.call("GET", f"/upload/{upload_id}/files").expect(200).json["files"]
        assert [one["state"] for one in page] == [state]
    assert digests(inbox) == [sha256(old)]


def test_what_somebody_else_put_there_is_compared(lab: Lab, inbox: Path) -> None:
    uids: dict[str, Any] = {"sop_instance_uid": "1.2.3.4", "study_instance_uid": "1.2.3", "patient_id": "7"}
    old, new = (instance(**uids, pixel_data=pixel * 256) for pixel in (b"\1", b"\2"))
    place = inbox / "7" / "1.2.3" / "1.2.3.4.dcm"
    place.parent.mkdir(parents=True)
    place.write_bytes(old)
    upload_id, client = upload(lab, [new])
    done = client.complete(upload_id).expect(200).json
    assert (done["status"], [one["code"] for one in done["warnings"]]) == ("failed", ["uid_conflict"])
    upload_id, client = upload(lab, [old])
    assert client.complete(upload_id).expect(200).json["status"] == "success"
    assert receipt_of(lab, client, upload_id)["verification"] == "compared"
    assert place.read_bytes() == old


def test_killed_again_and_again_each_instance_is_there_once(lab: Lab, inbox: Path) -> None:
    files = study(30, pixel_bytes=100_000)
    upload_id, client = upload(lab, files)
    client.complete(upload_id, wait_s=0).expect(202)
    for life in range(scale.count(1, 3)):
        wait_until("another file is there", lambda: len(list(inbox.glob("*/*/*.dcm"))) > 10 * life)  # noqa: B023 - it is called in this turn of the loop
        lab.kill()
        lab.start()
    assert client.outcome(upload_id)["state"] == "success"
    assert sorted(sha256(path.read_bytes()) for path in inbox.glob("*/*/*.dcm")) == sorted(map(sha256, files))
    assert receipt_of(lab, client, upload_id)["verification"] == "compared"


def test_a_folder_that_is_away_stops_the_endpoint_and_loses_nothing(lab: Lab, inbox: Path) -> None:
    away = inbox.with_name("away")
    inbox.rename(away)
    files = study(3)
    upload_id, client = upload(lab, files)
    client.complete(upload_id, wait_s=1).expect(202)
    wait_until("the endpoint is stopped", lambda: "endpoint.misconfigured" in lab.log_text())
    assert "code=folder_missing" in lab.log_text()
    assert not inbox.exists()
    away.rename(inbox)
    lab.stop()
    lab.start()  # whoever mended it starts it again: what waits is tried at once
    assert client.outcome(upload_id)["state"] == "success"
    assert digests(inbox) == sorted(map(sha256, files))


def test_check_says_how_the_folder_is(lab: Lab, inbox: Path) -> None:
    def told() -> Any:
        rows = json.loads(lab.command("check", "--json").stdout)
        return next(row for row in rows if row["part"] == "endpoint main")

    assert told()["state"] == "ok"
    shutil.rmtree(inbox)
    assert told()["state"] == "fault"
    assert told()["told"].startswith("folder_missing")
    inbox.mkdir()


def test_where_it_is_to_be_checked_whose_a_study_is_the_folder_can_not_be_asked(tmp_path: Path) -> None:
    (inbox := tmp_path / "inbox").mkdir()
    endpoint = {"kind": "folder", "path": str(inbox), "if_unknown": "hold"}
    with running_lab(tmp_path / "gateway", Pacs(""), settings={"endpoints.main": endpoint}) as lab:
        upload_id, client = upload(lab, study(1))
        client.complete(upload_id, wait_s=0)
        wait_until("it is held", lambda: client.status(upload_id)["state"] == "held")
        assert names(inbox) == []


def test_every_storable_file_of_the_test_data_arrives_as_it_was_sent(lab: Lab, inbox: Path) -> None:
    files = storable(20)
    who = lab.login()
    for data in files:
        upload_id, client = lab.open_upload(who, [data])
        client.create(len(data), {"file_id": "f"}, data).expect(201)
        client.call("POST", f"/upload/{upload_id}/complete", {}, {"Prefer": "wait=0"})
    wait_until("all are there", lambda: len(list(inbox.glob("*/*/*.dcm"))) == len(files), 60.0 + len(files))
    assert digests(inbox) == sorted(map(sha256, files))
