"""Acts that share a transaction: what becomes of the others when one of them raises."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from gateway.errors import Conflict
from gateway.fair import CLIENT
from gateway.ledger.base import Transaction
from gateway.ledger.sqlite.ledger import SqliteLedger


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    opened = await SqliteLedger.open(tmp_path / "relaypacs.db", audit_key=b"k" * 32)
    yield opened
    await opened.close()


def add(tx: Transaction, name: str) -> str:
    tx.settings.put(name, f"{tx.settings.get(name) or ''}x")
    tx.audit.append("setting.changed", at=1.0, actor="test", detail={"name": name})
    tx.wake(name)
    return name


def refuse(tx: Transaction, name: str) -> str:
    add(tx, name)
    raise Conflict("not this one")


async def together(ledger: SqliteLedger, count: int, refused: set[int]) -> list[str | BaseException]:
    """So many acts at once, those of `refused` raise after they wrote."""
    return await asyncio.gather(
        *(
            ledger.write(lambda tx, n=n: (refuse if n in refused else add)(tx, str(n)))  # type: ignore[misc] # bound now
            for n in range(count)
        ),
        return_exceptions=True,
    )


@pytest.mark.parametrize("refused", [set(), {0}, {7}, {19}, {3, 4, 11}, set(range(20))])
async def test_those_that_raise_leave_nothing_and_the_others_are_done_once(
    ledger: SqliteLedger, refused: set[int]
) -> None:
    results = await together(ledger, 20, refused)
    for number, result in enumerate(results):
        if number in refused:
            assert isinstance(result, Conflict)
        else:
            assert result == str(number)
    values = await ledger.read(lambda tx: [tx.settings.get(str(n)) for n in range(20)])
    assert values == [None if n in refused else "x" for n in range(20)]
    events = await ledger.read(lambda tx: tx.audit.after(0, 100))
    assert [row.number for row in events] == list(range(1, 21 - len(refused)))
    assert {row.detail for row in events}.isdisjoint(f'{{"name":"{n}"}}' for n in refused)


async def test_only_what_was_committed_wakes_anybody(ledger: SqliteLedger) -> None:
    with ledger.watch("1") as kept, ledger.watch("2") as undone:
        await together(ledger, 4, {2})
        assert await kept.changed(1.0)
        assert not await undone.changed(0.05)


async def test_an_act_that_ends_in_stop_iteration_reaches_its_caller_as_an_error(ledger: SqliteLedger) -> None:
    def ended(_tx: Transaction) -> str:
        return next(iter(()))

    with pytest.raises(RuntimeError):
        await ledger.write(ended)
    assert await ledger.write(lambda tx: add(tx, "after")) == "after"


async def test_refusals_that_wrote_nothing_have_none_of_the_others_done_again(ledger: SqliteLedger) -> None:
    done: Counter[int] = Counter()

    def act(tx: Transaction, number: int) -> str:
        done[number] += 1
        if number % 3 == 0:
            raise Conflict("not this one")
        return add(tx, str(number))

    results = await asyncio.gather(*(ledger.write(partial(act, number=n)) for n in range(60)), return_exceptions=True)
    assert [isinstance(one, Conflict) for one in results] == [n % 3 == 0 for n in range(60)]
    assert set(done.values()) == {1}
    values = await ledger.read(lambda tx: [tx.settings.get(str(n)) for n in range(60)])
    assert values == [None if n % 3 == 0 else "x" for n in range(60)]


async def test_who_asks_for_much_leaves_room_in_a_commit_for_the_others(ledger: SqliteLedger) -> None:
    """While the writer is held up, one client queues 300 acts and another one act behind them."""
    begun, go_on, done = threading.Event(), threading.Event(), list[str]()

    def hold(_tx: Transaction) -> None:
        begun.set()
        go_on.wait(10)

    held = asyncio.ensure_future(ledger.write(hold))
    assert await asyncio.to_thread(begun.wait, 10)

    async def asks(client: str, count: int) -> None:
        CLIENT.set(client)
        await asyncio.gather(*(ledger.write(lambda _tx: done.append(client)) for _ in range(count)))

    many, one = asyncio.create_task(asks("mallory", 300)), asyncio.create_task(asks("ada", 1))
    for _ in range(5):
        await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(held, many, one)
    assert done.index("ada") <= 16
    assert Counter(done) == {"mallory": 300, "ada": 1}


async def test_acts_of_one_turn_of_the_loop_share_a_commit(ledger: SqliteLedger) -> None:
    commits: list[float] = []
    ledger.time_commits(commits.append)
    assert await together(ledger, 16, set()) == [str(n) for n in range(16)]
    assert len(commits) == 1


async def test_acts_that_came_right_before_the_end_are_done(tmp_path: Path) -> None:
    path = tmp_path / "relaypacs.db"
    ending = await SqliteLedger.open(path, audit_key=b"k" * 32)
    acts = [asyncio.ensure_future(ending.write(partial(add, name=str(n)))) for n in range(3)]
    await asyncio.sleep(0)  # each has begun
    await ending.close()
    assert await asyncio.gather(*acts) == ["0", "1", "2"]
    again = await SqliteLedger.open(path, audit_key=b"k" * 32)
    assert await again.read(lambda tx: [tx.settings.get(str(n)) for n in range(3)]) == ["x", "x", "x"]
    await again.close()
