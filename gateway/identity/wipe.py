"""A word to devices: delete what you keep for this account, or for this upload.

Promises: only who bears a token that this gateway signed for that very account or upload hears it, in its time or past
it; everybody else gets the answer that they would get anyway. The order is audited with its reason; that a device was
told is an event too, once for each session or upload and start of the gateway. It is told, not proven: what a device
does is the device's. Knows no HTTP.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.clock import Clock
from gateway.errors import NotFound, Unauthorized
from gateway.ledger.base import Ledger, Transaction

#: Devices that are remembered as told; then it is forgotten, and written down again.
REMEMBERED = 10_000


def check(tx: Transaction, account_id: str, upload_id: str | None) -> None:
    """:raises Unauthorized: `device_wipe`, with `scope`: `account` or `upload`."""
    upload = tx.uploads.get(upload_id) if upload_id is not None else None
    if upload is not None and upload.wipe:
        raise Unauthorized("delete this upload from the device", code="device_wipe", scope="upload")
    account = tx.accounts.get(account_id)
    if account is not None and account.wipe:
        raise Unauthorized("delete this account's uploads from the device", code="device_wipe", scope="account")


class Wiping:
    """Orders, and who has heard them."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._told: set[tuple[str, str, str]] = set()

    async def order(self, upload_id: str, *, actor: str, reason: str) -> None:
        """Devices that hold this upload's tokens delete it, whatever its state. :raises NotFound: no such upload."""
        now = self._clock.now()

        def act(tx: Transaction) -> None:
            upload = tx.uploads.get(upload_id)
            if upload is None:
                raise NotFound("there is no such upload")
            tx.uploads.save(replace(upload, wipe=True))
            tx.audit.append("device.wipe_ordered", at=now, actor=actor, upload_id=upload_id, detail={"reason": reason})

        await self._ledger.write(act)

    async def check(self, account_id: str, session_id: str, upload_id: str | None) -> None:
        """For the bearer of a token whose signature holds. :raises Unauthorized: `device_wipe`."""
        try:
            await self._ledger.read(lambda tx: check(tx, account_id, upload_id))
        except Unauthorized:
            await self._note(account_id, session_id, upload_id)
            raise

    async def _note(self, account_id: str, session_id: str, upload_id: str | None) -> None:
        device, now = (account_id, session_id, upload_id or ""), self._clock.now()
        if device in self._told:
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told.add(device)
        actor = f"account:{account_id}" if upload_id is None else f"upload:{upload_id}"
        await self._ledger.write(
            lambda tx: tx.audit.append("device.wipe_told", at=now, actor=actor, upload_id=upload_id)
        )
