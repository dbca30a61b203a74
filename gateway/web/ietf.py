"""The IETF draft at `/files/` (CONTRACT 2.4): requests in, acts on uploads, interim and final answers out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import HttpVersion11, web

from gateway.errors import ChecksumMismatch, Conflict, TooLarge
from gateway.protocol import ietf, rest
from gateway.protocol.engine import Append, Completes
from gateway.protocol.headers import single
from gateway.protocol.ietf import Version
from gateway.protocol.values import read_digest
from gateway.uploads.intake import Heard, NewFile
from gateway.uploads.seen import Seen
from gateway.web.addresses import base_url, hears_interim
from gateway.web.bearer import principal
from gateway.web.body import StreamBody, media_type
from gateway.web.creation import create_file, drop, living
from gateway.web.gone import told_what_became
from gateway.web.json_body import read_query
from gateway.web.services import ABOUT_UPLOAD, ALSO, services

#: Progress is told no more often.
PROGRESS_EVERY_S = 1.0


async def create(request: web.Request) -> web.StreamResponse:
    """POST: a new file, with all of its bytes, some, or none."""
    version, body = ietf.version_of(request.headers), StreamBody(request)
    _also(request, version, None, complete=False)
    wish = ietf.read_creation(request.headers, version, body.size)
    digests = _digests(request)
    if wish.length is not None and (body.size or 0) > wish.length:
        raise ietf.inconsistent()
    completes = Completes.AT_END if wish.complete else Completes.NEVER
    named = read_query(request, rest.DESTINATION)
    file = NewFile(wish.length, None, wish.raw_metadata, completes)
    here = base_url(request)
    seen = await create_file(request, file, upload_id=named["upload_id"], endpoint_id=named["endpoint_id"])
    location = {"Location": f"{here}/files/{seen.file.file_id}"}
    _also(request, version, seen, complete=False)
    _interim(request, version, location | {"Upload-Limit": _limit(request, version, seen)})
    if wish.complete or body.size != 0:
        append = Append(0, body.size, completes, wish.length, digests)
        async with _spoken(request, version, seen, append):
            try:
                seen = await services(request).uploads.append_first(seen, append, body, _progress(request, version))
            except ChecksumMismatch:
                await drop(request, seen)
                raise
    return _answer(request, version, seen, wish.complete, status=201, headers=location)


async def append(request: web.Request) -> web.StreamResponse:
    """PATCH: bytes at the tail."""
    version, body = ietf.version_of(request.headers), StreamBody(request)
    _also(request, version, None, complete=False)
    seen = await living(request)
    _also(request, version, seen, complete=seen.file.whole_at is not None)
    wish = ietf.read_patch(request.headers, version, media_type(request), body.size)
    completes = Completes.AT_END if wish.complete else Completes.NEVER
    append_ = Append(wish.at, body.size, completes, wish.length, _digests(request))
    async with _spoken(request, version, seen, append_):
        seen = await services(request).uploads.append(seen, append_, body, _progress(request, version))
    return _answer(request, version, seen, wish.complete, status=version.appended)


async def look(request: web.Request) -> web.StreamResponse:
    """HEAD: where to go on."""
    version = ietf.version_of(request.headers)
    ietf.check_look(request.headers, version)
    seen = await services(request).uploads.look(principal(request), request.match_info["file_id"])
    request[ABOUT_UPLOAD] = seen.upload.upload_id
    services(request).records.raise_if_file_dead(seen.upload, seen.file)
    _also(request, version, seen, complete=seen.file.whole_at is not None)
    length = {} if seen.file.length is None else {"Upload-Length": str(seen.file.length)}
    return web.Response(status=204, headers={"Cache-Control": "no-store"} | length)


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE: the file goes; with it its upload, if that was made for it."""
    await drop(request, await living(request))
    return web.Response(status=204)


def _answer(
    request: web.Request,
    version: Version,
    seen: Seen,
    final: bool,
    *,
    status: int,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Of the draft's own; once the file is whole, what a plain POST of it would have got.

    :raises Malformed: the request was to complete the file, and its bytes aren't as many as its length.
    """
    whole = seen.file.whole_at is not None
    _also(request, version, seen, complete=whole)
    if not whole and final:
        raise ietf.inconsistent()
    if not whole:
        return web.Response(status=status, headers=headers)
    told = {"file_id": seen.file.file_id, "upload_id": seen.upload.upload_id, "state": str(seen.upload.state)}
    return web.json_response(told, headers=headers)


@asynccontextmanager
async def _spoken(request: web.Request, version: Version, seen: Seen, wish: Append) -> AsyncIterator[None]:
    """Errors of an append in the draft's words. A file whose bytes go beyond its length is spoilt, and goes."""
    try:
        async with told_what_became(request, seen.upload.upload_id):
            yield
    except Conflict as error:
        if error.code == "offset_mismatch":
            _also(request, version, None, complete=False)
            error.extra |= ietf.mismatch(error.extra["offset"], wish.at)
        elif error.code == "length_mismatch":
            raise ietf.inconsistent() from None
        elif error.code == "upload_completed" and version.completed_type:
            error.extra["type"] = ietf.PROBLEM_TYPES + "completed-upload"
        raise
    except TooLarge as error:
        length = wish.length if seen.file.length is None else seen.file.length
        if error.code != "file_too_large" or length is None or length > services(request).max_file_size:
            raise
        if seen.file.whole_at is None:
            await drop(request, seen)
        raise ietf.inconsistent() from None


def _also(request: web.Request, version: Version, seen: Seen | None, *, complete: bool) -> None:
    """What the answer carries, whatever it will be."""
    headers = ietf.completeness(version, complete=complete) | {"Upload-Limit": _limit(request, version, seen)}
    if seen is not None:
        headers["Upload-Offset"] = str(seen.file.offset)
    request[ALSO] = headers


def _limit(request: web.Request, version: Version, seen: Seen | None) -> str:
    everything = services(request)
    ends = seen is not None and seen.file.whole_at is None
    left_s = seen.upload.expires_at - everything.clock.now() if ends and seen is not None else None
    return ietf.limits(version, everything.max_file_size, left_s)


def _interim(request: web.Request, version: Version, headers: Mapping[str, str]) -> None:
    """Send 104, to who asked in a version that knows it. aiohttp has no call for an interim response."""
    transport = request.transport
    if not (version.interim and request.version >= HttpVersion11 and hears_interim(request)):
        return
    if transport is not None and not transport.is_closing():
        transport.write(ietf.interim(version, headers))


def _progress(request: web.Request, version: Version) -> Heard:
    """Tells offsets that have become true, now and then."""
    clock = asyncio.get_running_loop().time
    told_at = clock()

    def heard(offset: int) -> None:
        nonlocal told_at
        if clock() - told_at >= PROGRESS_EVERY_S:
            told_at = clock()
            _interim(request, version, {"Upload-Offset": str(offset)})

    return heard


def _digests(request: web.Request) -> dict[str, bytes]:
    """`Content-Digest` of the body: our own extension, as over REST."""
    value = single(request.headers, "Content-Digest")
    return {} if value is None else read_digest("Content-Digest", value)
