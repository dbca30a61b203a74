"""Groups of acts on SQLite, whose rows wait and go together, beside the ledger in memory: the same answers, the same rows."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, NotFound
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.memory.ledger import MemoryLedger
from gateway.ledger.promises import Recorded
from gateway.ledger.rows import JobKind
from gateway.ledger.sqlite.ledger import SqliteLedger
from tests import scale
from tests.ledger_rows import file_row, job_row, run_row, upload_row

KEY = b"k" * 32
UPLOADS = ["0a" * 16, "0b" * 16]
FILES = [f"{number:032x}" for number in range(4)]
SEGMENT = "5a" * 16

Step = tuple[str, int, int]

steps = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "new",
                "new",
                "grow",
                "grow",
                "job",
                "done",
                "audit",
                "key",
                "drop key",
                "run",
                "late run",
                "unname",
                "twin",
                "page",
                "counts",
                "jobs",
                "raise",
                "delete",
            ]
        ),
        st.integers(0, len(FILES) - 1),
        st.integers(0, len(UPLOADS) - 1),
    ),
    min_size=1,
    max_size=5,
)
groups = st.lists(st.lists(steps, min_size=1, max_size=5), min_size=1, max_size=5)


def mac(number: int) -> bytes:
    return b"mac %d" % number


def perform(tx: Transaction, act: list[Step], keys: list[int]) -> list[Any]:
    """One act; what it saw."""
    return [_step(tx, *step, keys) for step in act]


def _step(tx: Transaction, what: str, file: int, upload: int, keys: list[int]) -> Any:
    file_id, upload_id = FILES[file], UPLOADS[upload]
    match what:
        case "new":
            tx.files.insert(file_row(file_id, upload_id, client_mac=mac(file)))
        case "grow" | "unname":
            row = tx.files.get(file_id)
            if row is None:
                return None
            tx.files.save(replace(row, offset=row.offset + 1) if what == "grow" else replace(row, client_mac=None))
            owner = tx.uploads.get(row.upload_id)
            assert owner is not None
            tx.uploads.save(replace(owner, received_bytes=owner.received_bytes + 1))
            return row.offset, owner.received_bytes
        case "job":
            return tx.jobs.insert(job_row(upload_id, kind=JobKind.COMPLETE, due_at=1.0)) > 0
        case "done":
            for job in tx.jobs.of_upload(upload_id, JobKind.COMPLETE)[:1]:
                tx.jobs.save(replace(job, attempts=job.attempts + 1))
                if job.attempts:
                    tx.jobs.delete(job.job_id)
        case "audit":
            return tx.audit.append("event", at=1.0, actor="test").number
        case "key":
            return tx.keys.get(tx.keys.insert(b"key %d" % file))
        case "drop key":
            tx.keys.delete(keys[-1:])
        case "run" | "late run":
            return tx.runs.insert(run_row(file_id, SEGMENT if what == "run" else "6a" * 16)) > 0
        case "twin":
            return getattr(tx.files.by_client_mac(upload_id, mac(file)), "file_id", None)
        case "page":
            return [(row.file_id, row.offset, row.client_mac) for row in tx.files.page(upload_id)]
        case "counts":
            return dict(tx.files.counts(upload_id))
        case "jobs":
            return [job.attempts for job in tx.jobs.of_upload(upload_id, JobKind.COMPLETE)]
        case "delete":
            tx.files.delete([file_id])
        case "raise":
            raise NotFound("this one is refused")
    return None


async def answers(ledger: Ledger, all_groups: list[list[list[Step]]]) -> list[Any]:
    """What every act of every group was told, and what is there in the end."""
    keys = await ledger.write(_begin)
    told: list[Any] = []
    for group in all_groups:
        done: list[asyncio.Future[Any]] = [asyncio.get_running_loop().create_future() for _ in group]
        acts = [
            Recorded(lambda tx, act=act: perform(tx, act, keys), one)  # type: ignore[misc] # bound now
            for act, one in zip(group, done, strict=True)
        ]
        thread = threading.Thread(target=ledger.record, args=(acts,))
        thread.start()
        results = await asyncio.gather(*done, return_exceptions=True)
        thread.join()
        for result in results:
            assert not isinstance(result, BaseException) or isinstance(result, GatewayError), result
        # SQLite may refuse a row later than the memory does, after another fault of the same act.
        told.append(["refused" if isinstance(one, BaseException) else one for one in results])
    return [told, await ledger.read(lambda tx: perform(tx, _everything(), keys))]


def _begin(tx: Transaction) -> list[int]:
    for upload_id in UPLOADS:
        tx.uploads.insert(upload_row(upload_id, now=0.0))
    tx.runs.begin_shared(SEGMENT, "session")
    return [tx.keys.insert(b"a key")]


def _everything() -> list[Step]:
    asked = ("page", "counts", "jobs")
    return [(what, 0, upload) for what in asked for upload in range(len(UPLOADS))]


@settings(max_examples=scale.count(25, 2000), deadline=None)
@given(groups)
def test_a_group_answers_as_its_acts_would_one_by_one(all_groups: list[list[list[Step]]]) -> None:
    async def both() -> tuple[list[Any], list[Any]]:
        with tempfile.TemporaryDirectory() as folder:
            sqlite = await SqliteLedger.open(Path(folder) / "relaypacs.db", audit_key=KEY)
            memory = MemoryLedger(audit_key=KEY)
            try:
                return await answers(sqlite, all_groups), await answers(memory, all_groups)
            finally:
                await sqlite.close()
                await memory.close()

    on_disk, in_memory = asyncio.run(both())
    assert on_disk == in_memory
