"""A ledger with its service keys open, as a process has it after its start: in memory, unless it is to outlive it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.clock import Clock
from gateway.keys.service import open_service_keys
from gateway.ledger.base import Ledger
from gateway.ledger.memory.ledger import MemoryLedger
from gateway.ledger.rows import AuditRow
from gateway.ledger.sqlite.ledger import SqliteLedger
from gateway.spool.keys import KeyRing, ServiceKeys


@dataclass(frozen=True, slots=True)
class Opened:
    ledger: Ledger
    ring: KeyRing
    keys: ServiceKeys

    async def events(self) -> list[AuditRow]:
        """The audit trail so far."""
        return await self.ledger.read(lambda tx: tx.audit.after(0, 10_000))


def one_key_ring() -> KeyRing:
    return KeyRing({"k1": bytes(32)}, "k1")


@asynccontextmanager
async def opened_ledger(
    clock: Clock, ring: KeyRing | None = None, *, path: Path | None = None
) -> AsyncIterator[Opened]:
    """:param path: of a ledger on the disk; None: in memory."""
    ledger = MemoryLedger() if path is None else await SqliteLedger.open(path)
    try:
        ring = ring or one_key_ring()
        yield Opened(ledger, ring, await open_service_keys(ledger, ring, clock))
    finally:
        await ledger.close()
