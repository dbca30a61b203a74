"""`keys rotate` while uploads run, keys that are missing, and keys that are gone for good."""

from __future__ import annotations

import base64
import hashlib
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.dicom_samples import study
from tests.e2e.lab import Http, Lab, Pacs, running_lab, wait_until
from tests.e2e.parrot import Parrot
from tests.e2e.series import sha256
from tests.scale import count

pytestmark = pytest.mark.root

UPLOADS = count(20, 200)
K2 = base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture
def lab(tmp_path: Path, pacs: Parrot) -> Iterator[Lab]:
    """A gateway that has two keys, of which k1 wraps."""
    with running_lab(tmp_path / "gateway", Pacs(pacs.url), settings={"spool.keys": {"k2": K2}}) as lab:
        yield lab


def without(lab: Lab, key: str, *, active: str) -> None:
    """The configuration loses a key."""
    lines = [line for line in lab.config.read_text().splitlines() if not line.startswith(f"{key} = ")]
    lines = [f'active = "{active}"' if line.startswith("active = ") else line for line in lines]
    lab.config.write_text("\n".join(lines))


def activate(lab: Lab, key: str) -> None:
    other = {"k1": "k2", "k2": "k1"}[key]
    lab.config.write_text(lab.config.read_text().replace(f'active = "{other}"', f'active = "{key}"'))


def hashes(lab: Lab) -> dict[str, str]:
    """Of every file below the data folder."""
    files = (path for path in sorted(lab.data.rglob("*")) if path.is_file())
    return {str(path.relative_to(lab.data)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def keks(lab: Lab) -> set[str]:
    with closing(sqlite3.connect(f"file:{lab.database}?mode=ro", uri=True)) as db:
        found = db.execute("SELECT kek_id FROM uploads WHERE key_id IS NOT NULL UNION SELECT kek_id FROM service_keys")
        return {row[0] for row in found}


def test_uploads_under_way_while_keys_are_rotated_all_arrive_and_the_old_key_is_needed_by_none(
    lab: Lab, pacs: Parrot
) -> None:
    files = [study(1, pixel_bytes=120_000, patient_id=f"TEST-{number}")[0] for number in range(UPLOADS)]
    who, halves, rotated = lab.login(), threading.Semaphore(0), threading.Event()

    def one(data: bytes) -> str:
        upload_id, client = lab.open_upload(who, [data])
        url = client.create(len(data), {"file_id": "f0"}, data[:60_000]).expect(201).headers["Location"]
        halves.release()
        if not rotated.is_set():
            rotated.wait(0.05)
        client.patch(url, 60_000, data[60_000:]).expect(204)
        return str(client.complete(upload_id, wait_s=60).expect(200).json["status"])

    with ThreadPoolExecutor(5) as lanes:
        ends = [lanes.submit(one, data) for data in files]
        for _ in range(5):
            halves.acquire()
        activate(lab, "k2")
        done = lab.command("keys", "rotate")
        rotated.set()
        assert done.returncode == 0, done.stdout + done.stderr
        assert "k1 is unused" in done.stdout
        assert keks(lab) == {"k2"}
        assert [end.result() for end in ends] == ["success"] * UPLOADS
    assert sorted(sha256(held.content) for held in pacs.held.values()) == sorted(map(sha256, files))
    assert keks(lab) == {"k2"}

    lab.stop()
    without(lab, "k1", active="k2")
    lab.start()  # "k1 is unused" was true
    upload_id, client = lab.open_upload(lab.login(), [files[0]])
    client.create(len(files[0]), {"file_id": "f0"}, files[0]).expect(201)
    assert client.complete(upload_id).expect(200).json["status"] == "success"


def test_without_a_key_that_is_needed_every_command_names_it_and_changes_nothing(lab: Lab) -> None:
    (data,) = study(1, pixel_bytes=100_000)
    _, client = lab.open_upload(lab.login(), [data])
    url = client.create(len(data), {"file_id": "f0"}, data[:60_000]).expect(201).headers["Location"]
    lab.stop()
    kept, before = lab.config.read_text(), hashes(lab)
    without(lab, "k1", active="k2")
    for command in (["serve"], ["keys", "rotate"], ["purge"]):
        refused = lab.command(*command)
        assert refused.returncode != 0
        assert "k1" in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
        assert hashes(lab) == before

    lab.config.write_text(kept)
    lab.start()
    assert client.head(url).expect(200).offset == 60_000


def wrapped_keys(lab: Lab) -> list[bytes]:
    """Of uploads and files, as the ledger has them (the form of a slot: gateway/ledger/sqlite/keys.py)."""
    with closing(sqlite3.connect(f"file:{lab.database}?mode=ro", uri=True)) as db:
        mine = "SELECT key_id & 0xFFFFFFFF FROM uploads UNION SELECT key_id & 0xFFFFFFFF FROM files"
        slots = [row[0] for row in db.execute(f"SELECT content FROM key_slots WHERE slot IN ({mine})")]
        return [slot[5 : 5 + slot[4]] for slot in slots]


def found(lab: Lab, keys: list[bytes]) -> list[str]:
    """Files of the gateway that hold one of these keys."""
    contents = [(path, path.read_bytes()) for path in lab.data.rglob("*") if path.is_file()]
    return [path.name for path, content in contents for key in keys if key in content]


def test_after_delete_and_purge_the_wrapped_keys_are_in_no_file(lab: Lab) -> None:
    def opened(who: Http) -> tuple[str, Http]:
        files = study(3, pixel_bytes=100_000)
        upload_id, client = lab.open_upload(who, files)
        for number, data in enumerate(files):
            client.create(len(data), {"file_id": f"f{number}"}, data[:60_000]).expect(201)
        return upload_id, client

    who = lab.login()
    uploads = [opened(who) for _ in range(count(5, 50))]
    keys = wrapped_keys(lab)
    assert len(keys) == 4 * len(uploads)
    assert found(lab, keys), "the control: they are there"
    for upload_id, client in uploads:
        client.call("DELETE", f"/upload/{upload_id}").expect(204)
    purged = lab.command("purge")
    assert purged.returncode == 0, purged.stderr
    lab.spool_empties()
    wait_until("the keys are gone from every file", lambda: not found(lab, keys))
