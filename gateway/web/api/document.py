"""`GET /openapi.json`: the table of routes as OpenAPI 3.1."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway import errors
from gateway.protocol.fields import Field, Schema
from gateway.web.api.calls import PATH_FIELDS
from gateway.web.api.header_fields import FIELDS
from gateway.web.api.operation import JSON, BytesBody, GoodAnswer, JsonBody, Operation
from gateway.web.api.route import Route
from gateway.web.api.shapes import SHAPES, ref
from gateway.web.bearer import Opens
from gateway.web.errors import status_of

#: Shape of an answer, its member that is an id, and what that id is good for.
LEADS: Sequence[tuple[str, str, Sequence[str]]] = (
    (
        "Opened",
        "upload_id",
        ("upload_status", "list_files", "put_chunk", "complete_upload", "renew_tokens", "receipt", "cancel_upload"),
    ),
    ("QrMade", "qr_id", ("revoke_qr",)),
    ("WholeFile", "file_id", ("file_offset", "append", "terminate")),
)
PROBLEM = "application/problem+json"
#: Whatever is asked for.
_ANY = frozenset(
    {
        "malformed",
        "malformed_header",
        "unsupported_media_type",
        "head_too_large",
        "transfer_coding_unknown",
        "internal_error",
        "draining",
    }
)
#: Of what looks into the database, and of what it finds there.
_LOOKS = frozenset({"unavailable", "storage_error", "damaged", "spool_full"})
_DOOR = frozenset(
    {"unauthorized", "token_expired", "device_wipe", "forbidden", "wrong_token_kind", "too_many_requests"}
)
_JSON_CODES = frozenset(
    {"malformed_json", "body_too_large", "body_interrupted", "quota_exceeded", "too_many_requests", "unknown_field"}
)
_STATELESS = frozenset({"alive", "ready", "app_terms", "openapi", "docs", "app"})
_TOKENS: Mapping[Opens, tuple[str, str]] = {
    Opens.ACCESS: ("access", "An access token of an account (`POST /auth/login`)."),
    Opens.UPLOAD: ("upload", "The token of one upload (`POST /upload/init`)."),
    Opens.REFRESH: ("refresh", "A refresh token."),
    Opens.ISSUER: ("issuer", "An access token with the role issuer or admin."),
    Opens.ADMIN: ("admin", "An access token with the role admin."),
    Opens.METRICS: ("metrics", "The configuration's `metrics.token`."),
    Opens.QR: ("qr", "The token of a QR code."),
    Opens.PASSWORD: ("password", "The token of a login whose password has to be changed first."),
}


def codes_of(route: Route) -> frozenset[str]:
    """Codes of the problems that a route may be answered with."""
    does, found = route.does, _ANY | route.does.codes
    if does.name not in _STATELESS and not does.name.startswith("app_"):
        found |= _LOOKS
    if Opens.NONE not in route.opens:
        found |= _DOOR
    if isinstance(does.body, JsonBody):
        found |= _JSON_CODES | _codes_of_fields(does.body.record.fields)
    if does.query is not None:
        found |= _codes_of_fields(does.query.fields) | ({"unknown_field"} if does.query.closed else frozenset())
    return found


def _codes_of_fields(fields: Sequence[Field]) -> frozenset[str]:
    found = {code for one in fields for code in one.kind.codes} | ({"invalid_field"} if fields else set())
    return frozenset(found | {one.kind.missing(one.name).code for one in fields if one.required})


def path_of(route: Route) -> str:
    """Without the patterns of its parameters."""
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.path)


def document(routes: Iterable[Route], *, version: str, address: str) -> dict[str, Any]:
    """The whole of it. :param address: where the gateway is, as the client that asks can reach it."""
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for route in routes:
        paths[path_of(route)][route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "RelayPACS",
            "version": version,
            "summary": "A store-and-forward gateway for DICOM.",
            "description": "Sizes are bytes, times are RFC 3339 in UTC. Every refusal is `application/problem+json` with "
            "a stable `code`. HEAD is answered wherever GET is, without the content.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": address}],
        "paths": dict(paths),
        "components": {
            "schemas": dict(SHAPES),
            "securitySchemes": {
                name: {"type": "http", "scheme": "bearer", "description": about} for name, about in _TOKENS.values()
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    does = route.does
    found: dict[str, Any] = {
        "operationId": does.name,
        "tags": [_group(route.path)],
        "summary": does.about,
        "parameters": [*_path_parameters(route), *_query_parameters(does), *_header_parameters(does)],
        "responses": dict(sorted(_responses(route).items())),
        "security": [{_TOKENS[kind][0]: []} for kind in Opens if kind in route.opens and kind in _TOKENS],
    }
    if does.more:
        found["description"] = does.more
    if isinstance(does.body, JsonBody):
        content = {JSON: {"schema": does.body.record.schema()}}
        found["requestBody"] = {"required": not does.body.optional, "content": content}
    elif isinstance(does.body, BytesBody):
        content = {kind: {"schema": schema} for kind, schema in does.body.kinds.items()}
        found["requestBody"] = {"required": not does.body.optional, "content": content}
    return found


def _group(path: str) -> str:
    first = path.strip("/").partition("/")[0]
    return {
        "auth": "Accounts",
        "endpoints": "Accounts",
        "upload": "Uploads",
        "files": "Files: tus and the IETF draft",
        "qr": "QR codes",
        "admin": "Administration",
        "healthz": "Operation",
        "readyz": "Operation",
        ".well-known": "Operation",
        "openapi.json": "Operation",
        "docs": "Operation",
    }.get(first, "The app")


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)", route.path)
    ours = route.path.startswith("/files")
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"} if ours else PATH_FIELDS.get(name, {"type": "string"}),
        }
        for name in names
    ]


def _query_parameters(does: Operation) -> list[dict[str, Any]]:
    fields = () if does.query is None else does.query.fields
    return [
        {
            "name": one.name,
            "in": "query",
            "required": one.required and does.name != "put_chunk",
            "schema": one.kind.schema(),
        }
        | ({"description": one.about} if one.about else {})
        for one in fields
    ]


def _header_parameters(does: Operation) -> list[dict[str, Any]]:
    # OpenAPI leaves `Accept` to the answers' media types.
    return [
        {"name": name, "in": "header", "schema": FIELDS[name].schema, "description": FIELDS[name].about}
        for name in does.headers
        if name != "Accept"
    ]


def _responses(route: Route) -> dict[str, dict[str, Any]]:
    good: dict[int, list[GoodAnswer]] = defaultdict(list)
    for answer in route.does.answers:
        good[answer.status].append(answer)
    bad: dict[int, list[str]] = defaultdict(list)
    for code in sorted(codes_of(route)):
        bad[STATUS_OF[code]].append(code)
    found: dict[str, dict[str, Any]] = {}
    for status in {*good, *bad}:
        told = [answer.about for answer in good[status]] + [f"`{code}`" for code in bad[status]]
        content: dict[str, Any] = {}
        for answer in good[status]:
            content |= {kind: {"schema": _schema(shape)} for kind, shape in answer.kinds.items()}
        if bad[status] and route.method != "HEAD":
            content[PROBLEM] = {"schema": _problem(bad[status])}
        headers = {name for answer in good[status] for name in answer.headers} | {"X-Request-ID"}
        found[str(status)] = {
            "description": _sentence(told),
            "headers": {name: _header(name) for name in sorted(headers)},
        }
        if content:
            found[str(status)]["content"] = content
        if links := _links(good[status]):
            found[str(status)]["links"] = links
    return found


def _links(answers: Sequence[GoodAnswer]) -> dict[str, Any]:
    """Where the id of what was made leads to."""
    made = {shape for answer in answers for shape in answer.kinds.values() if isinstance(shape, str)}
    return {
        f"{name}_of_it": {"operationId": name, "parameters": {told: f"$response.body#/{told}"}}
        for shape, told, names in LEADS
        if shape in made
        for name in names
    }


def _sentence(told: Sequence[str]) -> str:
    return " ".join(one if one.endswith(".") else one + "," for one in told).rstrip(",")


def _schema(shape: Schema | str) -> Schema:
    return ref(shape) if isinstance(shape, str) else shape


def _problem(codes: Sequence[str]) -> Schema:
    return {
        "allOf": [ref("Problem"), {"type": "object", "properties": {"code": {"type": "string", "enum": list(codes)}}}]
    }


def _header(name: str) -> dict[str, Any]:
    return {"description": FIELDS[name].about, "schema": FIELDS[name].schema}


def _statuses(root: type[errors.GatewayError] = errors.GatewayError) -> dict[str, int]:
    found = {code: status_of(root("of this class", code=code)) for code in root.codes}
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            found |= _statuses(child)
    return found


#: Every code, and the status that it comes with.
STATUS_OF: Mapping[str, int] = _statuses()
