"""Every route against every kind of token (CONTRACT 2: 401, 403, 404, 410). A route without a row here fails."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import pytest

from gateway.identity import refresh_tokens, tokens
from gateway.web.routes import ROUTES
from tests.component.gateway_app import OFFSET_TYPE, PASSWORD, SECRET, TUS, Gate, Opened, Person, gateway_app, init_body

#: Tokens that are good for something.
KINDS = (
    "owner",  # access token of the account whose upload it is
    "other",  # of another account
    "issuer",  # of another account, by role
    "admin",
    "upload",  # the upload's token
    "foreign",  # token of another upload
    "refresh",  # refresh token of the account
    "renewal",  # refresh token of the upload
    "qr",  # token of a QR code
    "dead",  # token of a cancelled upload, on that upload's own path
    "disabled",  # access token of the owner, disabled in between
)


def row(*statuses: int) -> Mapping[str, int]:
    return dict(zip(KINDS, statuses, strict=True))


EVERYBODY = row(*[200] * 11)
UPLOAD, FILE = "/upload/{upload_id:[^/]+}", "/files/{file_id:[^/]+}"
ADMIN = "/admin/uploads/{upload_id:[^/]+}"
#                                          owner othr issr admn upld frgn rfsh rnwl  qr  dead dsbl
TABLE: dict[tuple[str, str], Mapping[str, int]] = {
    ("POST", "/auth/login"): row(*[422] * 11),
    ("POST", "/auth/refresh"): row(403, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403),
    ("POST", "/auth/logout"): row(204, 204, 204, 204, 403, 403, 204, 204, 403, 403, 401),
    ("POST", "/auth/password"): row(204, 204, 204, 204, 403, 403, 403, 403, 403, 403, 401),
    ("GET", "/endpoints"): row(200, 200, 200, 200, 403, 403, 403, 403, 403, 403, 401),
    ("GET", "/app/config"): EVERYBODY,
    ("POST", "/upload/init"): row(201, 201, 201, 201, 403, 403, 403, 403, 201, 403, 401),
    ("PUT", f"{UPLOAD}/chunk"): row(403, 403, 403, 403, 200, 403, 403, 403, 403, 410, 403),
    ("POST", f"{UPLOAD}/complete"): row(403, 403, 403, 403, 202, 403, 403, 403, 403, 410, 403),
    ("GET", f"{UPLOAD}/status"): row(200, 404, 404, 200, 200, 403, 403, 403, 403, 410, 401),
    ("GET", f"{UPLOAD}/files"): row(200, 404, 404, 200, 200, 403, 403, 403, 403, 410, 401),
    ("GET", f"{UPLOAD}/events"): row(200, 404, 404, 200, 200, 403, 403, 403, 403, 410, 401),
    ("POST", f"{UPLOAD}/token"): row(200, 404, 404, 404, 403, 403, 403, 200, 403, 403, 401),
    ("GET", f"{UPLOAD}/receipt"): row(404, 404, 404, 404, 404, 403, 403, 403, 403, 404, 401),
    ("DELETE", f"{UPLOAD}/files/{{file_id:[^/]+}}"): row(403, 403, 403, 403, 204, 403, 403, 403, 403, 410, 403),
    ("DELETE", UPLOAD): row(204, 404, 404, 204, 204, 403, 403, 403, 403, 410, 401),
    ("OPTIONS", "/files/"): row(*[204] * 11),
    ("OPTIONS", "/files"): row(*[204] * 11),
    ("OPTIONS", FILE): row(*[204] * 11),
    ("POST", "/files/"): row(201, 201, 201, 201, 201, 201, 403, 403, 403, 410, 401),
    ("POST", "/files"): row(201, 201, 201, 201, 201, 201, 403, 403, 403, 410, 401),
    ("HEAD", FILE): row(200, 404, 404, 404, 200, 404, 403, 403, 403, 410, 401),
    ("PATCH", FILE): row(204, 404, 404, 404, 204, 404, 403, 403, 403, 410, 401),
    ("DELETE", FILE): row(204, 404, 404, 404, 204, 404, 403, 403, 403, 410, 401),
    ("POST", FILE): row(204, 404, 404, 404, 204, 404, 403, 403, 403, 410, 401),
    ("GET", FILE): row(405, 405, 405, 405, 405, 405, 403, 403, 403, 405, 401),
    ("POST", "/qr"): row(403, 403, 201, 201, 403, 403, 403, 403, 403, 403, 403),
    ("GET", "/qr"): row(403, 403, 200, 200, 403, 403, 403, 403, 403, 403, 403),
    ("POST", "/qr/inspect"): row(403, 403, 403, 403, 403, 403, 403, 403, 200, 403, 403),
    ("DELETE", "/qr/{qr_id:[^/]+}"): row(403, 403, 204, 204, 403, 403, 403, 403, 403, 403, 403),
    ("GET", "/openapi.json"): EVERYBODY,
    ("GET", "/docs"): EVERYBODY,
    ("GET", "/healthz"): EVERYBODY,
    ("GET", "/readyz"): EVERYBODY,
    ("GET", "/metrics"): row(403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403),
    ("GET", "/.well-known/jwks.json"): EVERYBODY,
    ("GET", "/admin/uploads"): row(403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403),
    ("POST", "/admin/uploads/find"): row(403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403),
    ("GET", ADMIN): row(403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403),
    ("GET", "/admin/endpoints"): row(403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403),
    ("GET", "/admin/audit"): row(403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403),
    ("POST", f"{ADMIN}/qr"): row(403, 403, 403, 201, 403, 403, 403, 403, 403, 403, 403),
    ("POST", f"{ADMIN}/reveal"): row(403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403),
    ("POST", f"{ADMIN}/release"): row(403, 403, 403, 409, 403, 403, 403, 403, 403, 403, 403),
    ("POST", f"{ADMIN}/retry"): row(403, 403, 403, 409, 403, 403, 403, 403, 403, 403, 403),
    ("POST", f"{ADMIN}/drop"): row(403, 403, 403, 204, 403, 403, 403, 403, 403, 403, 403),
}
#: The app: everybody's, built or not.
APP = {
    ("GET", "/"),
    ("GET", "/assets/{name}"),
    ("GET", "/icons/{name}"),
    ("GET", "/sw.js"),
    ("GET", "/manifest.webmanifest"),
}
OPEN = {key for key, expected in TABLE.items() if len(set(expected.values())) == 1 and key != ("GET", FILE)}
GUARDED = sorted(set(TABLE) - OPEN)


@dataclass(frozen=True)
class Staff:
    """Accounts that own nothing of the scene."""

    other: Person
    issuer: Person
    admin: Person


@dataclass(frozen=True)
class Scene:
    """An upload with a REST file `a` and a tus file, and tokens of every kind around it."""

    opened: Opened
    path: str
    dead: Opened
    dead_path: str
    qr_id: str
    tokens: Mapping[str, str]


@pytest.fixture
async def staff(gate: Gate):
    return Staff(*[await gate.person(role, role if role != "other" else "uploader") for role in Staff.__annotations__])


async def scene(gate: Gate, staff: Staff) -> Scene:
    owner = await gate.person(f"owner-{secrets.token_hex(4)}")
    opened = await gate.init(owner.token, [10, 10, 10])
    await gate.chunk(opened, "a", 0, b"0123456789", total=1)
    path = await gate.tus_file(opened.token, 10)
    foreign = await gate.init(owner.token, [10])
    dead = await gate.init(owner.token, [10, 10])
    dead_path = await gate.tus_file(dead.token, 10)
    assert (await gate.ask("DELETE", f"/upload/{dead.upload_id}", dead.token)).status == 204
    code = await gate.ask("POST", "/qr", staff.issuer.token, json={"endpoint_id": "main"})
    assert code.status == 201, code.json
    now, account_id = gate.clock.now(), owner.row.account_id
    known = {
        "owner": owner.token,
        "other": staff.other.token,
        "issuer": staff.issuer.token,
        "admin": staff.admin.token,
        "upload": opened.token,
        "foreign": foreign.token,
        "refresh": await gate.ledger.write(lambda tx: refresh_tokens.issue(tx, account_id=account_id, now=now)),
        "renewal": opened.refresh_token,
        "qr": code.json["upload_token"],
        "dead": dead.token,
        "disabled": owner.token,
        "name": owner.name,
    }
    return Scene(opened, path, dead, dead_path, code.json["qr_id"], known)


def request_of(method: str, pattern: str, scene: Scene, kind: str) -> tuple[str, dict[str, Any]]:
    """Path and body that are good in themselves."""
    opened, path = (scene.dead, scene.dead_path) if kind == "dead" else (scene.opened, scene.path)
    filled = pattern.replace("{upload_id:[^/]+}", opened.upload_id).replace("{qr_id:[^/]+}", scene.qr_id)
    if pattern == FILE:
        filled = path
    filled = filled.replace("{file_id:[^/]+}", "a")
    headers: dict[str, str] = {}
    known: dict[str, Any] = {"headers": headers}
    if pattern.startswith("/files"):
        headers |= TUS
    if (method, pattern) in {("POST", "/files/"), ("POST", "/files")}:
        headers["Upload-Length"] = "5"
    elif method == "PATCH" or (method, pattern) == ("POST", FILE):
        headers |= {"Upload-Offset": "0", "Content-Type": OFFSET_TYPE, "X-HTTP-Method-Override": "PATCH"}
        known["data"] = b"01234"
    elif pattern.endswith("/chunk"):
        filled += "?file_id=a&chunk_index=0&total_chunks=1"
        known["data"] = b"0123456789"
    elif pattern.endswith("/complete"):
        headers["Prefer"] = "wait=0"
        known["json"] = {"skipped": [{"reason": "b"}, {"reason": "c"}]}
    elif pattern == "/upload/init":
        known["json"] = init_body([10])
    elif method == "DELETE" and pattern == UPLOAD:
        known["json"] = {"reason": "wrong patient"}
    elif pattern == "/qr":
        known["json"] = {"endpoint_id": "main"} if method == "POST" else None
    elif pattern.startswith(ADMIN):
        known["json"] = None if method == "GET" or pattern.endswith("/qr") else {"reason": "because"}
    elif pattern == "/auth/password":
        known["json"] = {"password": PASSWORD, "new_password": f"another password {secrets.token_hex(4)}"}
    elif pattern == "/auth/login":
        known["json"] = {}
    return filled, known


# --- good tokens ----------------------------------------------------------------------------------------------------


def test_every_route_has_its_row_and_every_row_its_route():
    assert set(TABLE) | APP == {(route.method, route.path) for route in ROUTES}


async def test_the_app_is_everybodys(gate, staff):
    here = await scene(gate, staff)
    for method, pattern in sorted(APP):
        path = pattern.replace("{name}", "x")
        found = {(await gate.ask(method, path, token)).status for token in (None, "garbage", *here.tokens.values())}
        assert len(found) == 1
        assert found <= {200, 404, 501}


@pytest.mark.parametrize(("method", "pattern"), sorted(TABLE), ids=map(" ".join, sorted(TABLE)))
async def test_a_route_opens_to_its_kinds_of_tokens_and_to_no_other(gate, staff, method, pattern):
    expected = TABLE[method, pattern]
    untouched = await scene(gate, staff)
    found = {}
    for kind in KINDS:
        # What is only read or refused changes nothing, so they may share a scene.
        shared = (method in {"GET", "HEAD", "OPTIONS"} or 401 <= expected[kind] <= 405) and kind != "disabled"
        here = untouched if shared else await scene(gate, staff)
        if kind == "disabled":
            await gate.services.accounts.disable(here.tokens["name"])
            gate.clock.advance(2)  # what was seen of an account is remembered for a second
        path, known = request_of(method, pattern, here, kind)
        answer = await gate.ask(method, path, here.tokens[kind], **known)
        found[kind] = answer.status
        if answer.status >= 400 and method != "HEAD":
            assert answer.json["code"], kind
        if answer.status == 410 and method != "HEAD":
            assert answer.json["state"] == "cancelled"
            assert answer.json["pacs_receipt_id"] is None
            assert answer.json["warnings"] == []
    assert found == expected
    status = await gate.status(untouched.opened)
    if method not in {"PATCH", "POST", "PUT", "DELETE"} or pattern not in {FILE, UPLOAD}:
        assert status["uploaded_bytes"] == 10, "refusals change nothing"


# --- bad tokens -----------------------------------------------------------------------------------------------------


def forged(gate: Gate, person: Person, **changes: Any) -> str:
    """An access token like the mint's, but for one thing."""
    claims = jwt.decode(person.token, options={"verify_signature": False}) | changes.pop("claims", {})
    key = changes.pop("key", gate.services.mint._keys[tokens.ACCESS_TYPE])
    header = {"typ": changes.pop("typ", tokens.ACCESS_TYPE)}
    return jwt.encode(claims, key, changes.pop("algorithm", "HS256"), headers=header)


