"""The ledger in memory and SQLite's answer any acts alike, and are left alike by those that raise."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.memory.ledger import MemoryLedger
from gateway.ledger.rows import DeliveredRow, Dialect, IdempotencyRow, JobKind, ReceiptRow
from gateway.ledger.sqlite.ledger import SqliteLedger
from gateway.states import FileState, UploadState
from tests.ledger_rows import account_row, file_row, job_row, qr_row, run_row, token_row, upload_row
from tests.scale import count

KEY = b"k" * 32
Ask = Callable[[Transaction, int, int], Any]

UPLOAD_STATES = [UploadState.OPEN, UploadState.UPLOADING, UploadState.EXPIRED, UploadState.SUCCESS]
FILE_STATES = [FileState.RECEIVING, FileState.WHOLE, FileState.REMOVED]


def _upload(a: int, b: int) -> Any:
    done = float(b) if b > 2 else None
    return upload_row(
        str(a), now=0.0, state=UPLOAD_STATES[b % 4], finished_at=done, expires_at=float(b), reserved_bytes=10 * b,
        received_bytes=7 * a, erased_at=done if b == 5 else None, receipt_id=f"r{b}", key_id=b or None, kek_id=f"k{b % 2}",
    )  # fmt: skip


def _file(a: int, b: int) -> Any:
    dialect = Dialect.GATEWAY if b == 4 else Dialect.REST
    mac = bytes([b]) if b % 2 else None
    return file_row(f"f{a}{b}", str(a), state=FILE_STATES[b % 3], client_mac=mac, dialect=dialect, key_id=b or None)


def _job(a: int, b: int) -> Any:
    lease = float(b) if b % 2 else None
    kind = list(JobKind)[b % 3]
    return job_row(str(a), due_at=float(a + b), kind=kind, lease_until=lease, lease_by="x" if lease else None)


def _found(tx: Transaction, a: int, b: int) -> Any:
    """Whatever may be asked."""
    states = [UPLOAD_STATES[b % 4], UPLOAD_STATES[a % 4]]
    return [
        tx.uploads.get(str(a)),
        tx.uploads.page(states=states if b % 2 else (), after=str(a), limit=b + 1),
        tx.uploads.reserved_bytes(),
        tx.uploads.awaited_bytes(),
        sorted(row.upload_id for row in tx.uploads.expired(float(b), 9)),
        sorted(row.upload_id for row in tx.uploads.finished_unerased(states, float(b), 9)),
        sorted(row.upload_id for row in tx.uploads.records_older(float(b), 9)),
        tx.files.page(str(a)),
        tx.files.counts(str(a)),
        tx.files.by_client_mac(str(a), bytes([b])),
        tx.runs.of_file(f"f{a}{b}"),
        sorted(tx.runs.segment_ids(str(a))),
        tx.jobs.of_upload(str(a)),
        tx.jobs.next_due([JobKind.CHECK, JobKind.DELIVER]),
        tx.jobs.page(after=a, limit=b),
        tx.receipts.get(f"r{a}"),
        tx.receipts.delivered(bytes([a])),
        tx.tokens.get(bytes([a])),
        tx.tokens.family_lives(f"f{b}"),
        tx.tokens.idempotency("p", bytes([a])),
        tx.accounts.all(),
        tx.qr_codes.page(issuer_id=None if b % 2 else "a", after=str(a), limit=3),
        tx.audit.after(a, b),
        tx.audit.head(),
        tx.audit.pruned(),
        tx.keys.kek_ids(),
        tx.settings.get(str(a)),
    ]


def _undone(tx: Transaction, a: int, b: int) -> None:
    tx.uploads.insert(_upload(9, b))
    tx.files.insert(_file(9, b))
    tx.uploads.delete(str(a))
    tx.audit.append("never", at=1.0, actor="a")
    raise ValueError


ASKS: list[Ask] = [
    _found,
    _undone,
    lambda tx, a, b: tx.uploads.insert(_upload(a, b)),
    lambda tx, a, b: tx.uploads.save(_upload(a, b)),
    lambda tx, a, _: tx.uploads.delete(str(a)),
    lambda tx, a, b: tx.uploads.shift_deadlines(float(a), float(b)),
    lambda tx, a, b: tx.files.insert(_file(a, b)),
    lambda tx, a, b: tx.files.save(replace(_file(a, b), client_mac=bytes([a]))),
    lambda tx, a, b: tx.files.delete([f"f{a}{b}"]),
    lambda tx, a, b: tx.runs.begin_segment(f"s{a}{b}", f"f{a}{b}", str(a)),
    lambda tx, a, b: tx.runs.insert(run_row(f"f{a}{b}", f"s{a}{b}", start=b)),
    lambda tx, a, b: tx.runs.forget([f"s{a}{b}"]),
    lambda tx, a, b: tx.jobs.insert(_job(a, b)),
    lambda tx, a, b: tx.jobs.claim(float(a + b), by="me", until=9.0, kinds=list(JobKind)[: b + 1], limit=a + 1),
    lambda tx, a, _: tx.jobs.delete(a),
    lambda tx, a, b: tx.jobs.renew(a, "me", float(b)),
    lambda tx, a, b: tx.jobs.shift_due(-float(a), float(b)),
    lambda tx, a, b: tx.jobs.drop(str(a), list(JobKind)[b % 3], 1),
    lambda tx, a, b: tx.receipts.insert(ReceiptRow(f"r{b}", str(a), "kid", b"jws", 1.0)),
    lambda tx, a, b: tx.receipts.note_delivered(DeliveredRow(bytes([a]), b"c", f"r{b}", 1.0)),
    lambda tx, a, _: tx.receipts.forget_delivered(str(a), 5),
    lambda tx, a, b: tx.tokens.insert(
        token_row(bytes([a]), family_id=f"f{b}", parent_hash=bytes([b]), upload_id=str(a) if b % 2 else None, expires_at=float(b))
    ),
    lambda tx, a, b: tx.tokens.spend_kin(token_row(bytes([a]), parent_hash=bytes([b]))),
    lambda tx, _, b: tx.tokens.revoke_family(f"f{b}"),
    lambda tx, a, b: tx.tokens.remember(IdempotencyRow("p", bytes([b]), b"b", str(a), float(b))),
    lambda tx, _, b: tx.tokens.delete_expired(float(b), 9),
    lambda tx, a, b: tx.accounts.insert(account_row(str(a), name_mac=bytes([b]))),
    lambda tx, a, b: tx.accounts.save(account_row(str(a), name_mac=bytes([b]), role="admin")),
    lambda tx, a, b: tx.qr_codes.insert(qr_row(str(a), token_hash=bytes([b]))),
    lambda tx, a, b: tx.qr_codes.save(qr_row(str(a), token_hash=bytes([b]), used_at=1.0)),
    lambda tx, a, b: tx.audit.append("e", at=float(a), actor="a", upload_id=str(b), detail={"a": a}),
    lambda tx, a, _: tx.audit.prune(a),
    lambda tx, a, b: tx.settings.put(str(a), str(b)),
]  # fmt: skip

STEPS = st.lists(
    st.tuples(st.integers(0, len(ASKS) - 1), st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=80
)


async def _answers(ledger: Ledger, steps: list[tuple[int, int, int]]) -> list[Any]:
    answers: list[Any] = []
    try:
        for number, a, b in steps:
            try:
                answers.append(await ledger.write(lambda tx, ask=ASKS[number], a=a, b=b: ask(tx, a, b)))  # type: ignore[misc]  # mypy#12557
            except Exception as error:  # noqa: BLE001 # whatever it is, both must raise it
                answers.append(type(error))
        answers.append(await ledger.read(lambda tx: [_found(tx, a, b) for a in range(4) for b in range(6)]))
    finally:
        await ledger.close()
    return answers


@settings(max_examples=count(20, soak=1000), deadline=None)
@given(STEPS)
def test_both_ledgers_answer_any_acts_alike(steps):
    async def both() -> None:
        with tempfile.TemporaryDirectory() as folder:
            sqlite = await _answers(await SqliteLedger.open(Path(folder) / "x.db", audit_key=KEY), steps)
        memory = await _answers(MemoryLedger(audit_key=KEY), steps)
        for one, other, step in zip(sqlite, memory, [*steps, None], strict=True):
            assert one == other, step

    asyncio.run(both())
