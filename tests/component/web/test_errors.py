from __future__ import annotations

import asyncio
import json
import logging
import secrets
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from gateway import errors
from gateway.uploads.body import BodyBroken, BodyStopped
from gateway.web.errors import STATUS, status_of, translated
from tests.component.gateway_app import OFFSET_TYPE, TUS, gateway_app, init_body

KEYS = {"type", "title", "status", "code", "detail", "request_id"}


def tree(kind: type[errors.GatewayError]) -> list[type[errors.GatewayError]]:
    """The vocabulary; a room may have a subclass of its own, which looks like its parent from outside."""
    children = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [kind, *(below for child in children for below in tree(child))]


EVERY = [(kind, code) for kind in tree(errors.GatewayError) for code in kind.codes]
EXPECTED = {
    "GatewayError": 500, "Refusal": 400, "Unauthorized": 401, "Forbidden": 403, "NotFound": 404, "Gone": 410,
    "Malformed": 400, "UnsupportedVersion": 412, "UnsupportedMediaType": 415, "MethodNotAllowed": 405,
    "ChecksumMismatch": 460, "Unprocessable": 422, "Conflict": 409, "Interrupted": 408, "TooLarge": 413, "Locked": 423,
    "TooMany": 429, "HeadTooLarge": 431, "NotBuilt": 501, "SpoolFull": 507, "Damaged": 500, "Unavailable": 503, "ConfigError": 500,
}  # fmt: skip


class Raiser:
    """An act of an admin that raises what it is told to."""

    def __init__(self) -> None:
        self.error: BaseException = errors.GatewayError("unset")

    async def __call__(self, upload_id: str, actor: str, reason: str) -> None:
        raise self.error


@pytest.fixture
async def raising(tmp_path):
    """Raises an error inside a handler; gives the answer."""
    raiser = Raiser()
    async with gateway_app(tmp_path, services={"release": raiser}) as gate:
        admin = await gate.person("root", "admin")

        async def ask(error: BaseException):
            raiser.error = error
            return await gate.ask("POST", "/admin/uploads/x/release", admin.token, json={"reason": "because"})

        yield ask
        gate.answers.clear()  # no description has what only a test raises there


def is_problem(answer, code: str, status: int) -> None:
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json.keys() >= KEYS
    assert answer.json["code"] == code
    assert answer.json["status"] == status
    assert answer.json["title"]
    assert answer.json["detail"]
    assert answer.json["request_id"]


async def test_every_code_of_every_error_becomes_a_problem_with_its_status(raising):
    for kind, code in EVERY:
        extra = {"offset": 7} if code == "offset_mismatch" else {}
        answer = await raising(kind("what was tried", code=code, **extra))
        is_problem(answer, code, EXPECTED[kind.__name__])
        assert answer.json["title"] == kind.title
        assert answer.json["detail"] == "what was tried"
        assert answer.json["request_id"] == answer.headers["X-Request-ID"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Robots-Tag"] == "noindex"


def test_every_class_of_error_has_a_status_of_its_own_or_its_parents():
    assert {kind.__name__: status_of(kind("x")) for kind in tree(errors.GatewayError)} == EXPECTED
    assert set(STATUS) <= set(tree(errors.GatewayError))


def test_no_two_classes_share_a_code():
    codes = [code for _, code in EVERY]
    assert len(codes) == len(set(codes))


async def test_what_an_error_knows_besides_is_told_in_the_body_or_as_a_header(raising):
    gone = await raising(errors.Gone("the upload is cancelled", state="cancelled", pacs_receipt_id=None, warnings=[]))
    assert gone.json["state"] == "cancelled"
    assert gone.json["warnings"] == []
    locked = await raising(errors.Locked("wait", retry_after_s=3))
    assert locked.headers["Retry-After"] == "3"
    assert (await raising(errors.TooMany("wait", retry_after_s=0.2))).headers["Retry-After"] == "1"
    assert "Bearer" in (await raising(errors.Unauthorized("who"))).headers["WWW-Authenticate"]
    assert (await raising(errors.UnsupportedVersion("no"))).headers["Tus-Version"] == "1.0.0"
    assert (await raising(errors.MethodNotAllowed("no", allow="HEAD"))).headers["Allow"] == "HEAD"
    elsewhere = await raising(errors.Conflict("no", code="offset_mismatch", offset=7))
    assert elsewhere.headers["Upload-Offset"] == "7"
    assert elsewhere.json["offset"] == 7


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BodyBroken(), 408, "body_interrupted"),
        (BodyStopped(), 409, "taken_over"),
        (aiohttp.web.HTTPNotFound(), 404, "not_found"),
        (aiohttp.web.HTTPMethodNotAllowed("PUT", ["GET"]), 405, "method_not_allowed"),
        (aiohttp.web.HTTPRequestEntityTooLarge(1, 2), 413, "body_too_large"),
        (aiohttp.web.HTTPBadRequest(), 400, "malformed"),
        (ValueError("DOE^JANE"), 500, "internal_error"),
        (KeyError("DOE^JANE"), 500, "internal_error"),
        (asyncio.IncompleteReadError(b"DOE^JANE", 9), 500, "internal_error"),
    ],
)
async def test_what_others_raise_becomes_a_problem_too(raising, caplog, error, status, code):
    caplog.set_level(logging.DEBUG)
    answer = await raising(error)
    is_problem(answer, code, status)
    assert "DOE" not in answer.body.decode()
    assert "DOE" not in caplog.text, "a message may carry values"
    if status == 500:
        assert answer.json["request_id"] in caplog.text, "the log can be found by it"