async def bad_credentials(gate: Gate, staff: Staff) -> dict[str, list[tuple[str, str]]]:
    """Name -> headers of requests that nothing opens to."""
    person = staff.admin
    strange = tokens.TokenMint(b"another secret, quite as long", gate.clock, access_ttl_s=60, upload_ttl_s=60)
    old_clock = type(gate.clock)(gate.clock.now() - 10_000)
    old = tokens.TokenMint(SECRET.encode(), old_clock, access_ttl_s=60, upload_ttl_s=60)
    account_id = person.row.account_id
    bearer = {
        "garbage": "garbage",
        "dots": "a.b.c",
        "expired access": old.access(account_id, "admin").token,
        "expired upload": old.upload("f" * 32, account_id).token,
        "another secret": strange.access(account_id, "admin").token,
        "wrong algorithm": forged(gate, person, algorithm="HS512", key=bytes(64)),
        "no algorithm": forged(gate, person, algorithm="none", key=None),
        "another kind's key": forged(gate, person, typ=tokens.UPLOAD_TYPE),
        "another audience": forged(gate, person, claims={"aud": tokens.UPLOAD_TYPE}),
        "another issuer": forged(gate, person, claims={"iss": "somebody"}),
        "cut short": person.token[:-5],
        "too long": person.token + "x" * 5000,
    }
    found = {name: [("Authorization", f"Bearer {token}")] for name, token in bearer.items()}
    return found | {
        "none": [],
        "Basic": [("Authorization", "Basic bWFyaWE6cGFzc3dvcmQ=")],
        "empty": [("Authorization", "Bearer ")],
        "no scheme": [("Authorization", person.token)],
        "two": [("Authorization", f"Bearer {person.token}"), ("Authorization", f"Bearer {person.token}")],
        "in the query": [],
    }


