"""JSON request bodies, bounded; and queries. What they may hold is what the description of the API says of them."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeVar

from aiohttp import web

from gateway.errors import Interrupted, Malformed, TooLarge, Unprocessable
from gateway.protocol.fields import Record
from gateway.web.addresses import client_of
from gateway.web.api.operation import MAX_JSON_BYTES, OPERATION, JsonBody
from gateway.web.body import StreamBody
from gateway.web.services import services

T = TypeVar("T")

#: Bodies of up to so many bytes are counted by their connections.
_SMALL_BYTES = 16 * 1024
#: Objects and lists in one body: twice as many as an upload has files that it could name.
_MAX_NESTS = 50_000


async def read_body(request: web.Request, record: Record[T]) -> T:
    """The body's fields. :param record: the one that the route declares.

    :raises Malformed, TooLarge, Interrupted, Unprocessable: see `read_json` and `Record.read`.
    """
    declared = request[OPERATION].body
    assert isinstance(declared, JsonBody)
    assert declared.record is record, "what is described is what is read"
    default: Any = {} if declared.optional else None
    return record.read(await read_json(request, default=default, most=declared.most_bytes))


def read_query(request: web.Request, record: Record[T]) -> T:
    """The query's fields. :param record: the one that the route declares.

    :raises Unprocessable: see `Record.read`; a field is there twice, and nobody could say which is meant.
    """
    assert request[OPERATION].query is record, "what is described is what is read"
    query = request.query
    for field in record.fields:
        if len(query.getall(field.name, ())) > 1:
            raise Unprocessable(f"{field.name} is given more than once", code="invalid_field", field=field.name)
    return record.read(dict(query))


async def read_json(request: web.Request, *, default: Any = None, most: int = MAX_JSON_BYTES) -> Any:
    """The body as JSON; `default` where it is empty and there is one.

    :param most: bytes that it may have.
    :raises Malformed: no JSON. :raises TooLarge: over `most`. :raises Interrupted: it takes too long to come.
    """
    body, wait_s = StreamBody(request), services(request).json_timeout_s
    if body.size is not None and body.size > most:
        raise _too_large()
    size = most if body.size is None else body.size
    if size <= _SMALL_BYTES:
        return _parsed(await _in_time(body, most, wait_s), default)
    async with services(request).shares.hold(client_of(request), size):
        raw = await _in_time(body, most, wait_s)
        if raw.count(b"{") + raw.count(b"[") > _MAX_NESTS:
            raise Malformed("the body has too many objects and lists", code="malformed_json")
        # Others are answered meanwhile; one at a time, for parsing holds the interpreter.
        async with services(request).parsing.turn(client_of(request), client_of(request)):
            return await asyncio.to_thread(_parsed, raw, default)


async def _in_time(body: StreamBody, most: int, wait_s: float) -> bytes:
    try:
        async with asyncio.timeout(wait_s):
            return await _whole(body, most, wait_s)
    except TimeoutError:
        raise Interrupted("a JSON body has to come within limits.json_timeout", limit="limits.json_timeout") from None


def _parsed(raw: bytes, default: Any) -> Any:
    if not raw.strip() and default is not None:
        return default
    try:
        found = json.loads(raw, parse_constant=_no_constant, object_pairs_hook=_each_once)
        if b"\\u" in raw:
            json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is no text, and reaches no PACS
        return found
    except (ValueError, RecursionError):
        raise Malformed("the body isn't JSON", code="malformed_json") from None


async def _whole(body: StreamBody, most: int, wait_s: float) -> bytes:
    pieces, size = [], 0
    while piece := await body.read(wait_s):
        size += len(piece)
        if size > most:
            raise _too_large()
        pieces.append(piece)
    if piece is None:
        raise TimeoutError
    return b"".join(pieces)


def _too_large() -> TooLarge:
    return TooLarge("the JSON body is too large", code="body_too_large")


def _each_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, none of whose members would hide another of its name."""
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a name is there twice")
    return found


def _no_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity aren't JSON")