def test_what_nobody_expects_has_no_translation():
    assert translated(ValueError()) is None


async def test_a_path_that_isnt_there_and_a_method_that_isnt_offered_are_problems(gate):
    is_problem(await gate.ask("GET", "/nowhere"), "not_found", 404)
    wrong = await gate.ask("PUT", "/auth/login")
    is_problem(wrong, "method_not_allowed", 405)
    assert "POST" in wrong.headers["Allow"]


async def test_a_request_id_of_the_clients_own_is_kept_unless_it_could_be_a_name(gate):
    mine = secrets.token_hex(16)
    assert (await gate.ask("GET", "/nowhere", headers={"X-Request-ID": mine})).json["request_id"] == mine
    named = await gate.ask("GET", "/nowhere", headers={"X-Request-ID": "DOE-JANE-19700101"})
    assert "DOE" not in named.json["request_id"]
    assert "DOE" not in named.headers["X-Request-ID"]


# --- what the parser refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (b"PATIENT DOE JANE\r\n\r\n", {400}),
        (b"GET /healthz HTTP/9.9\r\n\r\n", {400, 505}),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nDOE JANE\r\n\r\n", {400}),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\x00DOE\r\n\r\n", {400}),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-DOE: " + b"J" * 20_000 + b"\r\n\r\n", {431}),
        (b"GET /" + b"DOE" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {431}),
        (b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: DOE\r\n\r\n", {400}),
        (b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nDOE", {400}),
        (
            b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            {400},
        ),
        (b"POST /auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: DOE\r\n\r\n", {400, 501}),
    ],
    ids=lambda value: value[:40].decode("latin-1") if isinstance(value, bytes) else None,
)
async def test_a_request_that_cant_be_parsed_gets_a_problem_and_the_line_ends(gate, caplog, raw, statuses):
    caplog.set_level(logging.DEBUG)
    async with gate.line() as line:
        await line.send(raw)
        answer = await line.answer()
        assert answer.status in statuses
        is_problem(answer, answer.code, answer.status)
        assert len(answer.json["request_id"]) >= 16
        assert answer.json["request_id"] in caplog.text, "the log can be found by it"
        assert b"DOE" not in answer.body
        assert "DOE" not in caplog.text
        assert answer.headers["Tus-Resumable"] == "1.0.0"
        assert (answer.headers["X-Robots-Tag"], answer.headers["Cache-Control"]) == ("noindex", "no-store")
        await line.closed()


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "in mid-body"])
@pytest.mark.parametrize("what", ["login", "chunk", "patch"])
async def test_chunked_coding_that_cant_be_read_is_the_clients_fault_and_ends_the_line(gate, what, at_once):
    person = await gate.person()
    opened = await gate.init(person.token, [1000, 1000])
    method, path, headers = {
        "login": ("POST", "/auth/login", {}),
        "chunk": ("PUT", f"/upload/{opened.upload_id}/chunk?file_id=a&chunk_index=0", {}),
        "patch": (
            "PATCH",
            await gate.tus_file(opened.token, 10),
            {**TUS, "Upload-Offset": "0", "Content-Type": OFFSET_TYPE},
        ),
    }[what]
    good, bad = b"3\r\nabc\r\n", b"DOE JANE\r\n"
    told = {**headers, "Transfer-Encoding": "chunked"}
    async with gate.begun(method, path, opened.token, told, good + bad if at_once else good) as line:
        if not at_once:
            await gate.in_flight()
            await line.send(bad)
        answer = await line.answer()
        is_problem(answer, answer.code, 400)
        assert b"DOE" not in answer.body
        await line.closed()
    if what == "patch" and not at_once:
        assert await gate.offset(opened.token, path) == 3, "what came before is kept"