async def test_without_a_good_token_nothing_opens(gate, staff):
    here = await scene(gate, staff)
    bad = await bad_credentials(gate, staff)
    wrong = []
    for method, pattern in GUARDED:
        for name, headers in bad.items():
            path, known = request_of(method, pattern, here, "owner")
            if name == "in the query":
                path += f"{'&' if '?' in path else '?'}access_token={staff.admin.token}&token={staff.admin.token}"
            every = [*known.pop("headers").items(), *headers]
            async with gate.http.request(method, path, headers=every, **known) as response:
                told = await response.json(content_type=None) if method != "HEAD" else {"code": "unauthorized"}
                code = "token_expired" if name.startswith("expired") else "unauthorized"
                if response.status != 401 or "WWW-Authenticate" not in response.headers:
                    wrong.append((method, pattern, name, response.status))
                elif method != "HEAD" and told["code"] != code:
                    wrong.append((method, pattern, name, told["code"]))
    assert not wrong
    assert (await gate.status(here.opened))["uploaded_bytes"] == 10


async def test_refresh_tokens_and_codes_that_nobody_made_are_refused(gate):
    await gate.person()
    assert (await gate.ask("POST", "/auth/refresh", "rpr_nobody")).status == 401
    assert (await gate.ask("POST", "/upload/x/token", "rpr_nobody")).status == 401
    assert (await gate.ask("POST", "/upload/init", "rpq_nobody", json=init_body())).status == 401
    assert (await gate.ask("POST", "/qr/inspect", "rpq_nobody")).status == 401


