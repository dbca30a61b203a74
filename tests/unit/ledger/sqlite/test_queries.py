"""No query of the SQLite ledger grows with the number of rows, and its tables are the rows of `rows.py`."""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

from gateway.ledger import rows as ledger_rows
from gateway.ledger.base import Transaction
from gateway.ledger.rows import (
    DeliveredRow,
    IdempotencyRow,
    JobKind,
    OutcomeRow,
    ReceiptRow,
    ServiceKeyRow,
    SharedState,
)
from gateway.ledger.sqlite.ledger import SqliteLedger
from gateway.states import FileState, UploadState
from tests.ledger_rows import account_row, delivery_row, file_row, job_row, qr_row, run_row, token_row, upload_row

U, F, S, T = "0a" * 16, "1a" * 16, "2a" * 16, "3a" * 16

#: Tables of a handful of rows; the index of the unfinished uploads, all of which get new deadlines; that of the few late; the
#: highest number of each table.
MAY_BE_WALKED = {
    *("accounts", "service_keys", "audit_head", "upload_counts", "uploads_unfinished", "uploads_delayed"),
    "sqlite_sequence",
    "CONSTANT",  # rows that the statement itself brings
}

TABLES = {
    "uploads": ledger_rows.UploadRow,
    "files": ledger_rows.FileRow,
    "runs": ledger_rows.RunRow,
    "shared_segments": ledger_rows.SharedSegmentRow,
    "jobs": ledger_rows.JobRow,
    "deliveries": ledger_rows.DeliveryRow,
    "outcomes": ledger_rows.OutcomeRow,
    "receipts": ledger_rows.ReceiptRow,
    "delivered": ledger_rows.DeliveredRow,
    "refresh_tokens": ledger_rows.RefreshTokenRow,
    "idempotency": ledger_rows.IdempotencyRow,
    "qr_codes": ledger_rows.QrRow,
    "accounts": ledger_rows.AccountRow,
    "audit": ledger_rows.AuditRow,
    "service_keys": ledger_rows.ServiceKeyRow,
}


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    opened = await SqliteLedger.open(tmp_path / "relaypacs.db", audit_key=b"k" * 32)
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
    tx.uploads.get(U)
    tx.uploads.expired(9.0, 5)
    tx.uploads.finished_unerased(dead, 9.0, 5)
    tx.uploads.records_older(9.0, 5)
    tx.uploads.page(states=(), after="", limit=5)
    tx.uploads.page(states=dead, after="", limit=5)
    tx.uploads.shift_deadlines(1.0, 2.0)
    tx.uploads.reserved_bytes()
    tx.uploads.awaited_bytes()
    tx.files.insert(file_row(F, U, client_mac=b"m", key_id=tx.keys.insert(b"file's")))
    tx.files.save(file_row(F, U, client_mac=b"m", length=3))
    tx.files.get(F)
    tx.files.by_client_mac(U, b"m")
    tx.files.page(U)
    tx.files.page(U, parts=True)
    tx.files.counts(U)
    tx.files.delete([S])
    tx.runs.begin_segment(S, F, U)
    tx.runs.extend(tx.runs.insert(run_row(F, S)), 5, 50)
    tx.runs.of_file(F)
    tx.runs.at(F, 0)
    tx.runs.segment_ids(U)
    tx.runs.segment_ids(U, F)
    tx.runs.knows_segment(S)
    tx.runs.begin_shared(T, U)
    tx.runs.close_sessions(U)
    tx.runs.close_shared([T])
    tx.runs.set_tidy([T], tidy=True)
    tx.runs.set_tidy([T], tidy=False)
    tx.runs.shared(SharedState.TIDY)
    tx.runs.sharing(T)
    tx.runs.idle_shared(5)
    tx.runs.names_any(T)
    tx.runs.of_segment(T)
    tx.runs.of_entry(T, 0)
    tx.runs.move_entry(T, 0, T, 5)
    tx.runs.share(U, F)
    tx.runs.move(U, F, U)
    tx.concats.insert(F, [S, T, S])
    tx.concats.parts_of(F)
    tx.concats.finals_of(S)
    tx.runs.delete([99])
    tx.runs.forget([S])
    job_id = tx.jobs.insert(job_row(U, due_at=1.0))
    tx.jobs.insert(job_row(U, due_at=2.0))
    tx.jobs.claim(9.0, by="me", until=10.0, kinds=list(JobKind), limit=1)
    tx.jobs.owners_due(9.0, JobKind.DELIVER)
    tx.jobs.claim(9.0, by="me", until=10.0, kinds=list(JobKind), limit=1, owner_id="a")
    tx.jobs.renew(job_id, "me", 11.0)
    tx.jobs.next_due(list(JobKind))
    tx.jobs.of_upload(U)
    tx.jobs.of_upload(U, JobKind.DELIVER)
    tx.jobs.drop(U, JobKind.CHECK, 5)
    tx.jobs.shift_due(-1.0, 2.0)
    tx.jobs.page(after=0, limit=5)
    tx.jobs.save(job_row(U, due_at=3.0, job_id=job_id))
    tx.jobs.get(job_id)
    tx.jobs.delete(job_id)
    tx.deliveries.insert(delivery_row(U, "main", place=1))
    tx.deliveries.save(delivery_row(U, "main", place=1, queued_at=1.0))
    tx.deliveries.get(U, "main")
    tx.deliveries.of_upload(U)
    tx.deliveries.put_outcome(OutcomeRow(F, "main", FileState.STORED, None))
    tx.deliveries.outcome(F, "main")
    tx.deliveries.outcomes(F)
    tx.receipts.insert(ReceiptRow("r", U, "kid", b"jws", 1.0))
    tx.receipts.get("r")
    tx.receipts.note_delivered(DeliveredRow(b"i", b"c", "r", 1.0))
    tx.receipts.delivered(b"i")
    tx.receipts.forget_delivered(U, 5)
    tx.tokens.insert(token_row(b"t", parent_hash=b"p"))
    tx.tokens.spend_kin(token_row(b"t", parent_hash=b"p"))
    tx.tokens.get(b"t")
    tx.tokens.remember(IdempotencyRow("p", b"k", b"b", U, 1.0))
    tx.tokens.idempotency("p", b"k")
    tx.tokens.delete_expired(0.5, 5)
    tx.tokens.family_lives("f")
    tx.tokens.revoke_family("f")
    tx.tokens.revoke_account("a")
    tx.tokens.revoke_sessions("a", but="f")
    tx.tokens.revoke_upload("u")
    tx.qr_codes.insert(qr_row("q"))
    tx.qr_codes.save(qr_row("q", used_at=2.0))
    tx.qr_codes.get("q")
    tx.qr_codes.by_token(b"q")
    tx.qr_codes.counted_of("a", 1.0)
    tx.uploads.sums_of("a")
    tx.uploads.empty(1.0, 5)
    tx.uploads.stat_waiting(1.0, 5)
    for state in (UploadState.DELIVERING, UploadState.HELD):
        tx.uploads.insert(upload_row(f"{state:032}", now=0.0, state=state))
    tx.uploads.survey()
    tx.qr_codes.page(issuer_id="a", after="", limit=5)
    tx.qr_codes.page(issuer_id=None, after="", limit=5)
    tx.qr_codes.delete_expired(0.5, 5)
    tx.accounts.insert(account_row("a"))
    tx.accounts.save(account_row("a", role="admin"))
    tx.accounts.get("a")
    tx.accounts.by_name(b"a")
    tx.accounts.all()
    tx.audit.append("event", at=1.0, actor="a")
    tx.audit.after(0, 5)
    tx.audit.head()
    tx.audit.prune(0)
    tx.audit.pruned()
    tx.keys.insert_service(ServiceKeyRow("s", "k2", key_id, 1.0))
    tx.keys.replace(key_id, b"anew")
    tx.keys.get(key_id)
    tx.keys.service()
    tx.keys.delete([key_id])
    tx.keys.kek_ids()
    tx.settings.put("a", "1")
    tx.settings.get("a")
    tx.uploads.wrapped_otherwise("k2", 5)
    tx.uploads.delete(U)
    tx.keys.insert(b"into a free slot")


