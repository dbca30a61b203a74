"""Every answer that a gateway gives to a test is one that its description names: status, media type, fields, code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import jsonschema_rs
from aiohttp import web

from gateway.web.api.document import PROBLEM, document
from gateway.web.api.operation import OPERATION
from gateway.web.api.route import Route
from gateway.web.routes import ROUTES

Told = Mapping[str, Any]


@cache
def described() -> Told:
    """The description of all routes."""
    return document(table(), version="0", address="http://gateway")


def table() -> tuple[Route, ...]:
    """All routes that a gateway has."""
    return ROUTES


@cache
def _calls() -> Mapping[str, Told]:
    return {call["operationId"]: call for methods in described()["paths"].values() for call in methods.values()}


@cache
def _validator(name: str, status: str, kind: str) -> jsonschema_rs.Validator:
    schema = _calls()[name]["responses"][status]["content"][kind]["schema"]
    whole = {**schema, "components": described()["components"]}
    return jsonschema_rs.validator_for(closed(whole))


def closed(schema: Any) -> Any:
    """The same, but whatever isn't named is refused: what is answered has to be described."""
    found = deepcopy(schema)
    _close(found)
    return found


def _close(schema: Any) -> None:
    if isinstance(schema, list):
        for one in schema:
            _close(one)
    elif isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema and "required" in schema:
            schema.setdefault("additionalProperties", False)
        for one in schema.values():
            _close(one)


def undescribed(name: str, method: str, status: int, kind: str, body: bytes) -> str | None:
    """What the description doesn't know of this answer; None: it knows all of it."""
    call = _calls()[name]
    told = call["responses"].get(str(status))
    if told is None:
        return f"{name} answers {status} {body[:200]!r}"
    content = told.get("content", {})
    if not body or method == "HEAD":
        return None
    if kind not in content:
        return f"{name} answers {status} as {kind} {body[:200]!r}"
    if kind.endswith("json"):
        for error in _validator(name, str(status), kind).iter_errors(json.loads(body)):
            return f"{name} answers {status}: {error.message} at {error.instance_path} of {body[:400]!r}"
    return None


class Described:
    """Listens to an application's answers."""

    def __init__(self, app: web.Application) -> None:
        self.unknown: list[str] = []
        app.on_response_prepare.append(self._look)

    async def _look(self, request: web.Request, response: web.StreamResponse) -> None:
        does = request.get(OPERATION)
        if does is None:  # refused before any route was reached
            return
        body = response.body if isinstance(response, web.Response) else None
        content = (
            bytes(body) if isinstance(body, bytes | bytearray) and "Content-Encoding" not in response.headers else b""
        )
        found = undescribed(does.name, request.method, response.status, response.content_type, content)
        if found is not None:
            self.unknown.append(found)


__all__ = ["PROBLEM", "Described", "described", "table", "undescribed"]
