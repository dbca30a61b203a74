"""The backends that the contract suites run over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.ledger.base import Ledger
from gateway.ledger.memory.ledger import MemoryLedger
from gateway.ledger.sqlite.ledger import SqliteLedger

AUDIT_KEY = b"k" * 32


@pytest.fixture(params=["sqlite", "memory"])
async def ledger(request, tmp_path: Path) -> AsyncIterator[Ledger]:
    opened: Ledger
    if request.param == "sqlite":
        opened = await SqliteLedger.open(tmp_path / "ledger" / "relaypacs.db", audit_key=AUDIT_KEY)
    else:
        opened = MemoryLedger(audit_key=AUDIT_KEY)
    yield opened
    await opened.close()
