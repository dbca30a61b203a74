"""`/openapi.json` and the gateway say the same. That every answer is one of those is looked at wherever tests ask a
gateway: see `tests.described`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from gateway.errors import Unprocessable
from gateway.protocol import ietf, rest, tus
from gateway.protocol.fields import Record
from gateway.web.api.document import STATUS_OF, codes_of, path_of
from gateway.web.api.header_fields import FIELDS
from gateway.web.api.operation import BytesBody, JsonBody
from gateway.web.api.page import of
from tests.described import PROBLEM, described, table

PROTOCOL = Path(ietf.__file__).parent
WEB = Path(ietf.__file__).parents[1] / "web"
CALLS = {(method, path): call for path, methods in described()["paths"].items() for method, call in methods.items()}


def test_it_has_every_route_and_no_other() -> None:
    assert set(CALLS) == {(route.method.lower(), path_of(route)) for route in table()}
    names = [call["operationId"] for call in CALLS.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("route", table(), ids=lambda route: f"{route.method} {route.path}")
def test_a_route_is_told_with_all_its_fields_and_codes(route: Any) -> None:
    call = CALLS[route.method.lower(), path_of(route)]
    told = {(one["in"], one["name"]) for one in call["parameters"]}
    query = () if route.does.query is None else route.does.query.fields
    assert {name for where, name in told if where == "query"} == {one.name for one in query}
    assert {name for where, name in told if where == "path"} == set(re.findall(r"\{(\w+)", route.path))
    if isinstance(route.does.body, JsonBody):
        schema = call["requestBody"]["content"]["application/json"]["schema"]
        assert list(schema["properties"]) == [one.name for one in route.does.body.record.fields]
        assert call["requestBody"]["required"] is not route.does.body.optional
    elif isinstance(route.does.body, BytesBody):
        assert call["requestBody"]["content"].keys() == route.does.body.kinds.keys()
    assert set(call["responses"]) == {
        *(str(answer.status) for answer in route.does.answers),
        *(str(STATUS_OF[code]) for code in codes_of(route)),
    }
    if route.method != "HEAD":
        codes = {
            code
            for answer in call["responses"].values()
            if PROBLEM in answer.get("content", {})
            for code in answer["content"][PROBLEM]["schema"]["allOf"][1]["properties"]["code"]["enum"]
        }
        assert codes == codes_of(route)


def test_every_code_that_a_client_may_get_is_told_somewhere() -> None:
    told = {code for route in table() for code in codes_of(route)}
    elsewhere = {
        "bad_request": "the root of the refusals: a class of its own says more",
        "config_error": "of a command, before it listens",
        "study_mismatch": "becomes an outcome, or holds",
    }
    assert set(STATUS_OF) - told == set(elsewhere)


def test_every_header_field_of_the_protocols_is_told() -> None:
    read = {
        name
        for module in (tus, ietf)
        for name in re.findall(r'"((?:Upload|Tus|Content)-[A-Z][A-Za-z-]+)"', Path(module.__file__ or "").read_text())
    }
    told = {one["name"] for call in CALLS.values() for one in call["parameters"] if one["in"] == "header"}
    told |= {name for call in CALLS.values() for answer in call["responses"].values() for name in answer["headers"]}
    assert read <= told
    assert told <= set(FIELDS)


def test_every_record_of_the_facade_is_read_by_a_route_that_tells_it() -> None:
    used = [record for route in table() for record in (route.does.query, getattr(route.does.body, "record", None))]
    for name, record in vars(rest).items():
        if isinstance(record, Record):
            assert any(record is one for one in used), name


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("complete_upload", {"skipped": [{"file_id": "a"}]}),
        ("complete_upload", {"skipped": [{"reason": "r", "file": "a"}]}),
        ("init_upload", {"study_metadata": {}, "total_files": 1, "total_size_bytes": 1, "uploader": {"fax": "1"}}),
        ("login", {"username": 5, "password": "p"}),
        ("drop", {"reason": " "}),
        ("create_qr", {"endpoint_id": "main", "expected": {"patient_id": " "}}),
    ],
)
def test_what_a_field_inside_a_field_is_refused_with_is_told_too(name: str, body: dict[str, Any]) -> None:
    (route,) = (route for route in table() if route.does.name == name)
    assert isinstance(route.does.body, JsonBody)
    with pytest.raises(Unprocessable) as refused:
        route.does.body.record.read(body)
    assert refused.value.code in codes_of(route)


def test_its_schemas_are_schemas() -> None:
    for schema in described()["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    for call in CALLS.values():
        for one in call["parameters"]:
            jsonschema_rs.meta.validate(one["schema"])


def test_what_the_schema_of_a_body_takes_is_taken_and_what_it_refuses_is_refused() -> None:
    good = {"study_metadata": {"patient_name": "A^B", "priority": "stat"}, "total_files": 1, "total_size_bytes": 0}
    init = jsonschema_rs.validator_for(rest.INIT.schema())
    assert init.is_valid(good)
    assert rest.INIT.read(good).total_files == 1
    for other in ({"total_files": 0}, {"uploader": {"fax": "x"}}, {"study_metadata": {"priority": "x"}}, {"notes": ""}):
        assert not init.is_valid(good | other)


def test_the_page_names_every_call_and_needs_nothing_from_elsewhere() -> None:
    html = of(described())
    for route in table():
        assert f'id="{route.does.name}"' in html
    assert not re.search(r"<script|<link|<img|src=|@import|url\(|\son\w+=", html)
    assert {link for link in re.findall(r'href="([^"]+)"', html) if not link.startswith("#")} == {"openapi.json"}
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in re.findall(r'href="(#[^"]+)"', html)} <= set(ids)
