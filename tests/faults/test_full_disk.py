"""A disk of 32 MiB under the spool, or under spool and ledger: full is said at init, and what was begun ends well."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.dicom_samples import study
from tests.e2e.lab import Http, Lab, Pacs, running_lab, wait_until
from tests.e2e.orthanc import fill_disk, tiny_disk
from tests.e2e.parrot import Parrot
from tests.e2e.series import sha256

pytestmark = pytest.mark.root

MIB = 1 << 20
UPLOADS = 8
#: Eight of them are more than the disk holds.
FILE_SIZE = 4 * MIB + 500_000
#: The lab's purge runs so often: then there may be room.
PURGE_S = "1"


@dataclass
class Small:
    """A gateway on a small disk."""

    lab: Lab
    who: Http
    disk: Path
    pacs: Parrot

    def begin(self, number: int, data: bytes) -> tuple[str, Http, str]:
        """An upload of one file of which the first half is there."""
        upload_id, client = self.lab.open_upload(self.who, [data])
        half = len(data) // 2
        made = client.create(len(data), {"file_id": f"f{number}"}, data[:half]).expect(201)
        assert made.offset == half
        return upload_id, client, made.headers["Location"]


@pytest.fixture(params=["spool", "spool and ledger"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Small]:
    folder = tmp_path / "gateway"
    disk = folder / "var" / ("spool" if request.param == "spool" else "")
    settings = {"delivery": {"retry_base": "200ms"}}
    with (
        tiny_disk(disk, "32m"),
        Parrot() as pacs,
        running_lab(folder, Pacs(pacs.url), settings=settings) as lab,
    ):
        yield Small(lab, lab.login(), disk, pacs)


def files() -> list[bytes]:
    return [study(1, pixel_bytes=FILE_SIZE)[0] for _ in range(UPLOADS)]


def test_full_is_said_at_init_and_what_was_begun_ends_well(small: Small) -> None:
    begun: list[tuple[str, Http, str, bytes]] = []
    refused: list[bytes] = []
    for number, data in enumerate(files()):
        answer = small.who.call(
            "POST", "/upload/init", {"study_metadata": {}, "total_files": 1, "total_size_bytes": len(data)}
        )
        if answer.status == 507:
            assert answer.code == "spool_full"
            refused.append(data)
            continue
        opened = answer.expect(201).json
        client = small.who.with_token(opened["upload_token"])
        made = client.create(len(data), {"file_id": f"f{number}"}, data[: len(data) // 2]).expect(201)
        begun.append((opened["upload_id"], client, made.headers["Location"], data))
    assert len(begun) >= 4, "the disk has room for some"
    assert refused, "it hasn't for all"

    def finish(one: tuple[str, Http, str, bytes]) -> None:
        upload_id, client, url, data = one
        at = client.head(url).expect(200).offset
        assert at == len(data) // 2
        client.patch(url, at, data[at:]).expect(204)
        assert client.complete(upload_id, wait_s=60).expect(200).json["status"] == "success"

    with ThreadPoolExecutor(len(begun)) as lanes:
        list(lanes.map(finish, begun))
    assert sorted(sha256(one.content) for one in small.pacs.held.values()) == sorted(sha256(one[3]) for one in begun)
    small.lab.spool_empties()
    for number, data in enumerate(refused):  # there is room again
        upload_id, client, url = small.begin(number, data)
        client.patch(url, len(data) // 2, data[len(data) // 2 :]).expect(204)
        assert client.complete(upload_id, wait_s=60).expect(200).json["status"] == "success"


def test_a_single_file_for_which_there_is_no_room_is_refused_before_its_first_byte(small: Small) -> None:
    refusal = small.who.create(40 * MIB).expect(507)
    assert (refusal.code, refusal.headers["Retry-After"]) == ("spool_full", PURGE_S)


def test_a_disk_that_others_fill_costs_no_acknowledged_byte_and_can_be_purged(small: Small) -> None:
    kept, gone = files()[:2]
    upload_id, client, url = small.begin(0, kept)
    doomed_id, doomed, _ = small.begin(1, gone)
    foreign = fill_disk(small.disk)

    refusal = client.patch(url, len(kept) // 2, kept[len(kept) // 2 :]).expect(507)
    assert (refusal.code, refusal.headers["Retry-After"]) == ("spool_full", PURGE_S)
    ready = small.who.call("GET", "/readyz").expect(503).json
    assert ready["parts"]["spool"] == "spool_full"
    assert ready["works"]["status"]
    assert not ready["works"]["new_uploads"]
    assert small.who.call("GET", f"/upload/{upload_id}/status").expect(200).json["state"] == "uploading"
    at = client.head(url).expect(200).offset
    assert at >= len(kept) // 2

    doomed.call("DELETE", f"/upload/{doomed_id}").expect(204)
    wait_until("the purge makes room", lambda: len(small.lab.segments()) <= 2)
    foreign.unlink()
    at = client.head(url).expect(200).offset
    client.patch(url, at, kept[at:]).expect(204)
    assert client.complete(upload_id, wait_s=60).expect(200).json["status"] == "success"
    assert [sha256(one.content) for one in small.pacs.held.values()] == [sha256(kept)]
    small.lab.spool_empties()


def test_a_full_disk_and_a_kill_cost_no_acknowledged_byte(small: Small) -> None:
    (data,) = files()[:1]
    upload_id, client, url = small.begin(0, data)
    foreign = fill_disk(small.disk)
    client.patch(url, len(data) // 2, data[len(data) // 2 :]).expect(507)
    small.lab.kill()
    small.lab.start()
    at = client.head(url).expect(200).offset
    assert at >= len(data) // 2
    foreign.unlink()
    client.patch(url, at, data[at:]).expect(204)
    assert client.complete(upload_id, wait_s=60).expect(200).json["status"] == "success"
    small.lab.spool_empties()
