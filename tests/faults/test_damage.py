"""Segments and keys that were changed while nobody looked: refused, said, and nothing of them reaches the PACS."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.dicom_samples import study
from tests.e2e.lab import Http, Lab, Pacs, running_lab
from tests.e2e.parrot import Parrot, status
from tests.e2e.series import sha256
from tests.scale import SOAK

pytestmark = pytest.mark.root

HEADER, FRAME_HEADER, TAG = 96, 20, 16
#: Of the golden entry, a part of a file of twice as much.
PART = 64
ENTRY = HEADER + FRAME_HEADER + PART + TAG
SAMPLE = 250


@dataclass
class Entry:
    """What one file has of a segment that others share."""

    path: Path
    at: int
    size: int

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.at)
            return file.read(self.size)

    def write(self, content: bytes) -> None:
        """Its place and no byte of a neighbour's; where `content` is shorter, there is nothing."""
        with self.path.open("r+b") as file:
            file.seek(self.at)
            file.write(content[: self.size].ljust(self.size, b"\0"))


@dataclass
class Keeper:
    """A gateway whose files are changed behind its back."""

    lab: Lab
    who: Http
    pacs: Parrot

    def entry_of(self, url: str) -> Entry:
        """The first entry of a file."""
        return self.entries("file_id = ?", url.rpartition("/")[2])[0]

    def entries(self, where: str, value: str) -> list[Entry]:
        with closing(sqlite3.connect(f"file:{self.lab.database}?mode=ro", uri=True)) as db:
            query = f"SELECT segment_id, entry_at, sealed_bytes FROM runs WHERE {where} ORDER BY start"  # ours
            found = list(db.execute(query, (value,)))
        return [Entry(self.lab.spool / one[:2] / one, at, size) for one, at, size in found]

    def events(self, name: str) -> int:
        """How often the audit trail has it."""
        with closing(sqlite3.connect(f"file:{self.lab.database}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM audit WHERE event = ?", (name,)).fetchone()[0])

    def states(self, client: Http, upload_id: str) -> Iterator[str]:
        """Of every file of an upload."""
        cursor: str | None = ""
        while cursor is not None:
            page = client.call("GET", f"/upload/{upload_id}/files?limit=1000&cursor={cursor}").expect(200).json
            yield from (one["state"] for one in page["files"])
            cursor = page["cursor"]

    def digests(self) -> list[str]:
        return sorted(sha256(one.content) for one in self.pacs.held.values())


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    settings = {"tokens": {"upload_ttl": "12h"}, "uploads": {"chunk_size": 65_536}}
    with (
        Parrot() as pacs,
        running_lab(tmp_path_factory.mktemp("keeper") / "gateway", Pacs(pacs.url), settings=settings) as lab,
    ):
        yield Keeper(lab, lab.login(), pacs)


def flipped(position: int, bit: int) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        return content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]

    return change


def cut(length: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:length]


CHANGES = [
    *(flipped(position, bit) for position in range(ENTRY) for bit in range(8)),
    *(cut(length) for length in range(ENTRY)),
]


def test_any_bit_flipped_and_any_end_that_is_missing_loses_its_file_and_no_other(keeper: Keeper) -> None:
    """Every one in the soak; of every day a sample, in which each part of an entry is. All lie in one segment."""
    always = [*range(0, HEADER * 8, 64), *range(HEADER * 8, (HEADER + FRAME_HEADER) * 8, 16), *range(-8, 0)]
    numbers = range(len(CHANGES)) if SOAK else sorted({*always, *random.Random(0).sample(range(len(CHANGES)), SAMPLE)})
    changes = [CHANGES[number] for number in numbers]
    data = random.Random(1).randbytes(2 * PART)
    lost_before, lab = keeper.events("file.lost"), keeper.lab
    upload_id, client = lab.open_upload(keeper.who, [2 * PART] * (len(changes) + 1))
    made = [client.create(2 * PART, {"file_id": f"f{number}"}, data[:PART]) for number in range(len(changes) + 1)]
    urls = [one.expect(201).headers["Location"] for one in made]
    lab.stop()
    for url, change in zip(urls[1:], changes, strict=True):
        entry = keeper.entry_of(url)
        content = entry.read()
        assert len(content) == ENTRY
        entry.write(change(content))
    lab.start()

    for number, url in zip(numbers, urls[1:], strict=True):
        refusal = client.head(url)
        assert refusal.status == 410, f"change {number}: {refusal.status}"
        client.patch(url, PART, data[PART:]).expect(410)
    assert client.head(urls[0]).expect(200).offset == PART  # its neighbour is whole
    states = list(keeper.states(client, upload_id))
    assert states.count("lost") == len(changes)
    assert keeper.events("file.lost") == lost_before + len(changes)
    assert keeper.digests() == []
    # The client begins such a file anew.
    again = client.create(2 * PART, {"file_id": "f1"}, data).expect(201)
    assert again.headers["Location"] not in urls
    client.call("DELETE", f"/upload/{upload_id}").expect(204)


