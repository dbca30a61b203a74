"""An embedded little DICOMweb archive: the PACS of `relaypacs demo`.

Promises: STOW-RS, QIDO-RS and WADO-RS (PS3.18) over a folder; what STOW-RS references is on the disk, byte for byte;
the same SOP Instance UID with other content is refused (0x0111), the same bytes again are welcome; no body is held
whole. `/` shows what has arrived.

It is a PACS on the user's own machine: it has no accounts, and it shows patients. So it answers only to IP addresses
and `localhost` as a host: a web page elsewhere can't reach it by pointing a name of its own at this machine.
Must not know the gateway.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import BinaryIO, cast

import pydicom
from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.typedefs import Handler

from gateway.demo import query
from gateway.demo.catalogue import Catalogue, HeldInstance, HeldSeries, HeldStudy
from gateway.demo.dicom_json import Attributes
from gateway.demo.holdings import (
    DOES_NOT_MATCH,
    DUPLICATE_SOP_INSTANCE,
    OUT_OF_RESOURCES,
    Holdings,
    NotHeld,
    same_content,
)
from gateway.demo.page import SHOWN_STUDIES, page

BLOCK_BYTES = 1 << 20
_JSON = "application/dicom+json"
_HOLDINGS: web.AppKey[Holdings] = web.AppKey("holdings", Holdings)
_FILING: web.AppKey[asyncio.Lock] = web.AppKey("filing", asyncio.Lock)


def create_archive(root: Path) -> web.Application:
    """The application; `root` is made if need be, and read when the application starts.

    DICOMweb is below `/dicom-web`.
    """
    app = web.Application(middlewares=[_only_by_address])
    app[_HOLDINGS] = Holdings(root)
    app[_FILING] = asyncio.Lock()
    app.on_startup.append(_open)
    app.on_cleanup.append(_close)
    base, study = "/dicom-web", "/dicom-web/studies/{study}"
    series = study + "/series/{series}"
    app.add_routes(
        [
            web.get("/", _page),
            web.post(base + "/studies", _store),
            web.post(study, _store),
            web.get(base + "/studies", _search_studies),
            web.get(base + "/series", _search_series),
            web.get(base + "/instances", _search_instances),
            web.get(study + "/series", _search_series),
            web.get(study + "/instances", _search_instances),
            web.get(series + "/instances", _search_instances),
            web.get(study, _retrieve),
            web.get(series, _retrieve),
            web.get(series + "/instances/{instance}", _retrieve),
            web.get(study + "/metadata", _metadata),
            web.get(series + "/metadata", _metadata),
            web.get(series + "/instances/{instance}/metadata", _metadata),
        ]
    )
    return app


async def _open(app: web.Application) -> None:
    await app[_HOLDINGS].open()


async def _close(app: web.Application) -> None:
    await app[_HOLDINGS].close()


@web.middleware
async def _only_by_address(request: web.Request, handler: Handler) -> web.StreamResponse:
    host = request.url.host or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host != "localhost":
            raise web.HTTPMisdirectedRequest(
                text="this archive answers to its address and to localhost only\n"
            ) from None
    return await handler(request)


async def _page(request: web.Request) -> web.Response:
    catalogue = _catalogue(request)
    return page(await catalogue.latest(SHOWN_STUDIES), await catalogue.totals())


# STOW-RS: PS3.18 section 10.5


async def _store(request: web.Request) -> web.Response:
    if request.content_type != "multipart/related":
        raise web.HTTPUnsupportedMediaType(text="multipart/related is taken here\n")
    stored: list[HeldInstance] = []
    failed: list[NotHeld] = []
    try:
        async for part in _parts(request):
            arrived = request.app[_HOLDINGS].fresh_path()
            try:
                await _receive(part, arrived)
                stored.append(await _file(request.app, arrived, request.match_info.get("study")))
            except NotHeld as refusal:
                failed.append(refusal)
                await part.release()
            finally:
                arrived.unlink(missing_ok=True)
    except ValueError:
        # broken or cut short. What came before stays, and the sender will ask.
        raise web.HTTPBadRequest(text="the multipart body can't be read\n") from None
    if not stored and not failed:
        raise web.HTTPBadRequest(text="the multipart body has no parts\n")
    status = 200 if not failed else (202 if stored else 409)
    return _json(_store_answer(_base(request), stored, failed), status)


async def _parts(request: web.Request) -> AsyncIterator[BodyPartReader]:
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if isinstance(part, MultipartReader):
            raise web.HTTPBadRequest(text="a multipart within a multipart isn't taken\n")
        media_type = part.headers.get(hdrs.CONTENT_TYPE, "application/dicom").partition(";")[0].strip().lower()
        if media_type != "application/dicom":
            raise web.HTTPUnsupportedMediaType(text="parts are application/dicom\n")
        yield part


async def _receive(part: BodyPartReader, to: Path) -> None:
    """Write the part's bytes to a new file, durably."""
    try:
        with await asyncio.to_thread(to.open, "xb", buffering=0) as out:
            gathered = bytearray()
            while chunk := await part.read_chunk(BLOCK_BYTES):
                gathered += chunk
                if len(gathered) >= BLOCK_BYTES:
                    await asyncio.to_thread(_write, cast("BinaryIO", out), gathered)
                    gathered = bytearray()
            if not part.at_eof():  # the body ended before the part's boundary: aiohttp passes that off as an end
                raise ValueError("cut short")
            await asyncio.to_thread(_write, cast("BinaryIO", out), gathered)
            await asyncio.to_thread(os.fdatasync, out.fileno())
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NotHeld(OUT_OF_RESOURCES) from None
        raise


