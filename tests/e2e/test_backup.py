"""`backup` beside a gateway that takes bytes, `restore` elsewhere: every acknowledged upload goes on there."""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.dicom_samples import instance
from tests.e2e.lab import Http, Lab, Pacs, running_lab, wait_until
from tests.e2e.test_send import archive, held
from tests.scale import count

__all__ = ["archive"]  # a fixture

NOWHERE = Pacs("http://127.0.0.1:1/dicom-web")
#: So many have begun when a backup does.
UNDER_WAY = 8


@dataclass
class Load:
    """Somebody who uploads without a pause. `acknowledged`: what the gateway said it has, of each file."""

    who: Http
    acknowledged: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.is_set():
            content = secrets.token_bytes(200_000)
            url = self.who.create(len(content)).expect(201).headers["Location"]
            for at in range(0, 150_000, 50_000):
                offset = self.who.patch(url, at, content[at : at + 50_000]).expect(204).offset
                self.acknowledged = self.acknowledged | {url: (content, offset)}

    def has_begun(self) -> bool:
        """Enough of them are acknowledged for a backup to be worth something."""
        return len(self.acknowledged) >= UNDER_WAY


@contextlib.contextmanager
def under_load(lab: Lab) -> Iterator[Load]:
    load = Load(lab.login())
    thread = threading.Thread(target=load.run)
    thread.start()
    try:
        yield load
    finally:
        load.stop.set()
        thread.join()


def elsewhere(lab: Lab, folder: Path, pacs: Pacs = NOWHERE) -> Lab:
    """A new gateway with the former one's secrets and nothing else of it."""
    other = Lab(folder, pacs)
    secret = next(line for line in lab.config.read_text().splitlines() if line.startswith("secret"))
    lines = [secret if line.startswith("secret") else line for line in other.config.read_text().splitlines()]
    other.config.write_text("\n".join(lines) + "\n")
    return other


def good(lab: Lab, *words: str) -> str:
    done = lab.command(*words)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with running_lab(tmp_path / "gateway", NOWHERE, settings={"limits": {"open_uploads": 100_000}}) as one:
        yield one


def test_what_was_acknowledged_before_a_backup_goes_on_where_it_is_restored(lab: Lab, tmp_path: Path) -> None:
    before: dict[str, tuple[bytes, int]] = {}
    for number in range(count(1, 10)):
        folder = tmp_path / f"backup-{number}"
        with under_load(lab) as load:
            wait_until("some are acknowledged", load.has_begun)
            before |= load.acknowledged
            good(lab, "backup", str(folder))
        other = elsewhere(lab, tmp_path / f"restored-{number}")
        good(other, "restore", str(folder))
        assert "the trail is whole" in good(other, "audit", "verify")
        other.start()
        try:
            who = other.http.with_token(load.who.token)
            for url, (content, offset) in before.items():
                there = url.replace(lab.url, other.url)
                reached = who.head(there).expect(200).offset
                assert reached >= offset
                assert who.patch(there, reached, content[reached:]).expect(204).offset == len(content)
        finally:
            other.stop()


def test_a_restored_upload_reaches_the_pacs_byte_for_byte(lab: Lab, tmp_path: Path, archive: str) -> None:
    content = instance(pixel_data=secrets.token_bytes(100_000))
    who = lab.login()
    url = who.create(len(content), body=content[:40_000]).expect(201).headers["Location"]
    good(lab, "backup", str(tmp_path / "backup"))
    lab.kill()
    other = elsewhere(lab, tmp_path / "restored", Pacs(archive))
    good(other, "restore", str(tmp_path / "backup"))
    other.start()
    try:
        there = other.http.with_token(who.token)
        assert there.head(url.replace(lab.url, other.url)).expect(200).offset == 40_000
        there.patch(url.replace(lab.url, other.url), 40_000, content[40_000:]).expect(204)
        other.spool_empties()
        assert held(archive) == [content]
    finally:
        other.stop()


def test_a_backup_says_what_it_is_and_nothing_of_it_is_readable_to_others(lab: Lab, tmp_path: Path) -> None:
    lab.login().create(100_000, body=b"PAT-0042" * 100).expect(201)
    folder = tmp_path / "backup"
    said = good(lab, "backup", str(folder))
    assert "master keys k1" in said
    manifest = json.loads((folder / "backup.json").read_text())
    assert (manifest["uploads"], manifest["blobs"], manifest["keys"]) == (1, 1, ["k1"])
    everything = [folder, *folder.rglob("*")]
    assert not any(path.stat().st_mode & 0o077 for path in everything)
    assert not any(b"PAT-0042" in path.read_bytes() for path in everything if path.is_file())
    again = lab.command("backup", str(folder))
    assert (again.returncode, "isn't empty" in again.stderr) == (1, True)


def test_nothing_is_written_over_and_nothing_begun_that_cannot_be_opened(lab: Lab, tmp_path: Path) -> None:
    good(lab, "backup", str(tmp_path / "backup"))
    lab.stop()
    onto_itself = lab.command("restore", str(tmp_path / "backup"))
    assert (onto_itself.returncode, "is there already" in onto_itself.stderr) == (1, True)
    other = elsewhere(lab, tmp_path / "other")
    other.config.write_text(other.config.read_text().replace('active = "k1"', 'active = "k2"').replace("k1 =", "k2 ="))
    without = other.command("restore", str(tmp_path / "backup"))
    assert without.returncode == 1
    assert "k1" in without.stderr
    assert not other.database.exists()
    (tmp_path / "backup" / "backup.json").unlink()
    torn = other.command("restore", str(tmp_path / "backup"))
    assert (torn.returncode, "no whole backup" in torn.stderr) == (1, True)


def test_beside_a_longer_audit_file_verify_says_that_the_ledger_is_a_restored_backup(lab: Lab, tmp_path: Path) -> None:
    good(lab, "backup", str(tmp_path / "backup"))
    for number in range(5):
        lab.add_user(f"later-{number}", "uploader")
    lab.stop()
    for name in ("relaypacs.db", "relaypacs.db-wal", "relaypacs.db-shm"):
        (lab.data / name).unlink(missing_ok=True)
    for path in lab.segments():
        path.unlink()
    restored = lab.command("restore", str(tmp_path / "backup"))
    assert restored.returncode == 0
    assert "was left as it is" in restored.stderr
    verified = lab.command("audit", "verify")
    assert verified.returncode == 1
    assert "the ledger is a backup of" in verified.stdout


def test_the_purge_waits_until_the_bytes_are_copied(lab: Lab, tmp_path: Path) -> None:
    """A backup of one moment needs the blobs of that moment."""
    from gateway.purge.turn import copying, lock_beside

    lab.login().create(100_000, body=b"x" * 100_000).expect(201)
    with copying(lock_beside(lab.database)):
        purged = lab.command("purge")
        assert purged.returncode == 1
        assert "backup_under_way" in purged.stderr
    assert lab.command("purge").returncode == 0


def test_the_copy_is_a_ledger_by_itself(lab: Lab, tmp_path: Path) -> None:
    good(lab, "backup", str(tmp_path / "backup"))
    db = sqlite3.connect(f"file:{tmp_path}/backup/relaypacs.db?immutable=1", uri=True)
    try:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        db.close()
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == [
        "audit",
        "backup.json",
        "relaypacs.db",
        "spool",
    ]
