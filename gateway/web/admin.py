"""For admins (CONTRACT 2.6): uploads, endpoints, the audit trail, and the patient's data with a reason."""

from __future__ import annotations

from aiohttp import web

from gateway.errors import Unprocessable
from gateway.protocol import rest
from gateway.protocol.rest import FoundWish
from gateway.uploads.search import UploadFilter
from gateway.web.api import calls
from gateway.web.bearer import principal
from gateway.web.json_body import read_body, read_query
from gateway.web.services import services


async def uploads(request: web.Request) -> web.StreamResponse:
    """`GET /admin/uploads?state=&endpoint_id=&account=&since=&until=&cursor=&limit=`: no names."""
    return await _page(request, read_query(request, calls.SEARCH))


async def find(request: web.Request) -> web.StreamResponse:
    """`POST /admin/uploads/find`: the same by what is in no URL, too."""
    read_query(request, calls.NOTHING)
    return await _page(request, await read_body(request, calls.FIND))


async def _page(request: web.Request, wish: FoundWish) -> web.StreamResponse:
    administration, actor = services(request).administration, principal(request).actor
    wanted = UploadFilter.read(wish.filters)
    return web.json_response(await administration.uploads(wanted, wish.cursor, wish.limit, actor=actor))


async def upload(request: web.Request) -> web.StreamResponse:
    """`GET /admin/uploads/{upload_id}`: no names; for those there is `reveal`, with a reason."""
    if read_query(request, rest.REVEAL) not in ("", "0"):
        raise Unprocessable("POST a `reason` to the upload's `reveal`", code="reason_required", field="reason")
    return web.json_response(await services(request).administration.upload(request.match_info["upload_id"]))


async def reveal(request: web.Request) -> web.StreamResponse:
    """`POST /admin/uploads/{upload_id}/reveal` `{reason}`: the patient's data; audited."""
    reason = await read_body(request, rest.REASON)
    found = await services(request).administration.reveal(
        request.match_info["upload_id"], actor=principal(request).actor, reason=reason
    )
    return web.json_response(found)


async def endpoints(request: web.Request) -> web.StreamResponse:
    """`GET /admin/endpoints`: condition, code, queued jobs."""
    read_query(request, calls.NOTHING)
    return web.json_response(await services(request).administration.endpoints())


async def audit(request: web.Request) -> web.StreamResponse:
    """`GET /admin/audit?after=&limit=`: events by number."""
    wish = read_query(request, rest.TRAIL)
    page = await services(request).administration.audit(wish["after"], wish["limit"], actor=principal(request).actor)
    return web.json_response(page)
