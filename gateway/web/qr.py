"""QR sessions over HTTP (CONTRACT 2.5)."""

from __future__ import annotations

import asyncio

from aiohttp import hdrs, web

from gateway.clock import rfc3339
from gateway.protocol import rest
from gateway.protocol.headers import preferred
from gateway.uploads.qr import QrCode
from gateway.web.addresses import base_url
from gateway.web.bearer import principal
from gateway.web.json_body import read_body, read_query
from gateway.web.qr_picture import png, svg
from gateway.web.services import RAW_TOKEN, services

_PICTURES = {"image/png": png, "image/svg+xml": svg}


async def create(request: web.Request) -> web.StreamResponse:
    """`POST /qr`: a code as JSON, or as a picture if `Accept` asks for one."""
    wish = await read_body(request, rest.QR)
    who = principal(request)
    await services(request).accounts.active(who.account_id)
    return await _answer(request, await services(request).qr.create(who, wish))


async def reopen(request: web.Request) -> web.StreamResponse:
    """`POST /admin/uploads/{upload_id}/qr`: a code for an unfinished upload."""
    ttl_s = await read_body(request, rest.REOPEN)
    code = await services(request).qr.reopen(principal(request), request.match_info["upload_id"], ttl_s)
    return await _answer(request, code)


async def _answer(request: web.Request, code: QrCode) -> web.StreamResponse:
    link = code.link(services(request).public_url or base_url(request))
    kind = preferred(request.headers.getall(hdrs.ACCEPT, []), ("application/json", *_PICTURES))
    headers = {"X-QR-Id": code.row.qr_id}
    if kind in _PICTURES:
        picture = await asyncio.to_thread(_PICTURES[kind], link)
        return web.Response(status=201, body=picture, content_type=kind, headers=headers)
    answer = {
        "qr_id": code.row.qr_id,
        "endpoint_id": code.row.endpoint_id,
        "upload_token": code.token,
        "expires_at": rfc3339(code.row.expires_at),
        "url": link,
    }
    return web.json_response(answer, status=201, headers=headers)


async def inspect(request: web.Request) -> web.StreamResponse:
    """`POST /qr/inspect`: what the holder is about to do."""
    row = await services(request).qr.inspect(request[RAW_TOKEN])
    endpoint = services(request).endpoints[row.endpoint_id]
    limits = dict(endpoint["limits"])
    if row.max_files is not None:
        limits["max_files"] = min(limits["max_files"], row.max_files)
    if row.max_bytes is not None:
        limits["max_upload_size"] = min(limits["max_upload_size"], row.max_bytes)
    return web.json_response(
        {
            "endpoint_id": row.endpoint_id,
            "display_name": endpoint["display_name"],
            "contact": endpoint["contact"],
            "limits": limits,
            "notice": endpoint["notice"],
            "takes_notes": endpoint["takes_notes"],
            "expires_at": rfc3339(row.expires_at),
        }
    )


async def listing(request: web.Request) -> web.StreamResponse:
    """`GET /qr?cursor=&limit=`."""
    wish = read_query(request, rest.PAGE)
    page = await services(request).qr.page(principal(request), wish.cursor, wish.limit)
    return web.json_response(page)


async def revoke(request: web.Request) -> web.StreamResponse:
    """`DELETE /qr/{qr_id}?uploads=cancel`."""
    cancel = read_query(request, rest.REVOKE)
    await services(request).qr.revoke(principal(request), request.match_info["qr_id"], cancel_upload=cancel)
    return web.Response(status=204)
