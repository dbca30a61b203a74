"""A UID that the PACS has already, with other content: Orthanc answers 200 and keeps the old one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dicom_samples import instance, new_uid, study
from tests.e2e.lab import Lab, wait_until
from tests.e2e.orthanc import Orthanc
from tests.e2e.series import sha256
from tests.e2e.test_outage import upload
from tests.e2e.test_real_series import digests_in

pytestmark = pytest.mark.root


def test_other_content_under_a_known_uid_is_a_conflict_and_its_bytes_are_kept(own_lab: Lab, orthanc: Orthanc) -> None:
    uids: dict[str, Any] = {
        "sop_instance_uid": new_uid(),
        "study_instance_uid": new_uid(),
        "series_instance_uid": new_uid(),
    }
    old, new = instance(**uids, pixel_data=b"\1" * 256), instance(**uids, pixel_data=b"\2" * 256)
    orthanc.request("POST", "/instances", old)

    upload_id, client = upload(own_lab, [new])
    answer = client.complete(upload_id).expect(200).json
    assert answer["status"] == "failed"
    assert [warning["code"] for warning in answer["warnings"]] == ["uid_conflict"]
    assert answer["warnings"][0]["sop_instance_uid"] == uids["sop_instance_uid"]
    outcomes = [one["outcome"] for one in client.call("GET", f"/upload/{upload_id}/files").json["files"]]
    assert outcomes != ["stored"]
    assert digests_in(orthanc) == [sha256(old)]
    assert_kept(own_lab, 1)


def test_one_conflict_among_good_instances_is_partial_and_only_its_bytes_are_kept(
    own_lab: Lab, orthanc: Orthanc
) -> None:
    same: dict[str, Any] = {"study_instance_uid": new_uid(), "series_instance_uid": new_uid()}
    files = study(4, **same)
    known = new_uid()
    old, new = (instance(**same, sop_instance_uid=known, pixel_data=pixel * 256) for pixel in (b"\1", b"\2"))
    orthanc.request("POST", "/instances", old)

    upload_id, client = upload(own_lab, [*files, new])
    answer = client.complete(upload_id).expect(200).json
    assert answer["status"] == "partial"
    assert [(one["code"], one["sop_instance_uid"]) for one in answer["warnings"]] == [("uid_conflict", known)]
    assert digests_in(orthanc) == sorted(sha256(data) for data in [*files, old])
    assert_kept(own_lab, 1)


def test_same_content_under_a_known_uid_is_there_already(own_lab: Lab, orthanc: Orthanc) -> None:
    data = instance()
    orthanc.request("POST", "/instances", data)
    upload_id, client = upload(own_lab, [data])
    assert client.complete(upload_id).expect(200).json["status"] == "success"
    page = client.call("GET", f"/upload/{upload_id}/files").expect(200).json["files"]
    assert [one["state"] for one in page] == ["already_there"]
    assert digests_in(orthanc) == [sha256(data)]
    own_lab.spool_empties()


def assert_kept(lab: Lab, count: int) -> None:
    """Still there after a purge, and after a stop and a start."""
    wait_until("only what failed is kept", lambda: lab.entries() == count)
    lab.stop()
    purged = lab.command("purge")
    assert purged.returncode == 0, purged.stderr
    lab.start()
    assert lab.entries() == len(lab.segments()) == count
