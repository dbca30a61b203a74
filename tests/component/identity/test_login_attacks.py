"""Guessing at passwords, over HTTP behind a proxy and by a clock moved by hand."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.identity.throttle import LoginLimits
from tests.component.gateway_app import PASSWORD, gateway_app

LIMITS = LoginLimits(per_name=10, per_address=60, window_s=300.0)
HOME = "192.0.2.77"
ADDRESSES = [f"198.51.100.{n}" for n in range(50)]


@pytest.fixture
async def gate(tmp_path):
    """A gateway behind a proxy of this machine, which says where clients come from."""
    proxies = {"trusted_proxies": (ip_network("127.0.0.1/32"),)}
    async with gateway_app(tmp_path, login_limits=LIMITS, services=proxies) as gate:
        yield gate


async def guess(gate, name, password, address, **headers):
    known = {"X-Forwarded-For": f"203.0.113.9, {address}", **headers}  # what came before is the client's own invention
    return await gate.ask("POST", "/auth/login", json={"username": name, "password": password}, headers=known)


@pytest.fixture
def hashed(gate, monkeypatch):
    """How often a password was hashed."""
    passwords = gate.services.accounts._passwords
    calls: list[bytes] = []
    verify = passwords._verify

    def counted(against, password):
        calls.append(password)
        return verify(against, password)

    monkeypatch.setattr(passwords, "_verify", counted)
    return calls


async def test_a_thousand_wrong_tries_from_fifty_addresses_end_at_the_configured_rate(gate, hashed):
    await gate.person("ada")
    taken, refused = 0, 0
    begun = gate.clock.now()
    for number in range(1000):
        answer = await guess(gate, "ada", f"guess {number}", ADDRESSES[number % 50])
        assert answer.status in {401, 429}
        if answer.status == 429:
            refused += 1
            assert 1 <= int(answer.headers["Retry-After"]) <= LIMITS.window_s
        else:
            taken += 1
        gate.clock.advance(1.0)
    windows = (gate.clock.now() - begun) / LIMITS.window_s
    assert taken <= LIMITS.per_name * (windows + 1)
    assert taken + refused == 1000
    assert len(hashed) == taken, "a refused guess costs no hash"


async def test_the_true_user_gets_in_where_it_was_before_during_the_attack_and_anywhere_after_it(gate):
    await gate.person("ada")
    assert (await guess(gate, "ada", PASSWORD, HOME)).status == 200
    for number in range(200):
        await guess(gate, "ada", f"guess {number}", ADDRESSES[number % 50])
        if number % 20 == 0:
            assert (await guess(gate, "ada", PASSWORD, HOME)).status == 200, "at home, in the middle of it"
        gate.clock.advance(1.0)
    gate.clock.advance(LIMITS.window_s)
    assert (await guess(gate, "ada", PASSWORD, "192.0.2.200")).status == 200, "somewhere new, once it is over"


async def test_spraying_many_names_from_one_address_ends_at_its_rate(gate, hashed):
    taken = 0
    for number in range(300):
        taken += (await guess(gate, f"name {number}", "Summer2026!", ADDRESSES[0])).status == 401
    assert taken == LIMITS.per_address == len(hashed)
    assert (await guess(gate, "name 1", "x", ADDRESSES[1])).status == 401, "others are not hindered"


async def test_an_address_that_a_client_invents_defeats_nothing(gate):
    """Behind the trusted proxy only its own, last, word counts; in front of it no word does."""
    statuses = [
        (await guess(gate, f"n{number}", "x", ADDRESSES[0], **{"X-Real-IP": f"203.0.113.{number}"})).status
        for number in range(LIMITS.per_address + 1)
    ]
    assert statuses[-1] == 429


async def test_without_a_trusted_proxy_its_headers_are_not_read(tmp_path):
    async with gateway_app(tmp_path, login_limits=LIMITS) as gate:
        statuses = [
            (await guess(gate, f"n{number}", "x", f"198.51.100.{number}")).status
            for number in range(LIMITS.per_address + 1)
        ]
        assert statuses[-1] == 429


async def test_a_known_an_unknown_and_a_disabled_name_cost_one_hash_each_and_say_the_same(gate, hashed):
    await gate.person("ada")
    await gate.person("off")
    await gate.services.accounts.disable("off")
    said = []
    for name in ("ada", "nobody", "off", "oidc:ada", ""):
        before = len(hashed)
        answer = await guess(gate, name, "wrong", HOME)
        assert len(hashed) == before + 1, name
        told = {key: value for key, value in answer.json.items() if key != "request_id"}
        said.append((answer.status, told, sorted(set(answer.headers) - {"Date", "X-Request-ID"})))
    assert all(one == said[0] for one in said)
    assert said[0][1]["code"] == "bad_credentials"
