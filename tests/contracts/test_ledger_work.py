"""What every ledger promises (gateway/ledger/base.py), run over each backend there is: jobs, tokens, trail, keys."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from gateway.errors import Conflict, NotFound
from gateway.ledger import chain
from gateway.ledger.base import AUDIT, Ledger, Transaction
from gateway.ledger.resting import rested, wake
from gateway.ledger.rows import IdempotencyRow, JobKind, JobRow, RefreshTokenRow, ServiceKeyRow
from gateway.states import UploadState
from tests.ledger_rows import job_row, token_row, upload_row

U, V = "0a" * 16, "0b" * 16
KEY = b"k" * 32
KINDS = list(JobKind)


@pytest.fixture
async def ledger(ledger: Ledger) -> Ledger:
    """With two uploads in it."""

    def act(tx: Transaction) -> None:
        for one in (U, V):
            tx.uploads.insert(upload_row(one, now=0.0))

    await ledger.write(act)
    return ledger


async def with_jobs(ledger: Ledger, *rows: JobRow) -> list[int]:
    return await ledger.write(lambda tx: [tx.jobs.insert(row) for row in rows])


async def claim(ledger: Ledger, now: float, *, by: str = "me", until: float = 1e9, kinds=KINDS, limit: int = 10):
    return await ledger.write(lambda tx: tx.jobs.claim(now, by=by, until=until, kinds=kinds, limit=limit))


async def next_due(ledger: Ledger, kinds=KINDS) -> float | None:
    return await ledger.read(lambda tx: tx.jobs.next_due(kinds))


def the(tx: Transaction, job_id: int) -> JobRow:
    row = tx.jobs.get(job_id)
    assert row is not None
    return row


class TestJobs:
    async def test_jobs_of_a_lost_future_come_nearer_and_those_that_are_due_stay(self, ledger: Ledger) -> None:
        ids = await with_jobs(ledger, *(job_row(U, due_at=at) for at in (50.0, 1060.0, 1010.0)))

        async def due() -> list[float]:
            rows = await ledger.read(lambda tx: [tx.jobs.get(one) for one in ids])
            return [row.due_at for row in rows if row is not None]

        assert await ledger.write(lambda tx: tx.jobs.shift_due(-1000.0, 40.0)) == 3
        assert await due() == [40.0, 60.0, 40.0]
        assert await ledger.write(lambda tx: tx.jobs.shift_due(-1000.0, 55.0)) == 1
        assert await due() == [40.0, 55.0, 40.0]

    async def test_a_job_that_rests_is_due_when_it_is_woken_and_at_no_other_time(self, ledger: Ledger) -> None:
        (job_id,) = await with_jobs(ledger, replace(job_row(U, due_at=10.0), attempts=3, tried_s=5.0))
        (running,) = await claim(ledger, 11.0)
        await ledger.write(lambda tx: tx.jobs.save(rested(running, "waits", 12.0)))
        assert await claim(ledger, 4e9) == []
        await ledger.write(lambda tx: tx.jobs.shift_due(-1e6, 12.0))
        assert await claim(ledger, 4e9) == []
        await ledger.write(lambda tx: wake(tx, the(tx, job_id), 20.0))
        (woken,) = await claim(ledger, 20.0)
        assert (woken.job_id, woken.attempts, woken.tried_s, woken.last_code) == (job_id, 0, 0.0, "waits")

    async def test_a_job_that_somebody_has_news_for_while_it_runs_does_not_rest(self, ledger: Ledger) -> None:
        (job_id,) = await with_jobs(ledger, job_row(U, due_at=10.0))
        await claim(ledger, 11.0)
        await ledger.write(lambda tx: wake(tx, the(tx, job_id), 12.0))
        await ledger.write(lambda tx: tx.jobs.save(rested(the(tx, job_id), "waits", 13.0)))
        (again,) = await claim(ledger, 13.0)
        assert again.last_code == "waits"
        await ledger.write(lambda tx: tx.jobs.save(rested(the(tx, job_id), "waits", 14.0)))
        assert await claim(ledger, 4e9) == []

    async def test_a_job_that_waits_to_try_again_is_not_hastened_by_news(self, ledger: Ledger) -> None:
        (job_id,) = await with_jobs(ledger, job_row(U, due_at=1000.0))
        await ledger.write(lambda tx: wake(tx, the(tx, job_id), 12.0))
        assert await next_due(ledger) == 1000.0

    async def test_due_jobs_are_claimed_oldest_first(self, ledger: Ledger) -> None:
        late, early, _ = await with_jobs(
            ledger,
            job_row(U, due_at=5.0),
            job_row(V, due_at=4.0, kind=JobKind.CHECK, file_id="f", memory_sealed=b"m", tried_s=1.5),
            job_row(V, due_at=6.5),
        )
        assert [job.job_id for job in await claim(ledger, 6.0, limit=1)] == [early]
        (claimed,) = await claim(ledger, 6.0, by="you", until=60.0)
        assert (claimed.job_id, claimed.lease_by, claimed.lease_until) == (late, "you", 60.0)
        assert await ledger.read(lambda tx: tx.jobs.get(late)) == claimed
        assert await claim(ledger, 6.0) == []

    async def test_accounts_with_something_due_are_told_and_claimed_for_one_by_one(self, ledger: Ledger) -> None:
        def act(tx: Transaction) -> None:
            for number, owner_id in enumerate(["ada", "bob", "eve"]):
                tx.uploads.insert(upload_row(f"{number:032x}", now=0.0, owner_id=owner_id))

        await ledger.write(act)
        late, _, leased, over, early, _ = await with_jobs(
            ledger,
            job_row(f"{0:032x}", due_at=5.0),
            job_row(f"{0:032x}", due_at=4.0, kind=JobKind.CHECK, file_id="f"),
            job_row(f"{1:032x}", due_at=1.0, lease_by="you", lease_until=20.0),
            job_row(f"{1:032x}", due_at=3.0, lease_by="you", lease_until=6.0),
            job_row(f"{0:032x}", due_at=2.0),
            job_row(f"{2:032x}", due_at=10.5),
        )

        async def due(now: float) -> list[str]:
            return await ledger.read(lambda tx: tx.jobs.owners_due(now, JobKind.DELIVER))

        async def claimed(owner_id: str, limit: int) -> list[int]:
            kinds = [JobKind.DELIVER]
            jobs = await ledger.write(
                lambda tx: tx.jobs.claim(10.0, by="me", until=60.0, kinds=kinds, limit=limit, owner_id=owner_id)
            )
            assert {job.owner_id for job in jobs} <= {owner_id}
            return [job.job_id for job in jobs]

        assert await due(4.0) == ["ada"]
        assert await due(10.0) == ["ada", "bob"]
        assert await claimed("ada", 1) == [early]
        assert await due(10.0) == ["bob", "ada"]
        assert (await claimed("bob", 9), await claimed("ada", 9), await claimed("eve", 9)) == ([over], [late], [])
        assert await due(10.0) == []
        assert await due(20.0) == ["bob", "eve"]
        assert leased

    async def test_only_the_kinds_asked_for_are_claimed(self, ledger: Ledger) -> None:
        _, check = await with_jobs(ledger, job_row(U, due_at=1.0), job_row(U, due_at=2.0, kind=JobKind.CHECK))
        assert [job.job_id for job in await claim(ledger, 9.0, kinds=[JobKind.CHECK])] == [check]
        assert await claim(ledger, 9.0, kinds=[]) == []

    async def test_a_lease_that_is_over_is_taken_by_the_next(self, ledger: Ledger) -> None:
        (job_id,) = await with_jobs(ledger, job_row(U, due_at=1.0))
        await claim(ledger, 2.0, by="me", until=10.0)
        assert await claim(ledger, 9.9, by="you") == []
        (taken,) = await claim(ledger, 10.0, by="you", until=20.0)
        assert (taken.job_id, taken.lease_by) == (job_id, "you")
        assert not await ledger.write(lambda tx: tx.jobs.renew(job_id, "me", 30.0))
        assert await ledger.write(lambda tx: tx.jobs.renew(job_id, "you", 30.0))
        assert await claim(ledger, 29.0) == []

    async def test_a_job_put_off_under_a_lease_waits_for_both(self, ledger: Ledger) -> None:
        (job_id,) = await with_jobs(ledger, job_row(U, due_at=50.0, lease_by="me", lease_until=10.0))
        assert await claim(ledger, 49.0) == []
        assert await next_due(ledger) == 50.0
        assert [job.job_id for job in await claim(ledger, 50.0)] == [job_id]

    async def test_the_next_moment_to_look_is_known(self, ledger: Ledger) -> None:
        assert await next_due(ledger) is None
        free, leased = await with_jobs(
            ledger,
            job_row(U, due_at=30.0, kind=JobKind.CHECK),
            job_row(V, due_at=1.0, lease_by="you", lease_until=20.0),
        )
        assert await next_due(ledger) == 20.0
        assert await next_due(ledger, [JobKind.CHECK]) == 30.0
        assert await next_due(ledger, [JobKind.COMPLETE]) is None
        await ledger.write(lambda tx: tx.jobs.delete(leased))
        assert await next_due(ledger) == 30.0
        assert [job.job_id for job in await claim(ledger, 30.0)] == [free]

    async def test_a_saved_job_is_free_again(self, ledger: Ledger) -> None:
        await with_jobs(ledger, job_row(U, due_at=1.0))
        (job,) = await claim(ledger, 2.0)
        put_off = replace(job, lease_by=None, lease_until=None, due_at=7.0, attempts=1, last_code="unreachable")
        await ledger.write(lambda tx: tx.jobs.save(put_off))
        assert await claim(ledger, 6.0) == []
        assert [one.attempts for one in await claim(ledger, 7.0)] == [1]

    async def test_a_number_is_never_given_to_another_job(self, ledger: Ledger) -> None:
        (first,) = await with_jobs(ledger, job_row(U, due_at=1.0))
        await ledger.write(lambda tx: tx.jobs.delete(first))
        (second,) = await with_jobs(ledger, job_row(U, due_at=1.0))
        assert second > first
        with pytest.raises(NotFound):
            await ledger.write(lambda tx: tx.jobs.save(job_row(U, due_at=1.0, job_id=first)))

    async def test_jobs_are_listed_by_upload_and_in_pages(self, ledger: Ledger) -> None:
        one, two, three = await with_jobs(
            ledger, job_row(U, due_at=1.0), job_row(V, due_at=1.0), job_row(U, due_at=0.0, kind=JobKind.CHECK)
        )

        async def ids(act) -> list[int]:
            return [job.job_id for job in await ledger.read(act)]

        assert await ids(lambda tx: tx.jobs.of_upload(U)) == [one, three]
        assert await ids(lambda tx: tx.jobs.of_upload(U, JobKind.CHECK)) == [three]
        assert await ids(lambda tx: tx.jobs.page(after=one, limit=1)) == [two]


class TestTokens:
    async def test_use_of_a_token_spends_its_parent_and_its_siblings(self, ledger: Ledger) -> None:
        rows = [
            token_row(b"root"),
            token_row(b"other root"),
            token_row(b"used", parent_hash=b"root"),
            token_row(b"sibling", parent_hash=b"root"),
            token_row(b"cousin", parent_hash=b"other root"),
            token_row(b"child", parent_hash=b"used"),
        ]

        def act(tx: Transaction) -> dict[bytes, bool]:
            for row in rows:
                tx.tokens.insert(row)
            tx.tokens.spend_kin(rows[1])  # a root has no kin before it
            tx.tokens.spend_kin(rows[2])
            return {row.token_hash: found.spent for row in rows if (found := tx.tokens.get(row.token_hash))}

        spent = await ledger.write(act)
        assert {name for name, is_spent in spent.items() if is_spent} == {b"root", b"sibling"}
        assert len(spent) == len(rows)

    async def test_tokens_are_revoked_by_family_or_account(self, ledger: Ledger) -> None:
        rows = [
            token_row(b"1", family_id="x"),
            token_row(b"3", account_id="z"),
            token_row(b"4"),
        ]

        def act(tx: Transaction) -> list[RefreshTokenRow | None]:
            for row in rows:
                tx.tokens.insert(row)
            tx.tokens.revoke_family("x")
            tx.tokens.revoke_account("z")
            return [tx.tokens.get(row.token_hash) for row in rows]

        assert await ledger.write(act) == [None, None, rows[2]]

    async def test_what_is_past_its_time_is_cleared_away_in_portions(self, ledger: Ledger) -> None:
        def act(tx: Transaction) -> None:
            for n in range(5):
                tx.tokens.insert(token_row(bytes([n]), expires_at=float(n)))
                tx.tokens.remember(IdempotencyRow("p", bytes([n]), b"b", U, float(n)))

        await ledger.write(act)
        assert await ledger.write(lambda tx: tx.tokens.delete_expired(3.0, 3)) == 6
        assert await ledger.write(lambda tx: tx.tokens.delete_expired(3.0, 3)) == 2
        assert await ledger.write(lambda tx: tx.tokens.delete_expired(3.0, 3)) == 0
        assert await ledger.read(lambda tx: tx.tokens.get(b"\x04")) is not None
        assert await ledger.read(lambda tx: tx.tokens.idempotency("p", b"\x04")) is not None

    async def test_the_answer_under_an_idempotency_key_is_the_last_one_remembered(self, ledger: Ledger) -> None:
        older, newer = IdempotencyRow("p", b"k", b"b", U, 1.0), IdempotencyRow("p", b"k", b"c", V, 2.0)
        await ledger.write(lambda tx: tx.tokens.remember(older))
        await ledger.write(lambda tx: tx.tokens.remember(newer))
        assert await ledger.read(lambda tx: tx.tokens.idempotency("p", b"k")) == newer
        assert await ledger.read(lambda tx: tx.tokens.idempotency("q", b"k")) is None


class TestTrail:
    async def test_events_are_chained_in_the_order_of_their_commits(self, ledger: Ledger) -> None:
        def act(tx: Transaction) -> None:
            tx.audit.append("one", at=1, actor="a")
            tx.audit.append("two", at=2.5, actor="b", upload_id=U, detail={"b": [1, None], "a": "ü"})

        await ledger.write(act)
        third = await ledger.write(lambda tx: tx.audit.append("three", at=3.0, actor="a"))
        rows, head = await ledger.read(lambda tx: (tx.audit.after(0, 10), tx.audit.head()))
        assert [(row.number, row.event) for row in rows] == [(1, "one"), (2, "two"), (3, "three")]
        assert rows[1].detail == '{"a":"ü","b":[1,null]}'
        assert rows[2] == third
        assert head == (3, third.mac)
        assert chain.verify(rows, KEY, head).whole
        assert [row.number for row in await ledger.read(lambda tx: tx.audit.after(1, 1))] == [2]

    async def test_an_event_wakes_whoever_watches_the_trail(self, ledger: Ledger) -> None:
        with ledger.watch(AUDIT) as watch:
            await ledger.write(lambda tx: tx.audit.append("one", at=1.0, actor="a"))
            assert await watch.changed(timeout_s=0)

    async def test_an_act_undone_leaves_no_gap_in_the_chain(self, ledger: Ledger) -> None:
        def undone(tx: Transaction) -> None:
            tx.audit.append("never", at=1.0, actor="a")
            raise ValueError

        await ledger.write(lambda tx: tx.audit.append("one", at=1.0, actor="a"))
        with pytest.raises(ValueError):
            await ledger.write(undone)
        await ledger.write(lambda tx: tx.audit.append("two", at=1.0, actor="a"))
        rows, head = await ledger.read(lambda tx: (tx.audit.after(0, 10), tx.audit.head()))
        assert [row.event for row in rows] == ["one", "two"]
        assert chain.verify(rows, KEY, head).whole


class TestKeysAndSettings:
    async def test_a_key_is_there_until_it_is_deleted(self, ledger: Ledger) -> None:
        one, two = await ledger.write(lambda tx: (tx.keys.insert(b"one"), tx.keys.insert(b"\x00two\x00")))
        await ledger.write(lambda tx: tx.keys.replace(one, b"one, wrapped anew"))
        await ledger.write(lambda tx: tx.keys.delete([two, two, 12345]))
        assert await ledger.read(lambda tx: (tx.keys.get(one), tx.keys.get(two))) == (b"one, wrapped anew", None)
        with pytest.raises(NotFound):
            await ledger.write(lambda tx: tx.keys.replace(two, b"back"))

    async def test_the_number_of_a_deleted_key_opens_no_other(self, ledger: Ledger) -> None:
        seen: list[int] = []

        def act(tx: Transaction, wrapped: bytes) -> int:
            tx.keys.delete(seen)  # again: they are gone already
            key_id = tx.keys.insert(wrapped)
            assert key_id not in seen
            tx.keys.delete(seen)
            assert tx.keys.get(key_id) == wrapped
            assert [tx.keys.get(one) for one in seen] == [None] * len(seen)
            return key_id

        for n in range(5):
            key_id = await ledger.write(partial(act, wrapped=b"key %d" % n))
            seen.append(key_id)

    async def test_every_key_encryption_key_that_is_needed_is_named(self, ledger: Ledger) -> None:
        def act(tx: Transaction) -> None:
            for n, kek_id in enumerate(["k1", "k2", "k1", "k3"]):
                key_id = tx.keys.insert(b"x")
                tx.uploads.insert(upload_row(f"{n:032x}", now=0.0, kek_id=kek_id, key_id=key_id))
            tx.uploads.insert(upload_row("e" * 32, now=0.0, kek_id="k0", state=UploadState.EXPIRED))
            tx.keys.insert_service(ServiceKeyRow("audit", "k9", tx.keys.insert(b"y"), 1.0))

        await ledger.write(act)
        assert await ledger.read(lambda tx: tx.keys.kek_ids()) == {"k1", "k2", "k3", "k9"}

    async def test_a_service_key_is_noted_anew_when_it_is_wrapped_anew(self, ledger: Ledger) -> None:
        def noted(tx: Transaction, row: ServiceKeyRow) -> None:
            tx.keys.insert_service(row)

        key_id = await ledger.write(lambda tx: tx.keys.insert(b"x"))
        for kek_id in ("k1", "k2"):
            await ledger.write(partial(noted, row=ServiceKeyRow("audit", kek_id, key_id, 1.0)))
        assert await ledger.read(lambda tx: tx.keys.service()) == [ServiceKeyRow("audit", "k2", key_id, 1.0)]

    async def test_a_setting_has_its_last_value(self, ledger: Ledger) -> None:
        await ledger.write(lambda tx: tx.settings.put("a", "1"))
        await ledger.write(lambda tx: tx.settings.put("a", "2"))
        assert await ledger.read(lambda tx: (tx.settings.get("a"), tx.settings.get("b"))) == ("2", None)

    async def test_a_deleted_key_makes_a_scrub_due_until_it_was_done(self, ledger: Ledger) -> None:
        due = [ledger.scrub_due]
        key_id = await ledger.write(lambda tx: tx.keys.insert(b"x"))
        for act in (
            lambda tx: tx.keys.replace(key_id, b"y"),  # as it was wrapped before it is to be gone
            lambda tx: tx.keys.delete([key_id]),
            lambda tx: tx.keys.delete([key_id]),  # it was gone already
        ):
            await ledger.write(act)
            due.append(ledger.scrub_due)
            assert await ledger.scrub()
            due.append(ledger.scrub_due)
        assert due == [False, True, False, True, False, False, False]

    async def test_scrub_leaves_everything_that_is_not_deleted(self, ledger: Ledger) -> None:
        key_id = await ledger.write(lambda tx: tx.keys.insert(b"x"))
        assert await ledger.scrub()
        assert await ledger.read(lambda tx: tx.keys.get(key_id)) == b"x"
        with pytest.raises(Conflict):
            await ledger.write(lambda tx: tx.uploads.insert(upload_row(U, now=0.0)))
