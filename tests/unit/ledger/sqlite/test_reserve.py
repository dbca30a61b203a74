"""The ledger's reserve is made by whoever needs it first, and nobody else is told that there is no room."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from gateway.ledger.sqlite.reserve import LedgerReserve


def test_of_many_who_make_it_at_once_all_find_it_there(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        for number in range(30):
            reserve = LedgerReserve(tmp_path / f"{number}.db")
            assert all(pool.map(lambda _, reserve=reserve: reserve.hold(), range(8)))
            assert reserve.held
            reserve.release()