def test_every_query_of_the_protocols_is_looked_at() -> None:
    looked_at = inspect.getsource(everything)
    aggregates = {
        name: get_type_hints(member.fget)["return"]
        for name, member in vars(Transaction).items()
        if isinstance(member, property)
    }
    assert len(aggregates) == 13
    queries = [
        f"{aggregate}.{query}("
        for aggregate, protocol in aggregates.items()
        for query, member in vars(protocol).items()
        if inspect.isfunction(member) and not query.startswith("_")
    ]
    assert [query for query in queries if f"tx.{query}" not in looked_at] == []


async def test_no_query_walks_a_table_that_grows(ledger: SqliteLedger) -> None:
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
async def test_what_is_asked_for_in_order_lies_in_that_order(ledger: SqliteLedger, method: str) -> None:
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


async def test_every_reference_has_an_index_to_delete_by(ledger: SqliteLedger) -> None:
    db = writer_of(ledger)
    bare = []
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        leading = {
            db.execute(f"PRAGMA index_info({index[1]})").fetchone()[2]
            for index in db.execute(f"PRAGMA index_list({table})").fetchall()
            if not index[4]
        }
        bare += [(table, ref[3]) for ref in db.execute(f"PRAGMA foreign_key_list({table})") if ref[3] not in leading]
    assert bare == []


@pytest.mark.parametrize("table", TABLES)
async def test_columns_are_the_fields_of_the_row(ledger: SqliteLedger, table: str) -> None:
    columns = {row[1] for row in writer_of(ledger).execute(f"PRAGMA table_info({table})")}
    assert columns == {field.name for field in fields(TABLES[table])}
