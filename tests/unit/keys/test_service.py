"""Service keys are made once and are the same at every start."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import ConfigError, Damaged
from gateway.keys.service import open_service_keys
from gateway.ledger.sqlite.ledger import SqliteLedger
from gateway.spool.keys import SERVICE_KEY_NAMES, KeyRing
from tests.clocks import ManualClock
from tests.opened import opened_ledger

K1, K2 = bytes(32), bytes(range(32))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def clock():
    return ManualClock()


async def service_rows(ledger):
    return await ledger.read(lambda tx: [(row, tx.keys.get(row.key_id)) for row in tx.keys.service()])


async def test_the_second_start_opens_what_the_first_has_made(path, clock):
    async with opened_ledger(clock, path=path) as first:
        sealed = first.keys.records.seal(b"x", context="c")
    async with opened_ledger(clock, path=path) as second:
        assert second.keys.records.open(sealed, context="c") == b"x"
        assert second.keys.receipt_seed == first.keys.receipt_seed
        assert second.keys.index_mac(b"y") == first.keys.index_mac(b"y")
        assert [event.event for event in await second.events()] == ["keys.created"]


async def test_no_two_service_keys_are_alike(path, clock):
    async with opened_ledger(clock, path=path) as opened:
        assert len({opened.keys.index_key, opened.keys.receipt_seed, opened.keys.audit_mac_key}) == 3


async def test_two_processes_that_start_at_once_end_up_with_the_same_keys(path, clock):
    ledgers = [await SqliteLedger.open(path) for _ in range(4)]
    try:
        ring = KeyRing({"k1": K1}, "k1")
        opened = await asyncio.gather(*(open_service_keys(ledger, ring, clock) for ledger in ledgers))
        assert len({keys.receipt_seed for keys in opened}) == 1
        assert sorted(row.name for row, _ in await service_rows(ledgers[0])) == sorted(SERVICE_KEY_NAMES)
        events = await ledgers[0].read(lambda tx: tx.audit.after(0, 100))
        assert [event.event for event in events] == ["keys.created"]
    finally:
        for ledger in ledgers:
            await ledger.close()


async def test_an_absent_wrapping_key_is_named_and_nothing_changes(path, clock):
    async with opened_ledger(clock, KeyRing({"k1": K1}, "k1"), path=path):
        pass
    ledger = await SqliteLedger.open(path)
    try:
        before = await service_rows(ledger)
        with pytest.raises(ConfigError, match=r"spool\.keys\.k1"):
            await open_service_keys(ledger, KeyRing({"k2": K2}, "k2"), clock)
        assert await service_rows(ledger) == before
    finally:
        await ledger.close()


async def test_an_old_wrapping_key_beside_the_active_one_is_enough(path, clock):
    async with opened_ledger(clock, KeyRing({"k1": K1}, "k1"), path=path) as first:
        pass
    async with opened_ledger(clock, KeyRing({"k1": K1, "k2": K2}, "k2"), path=path) as second:
        assert second.keys.receipt_seed == first.keys.receipt_seed


async def test_another_key_under_the_same_id_is_refused(path, clock):
    async with opened_ledger(clock, KeyRing({"k1": K1}, "k1"), path=path):
        pass
    with pytest.raises(Damaged, match=r"spool\.keys\.k1"):
        async with opened_ledger(clock, KeyRing({"k1": K2}, "k1"), path=path):
            pass


async def test_a_start_that_died_before_its_audit_event_is_made_good_by_the_next(path, clock):
    class Died(Exception):
        pass

    class DyingLedger(SqliteLedger):
        def use_audit_key(self, key):
            raise Died

    dying = await DyingLedger.open(path)
    with pytest.raises(Died):
        await open_service_keys(dying, KeyRing({"k1": K1}, "k1"), clock)
    await dying.close()
    async with opened_ledger(clock, KeyRing({"k1": K1}, "k1"), path=path) as opened:
        assert [event.event for event in await opened.events()] == ["keys.created"]
