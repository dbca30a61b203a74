"""What every command is built on: the facts, the bytes, the keys."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.assembly.parts import PARTS, Parts
from gateway.clock import Clock
from gateway.config import Config
from gateway.errors import ConfigError
from gateway.keys.service import open_service_keys
from gateway.ledger.base import Ledger
from gateway.ledger.settings import Setting
from gateway.owners import leave_to_owner, why_not
from gateway.spool import KeyRing, ServiceKeys, Spool

log = logging.getLogger("relaypacs.gateway")


@dataclass(frozen=True, slots=True)
class Base:
    """What every command needs."""

    config: Config
    clock: Clock
    ledger: Ledger
    ring: KeyRing
    keys: ServiceKeys
    spool: Spool


@asynccontextmanager
async def open_base(config: Config, clock: Clock, parts: Parts = PARTS) -> AsyncIterator[Base]:
    """Open ledger, keys and spool.

    :raises ConfigError: a key is missing, or a path can't be used; it says which.
    """
    ring = KeyRing(
        {name: secret.reveal() for name, secret in config.spool.keys.by_name.items()}, config.spool.keys.active
    )
    for path in (config.database.path.parent, config.spool.path):
        make_folder(path)
    ledger = await parts.open_ledger(config.database.path)
    try:
        keys = await open_service_keys(ledger, ring, clock)
        try:
            spool = Spool(parts.open_blobs(config.spool.path), config.spool.max_bytes)
        except OSError as error:
            raise ConfigError(f"the spool can't be opened ({why_not(config.spool.path, error)})") from None
        await _own(ledger, spool)
        yield Base(config, clock, ledger, ring, keys, spool)
    finally:
        await ledger.close()


async def _own(ledger: Ledger, spool: Spool) -> None:
    """The spool is the ledger's, or what lies in it is left alone. :raises Unavailable: it can't be marked."""
    known = await ledger.read(lambda tx: tx.settings.get(Setting.SPOOL_ID))
    spool_id = await asyncio.to_thread(spool.belongs_to, known)
    if spool_id != known:
        await ledger.write(lambda tx: tx.settings.put(Setting.SPOOL_ID, spool_id))
    if not await asyncio.to_thread(spool.is_ours):
        log.error("the spool isn't this ledger's: mount it, or give it up by a folder spool_id/%s in it", spool_id)


def make_folder(path: Path) -> None:
    """A folder of ours, for its owner only. :raises ConfigError: it can't be made."""
    if path.is_dir():
        return
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        leave_to_owner(path)
    except OSError as error:
        raise ConfigError(f"{path} can't be made ({why_not(path, error)})") from None
