"""For those who run the gateway: is it alive, is it ready, whose signature is that; held uploads (CONTRACT 2.6)."""

from __future__ import annotations

from contextlib import suppress

from aiohttp import web

from gateway.errors import Conflict, GatewayError, Gone
from gateway.protocol.rest import read_drop, read_reason
from gateway.web.bearer import principal
from gateway.web.json_body import read_json
from gateway.web.services import services


async def healthz(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 - the shape of a handler
    """`GET /healthz`: the process answers."""
    return web.json_response({"status": "alive"})


async def readyz(request: web.Request) -> web.StreamResponse:
    """`GET /readyz`: database, spool and keys work. Endpoints are told, not counted."""
    parts: dict[str, str] = {}
    for name, probe in services(request).probes.items():
        try:
            await probe()
            parts[name] = "ok"
        except GatewayError as error:
            parts[name] = error.code
    ready = all(state == "ok" for state in parts.values()) and not services(request).draining
    answer = {
        "status": "ready" if ready else "not ready",
        "parts": parts,
        "endpoints": dict(services(request).endpoint_states()),
    }
    return web.json_response(answer, status=200 if ready else 503)


async def jwks(request: web.Request) -> web.StreamResponse:
    """`GET /.well-known/jwks.json`: the keys that receipts are signed with."""
    return web.json_response(dict(await services(request).jwks()), headers={"Cache-Control": "public, max-age=300"})


async def app_config(request: web.Request) -> web.StreamResponse:
    """`GET /app/config`: what the app must know before anybody has signed in; nothing about anybody."""
    return web.json_response(dict(services(request).app_terms))


async def release(request: web.Request) -> web.StreamResponse:
    """`POST /admin/uploads/{upload_id}/release`: a held upload goes on."""
    reason = read_reason(await read_json(request, default={}))
    await services(request).release(request.match_info["upload_id"], principal(request).actor, reason)
    return web.Response(status=204)


async def retry(request: web.Request) -> web.StreamResponse:
    """`POST /admin/uploads/{upload_id}/retry`: what failed is tried again."""
    reason = read_reason(await read_json(request, default={}))
    await services(request).retry(request.match_info["upload_id"], principal(request).actor, reason)
    return web.Response(status=204)


async def drop(request: web.Request) -> web.StreamResponse:
    """`POST /admin/uploads/{upload_id}/drop`: it ends; the uploader sees the reason.

    With `wipe` its device deletes what it has of it, whatever became of it here.
    """
    reason, wipe = read_drop(await read_json(request, default={}))
    who, upload_id = principal(request), request.match_info["upload_id"]
    if wipe:
        await services(request).wiping.order(upload_id, actor=who.actor, reason=reason)
        services(request).accounts.forget_bearers()
    with suppress(*((Gone, Conflict) if wipe else ())):
        await services(request).submissions.cancel(who, upload_id, reason, as_admin=True)
    return web.Response(status=204)
