"""Uploads that files were made in a moment ago, with their keys: not each file asks the ledger, and unwraps the key, anew.

What stands here may be old by `KNOWN_FOR_S`. It refuses early and gives a key; whether the upload takes anything is asked
again by every act that writes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gateway.identity.principal import Principal, visible
from gateway.ledger.base import Transaction
from gateway.ledger.rows import UploadRow
from gateway.spool import UploadKey
from gateway.uploads.completion import require_receiving
from gateway.uploads.intake import Intake, upload_key

#: How long an upload is known; then its key is forgotten, too.
KNOWN_FOR_S = 1.0


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """One of them."""

    row: UploadRow
    key: UploadKey = field(repr=False)


class OpenUploads:
    """All that are known."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._known: dict[str, OpenUpload] = {}

    def key_of(self, upload_id: str) -> UploadKey | None:
        """If it is at hand."""
        known = self._known.get(upload_id)
        return None if known is None else known.key

    async def find(self, who: Principal, upload_id: str) -> OpenUpload:
        """The upload, if it takes bytes of the caller. :raises NotFound, Gone, Conflict: it doesn't."""
        known = self._known.get(upload_id)
        if known is not None and who.may_write(known.row):
            return known

        def look(tx: Transaction) -> OpenUpload:
            found = tx.uploads.get(upload_id)
            row = require_receiving(visible(found, found is not None and who.may_write(found)))
            return OpenUpload(row, upload_key(tx, self._intake.ring, row))

        found = await self._intake.ledger.read(look)
        self._known[upload_id] = found
        asyncio.get_running_loop().call_later(KNOWN_FOR_S, self._forget, upload_id, found)
        return found

    def _forget(self, upload_id: str, known: OpenUpload) -> None:
        if self._known.get(upload_id) is known:
            del self._known[upload_id]
