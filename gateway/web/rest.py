"""The REST facade (CONTRACT 2.2): requests in, acts on submissions, answers out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from aiohttp import BodyPartReader, web

from gateway.clock import rfc3339
from gateway.errors import Malformed, TooLarge, Unprocessable, UnsupportedMediaType
from gateway.ledger.rows import FileRow
from gateway.protocol import rest
from gateway.protocol.headers import single
from gateway.protocol.rest import ChunkName
from gateway.protocol.values import check_file_id, read_digest
from gateway.states import FINISHED_STATES, UploadEvent, refusal
from gateway.uploads.body import Body, BodyBroken
from gateway.uploads.chunks import ChunkWish
from gateway.uploads.seen import Opened
from gateway.web.addresses import base_url, client_of
from gateway.web.bearer import principal
from gateway.web.body import HeldBody, StreamBody, go_on, line_errors, media_type
from gateway.web.gone import told_what_became
from gateway.web.json_body import read_body, read_query
from gateway.web.services import ABOUT_UPLOAD, PRINCIPAL, RAW_TOKEN, services

T = TypeVar("T")

_MAX_FIELD_BYTES = 256
_MAX_PARTS = 16
#: Of a multipart body with a whole chunk, what else there may be in memory.
_ROUND_A_PAYLOAD_BYTES = 16 * 1024
_PART_WAIT_S = 30.0
_RETRY_AFTER_S = 2
#: Who says `complete` and would wait for the outcome waits for what it said at once and that comes a moment later, too.
_ON_ITS_WAY_S = 0.5


async def init(request: web.Request) -> web.StreamResponse:
    """`POST /upload/init`."""
    here, wish = base_url(request), await read_body(request, rest.INIT)
    key = single(request.headers, "Idempotency-Key")
    if key is not None and not (0 < len(key) <= 256 and key.isascii() and key.isprintable()):
        raise Malformed("Idempotency-Key must have 1 to 256 printable ASCII characters", code="malformed_header")
    if RAW_TOKEN in request:
        opened = await services(request).qr.init(request[RAW_TOKEN], wish, key)
    else:
        who = principal(request)
        await services(request).accounts.active(who.account_id)
        opened = await services(request).submissions.init(who, wish, key)
    return _opened(request, opened, here, status=201)


async def renew(request: web.Request) -> web.StreamResponse:
    """`POST /upload/{upload_id}/token`."""
    here, who = base_url(request), request.get(PRINCIPAL)
    if who is not None:
        await services(request).accounts.active(who.account_id)
    opened = await services(request).submissions.renew(who, _upload_id(request), request.get(RAW_TOKEN))
    return _opened(request, opened, here, status=200)


def _opened(request: web.Request, opened: Opened, here: str, *, status: int) -> web.StreamResponse:
    upload = opened.upload
    request[ABOUT_UPLOAD] = upload.upload_id
    minted = services(request).mint.upload(upload.upload_id, upload.owner_id)
    answer = {
        "upload_id": upload.upload_id,
        "upload_token": minted.token,
        "expires_in": minted.expires_in_s,
        "refresh_token": opened.refresh_token,
        "chunk_size": upload.chunk_size,
        "endpoint_id": upload.endpoint_id,
        "expires_at": rfc3339(upload.expires_at),
        "tus_url": f"{here}/files/",
    }
    return web.json_response(answer, status=status)


async def chunk(request: web.Request) -> web.StreamResponse:
    """`PUT /upload/{upload_id}/chunk`, raw or multipart."""
    kind = media_type(request)
    if kind == "multipart/form-data":
        most = services(request).chunk_size + _ROUND_A_PAYLOAD_BYTES
        size = request.content_length
        async with services(request).shares.hold(client_of(request), most if size is None else min(size, most)):
            fields, held = await _multipart(request)
            return await _put(request, rest.CHUNK.read(fields), held, {})
    if kind not in (None, "application/octet-stream"):
        raise UnsupportedMediaType("a chunk is application/octet-stream or multipart/form-data")
    name, declared = read_query(request, rest.CHUNK), single(request.headers, "Content-Digest")
    digests = read_digest("Content-Digest", declared) if declared is not None else {}
    return await _put(request, name, StreamBody(request), digests)


async def _put(request: web.Request, name: ChunkName, body: Body, digests: dict[str, bytes]) -> web.StreamResponse:
    wish = ChunkWish(name.file_id, name.chunk, digests)
    async with told_what_became(request, _upload_id(request)):
        file = await services(request).chunks.put(principal(request), _upload_id(request), wish, body)
    return _taken(wish, file)


def _taken(wish: ChunkWish, file: FileRow) -> web.StreamResponse:
    return web.json_response(
        {"received_chunk_index": wish.chunk.index, "file_id": wish.file_id, "received_bytes": file.offset}
    )


async def _multipart(request: web.Request) -> tuple[dict[str, str], HeldBody]:
    """The fields in any order. The payload is held, for it may come before the fields that say what it is."""
    if "Content-Digest" in request.headers:
        raise Malformed("Content-Digest goes with a raw body only", code="malformed_header")
    go_on(request)
    found: dict[str, bytes] = {}
    try:
        with line_errors():
            reader = await request.multipart()
            while (part := await _in_time(reader.next())) is not None:
                if (
                    not isinstance(part, BodyPartReader)
                    or not part.name
                    or part.name in found
                    or len(found) > _MAX_PARTS
                ):
                    raise Malformed("the multipart body has an odd, repeated or superfluous part")
                limit_bytes = services(request).chunk_size if part.name == "binary_payload" else _MAX_FIELD_BYTES
                found[part.name] = await _part(part, limit_bytes)
        payload = found.pop("binary_payload", None)
        fields = {name: value.decode("utf-8") for name, value in found.items()}
    except (ValueError, AssertionError, KeyError):  # what aiohttp raises on a multipart body it can't read
        raise Malformed("the multipart body can't be read") from None
    if payload is None:
        raise Unprocessable("binary_payload is missing", code="missing_field", field="binary_payload")
    return fields, HeldBody(payload)


async def _part(part: BodyPartReader, limit_bytes: int) -> bytes:
    pieces, size = [], 0
    while piece := await _in_time(part.read_chunk(1 << 16)):
        size += len(piece)
        if size > limit_bytes:
            raise TooLarge("a part of the body is too large", code="body_too_large")
        pieces.append(piece)
    return b"".join(pieces)


async def _in_time(reading: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(_PART_WAIT_S):
            return await reading
    except TimeoutError:
        raise BodyBroken("nothing came for too long") from None


async def complete(request: web.Request) -> web.StreamResponse:
    """`POST /upload/{upload_id}/complete`; waits as `Prefer: wait=N` says (RFC 7240)."""
    here, wish = base_url(request), await read_body(request, rest.COMPLETE)
    submissions = services(request).submissions
    preferred_s = rest.prefer_wait(request.headers.getall("Prefer", []))
    wait_s = rest.DEFAULT_WAIT_S if preferred_s is None else preferred_s
    headers = {} if preferred_s is None else {"Preference-Applied": f"wait={preferred_s}"}
    patience_s = _ON_ITS_WAY_S if preferred_s else 0.0
    await submissions.complete(principal(request), _upload_id(request), wish, patience_s)
    upload = await submissions.wait(_upload_id(request), wait_s, lambda: services(request).draining)
    if upload.state in FINISHED_STATES:
        return web.json_response(await submissions.result(upload), headers=headers)
    headers |= {
        "Location": f"{here}/upload/{upload.upload_id}/status",
        "Retry-After": str(_RETRY_AFTER_S),
    }
    answer = await submissions.status(principal(request), upload)
    return web.json_response(answer, status=202, headers=headers)


async def status(request: web.Request) -> web.StreamResponse:
    """`GET /upload/{upload_id}/status`."""
    submissions = services(request).submissions
    who = principal(request)
    upload = await submissions.see(who, _upload_id(request))
    return web.json_response(await submissions.status(who, upload))


async def files(request: web.Request) -> web.StreamResponse:
    """`GET /upload/{upload_id}/files?cursor=&limit=`."""
    submissions, wish = services(request).submissions, read_query(request, rest.PAGE)
    who = principal(request)
    upload = await submissions.see(who, _upload_id(request))
    return web.json_response(await submissions.files(who, upload, wish.cursor, wish.limit))


async def receipt(request: web.Request) -> web.StreamResponse:
    """`GET /upload/{upload_id}/receipt?endpoint_id=`: the compact JWS itself."""
    submissions, endpoint_id = services(request).submissions, read_query(request, rest.RECEIPT)
    upload = await submissions.see(principal(request), _upload_id(request), dead_too=True)
    return web.Response(text=await submissions.receipt(upload, endpoint_id), content_type="application/jose")


async def remove_file(request: web.Request) -> web.StreamResponse:
    """`DELETE /upload/{upload_id}/files/{file_id}`: a bad file goes, and the totals go down."""
    submissions, who = services(request).submissions, principal(request)
    upload = await submissions.see(who, _upload_id(request))
    if upload.state in FINISHED_STATES:
        raise refusal(upload.state, UploadEvent.BYTES)
    file = await submissions.file_named(upload, check_file_id(request.match_info["file_id"]))
    async with told_what_became(request, upload.upload_id):
        await services(request).uploads.remove(file.file_id, who.actor, lower_totals=True)
    return web.Response(status=204)


async def cancel(request: web.Request) -> web.StreamResponse:
    """`DELETE /upload/{upload_id}`."""
    reason = await read_body(request, rest.CANCEL)
    await services(request).submissions.cancel(principal(request), _upload_id(request), reason)
    return web.Response(status=204)


def _upload_id(request: web.Request) -> str:
    found: str = request.match_info["upload_id"]
    return found
