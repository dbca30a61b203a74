"""A process that writes into a ledger and says on stdout what was acknowledged. Run by test_ledger_processes.py."""

from __future__ import annotations

import asyncio
import itertools
import resource
import signal
import sys
from pathlib import Path

from gateway.errors import Unavailable
from gateway.ledger.base import Transaction
from gateway.ledger.sqlite.ledger import SqliteLedger

KEY = b"k" * 32
AT_ONCE = 8


def event(name: str, number: int):
    def act(tx: Transaction) -> None:
        tx.settings.put(f"{name}-{number}", "x" * 200)
        tx.audit.append("event", at=float(number), actor=name)

    return act


async def write(path: Path, name: str, count: int) -> None:
    """Write `count` events (0: until killed), several at once; each is told on a line when it is acknowledged."""
    ledger = await SqliteLedger.open(path, audit_key=KEY)
    numbers = itertools.count() if count == 0 else iter(range(count))

    async def writer() -> None:
        for number in numbers:
            await ledger.write(event(name, number))
            print(number, flush=True)

    await asyncio.gather(*(writer() for _ in range(AT_ONCE)))
    await ledger.close()


async def write_past_a_limit(path: Path, name: str) -> None:
    """Write until the system refuses to let the log grow, then with more room."""
    ledger = await SqliteLedger.open(path, audit_key=KEY)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # EFBIG instead
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, most))
    number = 0
    for number in range(10_000):
        try:
            await ledger.write(event(name, number))
        except Unavailable as error:
            print(error.code, flush=True)
            break
        print(number, flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    await ledger.write(event(name, number + 1))
    print(number + 1, flush=True)
    await ledger.close()


if __name__ == "__main__":
    if sys.argv[3] == "limit":
        asyncio.run(write_past_a_limit(Path(sys.argv[1]), sys.argv[2]))
    else:
        asyncio.run(write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