def test_the_refusal_says_what_happened(keeper: Keeper) -> None:
    _, client = keeper.lab.open_upload(keeper.who, [2 * PART])
    url = client.create(2 * PART, {"file_id": "f0"}, bytes(PART)).expect(201).headers["Location"]
    keeper.lab.kill()
    keeper.entry_of(url).path.unlink()
    keeper.lab.start()
    problem = client.patch(url, PART, bytes(PART)).expect(410)
    assert problem.code == "data_lost"
    assert problem.json["state"] == "lost"


def swap(one: Entry, other: Entry) -> None:
    first, second = one.read(), other.read()
    one.write(second)
    other.write(first)


def splice(one: Entry, other: Entry) -> None:
    """Frames of one under the header of the other."""
    one.write(one.read()[:HEADER] + other.read()[HEADER:])


def swap_frames(one: Entry, _: Entry) -> None:
    """Two frames of an entry change places."""
    content, size = one.read(), FRAME_HEADER + 65_536 + TAG
    header, first, second = (
        content[:HEADER],
        content[HEADER : HEADER + size],
        content[HEADER + size : HEADER + 2 * size],
    )
    one.write(header + second + first + content[HEADER + 2 * size :])


def double_frame(one: Entry, _: Entry) -> None:
    content, size = one.read(), FRAME_HEADER + 65_536 + TAG
    first = content[HEADER : HEADER + size]
    one.write(content[:HEADER] + first + first + content[HEADER + 2 * size :])


def flip_in_the_middle(one: Entry, _: Entry) -> None:
    one.write(flipped(HEADER + FRAME_HEADER + 40_000, 3)(one.read()))


DAMAGES = [swap, splice, swap_frames, double_frame, flip_in_the_middle]


@dataclass
class Case:
    """A file that will be damaged, one that lends its bytes for it, and one that nobody touches."""

    damage: Callable[[Entry, Entry], None]
    upload_id: str
    client: Http
    second_id: str
    second: Http
    urls: tuple[str, str]
    files: tuple[bytes, bytes, bytes]


def undelivered(keeper: Keeper, damage: Callable[[Entry, Entry], None], *, two_uploads: bool) -> Case:
    """All whole, checked and completed; the PACS doesn't take them now."""
    lab = keeper.lab
    one, other, good = study(3, pixel_bytes=200_000)
    upload_id, client = lab.open_upload(keeper.who, [one, good] if two_uploads else [one, good, other])
    url = client.create(len(one), {"file_id": "one"}, one).expect(201).headers["Location"]
    client.create(len(good), {"file_id": "good"}, good).expect(201)
    second_id, second = lab.open_upload(keeper.who, [other]) if two_uploads else (upload_id, client)
    other_url = second.create(len(other), {"file_id": "other"}, other).expect(201).headers["Location"]
    for each, bearer in {upload_id: client, second_id: second}.items():
        bearer.complete(each, wait_s=0).expect(202)
    return Case(damage, upload_id, client, second_id, second, (url, other_url), (one, other, good))


def test_whole_files_that_were_changed_before_their_delivery_are_lost_and_the_others_arrive(keeper: Keeper) -> None:
    """They were checked already: what was changed afterwards is found in the delivery's own reading."""
    lab, pacs = keeper.lab, keeper.pacs
    pacs.held.clear()
    pacs.script(*[status(503)] * 1000)
    cases = [undelivered(keeper, damage, two_uploads=two) for damage in DAMAGES for two in (False, True)]
    lab.stop()
    for case in cases:
        case.damage(keeper.entry_of(case.urls[0]), keeper.entry_of(case.urls[1]))
    pacs.acts.clear()
    lab.start()
    expected: list[bytes] = []
    for case in cases:
        told = case.client.outcome(case.upload_id)
        assert told["state"] == "partial", case.damage.__name__
        assert "data_lost" in json.dumps(told["warnings"])
        second = case.second.outcome(case.second_id)["state"]
        _, other, good = case.files
        if case.damage is swap:
            expected.append(good)
            assert case.second_id == case.upload_id or second == "failed"
        else:
            expected += [good, other]
    assert keeper.digests() == sorted(map(sha256, expected))