async def test_a_token_is_good_until_its_second_and_not_after(gate):
    person = await gate.person()
    gate.clock.advance(30 * 60 - 1)
    assert (await gate.ask("GET", "/endpoints", person.token)).status == 200
    gate.clock.advance(1)
    late = await gate.ask("GET", "/endpoints", person.token)
    assert (late.status, late.code) == (401, "token_expired")


async def test_a_token_that_runs_out_in_mid_body_does_no_harm(gate):
    opened = await gate.init((await gate.person()).token, [10])
    path = await gate.tus_file(opened.token, 10)
    async with gate.hanging_patch(opened.token, path, 0, 10, b"01234") as line:
        gate.clock.advance(16 * 60)
        await line.send(b"56789")
        assert (await line.answer()).status == 204
    assert (await gate.ask("HEAD", path, opened.token, headers=TUS)).status == 401


# --- ids --------------------------------------------------------------------------------------------------------------


async def test_what_isnt_there_and_what_is_anothers_look_the_same(gate, staff):
    here = await scene(gate, staff)
    mine, nobodys = here.opened.upload_id, "f" * 32
    for method, there, nowhere in [
        ("GET", f"/upload/{mine}/status", f"/upload/{nobodys}/status"),
        ("DELETE", f"/upload/{mine}", f"/upload/{nobodys}"),
        ("POST", f"/upload/{mine}/token", f"/upload/{nobodys}/token"),
        ("PATCH", here.path, f"/files/{nobodys}"),
        ("DELETE", here.path, f"/files/{nobodys}"),
    ]:
        headers = {**TUS, "Upload-Offset": "0", "Content-Type": OFFSET_TYPE} if "files" in there else {}
        foreign = await gate.ask(method, there, staff.other.token, headers=headers)
        absent = await gate.ask(method, nowhere, staff.other.token, headers=headers)
        assert (foreign.status, absent.status) == (404, 404)
        same = [{key: value for key, value in one.json.items() if key != "request_id"} for one in (foreign, absent)]
        assert same[0] == same[1]


