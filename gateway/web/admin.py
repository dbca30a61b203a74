"""For admins (CONTRACT 2.6): uploads, endpoints, the audit trail, and the patient's data with a reason."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from gateway.errors import Unprocessable
from gateway.protocol.rest import chunk_number, read_find, read_reason
from gateway.uploads.search import FILTERS, PLAIN, UploadFilter
from gateway.web.bearer import principal
from gateway.web.json_body import read_json
from gateway.web.services import services

MAX_PAGE = 1000
_MOST = 10**18 - 1


async def uploads(request: web.Request) -> web.StreamResponse:
    """`GET /admin/uploads?state=&endpoint_id=&account=&since=&until=&cursor=&limit=`: no names."""
    query = _known(request, *PLAIN, "cursor", "limit")
    return await _page(request, UploadFilter.read(query), query.get("cursor", ""), _limit(request))


async def find(request: web.Request) -> web.StreamResponse:
    """`POST /admin/uploads/find`: the same by what is in no URL, too."""
    _known(request)
    filters, cursor, limit = read_find(await read_json(request, default={}), FILTERS, most=MAX_PAGE)
    return await _page(request, UploadFilter.read(filters), cursor, limit)


async def _page(request: web.Request, wanted: UploadFilter, cursor: str, limit: int) -> web.StreamResponse:
    administration, actor = services(request).administration, principal(request).actor
    return web.json_response(await administration.uploads(wanted, cursor, limit, actor=actor))


async def upload(request: web.Request) -> web.StreamResponse:
    """`GET /admin/uploads/{upload_id}`: no names; for those there is `reveal`, with a reason."""
    if _known(request, "reveal").get("reveal", "0") not in ("", "0"):
        raise Unprocessable("POST a `reason` to the upload's `reveal`", code="reason_required", field="reason")
    return web.json_response(await services(request).administration.upload(request.match_info["upload_id"]))


async def reveal(request: web.Request) -> web.StreamResponse:
    """`POST /admin/uploads/{upload_id}/reveal` `{reason}`: the patient's data; audited."""
    reason = read_reason(await read_json(request, default={}))
    found = await services(request).administration.reveal(
        request.match_info["upload_id"], actor=principal(request).actor, reason=reason
    )
    return web.json_response(found)


async def endpoints(request: web.Request) -> web.StreamResponse:
    """`GET /admin/endpoints`: condition, code, queued jobs."""
    _known(request)
    return web.json_response(await services(request).administration.endpoints())


async def audit(request: web.Request) -> web.StreamResponse:
    """`GET /admin/audit?after=&limit=`: events by number."""
    after = chunk_number("after", _known(request, "after", "limit").get("after", "0"), least=0, most=_MOST)
    page = await services(request).administration.audit(after, _limit(request), actor=principal(request).actor)
    return web.json_response(page)


def _known(request: web.Request, *names: str) -> Mapping[str, str]:
    """The query. :raises Unprocessable: a parameter that isn't known: a typo must not show more than was asked for."""
    for name in request.query:
        if name not in names:
            told = f"it takes {', '.join(names)}" if names else "it takes none"
            raise Unprocessable(f"there is a query parameter that isn't known: {told}", code="unknown_field")
    return request.query


def _limit(request: web.Request) -> int:
    return chunk_number("limit", request.query.get("limit", "100"), least=1, most=MAX_PAGE)
