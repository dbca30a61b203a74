"""Who meets a dead upload hears what became of it, wherever in a request that comes out (CONTRACT 2, 410)."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from aiohttp import web

from gateway.errors import Gone
from gateway.web.bearer import principal
from gateway.web.services import services


class told_what_became(AbstractAsyncContextManager[None]):  # noqa: N801 # used as a statement, like contextlib.suppress
    """Add `pacs_receipt_id` and `warnings` to a `Gone` that passes, for the bearer of a token that was good for it."""

    __slots__ = ("_request", "_upload_id")

    def __init__(self, request: web.Request, upload_id: str) -> None:
        self._request = request
        self._upload_id = upload_id

    async def __aexit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, Gone) or "warnings" in error.extra:
            return
        who, known = principal(self._request), services(self._request)
        upload = await known.submissions.see(who, self._upload_id, dead_too=True)
        error.extra |= {"pacs_receipt_id": upload.receipt_id, "warnings": known.records.warnings(upload)}
