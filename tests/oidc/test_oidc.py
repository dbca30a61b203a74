"""Access tokens of a real issuer, and of issuers that misbehave."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.errors import Forbidden, Unauthorized, Unavailable, Unprocessable
from gateway.identity.oidc import ASK_AGAIN_S, STALE_S, OidcIssuer, Terms, fetch_json
from tests.clocks import ManualClock
from tests.component.gateway_app import gateway_app
from tests.oidc.issuer import AUDIENCE, OTHER_AUDIENCE, new_key, running_issuer

PEOPLE: dict[str, dict[str, Any]] = {
    "ada": {"roles": ["staff", "relay-upload"]},
    "bob": {"roles": "relay-upload relay-admin"},
    "eve": {"roles": ["staff"]},
    "mallory": {"roles": {"relay-admin": "admin"}},
    "deep": {"realm_access": {"roles": ["relay-issue"]}},
}
ROLES = {"relay-upload": "uploader", "relay-issue": "issuer", "relay-admin": "admin"}


def toml(url: str, more: str = "") -> str:
    roles = ", ".join(f'"{theirs}" = "{ours}"' for theirs, ours in ROLES.items())
    return f'[auth.oidc]\nissuer = "{url}"\naudience = "{AUDIENCE}"\nroles = {{ {roles} }}\n{more}\n'


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    with running_issuer(tmp_path_factory.mktemp("issuer"), PEOPLE) as running:
        yield running


@pytest.fixture
async def gate(tmp_path, issuer):
    async with gateway_app(tmp_path, toml=toml(issuer.url), now=time.time()) as gate:
        yield gate


async def asks(gate, token, path="/endpoints"):
    answer = await gate.ask("GET", path, token)
    return answer.status if answer.status == 200 else (answer.status, answer.code)


async def test_whoever_the_issuer_knows_uploads_in_the_role_that_its_claim_maps_to(gate, issuer):
    ada, bob = await asyncio.to_thread(issuer.token, "ada"), await asyncio.to_thread(issuer.token, "bob")
    opened = await gate.init(ada)
    await gate.send_file(opened, "one", b"0123456789")
    assert (await gate.complete(opened)).status == 202
    assert await asks(gate, ada, "/admin/uploads") == (403, "forbidden")
    assert await asks(gate, bob, "/admin/uploads") == 200, "of several roles the highest counts"
    assert await asks(gate, bob, f"/upload/{opened.upload_id}/status") == 200
    again = await asyncio.to_thread(issuer.token, "ada")
    assert await asks(gate, again, f"/upload/{opened.upload_id}/status") == 200, "another token of the same person"


async def test_who_has_no_role_here_is_refused(gate, issuer):
    for name in ("eve", "mallory"):
        assert await asks(gate, await asyncio.to_thread(issuer.token, name)) == (403, "forbidden")


async def test_a_roles_claim_may_lie_inside_another(tmp_path, issuer):
    settings = toml(issuer.url, 'roles_claim = "realm_access.roles"')
    async with gateway_app(tmp_path, toml=settings, now=time.time()) as gate:
        assert await asks(gate, await asyncio.to_thread(issuer.token, "deep"), "/qr") == 200


async def test_a_token_for_somebody_else_is_refused(gate, issuer):
    token = await asyncio.to_thread(issuer.token, "ada", OTHER_AUDIENCE)
    assert await asks(gate, token) == (401, "unauthorized")


async def test_a_token_is_over_by_the_gateways_own_clock(gate, issuer):
    token = await asyncio.to_thread(issuer.token, "ada")
    assert await asks(gate, token) == 200
    gate.clock.advance(issuer.ttl_seconds + 1)
    assert await asks(gate, token) == (401, "token_expired")


async def test_the_account_can_be_disabled_here_and_has_no_password(gate, issuer):
    token = await asyncio.to_thread(issuer.token, "ada")
    assert await asks(gate, token) == 200
    (account,) = await gate.services.accounts.all()
    assert account.name.startswith("oidc:ada#")
    for password in ("", "a good long password"):
        login = await gate.ask("POST", "/auth/login", json={"username": account.name, "password": password})
        assert (login.status, login.code) == (401, "bad_credentials")
    with pytest.raises(Unprocessable):
        await gate.services.accounts.set_password(account.name, "a good long password")
    await gate.services.accounts.disable(account.name)
    assert await asks(gate, token) == (401, "unauthorized")


async def test_a_first_token_is_a_login_and_neither_subject_nor_name_is_on_the_disk(gate, issuer):
    for _ in range(3):
        assert await asks(gate, await asyncio.to_thread(issuer.token, "bob")) == 200
        gate.clock.advance(1)
    events = [(row.event, row.actor, row.detail) for row in await gate.ledger.read(lambda tx: tx.audit.after(0, 100))]
    assert [event for event, _, _ in events][-4:].count("login") >= 1
    assert not any("bob" in text for event in events for text in event)
    assert not any(
        b"bob" in path.read_bytes() for path in gate.folder.iterdir() if path.name.startswith("relaypacs.db")
    )


async def test_a_name_of_the_issuers_people_is_none_for_a_local_account(gate):
    with pytest.raises(Exception, match="doesn't begin with oidc:"):
        await gate.services.accounts.add("oidc:ada", "admin", "a good long password")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_the_issuers_keys_may_rotate_while_the_gateway_runs(tmp_path, algorithm):
    (tmp_path / "issuer").mkdir()
    with running_issuer(tmp_path / "issuer", PEOPLE, algorithm) as issuer:
        async with gateway_app(tmp_path, toml=toml(issuer.url), now=time.time()) as gate:
            before = await asyncio.to_thread(issuer.token, "ada")
            assert await asks(gate, before) == 200
            issuer.stop()
            former, issuer.keys = issuer.keys, [new_key("second", algorithm), *issuer.keys]
            issuer.start()
            after = await asyncio.to_thread(issuer.token, "ada")
            assert jwt.get_unverified_header(after)["kid"] == "second"
            assert await asks(gate, after) == (401, "unauthorized"), "the issuer was asked just now"
            gate.clock.advance(ASK_AGAIN_S)
            assert [await asks(gate, token) for token in (after, before)] == [200, 200]
            issuer.stop()
            issuer.keys = [key for key in issuer.keys if key not in former]
            issuer.start()
            gate.clock.advance(590.0 - ASK_AGAIN_S)
            assert await asks(gate, after) == 200, "the cache holds"


# --- issuers that misbehave: our own document and keys, tokens forged with the true key -------------------------------

TERMS = Terms("https://login.example.org", AUDIENCE, "roles", ROLES)
KEY = rsa.generate_private_key(65537, 2048)
JWK = {**jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k", "alg": "RS256", "use": "sig"}


class Scripted:
    """Answers like an issuer; counts how often it was asked."""

    def __init__(self) -> None:
        self.keys: list[Any] = [JWK]
        self.document: Any = {"issuer": TERMS.issuer, "jwks_uri": f"{TERMS.issuer}/jwks"}
        self.asked = 0
        self.down = False

    def __call__(self, url: str, _timeout_s: float) -> Any:
        if self.down:
            raise OSError("no route")
        if url.endswith("/jwks"):
            self.asked += 1
            return {"keys": self.keys}
        return self.document


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def scripted():
    return Scripted()


@pytest.fixture
def reader(clock, scripted):
    return OidcIssuer(TERMS, clock, scripted)


def claims(clock, **changed):
    said = {
        "iss": TERMS.issuer,
        "aud": AUDIENCE,
        "sub": "ada",
        "exp": int(clock.now()) + 600,
        "roles": ["relay-upload"],
    }
    return {name: value for name, value in (said | changed).items() if value is not None}


def signed(said, key=KEY, algorithm="RS256", **header):
    return jwt.encode(said, key, algorithm, headers={"kid": "k", "typ": "at+jwt", **header})


async def refused(reader, token):
    with pytest.raises(Unauthorized) as caught:
        await reader.read(token)
    assert caught.value.__cause__ is None
    return caught.value.code


async def got(reader):
    """Until the keys that are being got are there."""
    while (asking := reader._asking) is not None:
        await asyncio.wait({asking})


@pytest.mark.parametrize("typ", ["JWT", "logout+jwt", "id_token", "", None, 7])
async def test_an_id_token_or_a_logout_token_is_no_access_token(reader, clock, typ):
    assert await refused(reader, signed(claims(clock), typ=typ)) == "unauthorized"


async def test_which_typ_an_issuers_access_tokens_have_can_be_configured(clock, scripted):
    reader = OidcIssuer(replace(TERMS, token_typ=("JWT", "at+jwt")), clock, scripted)
    for typ in ("JWT", "at+jwt", "AT+JWT", "application/at+jwt"):
        await reader.read(signed(claims(clock, sub=typ), typ=typ))
    assert await refused(reader, signed(claims(clock), typ="logout+jwt")) == "unauthorized"


async def test_an_issuer_that_trickles_makes_nobody_wait_whose_key_is_known(clock, scripted):
    go_on = threading.Event()

    def trickles(url, timeout_s):
        assert go_on.wait(30)
        return scripted(url, timeout_s)

    reader = OidcIssuer(replace(TERMS, timeout_s=0.05), clock, scripted)
    await reader.read(signed(claims(clock)))
    reader._fetch = trickles
    clock.advance(TERMS.jwks_cache_s)
    for number in range(20):
        await asyncio.wait_for(reader.read(signed(claims(clock, sub=f"s{number}"))), 5)
    assert await asyncio.wait_for(refused(reader, signed(claims(clock), kid="other")), 5) == "unauthorized"
    go_on.set()
    await got(reader)


def test_an_answer_that_trickles_past_its_time_is_none():
    ends = threading.Event()

    class Trickle(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while not ends.wait(0.02):
                    self.wfile.write(b" ")

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Trickle) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(TimeoutError):
            fetch_json(f"http://127.0.0.1:{server.server_port}/", 0.2)
        ends.set()
        server.shutdown()


async def test_a_true_token_is_believed(reader, clock):
    found = await reader.read(signed(claims(clock)))
    assert (found.subject, found.role, found.expires_at) == ("ada", "uploader", clock.now() + 600)


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://login.example.com"},
        {"iss": None},
        {"aud": "https://relay.example.com"},
        {"aud": ["x", "y"]},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"nbf": 1e12},
        {"nbf": "x"},
    ],
    ids=str,
)
async def test_a_claim_that_is_not_as_it_must_be_is_refused(reader, clock, changed):
    assert await refused(reader, signed(claims(clock, **changed))) == "unauthorized"


async def test_an_expired_token_is_told_so_and_nbf_may_be_a_minute_ahead(reader, clock):
    assert await refused(reader, signed(claims(clock, exp=int(clock.now())))) == "token_expired"
    assert await reader.read(signed(claims(clock, nbf=int(clock.now()) + 59)))
    assert await refused(reader, signed(claims(clock, nbf=int(clock.now()) + 62))) == "unauthorized"


async def test_one_audience_among_several_is_enough(reader, clock):
    assert await reader.read(signed(claims(clock, aud=["x", AUDIENCE])))


async def test_other_algorithms_and_confusions_of_key_are_refused(reader, clock):
    said = claims(clock)
    b64 = lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=").decode()  # noqa: E731 # used on three lines
    for alg in ("none", "HS256", "RS384", "PS256", "EdDSA", "rs256"):
        head = f"{b64(json.dumps({'alg': alg, 'kid': 'k', 'typ': 'JWT'}).encode())}.{b64(json.dumps(said).encode())}"
        public = json.dumps(JWK).encode()
        for signature in (b"", hmac.digest(public, head.encode(), "sha256")):
            token = f"{head}.{b64(signature)}"
            assert not reader.may_be(token)
            assert await refused(reader, token) == "unauthorized"
    assert await refused(reader, signed(said, crit=["exp"])) == "unauthorized"
    stranger = rsa.generate_private_key(65537, 2048)
    assert await refused(reader, signed(said, stranger)) == "unauthorized"


async def test_a_flood_of_unknown_keys_asks_the_issuer_twice_a_minute(reader, clock, scripted):
    assert await reader.read(signed(claims(clock)))
    for number in range(60):
        for flood in range(5):
            assert await refused(reader, signed(claims(clock), kid=f"x{number}-{flood}")) == "unauthorized"
        clock.advance(1)
    assert scripted.asked <= 3


async def test_many_at_once_ask_once(reader, clock, scripted):
    tokens = [signed(claims(clock, sub=f"s{n}")) for n in range(20)]
    assert len(await asyncio.gather(*map(reader.read, tokens))) == 20
    assert scripted.asked == 1


async def test_a_key_that_the_issuer_took_back_is_over_once_the_cache_is(reader, clock, scripted):
    token = signed(claims(clock, exp=int(clock.now()) + 10**6))
    assert await reader.read(token)
    scripted.keys = []
    assert await reader.read(token)
    clock.advance(TERMS.jwks_cache_s)
    assert await reader.read(token), "the keys are got beside it"
    await got(reader)
    assert await refused(reader, token) == "unauthorized", "also a token that was seen before"


async def test_an_issuer_that_is_down_hinders_nobody_for_an_hour(reader, clock, scripted):
    token = signed(claims(clock, exp=int(clock.now()) + 10**6))
    assert await reader.read(token)
    scripted.down = True
    clock.advance(STALE_S - 1)
    assert await reader.read(token)
    clock.advance(1)
    with pytest.raises(Unavailable):
        await reader.read(token)
    scripted.down = False
    clock.advance(ASK_AGAIN_S)
    assert await reader.read(token)


async def test_an_issuer_that_was_never_reached_is_said_to_be_away(reader, clock, scripted):
    scripted.down = True
    with pytest.raises(Unavailable):
        await reader.read(signed(claims(clock)))


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://login.example.com", "jwks_uri": "https://login.example.org/jwks"},
        {"issuer": TERMS.issuer, "jwks_uri": "http://login.example.org/jwks"},
        {"issuer": TERMS.issuer, "jwks_uri": "file:///etc/passwd"},
        {"issuer": TERMS.issuer},
        [],
        None,
    ],
    ids=str,
)
async def test_a_discovery_document_that_is_not_the_issuers_is_not_believed(reader, clock, scripted, document):
    scripted.document = document
    with pytest.raises(Unavailable):
        await reader.read(signed(claims(clock)))


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits")
async def test_keys_that_are_of_no_use_are_passed_over(reader, clock, scripted):
    small = rsa.generate_private_key(65537, 1024)
    weak = jwt.algorithms.RSAAlgorithm.to_jwk(small.public_key(), as_dict=True) | {"kid": "weak"}
    scripted.keys = [
        None,
        1,
        {},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k"},
        {**JWK, "use": "enc", "kid": "e"},
        weak,
        JWK,
    ]
    assert await reader.read(signed(claims(clock)))
    assert await refused(reader, signed(claims(clock), small, kid="weak")) == "unauthorized"


async def test_a_token_without_kid_is_good_where_there_is_no_choice(reader, clock, scripted):
    def token(said):
        return jwt.encode(said, KEY, "RS256", headers={"typ": "at+jwt"})

    assert await reader.read(token(claims(clock)))
    scripted.keys = [JWK, {**new_public("other"), "kid": "other"}]
    clock.advance(TERMS.jwks_cache_s)
    assert await reader.read(token(claims(clock)))
    await got(reader)
    assert await refused(reader, token(claims(clock))) == "unauthorized"


def new_public(kid):
    return {name: value for name, value in new_key(kid, "RS256").items() if name in {"kty", "n", "e", "alg", "use"}}


async def test_who_has_no_role_is_told_so(reader, clock):
    for roles in ([], ["staff"], None, 7, {"relay-admin": 1}, [["relay-admin"]]):
        with pytest.raises(Forbidden):
            await reader.read(signed(claims(clock, roles=roles)))


@pytest.mark.parametrize("url", ["http://login.example.org/x", "file:///etc/passwd", "ftp://127.0.0.1/x", ""])
def test_nothing_but_https_or_this_machine_is_asked(url):
    with pytest.raises(ValueError):
        fetch_json(url, 1.0)
