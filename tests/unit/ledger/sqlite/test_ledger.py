"""What the SQLite ledger promises besides the contract: one commit for many, nothing of a deleted key, a safe file."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.errors import ConfigError, SpoolFull, Unavailable
from gateway.ledger.base import Transaction
from gateway.ledger.sqlite import connection, writer
from gateway.ledger.sqlite.ledger import SqliteLedger

KEY = b"k" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "relaypacs.db"


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[SqliteLedger]:
    opened = await SqliteLedger.open(path, audit_key=KEY)
    yield opened
    await opened.close()


def writer_of(ledger: SqliteLedger) -> sqlite3.Connection:
    return ledger._writer._db


class TestCommits:
    async def test_writes_that_wait_together_share_a_commit(self, ledger: SqliteLedger) -> None:
        commits: list[str] = []
        writer_of(ledger).set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)

        async def write(number: int) -> None:
            await ledger.write(lambda tx: tx.settings.put(str(number), "x"))

        await asyncio.gather(*(write(n) for n in range(1000)))
        assert 1 <= len(commits) <= 20
        assert await ledger.read(lambda tx: all(tx.settings.get(str(n)) == "x" for n in range(1000)))

    async def test_a_commit_is_on_the_disk_before_it_is_told(self, ledger: SqliteLedger) -> None:
        db = writer_of(ledger)
        wanted = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1, "temp_store": 2}
        assert {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted} == wanted

    async def test_a_full_disk_refuses_the_write_that_needs_room_and_no_other(self, ledger: SqliteLedger) -> None:
        db = writer_of(ledger)
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages + 2}")
        await ledger.write(lambda tx: tx.settings.put("a", "0"))

        def big(tx: Transaction) -> None:
            tx.settings.put("big", "x" * 100_000)

        outcomes = await asyncio.gather(
            ledger.write(lambda tx: tx.settings.put("a", "1")),
            ledger.write(big),
            ledger.write(lambda tx: tx.settings.put("b", "2")),
            return_exceptions=True,
        )
        assert [isinstance(one, SpoolFull) for one in outcomes] == [False, True, False]
        assert outcomes[0] is outcomes[2] is None
        assert await ledger.read(lambda tx: [tx.settings.get(name) for name in ("a", "b", "big")]) == ["1", "2", None]
        db.execute("PRAGMA max_page_count = 1000000")
        await ledger.write(big)

    async def test_a_transaction_that_sqlite_undoes_is_run_again_for_the_innocent(self, ledger: SqliteLedger) -> None:
        db = writer_of(ledger)
        runs: list[str] = []

        def harmless(name: str):
            def act(tx: Transaction) -> None:
                runs.append(name)
                tx.settings.put(name, "x")

            return act

        def undoing(_tx: Transaction) -> None:
            runs.append("undoing")
            db.execute("ROLLBACK")  # what SQLite does by itself when memory or disk give out
            raise sqlite3.OperationalError

        outcomes = await asyncio.gather(
            *(ledger.write(act) for act in (harmless("a"), undoing, harmless("b"))), return_exceptions=True
        )
        assert [type(one) for one in outcomes] == [type(None), sqlite3.OperationalError, type(None)]
        assert runs[:2] == ["a", "undoing"]
        assert await ledger.read(lambda tx: (tx.settings.get("a"), tx.settings.get("b"))) == ("x", "x")

    async def test_a_commit_that_fails_acknowledges_nothing(
        self, ledger: SqliteLedger, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0.05)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        outcomes = await asyncio.gather(
            *(ledger.write(lambda tx: tx.settings.put("a", "1")) for _ in range(3)), return_exceptions=True
        )
        assert [type(one) for one in outcomes] == [Unavailable] * 3
        other.execute("ROLLBACK")
        other.close()
        assert await ledger.read(lambda tx: tx.settings.get("a")) is None
        await ledger.write(lambda tx: tx.settings.put("a", "1"))

    async def test_the_lock_of_another_process_is_waited_for(self, ledger: SqliteLedger, path: Path) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(ledger.write(lambda tx: tx.settings.put("a", "1")))
        assert not (await asyncio.wait([waiting], timeout=0.1))[0]
        other.execute("ROLLBACK")
        other.close()
        await waiting

    async def test_the_log_stays_short_under_many_writes(
        self, ledger: SqliteLedger, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writer, "CHECKPOINT_ROWS", 100)

        def act(tx: Transaction) -> None:
            for _ in range(100):
                tx.settings.put(random.randbytes(8).hex(), "x" * 500)

        for _ in range(30):
            await ledger.write(act)
        # Between two checkpoints it holds the pages of two acts; without any, of thirty: about 12 MB.
        assert path.with_name("relaypacs.db-wal").stat().st_size < 3 << 20

    async def test_an_event_before_the_trail_has_its_key_is_refused(self, path: Path) -> None:
        ledger = await SqliteLedger.open(path)
        with pytest.raises(Unavailable):
            await ledger.write(lambda tx: tx.audit.append("event", at=1.0, actor="a"))
        ledger.use_audit_key(KEY)
        await ledger.write(lambda tx: tx.audit.append("event", at=1.0, actor="a"))
        await ledger.close()


class TestDeletedKeys:
    async def test_of_2000_deleted_keys_nothing_is_left_in_any_file(self, ledger: SqliteLedger, path: Path) -> None:
        rnd = random.Random(7)
        alive: dict[int, bytes] = {}
        dead: list[bytes] = []

        def round_of_life(tx: Transaction) -> None:
            for _ in range(rnd.randrange(400)):
                wrapped = rnd.randbytes(60)
                alive[tx.keys.insert(wrapped)] = wrapped
            gone = rnd.sample(sorted(alive), int(len(alive) * rnd.choice([0.05, 0.3, 0.9])))
            tx.keys.delete(gone)
            dead.extend(alive.pop(key_id) for key_id in gone)
            for key_id in rnd.sample(sorted(alive), len(alive) // 10):  # a new wrapping key
                dead.append(alive[key_id])
                alive[key_id] = rnd.randbytes(60)
                tx.keys.replace(key_id, alive[key_id])

        while len(dead) < 2000:
            await ledger.write(round_of_life)
        assert await ledger.scrub()
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == ["relaypacs.db", "relaypacs.db-shm", "relaypacs.db-wal"]
        left = b"".join(file.read_bytes() for file in files)
        assert all(wrapped in left for wrapped in alive.values())
        assert [wrapped for wrapped in dead if wrapped[:12] in left or wrapped[-12:] in left] == []

    async def test_a_reader_in_the_way_of_scrub_is_told(
        self, ledger: SqliteLedger, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writer, "READERS_TIMEOUT_S", 0.05)
        key_id = await ledger.write(lambda tx: tx.keys.insert(b"w" * 60))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT * FROM settings").fetchall()
        await ledger.write(lambda tx: tx.keys.delete([key_id]))
        assert not await ledger.scrub()
        other.execute("ROLLBACK")
        other.close()
        assert await ledger.scrub()

    @pytest.mark.parametrize("wrapped", [b"", b"w" * 124], ids=["empty", "too long"])
    async def test_a_key_that_fits_no_slot_is_refused(self, ledger: SqliteLedger, wrapped: bytes) -> None:
        with pytest.raises(ValueError):
            await ledger.write(lambda tx: tx.keys.insert(wrapped))


class TestTheFile:
    async def test_only_its_owner_can_read_the_ledger(self, ledger: SqliteLedger, path: Path) -> None:
        await ledger.write(lambda tx: tx.settings.put("a", "1"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in [path.parent, *path.parent.iterdir()]}
        names = ("relaypacs.db", "relaypacs.db-wal", "relaypacs.db-shm")
        assert modes == {"made": 0o700, **dict.fromkeys(names, 0o600)}

    async def test_a_ledger_is_opened_again_as_it_was(self, path: Path) -> None:
        for n in range(3):
            ledger = await SqliteLedger.open(path, audit_key=KEY)
            assert (await ledger.write(lambda tx: tx.audit.append("event", at=1.0, actor="a"))).number == n + 1
            await ledger.close()
        assert [file.name for file in path.parent.iterdir()] == ["relaypacs.db"]

    async def test_a_name_with_signs_of_a_url_is_a_name(self, tmp_path: Path) -> None:
        path = tmp_path / "a?mode=memory#%20 ä.db"
        ledger = await SqliteLedger.open(path)
        await ledger.close()
        assert [file.name for file in tmp_path.iterdir()] == [path.name]

    async def test_the_ledger_of_a_newer_release_is_left_alone(self, path: Path) -> None:
        await (await SqliteLedger.open(path)).close()
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 999")
        db.close()
        with pytest.raises(ConfigError, match="newer release"):
            await SqliteLedger.open(path)

    async def test_a_file_that_is_no_ledger_is_left_alone(self, tmp_path: Path) -> None:
        text, foreign = tmp_path / "text.db", tmp_path / "foreign.db"
        text.write_bytes(b"no database at all" * 100)
        db = sqlite3.connect(foreign)
        db.execute("CREATE TABLE theirs (a)")
        db.close()
        for path in (text, foreign):
            before = path.read_bytes()
            with pytest.raises(ConfigError, match="no ledger"):
                await SqliteLedger.open(path)
            assert path.read_bytes() == before

    async def test_several_may_make_the_same_ledger_at_once(self, path: Path) -> None:
        ledgers = await asyncio.gather(*(SqliteLedger.open(path, audit_key=KEY) for _ in range(5)))
        rows = [await one.write(lambda tx: tx.audit.append("event", at=1.0, actor="a")) for one in ledgers]
        assert [row.number for row in rows] == [1, 2, 3, 4, 5]
        await asyncio.gather(*(one.close() for one in ledgers))

    async def test_a_directory_that_can_not_be_made_is_an_error_of_storage(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(Unavailable) as refused:
            await SqliteLedger.open(tmp_path / "file" / "relaypacs.db")
        assert refused.value.code == "storage_error"

    async def test_a_migration_that_fails_leaves_the_file_as_it_was(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await (await SqliteLedger.open(path)).close()
        before = connection._migrations()
        broken = "CREATE TABLE half (a);\nCREATE TABLE half (a);\n"
        monkeypatch.setattr(connection, "_migrations", lambda: [*before, broken])
        with pytest.raises(sqlite3.OperationalError):
            connection.migrate(path)
        whole = "CREATE TABLE half (a);\nCREATE TRIGGER t AFTER INSERT ON half BEGIN SELECT 1; SELECT 2; END;\n"
        monkeypatch.setattr(connection, "_migrations", lambda: [*before, whole])
        with pytest.raises(ConfigError, match="relaypacs migrate"):
            await SqliteLedger.open(path)
        assert connection.migrate(path) == (len(before), len(before) + 1)
        await (await SqliteLedger.open(path)).close()
        db = sqlite3.connect(path)
        assert db.execute("PRAGMA user_version").fetchone() == (len(before) + 1,)
        db.close()
