"""JSON request bodies, bounded."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from gateway.errors import Malformed, TooLarge
from gateway.uploads.body import BodyBroken
from gateway.web.body import StreamBody

MAX_JSON_BYTES = 1 << 20
_WAIT_S = 30.0


async def read_json(request: web.Request, *, default: Any = None) -> Any:
    """The body as JSON; `default` where it is empty and there is one.

    :raises Malformed: no JSON. :raises TooLarge: over `MAX_JSON_BYTES`.
    """
    body, pieces, size = StreamBody(request), [], 0
    while piece := await body.read(_WAIT_S):
        size += len(piece)
        if size > MAX_JSON_BYTES:
            raise TooLarge("the JSON body is too large", code="body_too_large")
        pieces.append(piece)
    if piece is None:
        raise BodyBroken("nothing came for too long")
    raw = b"".join(pieces)
    if not raw.strip() and default is not None:
        return default
    try:
        found = json.loads(raw, parse_constant=_no_constant, object_pairs_hook=_each_once)
        if b"\\u" in raw:
            json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is no text, and reaches no PACS
        return found
    except (ValueError, RecursionError):
        raise Malformed("the body isn't JSON", code="malformed_json") from None


def _each_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, none of whose members would hide another of its name."""
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a name is there twice")
    return found


def _no_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity aren't JSON")
