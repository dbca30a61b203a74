"""The ledger's reserve is made by whoever needs it first, and nobody else is told that there is no room."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from gateway.ledger.sqlite.reserve import BELIEVED_FOR_S, LedgerReserve


def test_of_many_who_make_it_at_once_all_find_it_there(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        for number in range(30):
            reserve = LedgerReserve(tmp_path / f"{number}.db")
            assert all(pool.map(lambda _, reserve=reserve: reserve.hold(), range(8)))
            assert reserve.held
            reserve.release()


def test_once_given_up_it_is_not_held_and_another_process_is_believed_for_a_moment_only(tmp_path, monkeypatch):
    mine, others = LedgerReserve(tmp_path / "a.db"), LedgerReserve(tmp_path / "a.db")
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    assert (mine.hold(), mine.held) == (True, True)
    assert (mine.release(), mine.held) == (True, False)
    assert (mine.hold(), mine.held) == (True, True)
    assert others.release()
    now[0] += BELIEVED_FOR_S
    assert (mine.held, mine.release()) == (False, False)
