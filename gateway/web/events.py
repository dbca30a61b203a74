"""`GET /upload/{upload_id}/events`: the status of an upload as it changes, as Server-Sent Events (HTML, section 9.2).

Promises: the first event is the status as it is; each later one differs from the one before; a comment passes at
least every `HEARTBEAT_S`; it ends at the token's `exp`, when its bearer is no longer welcome, after the final status, and
when the gateway drains. Events have no ids: whoever comes again gets the present status, which is all there is to know.
"""

from __future__ import annotations

import contextlib
import json

from aiohttp import hdrs, web

from gateway.errors import Gone, NotFound, Unauthorized
from gateway.ledger.promises import Watch
from gateway.states import FINISHED_STATES
from gateway.web.bearer import principal
from gateway.web.services import EXPIRES_AT, SESSION_ID, services

HEARTBEAT_S = 15.0
#: Bytes that arrive wake nobody: progress is looked at this often.
_LOOK_S = 1.0


async def events(request: web.Request) -> web.StreamResponse:
    """The stream. :raises NotFound, Gone: before it begins, as `status` does."""
    upload_id = request.match_info["upload_id"]
    upload = await services(request).submissions.see(principal(request), upload_id)
    headers = {hdrs.CONTENT_TYPE: "text/event-stream", hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"}
    if request.method == hdrs.METH_HEAD:
        return web.Response(headers=headers)
    response = web.StreamResponse(headers=headers)
    with services(request).ledger.watch(upload.upload_id) as watch, contextlib.suppress(ConnectionError):
        await response.prepare(request)
        await _tell(request, response, watch)
        await response.write_eof()
    return response


async def _tell(request: web.Request, response: web.StreamResponse, watch: Watch) -> None:
    everything, who = services(request), principal(request)
    told, quiet_since = "", everything.clock.monotonic()
    while everything.clock.now() < request[EXPIRES_AT] and not everything.draining:
        try:
            await everything.accounts.check_bearer(who.account_id, request.get(SESSION_ID, ""), who.upload_id)
            upload = await everything.submissions.see(who, request.match_info["upload_id"])
        except Gone as gone:
            await response.write(_event("gone", json.dumps({"detail": gone.detail} | gone.extra)))
            return
        except (Unauthorized, NotFound):  # its account or its session was ended meanwhile, or the record deleted
            return
        status = json.dumps(await everything.submissions.status(who, upload))
        if status != told:
            told, quiet_since = status, everything.clock.monotonic()
            await response.write(_event("status", status))
        elif everything.clock.monotonic() - quiet_since >= HEARTBEAT_S:
            quiet_since = everything.clock.monotonic()
            await response.write(b": still here\n\n")
        if upload.state in FINISHED_STATES:
            return
        await watch.changed(_LOOK_S)


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()
