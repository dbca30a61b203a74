"""Our own address and the client's: proxies count only if they are trusted."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.identity.throttle import LoginLimits
from tests.component.gateway_app import gateway_app, init_body

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
async def proxied(tmp_path):
    """A gateway that trusts the proxy that the tests are."""
    async with gateway_app(tmp_path, services={"trusted_proxies": LOOPBACK}) as gate:
        yield gate


async def location(gate, **headers: str) -> str:
    person = await gate.person()
    known = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await gate.tus_create(person.token, 5, headers=known)
    assert answer.status == 201, answer.json
    return answer.headers["Location"]


async def test_location_is_absolute_and_where_the_client_came_to(gate):
    assert (await location(gate)).startswith(f"http://127.0.0.1:{gate.port}/files/")


async def test_a_client_may_call_us_by_any_name(gate):
    assert (await location(gate, Host="relay.example.org:8443")).startswith("http://relay.example.org:8443/files/")


async def test_an_ipv6_address_is_a_name_too(gate):
    assert (await location(gate, Host="[::1]:8080")).startswith("http://[::1]:8080/files/")


@pytest.mark.parametrize("host", ["a b", "user@relay", "relay/x", "relay?x", "re\\lay", "x" * 300, "relay:port", "<x>"])
async def test_a_host_that_isnt_one_is_refused_and_nothing_is_made(gate, host):
    person = await gate.person()
    for answer in [
        await gate.tus_create(person.token, 5, headers={"Host": host}),
        await gate.ask("POST", "/upload/init", person.token, json=init_body(), headers={"Host": host}),
    ]:
        assert answer.status == 400
    assert await gate.count("uploads") == 0


async def test_forwarded_headers_of_strangers_count_for_nothing(gate):
    found = await location(gate, X_Forwarded_Proto="https", X_Forwarded_Host="evil.example")
    assert found.startswith(f"http://127.0.0.1:{gate.port}/")


async def test_a_trusted_proxy_says_how_clients_reach_us(proxied):
    found = await location(proxied, X_Forwarded_Proto="https", X_Forwarded_Host="relay.example.org")
    assert found.startswith("https://relay.example.org/files/")


async def test_what_a_client_told_the_proxy_counts_for_nothing(proxied):
    found = await location(proxied, X_Forwarded_Proto="http, https", X_Forwarded_Host="evil.example, relay.example.org")
    assert found.startswith("https://relay.example.org/files/")


@pytest.mark.parametrize(("name", "value"), [("X-Forwarded-Proto", "javascript"), ("X-Forwarded-Host", "a b")])
async def test_a_proxy_that_tells_nonsense_is_refused(proxied, name, value):
    person = await proxied.person()
    answer = await proxied.tus_create(person.token, 5, headers={name: value})
    assert (answer.status, answer.code) == (400, "malformed_header")


async def test_init_names_the_address_for_tus(proxied):
    person = await proxied.person()
    opened = await proxied.init(person.token, headers={"X-Forwarded-Host": "relay.example.org"})
    assert opened.told["tus_url"] == "http://relay.example.org/files/"


# --- a public_url that somebody gave -----------------------------------------------------------------------------------

PUBLIC = {"public_url": "https://relay.example.org/pacs", "hosts": ("relay.lan", "10.0.0.5:8443")}


@pytest.fixture
async def public(tmp_path):
    async with gateway_app(tmp_path, services=PUBLIC) as gate:
        yield gate


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("relay.example.org", "https://relay.example.org/pacs/files/"),
        ("evil.example", "https://relay.example.org/pacs/files/"),
        ("relay.example.org.evil.example", "https://relay.example.org/pacs/files/"),
        ("10.0.0.5:9", "https://relay.example.org/pacs/files/"),
        ("relay.lan", "http://relay.lan/pacs/files/"),
        ("RELAY.lan:8080", "http://RELAY.lan:8080/pacs/files/"),
        ("10.0.0.5:8443", "http://10.0.0.5:8443/pacs/files/"),
        ("localhost:8080", "http://localhost:8080/pacs/files/"),
        ("127.0.0.1", "http://127.0.0.1/pacs/files/"),
        ("[::1]:8080", "http://[::1]:8080/pacs/files/"),
    ],
)
async def test_location_follows_host_only_where_we_are_known_by_that_name(public, host, found):
    assert (await location(public, Host=host)).startswith(found)


async def test_init_and_complete_name_no_host_that_a_client_invented(public):
    person = await public.person()
    opened = await public.init(person.token, [1], headers={"Host": "evil.example"})
    assert opened.told["tus_url"] == "https://relay.example.org/pacs/files/"
    await public.chunk(opened, "a", 0, b"x", total=1)
    answer = await public.complete(opened, headers={"Host": "evil.example"})
    assert answer.headers["Location"] == f"https://relay.example.org/pacs/upload/{opened.upload_id}/status"


async def test_the_path_of_public_url_may_be_stripped_by_the_proxy_or_not(public):
    person = await public.person()
    path = await public.tus_file(person.token, 5)
    assert path.startswith("/pacs/files/")
    for here in (path, path.removeprefix("/pacs")):
        assert (await public.tus_head(person.token, here)).headers["Tus-Resumable"] == "1.0.0"
        assert (await public.ask("OPTIONS", here)).headers["Tus-Version"] == "1.0.0"


@pytest.mark.parametrize("told", ["192.0.2.7:4711", "192.0.2.7", "[2001:db8::7]:4711", "2001:db8::7"])
async def test_a_port_behind_a_clients_address_makes_no_other_client(tmp_path, told):
    services = {"trusted_proxies": LOOPBACK}
    async with gateway_app(tmp_path, services=services, login_limits=LoginLimits(per_address=3)) as gate:
        statuses = await failing_logins(gate, lambda number: told.replace("4711", str(4711 + number)))
    assert statuses == [401, 401, 401, 429, 429, 429]


async def failing_logins(gate, address_of) -> list[int]:
    statuses = []
    for number in range(6):
        answer = await gate.ask(
            "POST",
            "/auth/login",
            json={"username": f"nobody{number}", "password": "another password"},
            headers={"X-Forwarded-For": address_of(number)},
        )
        statuses.append(answer.status)
    return statuses


async def test_guesses_are_counted_by_the_clients_address_behind_a_trusted_proxy_only(tmp_path):
    limits = LoginLimits(per_address=3)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with gateway_app(tmp_path / "a", login_limits=limits, services={"trusted_proxies": LOOPBACK}) as gate:
        assert await failing_logins(gate, lambda number: f"192.0.2.{number}") == [401] * 6
        assert await failing_logins(gate, lambda number: f"{number}.0.2.1, 198.51.100.1") == [401] * 3 + [429] * 3
    async with gateway_app(tmp_path / "b", login_limits=limits) as gate:
        assert await failing_logins(gate, lambda number: f"192.0.2.{number}") == [401] * 3 + [429] * 3


PASSED = {"trusted_proxies": LOOPBACK, "proxies_pass_interim": True}


@pytest.mark.parametrize(
    ("known", "headers", "heard"),
    [
        ({}, {}, [104, 201]),
        ({}, {"X-Forwarded-For": "10.1.2.3"}, [201]),
        ({}, {"Via": "1.1 somebody"}, [201]),
        ({"trusted_proxies": LOOPBACK}, {"X-Forwarded-For": "10.1.2.3"}, [201]),
        ({"proxies_pass_interim": True}, {"X-Forwarded-For": "10.1.2.3"}, [201]),
        (PASSED, {"X-Forwarded-For": "10.1.2.3"}, [104, 201]),
    ],
)
async def test_an_interim_answer_is_sent_where_it_arrives(tmp_path, known, headers, heard):
    """nginx would take it for the answer itself, and what follows for its content."""
    async with gateway_app(tmp_path, services=known) as gate:
        token = (await gate.person()).token
        draft = {"Upload-Complete": "?0", "Upload-Draft-Interop-Version": "6", "Content-Length": "0"}
        async with gate.begun("POST", "/files/", token, draft | headers, b"") as line:
            assert [(await line.answer()).status for _ in heard] == heard
