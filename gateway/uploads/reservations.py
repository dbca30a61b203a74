"""Room that is set aside for an upload, and its end where no byte comes (CONTRACT 2.2, `limits.empty_upload`)."""

from __future__ import annotations

import asyncio
import logging

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import UploadRow, replace
from gateway.spool import HEADER_SIZE, sealed_size

log = logging.getLogger("relaypacs.gateway")

#: How often is looked for room to give back.
EVERY_S = 15.0
#: Uploads that share a transaction.
AT_ONCE = 100


def needed_bytes(total_size_bytes: int, total_files: int) -> int:
    """Bytes of the spool that an upload takes at most."""
    return sealed_size(total_size_bytes) + total_files * HEADER_SIZE


def room_of(upload: UploadRow) -> int:
    """Bytes of the spool to set aside for an upload: for what was declared, or for more where parts lie about that no final
    has taken.
    """
    size_bytes = max(upload.total_size_bytes, upload.planned_bytes + upload.part_bytes)
    return needed_bytes(size_bytes, upload.total_files + upload.parts)


def reserved(upload: UploadRow) -> UploadRow:
    """The upload with its room set aside again, if that has lapsed."""
    if upload.reserved_bytes:
        return upload
    return replace(upload, reserved_bytes=room_of(upload))


class Lapsing:
    """Gives back the room of uploads that stayed empty; the uploads stay.

    :param after_s: `limits.empty_upload`.
    """

    def __init__(self, ledger: Ledger, clock: Clock, after_s: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._after_s = after_s

    async def run(self) -> None:
        """Look every now and then, until cancelled."""
        while True:
            try:
                await self.run_once()
            except GatewayError as error:
                log.error("reservations could not be looked at: %s", error.code)  # noqa: TRY400 # a fault outside
            await asyncio.sleep(min(EVERY_S, self._after_s))

    async def run_once(self) -> int:
        """Give back what is due; of how many uploads."""
        before, count = self._clock.now() - self._after_s, 0

        def act(tx: Transaction) -> int:
            empty = tx.uploads.empty(before, AT_ONCE)
            for upload in empty:
                tx.uploads.save(replace(upload, reserved_bytes=0))
            return len(empty)

        while lapsed := await self._ledger.write(act):
            count += lapsed
        return count
