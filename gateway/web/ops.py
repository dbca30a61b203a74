"""For those who run the gateway: is it alive, is it ready, whose signature is that; held uploads (CONTRACT 2.6)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from enum import Enum, auto

from aiohttp import hdrs, web

from gateway.errors import Conflict, GatewayError, Gone, SpoolFull, Unavailable
from gateway.protocol import rest
from gateway.web.bearer import principal
from gateway.web.json_body import read_body
from gateway.web.services import services


class _Use(Enum):
    """What is wanted of a part: a full disk can still be read."""

    READS = auto()
    WRITES = auto()


_OK = "ok"
#: Parts without which the gateway is not ready.
_COUNTED = ("database", "spool", "keys")
#: A part that says nothing for so long doesn't work; the answer must come before a load balancer's patience ends.
_PROBE_WAIT_S = 2.0
#: What people do here -> what it needs. Tokens that were given are checked by reading.
_NEEDS: Mapping[str, Mapping[str, _Use]] = {
    "status": {"database": _Use.READS},
    "receipts": {"database": _Use.READS},
    "login": {"database": _Use.WRITES},
    "new_uploads": {"database": _Use.WRITES, "spool": _Use.WRITES, "room": _Use.WRITES, "keys": _Use.WRITES},
    "open_uploads": {"database": _Use.WRITES, "spool": _Use.WRITES, "keys": _Use.READS},
    "delivery": {"database": _Use.WRITES, "spool": _Use.READS, "keys": _Use.READS},
}


async def healthz(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 - the shape of a handler
    """`GET /healthz`: the process answers."""
    return web.json_response({"status": "alive"})


async def readyz(request: web.Request) -> web.StreamResponse:
    """`GET /readyz`: database, spool and keys work; where one doesn't, what still works without it.

    Endpoints, and room for new uploads, are told and not counted.
    """
    questions = services(request).probes
    parts = dict(zip(questions, await asyncio.gather(*map(_condition, questions.values())), strict=True))
    ready = all(parts[name] == _OK for name in _COUNTED) and not services(request).draining
    answer = {
        "status": "ready" if ready else "not ready",
        "parts": parts,
        "works": {what: _works(needed, parts) for what, needed in _NEEDS.items()},
        "endpoints": dict(services(request).endpoint_states()),
    }
    return web.json_response(answer, status=200 if ready else 503)


async def _condition(probe: Callable[[], Awaitable[None]]) -> str:
    """`ok`, or the code of why the part doesn't work."""
    try:
        async with asyncio.timeout(_PROBE_WAIT_S):
            await probe()
    except GatewayError as error:
        return error.code
    except TimeoutError:
        return Unavailable.codes[0]
    return _OK


def _works(needed: Mapping[str, _Use], parts: Mapping[str, str]) -> bool:
    return all(
        parts[name] == _OK or (use is _Use.READS and parts[name] in SpoolFull.codes) for name, use in needed.items()
    )


async def metrics(request: web.Request) -> web.StreamResponse:
    """`GET /metrics`: for Prometheus, in its text format or as OpenMetrics."""
    body, content_type = await services(request).scrape(request.headers.get(hdrs.ACCEPT, ""))
    return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})


async def jwks(request: web.Request) -> web.StreamResponse:
    """`GET /.well-known/jwks.json`: the keys that receipts are signed with."""
    return web.json_response(dict(await services(request).jwks()), headers={"Cache-Control": "public, max-age=300"})


async def app_config(request: web.Request) -> web.StreamResponse:
    """`GET /app/config`: what the app must know before anybody has signed in; nothing about anybody."""
    return web.json_response(dict(services(request).app_terms))


async def release(request: web.Request) -> web.StreamResponse:
    """`POST /admin/uploads/{upload_id}/release`: a held upload goes on."""
    reason = await read_body(request, rest.REASON)
    await services(request).release(request.match_info["upload_id"], principal(request).actor, reason)
    return web.Response(status=204)


async def retry(request: web.Request) -> web.StreamResponse:
    """`POST /admin/uploads/{upload_id}/retry`: what failed is tried again."""
    reason = await read_body(request, rest.REASON)
    await services(request).retry(request.match_info["upload_id"], principal(request).actor, reason)
    return web.Response(status=204)


async def drop(request: web.Request) -> web.StreamResponse:
    """`POST /admin/uploads/{upload_id}/drop`: it ends; the uploader sees the reason.

    With `wipe` its device deletes what it has of it, whatever became of it here.
    """
    wish = await read_body(request, rest.DROP)
    who, upload_id = principal(request), request.match_info["upload_id"]
    if wish.wipe:
        await services(request).wiping.order(upload_id, actor=who.actor, reason=wish.reason)
        services(request).accounts.forget_bearers()
    with suppress(*((Gone, Conflict) if wish.wipe else ())):
        await services(request).submissions.cancel(who, upload_id, wish.reason, as_admin=True)
    return web.Response(status=204)