def test_files_whose_wrapped_keys_were_exchanged_are_not_delivered(keeper: Keeper) -> None:
    lab, pacs = keeper.lab, keeper.pacs
    pacs.held.clear()
    pacs.script(*[status(503)] * 1000)
    files = study(3, pixel_bytes=100_000)
    upload_id, client = lab.open_upload(keeper.who, files)
    made = [client.create(len(data), {"file_id": f"f{number}"}, data) for number, data in enumerate(files)]
    ids = [one.expect(201).headers["Location"].rpartition("/")[2] for one in made]
    client.complete(upload_id, wait_s=0).expect(202)
    lab.stop()
    with closing(sqlite3.connect(lab.database)) as db, db:
        slots = dict(db.execute("SELECT file_id, key_id & 0xFFFFFFFF FROM files WHERE file_id IN (?, ?)", ids[:2]))
        contents = dict(db.execute("SELECT slot, content FROM key_slots"))
        for file_id, from_id in zip(ids[:2], reversed(ids[:2]), strict=True):
            db.execute("UPDATE key_slots SET content = ? WHERE slot = ?", (contents[slots[from_id]], slots[file_id]))
    pacs.acts.clear()
    lab.start()
    told = client.outcome(upload_id)
    assert told["state"] == "partial"
    assert keeper.digests() == [sha256(files[2])]


def test_chunks_of_a_file_that_were_damaged_are_not_delivered_either(keeper: Keeper) -> None:
    lab, pacs = keeper.lab, keeper.pacs
    pacs.held.clear()
    pacs.script(*[status(503)] * 1000)
    bad, good = study(2, pixel_bytes=150_000)
    upload_id, client = lab.open_upload(keeper.who, [bad, good])
    for name, data in (("bad", bad), ("good", good)):
        pieces = [data[at : at + 65_536] for at in range(0, len(data), 65_536)]
        for index, piece in enumerate(pieces):
            client.chunk(upload_id, name, index, piece, len(pieces)).expect(200)
    client.complete(upload_id, wait_s=0).expect(202)
    lab.stop()
    damaged = keeper.entries("file_id IN (SELECT file_id FROM files WHERE upload_id = ?)", upload_id)[0]
    damaged.write(flipped(HEADER + FRAME_HEADER + 100, 0)(damaged.read()))
    pacs.acts.clear()
    lab.start()
    assert client.outcome(upload_id)["state"] == "partial"
    assert len(pacs.held) == 1
    assert keeper.digests()[0] in {sha256(bad), sha256(good)}


def test_a_shared_segment_that_was_cut_loses_what_lay_behind_the_cut_and_nothing_before_it(keeper: Keeper) -> None:
    lab = keeper.lab
    upload_id, client = lab.open_upload(keeper.who, [2 * PART] * 6)
    urls = [
        client.create(2 * PART, {"file_id": f"f{number}"}, bytes(PART)).expect(201).headers["Location"]
        for number in range(6)
    ]
    lab.stop()
    entries = [keeper.entry_of(url) for url in urls]
    assert len({entry.path for entry in entries}) == 1
    os.truncate(entries[0].path, entries[3].at + 100)
    lab.start()
    assert [client.head(url).status for url in urls] == [200] * 3 + [410] * 3
    client.call("DELETE", f"/upload/{upload_id}").expect(204)


def test_a_spool_that_is_not_the_ledgers_is_an_error_of_the_storage_and_condemns_no_file(keeper: Keeper) -> None:
    """Its disk isn't mounted: what is there instead is an empty folder."""
    lab = keeper.lab
    _, client = lab.open_upload(keeper.who, [2 * PART])
    url = client.create(2 * PART, {"file_id": "f0"}, bytes(PART)).expect(201).headers["Location"]
    lab.stop()
    aside = lab.spool.with_name("unmounted")
    lab.spool.rename(aside)
    lab.spool.mkdir()
    lab.start()
    assert client.head(url).status == 503
    assert client.patch(url, PART, bytes(PART)).expect(503).code == "storage_error"
    assert lab.http.call("GET", "/readyz").status == 503
    lab.stop()
    shutil.rmtree(lab.spool)
    aside.rename(lab.spool)
    lab.start()
    assert client.head(url).expect(200).offset == PART
