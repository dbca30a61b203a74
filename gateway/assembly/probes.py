"""What `GET /readyz` asks: a question for each part, which raises where the part doesn't work."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable

from gateway.assembly.base import Base
from gateway.errors import SpoolFull, Unavailable
from gateway.ledger.settings import Setting
from gateway.uploads.admission import check_spool
from gateway.uploads.intake import Intake
from gateway.uploads.reservations import needed_bytes

#: A disk with less is full.
LEAST_FREE_BYTES = 1 << 20


def probes(base: Base, intake: Intake) -> dict[str, Callable[[], Awaitable[None]]]:
    """Name of the part -> its question. A full disk is `SpoolFull`: what is there can still be read."""
    threads, database_folder = intake.pipeline.threads, base.config.database.path.parent

    def database_free_bytes() -> int:
        try:
            return shutil.disk_usage(database_folder).free
        except OSError:
            raise Unavailable("the database's disk can't be asked", code="storage_error") from None

    async def database() -> None:
        await base.ledger.read(lambda tx: tx.settings.get(Setting.PROBE))
        if await threads.run(database_free_bytes) < LEAST_FREE_BYTES:
            raise SpoolFull("the database's disk is full")

    def spool_is_full() -> bool:
        """Nor are bytes taken while the ledger lives on its reserve (see `gateway.uploads.pipeline`)."""
        return base.spool.free_bytes() < LEAST_FREE_BYTES or not base.ledger.reserve.held

    async def spool() -> None:
        if await threads.run(spool_is_full):
            raise SpoolFull("the spool's disk is full")

    async def room() -> None:
        room_bytes, least_bytes = await threads.run(base.spool.room_bytes), needed_bytes(1, 1)
        await base.ledger.read(lambda tx: check_spool(tx, least_bytes, intake.limits, room_bytes))

    async def keys() -> None:
        base.ring.require(await base.ledger.read(lambda tx: tx.keys.kek_ids()))

    return {"database": database, "spool": spool, "room": room, "keys": keys}
