"""What is said of a route beside who may use it. Handlers read their bodies and queries by it; `document` tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.protocol.fields import Record, Schema

MAX_JSON_BYTES = 1 << 20
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A JSON object.

    :param optional: an empty body is an empty object.
    :param most_bytes: more is refused.
    """

    record: Record[Any]
    optional: bool = False
    most_bytes: int = MAX_JSON_BYTES


@dataclass(frozen=True, slots=True)
class BytesBody:
    """Bytes of a file. :param kinds: media type -> schema."""

    kinds: Mapping[str, Schema]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class GoodAnswer:
    """One that is no problem.

    :param kinds: media type -> schema of the content, or the name of one of `shapes`; empty: no content.
    :param headers: those that it may have, by name.
    """

    status: int
    about: str
    kinds: Mapping[str, Schema | str]
    headers: Sequence[str] = ()


def json_answer(shape: str, about: str, *, status: int = 200, headers: Sequence[str] = ()) -> GoodAnswer:
    """JSON of a shape that has a name."""
    return GoodAnswer(status, about, {JSON: shape}, headers)


def bare_answer(about: str, *, status: int = 204, headers: Sequence[str] = ()) -> GoodAnswer:
    """Headers alone."""
    return GoodAnswer(status, about, {}, headers)


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of one path does.

    :param name: of the operation, unique.
    :param codes: of the problems that it may be answered with, beside those that go with its door and its body.
    :param headers: fields of the request that it reads.
    """

    name: str
    about: str
    answers: Sequence[GoodAnswer]
    codes: frozenset[str] = frozenset()
    query: Record[Any] | None = None
    headers: Sequence[str] = ()
    body: JsonBody | BytesBody | None = None
    more: str = ""  #: further sentences


#: What the handler at work was declared to do.
OPERATION: web.RequestKey[Operation] = web.RequestKey("operation", Operation)