@pytest.mark.parametrize("odd", ["..", "%2e%2e", "a%2Fb", "%00", "a" * 5000, "%f0%28%8c%28", "x'--", "*"])
async def test_odd_ids_are_ids_that_arent_there(gate, odd):
    admin = await gate.person("root", "admin")
    asked = [("GET", f"/upload/{odd}/status"), ("DELETE", f"/upload/{odd}")]
    asked += [("HEAD", f"/files/{odd}")] if odd != ".." else []  # that is "/", the app
    for method, path in asked:
        answer = await gate.ask(method, path, admin.token, headers=TUS)
        assert answer.status in {400, 404, 405, 501}, (method, path)


# --- an account that is disabled in between -----------------------------------------------------------------------------


async def test_a_disabled_account_completes_nothing_and_its_bytes_are_kept(gate):
    person = await gate.person()
    opened = await gate.init(person.token, [10])
    await gate.send_file(opened, "a", b"0123456789")
    await gate.services.accounts.disable("maria")
    refused = await gate.complete(opened)
    assert (refused.status, refused.code) == (401, "unauthorized")
    gate.clock.advance(61)
    await gate.workers.run_due()
    assert (await gate.upload(opened.upload_id)).state == "uploading", "nor does the gateway complete it"
    await gate.services.accounts.enable("maria")
    assert (await gate.complete(opened)).status == 202
    assert await gate.stored(await gate.file(opened.upload_id)) == b"0123456789"


async def test_a_single_file_of_a_disabled_account_waits_for_it_whole(gate):
    person = await gate.person()
    path = await gate.tus_file(person.token, 10, body=b"01234")
    async with gate.hanging_patch(person.token, path, 5, 5, b"56") as line:
        await gate.services.accounts.disable("maria")
        await line.send(b"789")
        refused = await line.answer()
    assert (refused.status, refused.code) == (401, "unauthorized")
    file = await gate.file_at(path)
    assert file.offset == 10
    assert (await gate.upload(file.upload_id)).state == "uploading"
    assert (await gate.tus_create(person.token, 5)).status == 401
    await gate.services.accounts.enable("maria")
    await gate.deliver(for_s=130)
    assert (await gate.upload(file.upload_id)).completed_at is not None


async def test_a_disabled_accounts_upload_ends_at_its_time(tmp_path):
    async with gateway_app(tmp_path, uploads='expires = "30m"') as gate:
        opened = await gate.init((await gate.person()).token, [10])
        await gate.send_file(opened, "a", b"0123456789")
        await gate.services.accounts.disable("maria")
        await gate.purge(for_s=31 * 60)
        assert (await gate.upload(opened.upload_id)).state == "expired"