def _write(out: BinaryIO, block: bytearray) -> None:
    view = memoryview(block)
    while view:
        view = view[out.write(view) :]


async def _file(app: web.Application, arrived: Path, only_study: str | None) -> HeldInstance:
    """Put what arrived into its place, unless another content is there.

    :raises NotHeld: it is refused.
    """
    holdings = app[_HOLDINGS]
    instance = await asyncio.to_thread(holdings.examine, arrived)
    if only_study not in {None, instance.study_uid}:
        raise NotHeld(DOES_NOT_MATCH, instance.sop_class_uid, instance.sop_instance_uid)
    async with app[_FILING]:
        there = await holdings.catalogue.get(instance.sop_instance_uid)
        if there is None:
            try:
                await asyncio.to_thread(holdings.settle, arrived, instance)
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise NotHeld(OUT_OF_RESOURCES, instance.sop_class_uid, instance.sop_instance_uid) from None
                raise
            await holdings.catalogue.add(instance)
        elif not await asyncio.to_thread(same_content, holdings.path_of(there), arrived):
            raise NotHeld(DUPLICATE_SOP_INSTANCE, instance.sop_class_uid, instance.sop_instance_uid)
    return instance


def _store_answer(base: str, stored: list[HeldInstance], failed: list[NotHeld]) -> Attributes:
    """The Store Instances Response Module (PS3.18 annex I.2)."""
    answer: Attributes = {}
    studies = {instance.study_uid for instance in stored}
    if len(studies) == 1:
        answer["00081190"] = query.element("UR", [f"{base}/studies/{studies.pop()}"])
    if stored:
        answer["00081199"] = query.element(
            "SQ", [_reference(one.sop_class_uid, one.sop_instance_uid, _url(base, one)) for one in stored]
        )
    named = [one for one in failed if one.sop_instance_uid]
    if named:
        answer["00081198"] = query.element(
            "SQ",
            [
                {**_reference(one.sop_class_uid, one.sop_instance_uid), "00081197": query.element("US", [one.reason])}
                for one in named
            ],
        )
    nameless = [one for one in failed if not one.sop_instance_uid]
    if nameless:  # Other Failures Sequence: nobody can say which instance it was
        answer["0008119A"] = query.element("SQ", [{"00081197": query.element("US", [one.reason])} for one in nameless])
    return answer


def _reference(sop_class_uid: str, sop_instance_uid: str, url: str = "") -> Attributes:
    item = {
        "00081150": query.element("UI", [sop_class_uid] if sop_class_uid else []),
        "00081155": query.element("UI", [sop_instance_uid]),
    }
    if url:
        item["00081190"] = query.element("UR", [url])
    return item


# QIDO-RS: PS3.18 section 10.6


async def _search_studies(request: web.Request) -> web.Response:
    base, asked = _base(request), _query(request)
    found = await _catalogue(request).studies(asked)
    return _found(asked, (_study_attributes(base, study) for study in found))


async def _search_series(request: web.Request) -> web.Response:
    base, asked = _base(request), _query(request)
    found = await _catalogue(request).series(asked, request.match_info.get("study"))
    return _found(asked, (_series_attributes(base, series) for series in found))


async def _search_instances(request: web.Request) -> web.Response:
    base, asked, info = _base(request), _query(request), request.match_info
    found = await _catalogue(request).instances(asked, info.get("study"), info.get("series"))
    return _found(asked, (_instance_attributes(base, instance) for instance in found))


