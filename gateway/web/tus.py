"""tus 1.0.0 at `/files/` (CONTRACT 2.3): requests in, acts on uploads, answers out."""

from __future__ import annotations

from aiohttp import web

from gateway.errors import ChecksumMismatch, TooLarge
from gateway.ledger.rows import Dialect
from gateway.protocol import tus
from gateway.protocol.engine import Append, Completes
from gateway.protocol.headers import text_of
from gateway.protocol.values import check_file_id
from gateway.uploads.at_once import First
from gateway.uploads.completion import takes_bytes
from gateway.uploads.intake import NewFile
from gateway.uploads.seen import Seen
from gateway.web.addresses import base_url, file_at
from gateway.web.bearer import principal
from gateway.web.body import HeldBody, StreamBody, media_type
from gateway.web.creation import create_file, drop, living
from gateway.web.gone import told_what_became
from gateway.web.services import ABOUT_UPLOAD, services


async def create(request: web.Request) -> web.StreamResponse:
    """POST: a new file, with its first bytes if they come along."""
    tus.check_version(request.headers)
    here, body = base_url(request), StreamBody(request)
    # Some clients send the Content-Type of a body that they don't have.
    wish = tus.read_creation(request.headers, media_type(request) if body.size != 0 else None)
    if wish.with_body and wish.length is not None and (body.size or 0) > wish.length:
        raise TooLarge("the body is longer than Upload-Length", code="file_too_large")
    append = Append(0, body.size, Completes.WHEN_FULL, digests=wish.digests)
    first = First(append, body) if wish.with_body else None
    created = await _created(request, wish, first)
    seen = created
    if first is not None and created.file.offset == 0 and created.file.whole_at is None:
        async with told_what_became(request, created.upload.upload_id):
            try:
                seen = await services(request).uploads.append_first(created, append, first.body)
            except ChecksumMismatch:
                if created.fresh:
                    await drop(request, created)  # its client never hears where it is
                raise
    location = f"{here}/files/{created.file.file_id}"
    return web.Response(status=201, headers={"Location": location} | _offset_headers(seen))


async def _created(request: web.Request, wish: tus.Creation, first: First | None) -> Seen:
    client_file_id = text_of(wish.metadata, "file_id")
    if client_file_id is not None:
        check_file_id(client_file_id)
    parts = None if wish.parts is None else tuple(file_at(request, address) for address in wish.parts)
    concat = None if parts is None else wish.raw_concat
    file = NewFile(wish.length, client_file_id, wish.raw_metadata, part=wish.part, parts=parts, concat=concat)
    upload_id, endpoint_id = text_of(wish.metadata, "upload_id"), text_of(wish.metadata, "endpoint_id")
    return await create_file(request, file, upload_id=upload_id, endpoint_id=endpoint_id, first=first)


async def patch(request: web.Request) -> web.StreamResponse:
    """PATCH: bytes at the tail."""
    tus.check_version(request.headers)
    there = await living(request, recently=True)
    wish = tus.read_patch(request.headers, media_type(request))
    body = StreamBody(request)
    append = Append(wish.at, body.size, Completes.WHEN_FULL, wish.length, wish.digests)
    async with told_what_became(request, there.upload.upload_id):
        seen = await services(request).uploads.append(there, append, body)
    return web.Response(status=204, headers=_offset_headers(seen))


async def head(request: web.Request) -> web.StreamResponse:
    """HEAD: where to go on."""
    tus.check_version(request.headers)
    who, file_id = principal(request), request.match_info["file_id"]
    seen = await services(request).uploads.look(who, file_id)
    request[ABOUT_UPLOAD] = seen.upload.upload_id
    services(request).records.raise_if_file_dead(seen.upload, seen.file)
    named = seen.raw_metadata if who.may_read_names(seen.upload) else None
    at_its_end = seen.file.length == seen.file.offset and not _waits(seen)
    if at_its_end and seen.file.whole_at is None and takes_bytes(seen.upload.state):
        # Over the IETF draft it came to its end without being called complete; here the last byte means that, and
        # nobody hears of it before it is true.
        end = Append(seen.file.offset, 0, Completes.WHEN_FULL)
        seen = await services(request).uploads.append(seen, end, HeldBody(b""))
    concat = tus.PARTIAL if seen.file.dialect is Dialect.PART else seen.concat
    told = (seen.file.offset, seen.file.length, named, _expires_at(seen))
    return web.Response(headers=tus.head_headers(*told, concat=concat, waits=_waits(seen)))


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE: the file goes; with it its upload, if that was made for it."""
    tus.check_version(request.headers)
    await drop(request, await living(request))
    return web.Response(status=204)


def _expires_at(seen: Seen) -> float | None:
    ends = seen.file.whole_at is None or seen.file.dialect is Dialect.PART
    return seen.upload.expires_at if ends and takes_bytes(seen.upload.state) else None


def _waits(seen: Seen) -> bool:
    """It is a final, and not all of its parts are there."""
    return seen.file.dialect is Dialect.FINAL and seen.file.whole_at is None


def _offset_headers(seen: Seen) -> dict[str, str]:
    headers = tus.offset_headers(seen.file.offset, _expires_at(seen))
    if _waits(seen):
        del headers["Upload-Offset"]
    return headers
