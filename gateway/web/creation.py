"""Where a new file belongs: to the upload of its token, to one that is named, or to one of its own (CONTRACT 2.3)."""

from __future__ import annotations

from aiohttp import web

from gateway.errors import Forbidden, Gone
from gateway.identity.principal import Principal
from gateway.ledger.rows import Dialect
from gateway.uploads.admission import Wish
from gateway.uploads.at_once import First
from gateway.uploads.intake import NewFile
from gateway.uploads.parts import is_pool
from gateway.uploads.seen import Seen
from gateway.web.bearer import principal
from gateway.web.gone import told_what_became
from gateway.web.services import ABOUT_UPLOAD, services


async def create_file(
    request: web.Request, file: NewFile, *, upload_id: str | None, endpoint_id: str | None, first: First | None = None
) -> Seen:
    """Make a file for the bearer.

    :param upload_id, endpoint_id: as the request names them.
    :param first: see `Files.create`.
    :raises Forbidden: the token is another upload's.
    """
    who = principal(request)
    if who.upload_id is not None:
        if upload_id not in (None, who.upload_id):
            raise Forbidden("this upload token belongs to another upload")
        return await _create_in(request, who, who.upload_id, file, first)
    await services(request).accounts.active(who.account_id)
    if upload_id is not None:
        return await _create_in(request, who, upload_id, file, first)
    if file.part and endpoint_id is None:  # where it goes the final says
        endpoint_id = next(iter(await services(request).destinations.allowed(who)), None)
    endpoint = await services(request).destinations.choose(who, endpoint_id)
    alone = Wish(
        owner_id=who.account_id,
        actor=who.actor,
        endpoint_id=endpoint.endpoint_id,
        single=True,
        total_files=1,
        # It grows with the bytes of a file whose length isn't told; parts have a sum of their own.
        total_size_bytes=0 if file.part else file.length or 0,
        meta={"study_metadata": {}, "clinical_notes": "", "uploader": {}},
    )
    return _noted(request, await services(request).uploads.create_single(who, alone, file))


def _noted(request: web.Request, seen: Seen) -> Seen:
    """For the access line: neither the path nor the token may say which upload it is."""
    request[ABOUT_UPLOAD] = seen.upload.upload_id
    return seen


async def _create_in(request: web.Request, who: Principal, upload_id: str, file: NewFile, first: First | None) -> Seen:
    async with told_what_became(request, upload_id):
        try:
            return _noted(request, await services(request).uploads.create(who, upload_id, file, first))
        except Gone:
            await services(request).submissions.see(who, upload_id)  # says more of what became of it
            raise


async def living(request: web.Request, *, recently: bool = False) -> Seen:
    """The bearer's file that the path names.

    :param recently: see `Files.find`.
    :raises NotFound, Gone: there is none, or it is dead.
    """
    file_id = request.match_info["file_id"]
    seen = await services(request).uploads.find(principal(request), file_id, recently=recently)
    _noted(request, seen)
    services(request).records.raise_if_file_dead(seen.upload, seen.file)
    return seen


async def drop(request: web.Request, seen: Seen) -> None:
    """Take a file out; with it its upload, if that was made for it, or is where a part waits for its final."""
    who, is_part = principal(request), seen.file.dialect is Dialect.PART
    if seen.upload.single and (not is_part or is_pool(seen.upload, seen.file)):
        await services(request).submissions.cancel(who, seen.upload.upload_id, "")
    else:
        await services(request).uploads.drop(who, seen.file.file_id)
