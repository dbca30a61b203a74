"""Who meets a dead upload hears what became of it, wherever in a request that comes out (CONTRACT 2, 410)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from gateway.errors import Gone
from gateway.web.bearer import principal
from gateway.web.services import services


@asynccontextmanager
async def told_what_became(request: web.Request, upload_id: str) -> AsyncIterator[None]:
    """Add `pacs_receipt_id` and `warnings` to a `Gone` that passes, for the bearer of a token that was good for it."""
    try:
        yield
    except Gone as error:
        if "warnings" not in error.extra:
            upload = await services(request).submissions.see(principal(request), upload_id, dead_too=True)
            warnings = services(request).records.warnings(upload)
            error.extra |= {"pacs_receipt_id": upload.receipt_id, "warnings": warnings}
        raise
