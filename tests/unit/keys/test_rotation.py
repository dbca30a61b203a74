"""Keys are rotated only under gateways that have the new one."""

from __future__ import annotations

import secrets

import pytest

from gateway.errors import ConfigError, Unavailable
from gateway.keys.rotation import active_kek, rotate, serve
from gateway.keys.service import open_service_keys
from gateway.ledger.sqlite.ledger import SqliteLedger
from gateway.spool import KeyRing
from tests.clocks import ManualClock

K1, K2 = secrets.token_bytes(32), secrets.token_bytes(32)


async def test_while_a_gateway_runs_without_the_new_key_it_is_refused_and_nothing_changes(tmp_path):
    clock = ManualClock()
    ledger = await SqliteLedger.open(tmp_path / "relaypacs.db")
    try:
        old, new = KeyRing({"k1": K1}, "k1"), KeyRing({"k1": K1, "k2": K2}, "k2")
        await open_service_keys(ledger, old, clock)
        await serve(ledger, old, clock, "gateway")
        with pytest.raises(ConfigError, match=r"spool\.keys\.k2"):
            await rotate(ledger, new, clock, "cli", served=True)
        assert await ledger.read(lambda tx: active_kek(tx, old)) == "k1"
        await serve(ledger, KeyRing({"k1": K1, "k2": K2}, "k1"), clock, "gateway")
        assert (await rotate(ledger, new, clock, "cli", served=True)).unused == ["k1"]
        with pytest.raises(Unavailable) as told:
            await ledger.read(lambda tx: active_kek(tx, old))
        assert "k2" not in told.value.detail, "uploaders see their own words"
    finally:
        await ledger.close()
