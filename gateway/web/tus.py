"""tus 1.0.0 at `/files/` (CONTRACT 2.3): requests in, acts on uploads, answers out."""

from __future__ import annotations

from aiohttp import web

from gateway.errors import ChecksumMismatch, Forbidden, Gone, Malformed, MethodNotAllowed, NotBuilt, TooLarge
from gateway.identity.principal import Principal
from gateway.protocol import tus
from gateway.protocol.engine import Append, Completes
from gateway.protocol.headers import text_of
from gateway.protocol.rest import check_file_id
from gateway.uploads.admission import Wish
from gateway.uploads.intake import NewFile
from gateway.uploads.tail import Seen
from gateway.web.addresses import base_url
from gateway.web.bearer import principal
from gateway.web.body import StreamBody, media_type
from gateway.web.gone import told_what_became
from gateway.web.services import services

_IETF_HEADERS = ("Upload-Complete", "Upload-Draft-Interop-Version")


async def options(request: web.Request) -> web.StreamResponse:
    """OPTIONS: what is spoken here."""
    return web.Response(status=204, headers=tus.options_headers(services(request).max_file_size))


async def create(request: web.Request) -> web.StreamResponse:
    """POST: a new file, with its first bytes if they come along."""
    _speaks_tus(request)
    here, body = base_url(request), StreamBody(request)
    # Some clients send the Content-Type of a body that they don't have.
    wish = tus.read_creation(request.headers, media_type(request) if body.size != 0 else None)
    if wish.with_body and wish.length is not None and (body.size or 0) > wish.length:
        raise TooLarge("the body is longer than Upload-Length", code="file_too_large")
    created = await _created(request, principal(request), wish)
    seen = created
    if wish.with_body and created.file.offset == 0 and created.file.whole_at is None:
        append = Append(created.file.offset, body.size, Completes.WHEN_FULL, digests=wish.digests)
        async with told_what_became(request, created.upload.upload_id):
            try:
                seen = await services(request).uploads.append_first(created, append, body)
            except ChecksumMismatch:
                if created.fresh:
                    await drop(request, created)  # its client never hears where it is
                raise
    location = f"{here}/files/{created.file.file_id}"
    return web.Response(status=201, headers={"Location": location} | _offset_headers(seen))


async def _created(request: web.Request, who: Principal, wish: tus.Creation) -> Seen:
    """The file in the upload that the token or the metadata names, or in one of its own."""
    client_file_id = text_of(wish.metadata, "file_id")
    if client_file_id is not None:
        check_file_id(client_file_id)
    file = NewFile(wish.length, client_file_id, wish.raw_metadata)
    named = text_of(wish.metadata, "upload_id")
    if who.upload_id is not None:
        if named not in (None, who.upload_id):
            raise Forbidden("this upload token belongs to another upload")
        return await _created_in(request, who, who.upload_id, file)
    await services(request).accounts.active(who.account_id)
    if named is not None:
        return await _created_in(request, who, named, file)
    endpoint = await services(request).destinations.choose(who, text_of(wish.metadata, "endpoint_id"))
    alone = Wish(
        owner_id=who.account_id,
        actor=who.actor,
        endpoint_id=endpoint.endpoint_id,
        single=True,
        total_files=1,
        total_size_bytes=wish.length or 0,  # it grows with the bytes of a file whose length isn't told
        meta={"study_metadata": {}, "clinical_notes": "", "uploader": {}},
    )
    return await services(request).uploads.create_single(alone, file)


async def _created_in(request: web.Request, who: Principal, upload_id: str, file: NewFile) -> Seen:
    async with told_what_became(request, upload_id):
        try:
            return await services(request).uploads.create(who, upload_id, file)
        except Gone:
            await services(request).submissions.see(who, upload_id)  # says more of what became of it
            raise


async def patch(request: web.Request) -> web.StreamResponse:
    """PATCH: bytes at the tail."""
    _speaks_tus(request)
    who, file_id = principal(request), request.match_info["file_id"]
    living = await _living(request, who, file_id)
    wish = tus.read_patch(request.headers, media_type(request))
    body = StreamBody(request)
    append = Append(wish.at, body.size, Completes.WHEN_FULL, wish.length, wish.digests)
    async with told_what_became(request, living.upload.upload_id):
        seen = await services(request).uploads.append(living, append, body)
    return web.Response(status=204, headers=_offset_headers(seen))


async def head(request: web.Request) -> web.StreamResponse:
    """HEAD: where to go on."""
    _speaks_tus(request)
    who, file_id = principal(request), request.match_info["file_id"]
    seen = await services(request).uploads.look(who, file_id)
    services(request).records.raise_if_file_dead(seen.upload, seen.file)
    named = seen.raw_metadata if who.may_read_names(seen.upload) else None
    headers = tus.head_headers(seen.file.offset, seen.file.length, named, _expires_at(seen))
    return web.Response(headers=headers)


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE: the file goes; with it its upload, if that was made for it."""
    _speaks_tus(request)
    await drop(request, await _living(request, principal(request), request.match_info["file_id"]))
    return web.Response(status=204)


async def drop(request: web.Request, seen: Seen) -> None:
    """Take a file out; with it its upload, if that was made for it."""
    who = principal(request)
    if seen.upload.single:
        await services(request).submissions.cancel(who, seen.upload.upload_id, "")
    else:
        await services(request).uploads.drop(who, seen.file.file_id)


async def no_post(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 - the shape of a handler
    """POST to a file, which names no other method by `X-HTTP-Method-Override`."""
    raise MethodNotAllowed("POST isn't offered here", allow="OPTIONS, HEAD, PATCH, DELETE")


async def no_get(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 - the shape of a handler
    """GET: the gateway only takes in."""
    raise MethodNotAllowed("the gateway only takes in", allow="OPTIONS, HEAD, PATCH, DELETE")


async def _living(request: web.Request, who: Principal, file_id: str) -> Seen:
    seen = await services(request).uploads.find(who, file_id)
    services(request).records.raise_if_file_dead(seen.upload, seen.file)
    return seen


def _speaks_tus(request: web.Request) -> None:
    """:raises UnsupportedVersion, NotBuilt, Malformed: it speaks another protocol, or two."""
    ietf = any(name in request.headers for name in _IETF_HEADERS)
    if ietf and "Tus-Resumable" not in request.headers:
        raise NotBuilt("Resumable Uploads for HTTP (IETF draft) isn't built yet; use tus 1.0.0")
    if ietf:
        raise Malformed("the request speaks tus and the IETF draft at once", code="mixed_protocols")
    tus.check_version(request.headers)


def _expires_at(seen: Seen) -> float | None:
    return None if seen.file.whole_at is not None else seen.upload.expires_at


def _offset_headers(seen: Seen) -> dict[str, str]:
    return tus.offset_headers(seen.file.offset, _expires_at(seen))
