"""What the SQLite ledger promises besides the contract: one commit for many, nothing of a deleted key, no walks."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import stat
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path

import pytest

from gateway.errors import ConfigError, SpoolFull, Unavailable
from gateway.ledger import rows as ledger_rows
from gateway.ledger import sqlite_connection, sqlite_writer
from gateway.ledger.base import Transaction
from gateway.ledger.rows import DeliveredRow, IdempotencyRow, JobKind, ReceiptRow, ServiceKeyRow
from gateway.ledger.sqlite import SqliteLedger
from gateway.protocol.lifecycle import UploadState
from tests.ledger_rows import account_row, file_row, job_row, run_row, token_row, upload_row

KEY = b"k" * 32
U, F, S = "0a" * 16, "1a" * 16, "2a" * 16

#: Tables of a handful of rows, and the index of the unfinished uploads, all of which get new deadlines.
MAY_BE_WALKED = {"accounts", "service_keys", "audit_head", "uploads_unfinished"}

TABLES = {
    "uploads": ledger_rows.UploadRow,
    "files": ledger_rows.FileRow,
    "runs": ledger_rows.RunRow,
    "jobs": ledger_rows.JobRow,
    "receipts": ledger_rows.ReceiptRow,
    "delivered": ledger_rows.DeliveredRow,
    "refresh_tokens": ledger_rows.RefreshTokenRow,
    "idempotency": ledger_rows.IdempotencyRow,
    "accounts": ledger_rows.AccountRow,
    "audit": ledger_rows.AuditRow,
    "service_keys": ledger_rows.ServiceKeyRow,
}


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


def everything(tx: Transaction) -> None:
    """Every query there is, with every branch that makes SQL of its own."""
    dead = [UploadState.CANCELLED, UploadState.EXPIRED]
    key_id = tx.keys.insert(b"key")
    tx.uploads.insert(upload_row(U, now=0.0, key_id=key_id))
    tx.uploads.save(upload_row(U, now=0.0, key_id=key_id, state=UploadState.UPLOADING))
    tx.uploads.expired(9.0, 5)
    tx.uploads.finished_unerased(dead, 9.0, 5)
    tx.uploads.records_older(9.0, 5)
    tx.uploads.page(states=(), after="", limit=5)
    tx.uploads.page(states=dead, after="", limit=5)
    tx.uploads.shift_deadlines(1.0, 2.0)
    tx.uploads.reserved_bytes()
    tx.files.insert(file_row(F, U, client_mac=b"m", key_id=tx.keys.insert(b"file's")))
    tx.files.save(file_row(F, U, client_mac=b"m", length=3))
    tx.files.get(F)
    tx.files.by_client_mac(U, b"m")
    tx.files.page(U)
    tx.files.counts(U)
    tx.runs.begin_segment(S, F, U)
    tx.runs.extend(tx.runs.insert(run_row(F, S)), 5)
    tx.runs.of_file(F)
    tx.runs.at(F, 0)
    tx.runs.segment_ids(U)
    tx.runs.segment_ids(U, F)
    tx.runs.knows_segment(S)
    tx.runs.forget([S])
    job_id = tx.jobs.insert(job_row(U, due_at=1.0))
    tx.jobs.insert(job_row(U, due_at=2.0))
    tx.jobs.claim(9.0, by="me", until=10.0, kinds=list(JobKind), limit=1)
    tx.jobs.renew(job_id, "me", 11.0)
    tx.jobs.next_due(list(JobKind))
    tx.jobs.of_upload(U)
    tx.jobs.of_upload(U, JobKind.DELIVER)
    tx.jobs.page(after=0, limit=5)
    tx.jobs.save(job_row(U, due_at=3.0, job_id=job_id))
    tx.jobs.get(job_id)
    tx.jobs.delete(job_id)
    tx.receipts.insert(ReceiptRow("r", U, "kid", b"jws", 1.0))
    tx.receipts.get("r")
    tx.receipts.note_delivered(DeliveredRow(b"i", b"c", "r", 1.0))
    tx.receipts.delivered(b"i")
    tx.tokens.insert(token_row(b"t", parent_hash=b"p"))
    tx.tokens.spend_kin(token_row(b"t", parent_hash=b"p"))
    tx.tokens.get(b"t")
    tx.tokens.remember(IdempotencyRow("p", b"k", b"b", U, 1.0))
    tx.tokens.idempotency("p", b"k")
    tx.tokens.delete_expired(0.5, 5)
    tx.tokens.revoke_family("f")
    tx.tokens.revoke_upload(U)
    tx.tokens.revoke_account("a")
    tx.accounts.insert(account_row("a"))
    tx.accounts.save(account_row("a", role="admin"))
    tx.accounts.get("a")
    tx.accounts.by_name(b"a")
    tx.accounts.all()
    tx.audit.append("event", at=1.0, actor="a")
    tx.audit.after(0, 5)
    tx.keys.insert_service(ServiceKeyRow("s", "k2", key_id, 1.0))
    tx.keys.replace(key_id, b"anew")
    tx.keys.kek_ids()
    tx.settings.put("a", "1")
    tx.settings.get("a")
    tx.uploads.delete(U)
    tx.keys.insert(b"into a free slot")


class TestQueries:
    async def test_no_query_walks_a_table_that_grows(self, ledger: SqliteLedger) -> None:
        db = writer_of(ledger)
        seen: set[str] = set()
        db.set_trace_callback(lambda sql: None if sql.startswith("--") else seen.add(sql))
        await ledger.write(everything)
        db.set_trace_callback(None)
        asked = [sql for sql in seen if sql.startswith(("SELECT", "UPDATE", "DELETE", "INSERT"))]
        assert len(asked) > 60
        walks = {}
        for sql in asked:
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
            if any(step.startswith("SCAN") and not MAY_BE_WALKED & set(step.split()) for step in plan):
                walks[sql] = plan
        assert walks == {}

    @pytest.mark.parametrize("method", ["expired", "finished_unerased", "records_older", "jobs", "files", "pages"])
    async def test_what_is_asked_for_in_order_lies_in_that_order(self, ledger: SqliteLedger, method: str) -> None:
        ask = {
            "expired": lambda tx: tx.uploads.expired(9.0, 5),
            "finished_unerased": lambda tx: tx.uploads.finished_unerased([UploadState.EXPIRED], 9.0, 5),
            "records_older": lambda tx: tx.uploads.records_older(9.0, 5),
            "jobs": lambda tx: tx.jobs.claim(9.0, by="me", until=10.0, kinds=list(JobKind), limit=5),
            "files": lambda tx: (tx.files.page(U), tx.runs.of_file(F), tx.runs.at(F, 1)),
            "pages": lambda tx: tx.uploads.page(states=[UploadState.OPEN], after="", limit=5),
        }[method]
        db = writer_of(ledger)
        seen: list[str] = []
        db.set_trace_callback(seen.append)
        await ledger.write(ask)
        db.set_trace_callback(None)
        ordered = [sql for sql in seen if "ORDER BY" in sql]
        assert ordered
        for sql in ordered:
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
            assert not any("TEMP B-TREE" in step for step in plan), (sql, plan)

    async def test_every_reference_has_an_index_to_delete_by(self, ledger: SqliteLedger) -> None:
        db = writer_of(ledger)
        bare = []
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            leading = {
                db.execute(f"PRAGMA index_info({index[1]})").fetchone()[2]
                for index in db.execute(f"PRAGMA index_list({table})").fetchall()
                if not index[4]
            }
            bare += [
                (table, ref[3]) for ref in db.execute(f"PRAGMA foreign_key_list({table})") if ref[3] not in leading
            ]
        assert bare == []

    @pytest.mark.parametrize("table", TABLES)
    async def test_columns_are_the_fields_of_the_row(self, ledger: SqliteLedger, table: str) -> None:
        columns = {row[1] for row in writer_of(ledger).execute(f"PRAGMA table_info({table})")}
        assert columns == {field.name for field in fields(TABLES[table])}


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
        assert [type(one) for one in outcomes] == [type(None), SpoolFull, type(None)]
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
        monkeypatch.setattr(sqlite_connection, "BUSY_TIMEOUT_S", 0.05)
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
        monkeypatch.setattr(sqlite_writer, "CHECKPOINT_ROWS", 100)

        def act(tx: Transaction) -> None:
            for _ in range(100):
                tx.settings.put(random.randbytes(8).hex(), "x" * 500)

        for _ in range(30):
            await ledger.write(act)
        assert path.with_name("relaypacs.db-wal").stat().st_size < 1 << 20

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
        monkeypatch.setattr(sqlite_writer, "READERS_TIMEOUT_S", 0.05)
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
            with pytest.raises(ConfigError, match="no ledger"):
                await SqliteLedger.open(path)
        assert text.read_bytes() == b"no database at all" * 100

    async def test_a_directory_that_can_not_be_made_is_an_error_of_storage(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(Unavailable) as refused:
            await SqliteLedger.open(tmp_path / "file" / "relaypacs.db")
        assert refused.value.code == "storage_error"

    async def test_a_migration_that_fails_leaves_the_file_as_it_was(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await (await SqliteLedger.open(path)).close()
        before = sqlite_connection._migrations()
        broken = "CREATE TABLE half (a);\nCREATE TABLE half (a);\n"
        monkeypatch.setattr(sqlite_connection, "_migrations", lambda: [*before, broken])
        with pytest.raises(sqlite3.OperationalError):
            await SqliteLedger.open(path)
        whole = "CREATE TABLE half (a);\nCREATE TRIGGER t AFTER INSERT ON half BEGIN SELECT 1; SELECT 2; END;\n"
        monkeypatch.setattr(sqlite_connection, "_migrations", lambda: [*before, whole])
        await (await SqliteLedger.open(path)).close()
        db = sqlite3.connect(path)
        assert db.execute("PRAGMA user_version").fetchone() == (len(before) + 1,)
        db.close()
