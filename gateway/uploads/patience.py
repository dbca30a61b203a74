"""A `complete` that came a moment before the last file was whole: what a client sends at once arrives in any order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.clock import Clock
from gateway.errors import Conflict
from gateway.ledger.base import Ledger
from gateway.ledger.rows import UploadRow

#: An upload that is busy changes often; the act isn't tried for each change.
_TRIES = 5


async def once_there(
    ledger: Ledger, clock: Clock, upload_id: str, patience_s: float, act: Callable[[], Awaitable[UploadRow]]
) -> UploadRow:
    """Do it, and again when the upload has changed, as long as it is refused as `incomplete`.

    :param patience_s: since now; 0: what is missing is missing.
    :raises Conflict: `incomplete`: it still is.
    """
    until, tries = clock.monotonic() + patience_s, 0
    with ledger.watch(upload_id) as watch:
        while True:
            try:
                return await act()
            except Conflict as refusal:
                tries, rest_s = tries + 1, until - clock.monotonic()
                if refusal.code != "incomplete" or tries == _TRIES or rest_s <= 0 or not await watch.changed(rest_s):
                    raise
