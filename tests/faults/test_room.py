"""Files that are deleted one by one out of segments they share: their room goes back to the disk, their keys are in no
file any more, and their neighbours arrive byte by byte.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.dicom_samples import instance, new_uid
from tests.e2e.lab import ROOT, Lab, Pacs, running_lab, wait_until
from tests.e2e.parrot import Parrot
from tests.scale import count

pytestmark = pytest.mark.root

FILES = count(1000, 10_000)
ROWS = 120  #: of 256 bytes: some 31 KiB each
#: What the spool may take of so many files: so much of what lives, and a segment.
SHARE, SLACK_BYTES = 1.2, (64 << 20) * FILES // 10_000
LANES = 8
#: Keys that are looked for in every file.
LOOKED_FOR = 20


@pytest.fixture
def lab(tmp_path: Path, pacs: Parrot) -> Iterator[Lab]:
    with running_lab(tmp_path / "gateway", Pacs(pacs.url)) as lab:
        yield lab


class Study:
    """Files of one upload, by number."""

    def __init__(self, lab: Lab, files: int) -> None:
        self.lab = lab
        self.uids = [new_uid() for _ in range(files)]
        self._study: dict[str, Any] = {"study_instance_uid": new_uid(), "series_instance_uid": new_uid()}
        sizes = [len(self.content(number)) for number in range(files)]
        self.size = max(sizes)
        self.upload_id, self.client = lab.open_upload(lab.login(), sizes)
        self.urls: dict[int, str] = {}

    def content(self, number: int) -> bytes:
        pixels = random.Random(number).randbytes(ROWS * 256)
        uid = self.uids[number]
        return instance(sop_instance_uid=uid, rows=ROWS, columns=256, pixel_data=pixels, **self._study)

    def make(self, number: int) -> None:
        content = self.content(number)
        made = self.client.create(len(content), {"file_id": f"f{number}"}, content).expect(201)
        assert made.offset == len(content)
        self.urls[number] = made.headers["Location"]

    def delete(self, number: int) -> None:
        self.client.call("DELETE", f"/upload/{self.upload_id}/files/f{number}").expect(204)


def all_of(acts: Iterable[tuple[Callable[[int], None], int]]) -> None:
    """By several lines at once, in this order."""
    with ThreadPoolExecutor(LANES) as lanes:
        for done in [lanes.submit(act, number) for act, number in acts]:
            done.result()


def taken_bytes(lab: Lab) -> int:
    return sum(path.stat().st_blocks * 512 for path in lab.segments())


def limit_bytes(study: Study, living: int) -> int:
    return int(SHARE * living * study.size) + SLACK_BYTES


def keys_of(lab: Lab, urls: Iterable[str]) -> list[bytes]:
    """The wrapped keys of these files (the form of a slot: gateway/ledger/sqlite/keys.py)."""
    with closing(sqlite3.connect(f"file:{lab.database}?mode=ro", uri=True)) as db:
        slots = [
            db.execute(
                "SELECT content FROM key_slots JOIN files ON slot = key_id & 0xFFFFFFFF WHERE file_id = ?",
                (url.rpartition("/")[2],),
            ).fetchone()[0]
            for url in urls
        ]
    return [slot[5 : 5 + slot[4]] for slot in slots]


def holding(lab: Lab, keys: Iterable[bytes]) -> list[str]:
    """Files of the gateway that one of these keys is in."""
    keys = list(keys)
    contents = {path: path.read_bytes() for path in lab.data.rglob("*") if path.is_file()}
    return [path.name for path, content in contents.items() if any(key in content for key in keys)]


def last_tick(lab: Lab) -> str:
    """When the purge ran last."""
    with closing(sqlite3.connect(f"file:{lab.database}?mode=ro", uri=True)) as db:
        return str(db.execute("SELECT value FROM settings WHERE name = 'retention.last_tick'").fetchone()[0])


def in_turn(study: Study, gone: list[int]) -> Iterator[tuple[Callable[[int], None], int]]:
    """The second half comes while files of the first are taken out: their segment still grows."""
    first = [number for number in gone if number < FILES // 2]
    for number in range(FILES // 2, FILES):
        yield study.make, number
        if first:
            yield study.delete, first.pop()


@pytest.mark.timeout(count(180, 3600))
def test_half_of_many_files_are_deleted_and_the_spool_takes_little_more_than_what_lives(lab: Lab, pacs: Parrot) -> None:
    study = Study(lab, FILES)
    gone = random.Random(13).sample(range(FILES), FILES // 2)
    all_of((study.make, number) for number in range(FILES // 2))
    first = [number for number in gone if number < FILES // 2][-LOOKED_FOR:]
    keys = keys_of(lab, [study.urls[number] for number in first])
    assert holding(lab, keys), "the control: they are there"

    all_of(in_turn(study, gone))
    all_of((study.delete, number) for number in gone if number >= FILES // 2)
    limit = limit_bytes(study, FILES - len(gone))
    wait_until("the room goes back", lambda: taken_bytes(lab) <= limit, within_s=10)
    wait_until("the keys are gone from every file", lambda: not holding(lab, keys), within_s=10)
    print(f"{FILES - len(gone)} files of {study.size} bytes live, and take {taken_bytes(lab)} bytes")

    study.client.complete(study.upload_id, wait_s=1).expect(200, 202)
    assert study.client.outcome(study.upload_id, within_s=count(60, 600))["state"] == "success"
    assert set(pacs.held) == {study.uids[number] for number in set(range(FILES)) - set(gone)}
    assert all(pacs.held[study.uids[n]].content == study.content(n) for n in set(range(FILES)) - set(gone))
    lab.spool_empties(count(30, 300))


def test_a_spool_that_gives_no_room_back_is_caught(tmp_path: Path, pacs: Parrot) -> None:
    """The control: all is as above, but nothing is punched out."""
    killpoints = f"{Path(__file__).parent}/killpoints:{ROOT}"
    environment = {"PYTHONPATH": killpoints, "NO_HOLES": "1"}
    with running_lab(tmp_path / "gateway", Pacs(pacs.url), environment=environment) as lab:
        study = Study(lab, FILES // 4)
        all_of((study.make, number) for number in range(FILES // 4))
        before = taken_bytes(lab)
        all_of((study.delete, number) for number in range(0, FILES // 4, 2))
        assert taken_bytes(lab) == before


def test_one_file_deleted_long_after_the_last_purge_leaves_no_key_behind(lab: Lab) -> None:
    """Nothing else is due to be purged, or ever was."""
    study = Study(lab, 3)
    all_of((study.make, number) for number in range(3))
    for _ in range(2):  # the second has begun when the first has ended
        before = last_tick(lab)
        wait_until("the purge runs once more", lambda before=before: last_tick(lab) != before)  # type: ignore[misc] # bound now
    keys = keys_of(lab, [study.urls[1]])
    assert holding(lab, keys)
    study.delete(1)
    wait_until("the key is gone from every file", lambda: not holding(lab, keys), within_s=10)