def _catalogue(request: web.Request) -> Catalogue:
    return request.app[_HOLDINGS].catalogue


def _query(request: web.Request) -> query.Query:
    try:
        return query.parse(request.query.items())
    except query.BadQuery as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from None


def _found(asked: query.Query, found: Iterable[Attributes]) -> web.Response:
    response = _json(list(found))
    if asked.ignored:  # PS3.18 section 8.3.4.5
        response.headers["Warning"] = '299 relaypacs "an attribute of the query was ignored"'
    return response


def _study_attributes(base: str, study: HeldStudy) -> Attributes:
    return study.attributes | {
        "00080056": query.element("CS", ["ONLINE"]),
        "00080061": query.element("CS", study.modalities),
        "00081190": query.element("UR", [f"{base}/studies/{study.uid}"]),
        "00201206": query.element("IS", [study.series]),
        "00201208": query.element("IS", [study.instances]),
    }


def _series_attributes(base: str, series: HeldSeries) -> Attributes:
    return series.attributes | {
        "00081190": query.element("UR", [f"{base}/studies/{series.study_uid}/series/{series.uid}"]),
        "00201209": query.element("IS", [series.instances]),
    }


def _instance_attributes(base: str, instance: HeldInstance) -> Attributes:
    return instance.attributes | {
        "00080056": query.element("CS", ["ONLINE"]),
        "00081190": query.element("UR", [_url(base, instance)]),
        "00083002": query.element("UI", [instance.transfer_syntax_uid] if instance.transfer_syntax_uid else []),
    }


# WADO-RS: PS3.18 section 10.4


async def _retrieve(request: web.Request) -> web.StreamResponse:
    """Always as stored: a transfer syntax that is asked for isn't made."""
    instances, path_of = await _chosen(request), request.app[_HOLDINGS].path_of
    accept = request.headers.get(hdrs.ACCEPT, "")
    if len(instances) == 1 and re.match(r"\s*application/dicom\s*(;|,|\Z)", accept):
        return web.FileResponse(path_of(instances[0]), headers={hdrs.CONTENT_TYPE: "application/dicom"})
    boundary = secrets.token_hex(16)
    heads = [_part_head(boundary, one) for one in instances]
    tail = f"\r\n--{boundary}--\r\n".encode()
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: f'multipart/related; type="application/dicom"; boundary="{boundary}"',
        }
    )
    response.content_length = sum(map(len, heads)) + sum(one.size_bytes for one in instances) + len(tail)
    await response.prepare(request)
    for head, instance in zip(heads, instances, strict=True):
        await response.write(head)
        with await asyncio.to_thread(path_of(instance).open, "rb") as file:
            while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
                await response.write(block)
    await response.write(tail)
    await response.write_eof()
    return response


def _part_head(boundary: str, instance: HeldInstance) -> bytes:
    syntax = f"; transfer-syntax={instance.transfer_syntax_uid}" if instance.transfer_syntax_uid else ""
    return (
        f"\r\n--{boundary}\r\nContent-Type: application/dicom{syntax}\r\nContent-Length: {instance.size_bytes}\r\n\r\n"
    ).encode()


async def _metadata(request: web.Request) -> web.Response:
    path_of = request.app[_HOLDINGS].path_of
    return _json([await asyncio.to_thread(_all_attributes, path_of(one)) for one in await _chosen(request)])


def _all_attributes(path: Path) -> Attributes:
    """Everything before the pixels; long binary values are left out."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    whole: Attributes = dataset.to_json_dict(
        bulk_data_threshold=1024, bulk_data_element_handler=lambda _: "", suppress_invalid_tags=True
    )
    return whole


async def _chosen(request: web.Request) -> list[HeldInstance]:
    info = request.match_info
    chosen = await _catalogue(request).below(info["study"], info.get("series"), info.get("instance"))
    if not chosen:
        raise web.HTTPNotFound(text="there is no such object\n")
    return chosen


def _base(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}/dicom-web"


def _url(base: str, one: HeldInstance) -> str:
    return f"{base}/studies/{one.study_uid}/series/{one.series_uid}/instances/{one.sop_instance_uid}"


def _json(value: Attributes | list[Attributes], status: int = 200) -> web.Response:
    # as bytes: a charset parameter on this media type confuses clients that compare it whole
    return web.Response(body=json.dumps(value, ensure_ascii=False).encode(), status=status, content_type=_JSON)