# --- what isn't built -------------------------------------------------------------------------------------------------


async def test_tus_extensions_that_arent_built_are_refused_by_name(gate):
    person = await gate.person()
    headers = {**TUS, "Upload-Length": "5", "Trailer": "Upload-Checksum"}
    answer = await gate.ask("POST", "/files/", person.token, headers=headers)
    assert (answer.status, answer.code) == (501, "not_built")
    assert "Upload-Checksum" in answer.json["detail"]


async def test_two_protocols_at_once_are_a_mistake(gate):
    person = await gate.person()
    draft = {"Upload-Complete": "?1", "Upload-Draft-Interop-Version": "8"}
    both = await gate.ask("POST", "/files/", person.token, headers={**draft, **TUS, "Upload-Length": "5"})
    assert (both.status, both.code) == (400, "mixed_protocols")


# --- what all answers have in common ------------------------------------------------------------------------------------


async def test_no_answer_is_indexed_framed_sniffed_or_kept(gate):
    person = await gate.person()
    for path in ("/healthz", "/endpoints", "/nowhere"):
        headers = (await gate.ask("GET", path, person.token)).headers
        assert headers["X-Robots-Tag"] == "noindex"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"


async def test_head_is_answered_like_get_without_the_content(gate):
    person = await gate.person("root", "admin")
    opened = await gate.init(person.token)
    for path in ("/", "/healthz", "/endpoints", "/admin/uploads", f"/upload/{opened.upload_id}/status", "/metrics"):
        got, head = [await gate.ask(method, path, person.token) for method in ("GET", "HEAD")]
        assert (head.status, head.headers["Content-Type"]) == (got.status, got.headers["Content-Type"]), path
        assert head.body == b"", path
    events = await gate.ask("HEAD", f"/upload/{opened.upload_id}/events", opened.token)
    assert (events.status, events.headers["Content-Type"]) == (200, "text/event-stream")


async def test_options_name_the_methods_that_are_there(gate):
    answer = await gate.ask("OPTIONS", "/endpoints")
    assert (answer.status, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    assert (await gate.ask("OPTIONS", "/nowhere")).status == 404


async def test_no_answer_names_the_version_of_what_it_runs_on(gate):
    assert (await gate.ask("GET", "/healthz")).headers["Server"] == "RelayPACS"


async def test_every_answer_at_files_names_the_version_of_tus(gate):
    person = await gate.person()
    for method, path, token in [
        ("OPTIONS", "/files/", None),
        ("POST", "/files/", None),
        ("GET", "/files/x", person.token),
        ("PUT", "/files/x", person.token),
        ("HEAD", "/files/x", person.token),
    ]:
        assert (await gate.ask(method, path, token)).headers["Tus-Resumable"] == "1.0.0"


ORIGIN = "https://app.example.org"


@pytest.fixture
async def gate_with_cors(tmp_path):
    async with gateway_app(tmp_path, services={"cors_origins": (ORIGIN,)}) as gate:
        yield gate


@pytest.mark.parametrize("path", ["/files/", "/files/x", "/upload/init", "/upload/x/chunk", "/auth/login"])
async def test_a_page_of_an_allowed_origin_may_ask_first_without_a_token(gate_with_cors, path):
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    answer = await gate_with_cors.ask("OPTIONS", path, headers=asked)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    for name in ("PATCH", "HEAD", "DELETE", "PUT"):
        assert name in answer.headers["Access-Control-Allow-Methods"]
    for name in ("Authorization", "Upload-Offset", "Upload-Metadata", "Idempotency-Key", "Prefer", "Content-Type"):
        assert name in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Max-Age"] == "86400"


async def test_a_page_may_read_the_headers_it_needs_on_errors_too(gate_with_cors):
    answer = await gate_with_cors.ask("HEAD", "/files/x", headers={"Origin": ORIGIN})
    assert answer.status == 401
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    for name in ("Location", "Upload-Offset", "Retry-After", "Upload-Expires"):
        assert name in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{ORIGIN}.evil.example", ORIGIN.upper()])
async def test_other_origins_get_no_leave(gate_with_cors, origin):
    answer = await gate_with_cors.ask("OPTIONS", "/files/", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Origin" in answer.headers["Vary"]
