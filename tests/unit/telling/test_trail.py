"""Counters that follow the audit trail."""

from __future__ import annotations

import pytest

from gateway.telling.metrics import Metrics
from gateway.telling.trail import TrailCounts
from tests.clocks import ManualClock
from tests.opened import opened_ledger


@pytest.fixture
async def opened():
    async with opened_ledger(ManualClock()) as opened:
        yield opened


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"relaypacs_{name}", labels)


async def note(opened, event: str, **detail: object) -> None:
    await opened.ledger.write(lambda tx: tx.audit.append(event, at=1.0, actor="gateway", detail=detail))


async def test_each_event_counts_once_however_often_is_looked(opened):
    await note(opened, "upload.opened", endpoint="main", files=1, size_bytes=1)
    metrics = Metrics("1", ["main"])
    counts = TrailCounts(opened.ledger, metrics, after=(await opened.events())[-1].number)
    await counts.catch_up()
    assert value(metrics, "uploads_opened_total", endpoint="main") == 0, "it was before this process"
    for _ in range(3):
        await note(opened, "upload.opened", endpoint="main", files=1, size_bytes=1)
    await counts.catch_up()
    await counts.catch_up()
    assert value(metrics, "uploads_opened_total", endpoint="main") == 3
    assert value(metrics, "events_total", event="upload.opened") == 3


async def test_holds_deliveries_and_erasures_are_told_apart(opened):
    metrics = Metrics("1", ["main"])
    counts = TrailCounts(opened.ledger, metrics, after=0)
    await note(opened, "upload.held", codes=["two_patients", "patient_id_mismatch"])
    await note(opened, "upload.delivered", endpoint="main", state="partial", studies=[], stored=4, failed=1)
    await note(opened, "upload.purged", reason="delivered", files=4, bytes=4000)
    await note(opened, "files.purged", reason="delivered", files=1, bytes=500)
    await counts.catch_up()
    assert value(metrics, "uploads_held_total", reason="two_patients") == 1
    assert value(metrics, "uploads_ended_total", endpoint="main", state="partial") == 1
    assert value(metrics, "uploads_ended_total", endpoint="main", state="failed") == 0
    assert value(metrics, "instances_total", endpoint="main", outcome="stored") == 4
    assert value(metrics, "instances_total", endpoint="main", outcome="failed") == 1
    assert value(metrics, "purged_files_total", reason="delivered") == 5
    assert value(metrics, "purged_bytes_total", reason="delivered") == 4500