# --- nothing that a client sent comes back --------------------------------------------------------------------------

MARKERS = st.text("QXZJKVWqxzjkvw", min_size=6, max_size=12)
PLACES = ["path", "query", "header", "token", "json", "metadata", "multipart", "content-type", "digest", "method"]
ROUTES = [
    ("POST", "/auth/login"),
    ("POST", "/upload/init"),
    ("PUT", "/upload/{id}/chunk"),
    ("POST", "/upload/{id}/complete"),
    ("GET", "/upload/{id}/status"),
    ("GET", "/upload/{id}/files"),
    ("DELETE", "/upload/{id}/files/{marker}"),
    ("DELETE", "/upload/{id}"),
    ("POST", "/files/"),
    ("PATCH", "/files/{marker}"),
    ("HEAD", "/files/{marker}"),
    ("GET", "/{marker}"),
    ("POST", "/admin/uploads/{marker}/release"),
]


def _request(
    marker: str, place: str, route: tuple[str, str], opened: Any, token: str
) -> tuple[str, str, str, dict[str, Any]]:
    """A request with `marker` somewhere in it."""
    method, path = route
    here = path.format(id=marker if place == "path" else opened.upload_id, marker=marker)
    headers: dict[str, str] = dict(TUS)
    known: dict[str, Any] = {}
    if place == "query":
        here += f"?{marker}={marker}&file_id={marker}%20&chunk_index={marker}&limit={marker}&cursor={marker}"
    elif place == "header":
        headers |= {"Upload-Offset": marker, "Upload-Length": marker, "Idempotency-Key": marker, "Prefer": marker,
                    "X-Request-ID": marker, "Origin": f"https://{marker}", "X-HTTP-Method-Override": marker,
                    "X-Forwarded-For": marker, "Range": marker, "If-Match": marker}  # fmt: skip
    elif place == "metadata":
        headers |= {"Upload-Length": "5", "Upload-Metadata": f"file_id {marker}, {marker} {marker}"}
    elif place == "digest":
        headers |= {"Content-Digest": f"{marker}=:{marker}:"}
        here += "?file_id=a&chunk_index=0"
    elif place == "token":
        token = f"a.{marker}.c"
    elif place == "content-type":
        headers |= {"Content-Type": f"text/{marker}; boundary={marker}"}
    elif place == "method":
        method = marker.upper()
    known["headers"] = headers
    if place == "json":
        known["json"] = init_body(
            [5], endpoint_id=marker, uploader={"name": [marker]}, checksums={f"{marker} ": marker}, username=marker,
            skipped=[marker], reason=[marker], **{f"{marker} {marker}": marker},
        )  # fmt: skip
    elif place == "multipart":
        form = aiohttp.FormData()
        form.add_field("file_id", f"{marker} {marker}")
        form.add_field("chunk_index", marker)
        form.add_field("binary_payload", marker.encode(), filename=marker)
        known["data"] = form
    return method, here, token, known


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(marker=MARKERS, place=st.sampled_from(PLACES), route=st.sampled_from(ROUTES), data=st.data())
async def test_no_value_of_a_client_is_in_an_error_or_in_a_log(gate, caplog, marker, place, route, data):
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    name = f"n{secrets.token_hex(6)}"
    person = await gate.person(name, "admin")
    opened = await gate.init(person.token, [5])
    token = data.draw(st.sampled_from([opened.token, person.token]))
    method, path, token, known = _request(marker, place, route, opened, token)
    if place == "method":
        async with gate.line() as line:
            await line.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            answer = await line.answer()
    else:
        answer = await gate.ask(method, path, token, **known)
    assert answer.status < 600
    if answer.status >= 400:
        told = json.dumps([answer.body.decode("latin-1"), dict(answer.headers)]).lower()
        assert marker.lower() not in told
    ours = [record for record in caplog.records if not record.name.startswith(("asyncio", "hypothesis"))]
    assert not [record for record in ours if marker.lower() in record.getMessage().lower()]


async def test_the_log_names_routes_and_no_path_of_a_client(gate, caplog):
    caplog.set_level(logging.INFO)
    await gate.ask("GET", URL("/upload/DOE-JANE/status?x=DOE").raw_path_qs)
    lines = [record.getMessage() for record in caplog.records if record.name == "relaypacs.access"]
    assert len(lines) == 1
    assert "DOE" not in lines[0]
    assert "status=401" in lines[0]
