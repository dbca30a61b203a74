"""What every ledger promises (gateway/ledger/base.py), run over each backend there is: transactions, watches, uploads, files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import pytest

from gateway.errors import Conflict, Gone, NotFound, Unavailable
from gateway.ledger.base import AUDIT, JOBS, Ledger, Transaction
from gateway.ledger.promises import ReadOnly
from gateway.ledger.rows import DeliveredRow, Dialect, IdempotencyRow, ReceiptRow, SharedState
from gateway.states import DEAD_STATES, FileState, UploadState
from tests.ledger_rows import account_row, file_row, job_row, run_row, token_row, upload_row

U, V, W = "0a" * 16, "0b" * 16, "0c" * 16
F, G, H = "1a" * 16, "1b" * 16, "1c" * 16
S1, S2 = "2a" * 16, "2b" * 16


async def given(ledger: Ledger, *acts: Callable[[Transaction], object]) -> None:
    """Write all of it in one transaction."""

    def act(tx: Transaction) -> None:
        for one in acts:
            one(tx)

    await ledger.write(act)


async def with_uploads(ledger: Ledger, ids: Iterable[str] = (U,)) -> None:
    await given(ledger, *(lambda tx, one=one: tx.uploads.insert(upload_row(one, now=0.0)) for one in ids))


def setting(name: str) -> Callable[[Transaction], None]:
    return lambda tx: tx.settings.put(name, "x")


def names(rows: Iterable) -> list[str]:
    return [row.upload_id for row in rows]


class TestTransactions:
    async def test_what_was_written_is_read(self, ledger: Ledger) -> None:
        row = upload_row(U, now=1.5, single=True, state=UploadState.HELD, meta_sealed=b"\x00\xff", finished_at=2.25)
        await ledger.write(lambda tx: tx.uploads.insert(row))
        assert await ledger.read(lambda tx: tx.uploads.get(U)) == row

    async def test_an_act_that_raises_leaves_no_trace_and_wakes_nobody(self, ledger: Ledger) -> None:
        def act(tx: Transaction) -> None:
            tx.uploads.insert(upload_row(U, now=0.0))
            tx.audit.append("upload.opened", at=1.0, actor="x")
            tx.wake(U)
            raise Gone("too late")

        with ledger.watch(U) as watch:
            with pytest.raises(Gone, match="too late"):
                await ledger.write(act)
            assert not await watch.changed(timeout_s=0)
        assert await ledger.read(lambda tx: (tx.uploads.get(U), tx.audit.head())) == (None, (0, b""))

    async def test_an_act_that_raises_does_not_disturb_those_beside_it(self, ledger: Ledger) -> None:
        def act(number: int) -> Callable[[Transaction], int]:
            def write(tx: Transaction) -> int:
                tx.uploads.insert(upload_row(f"{number:032x}", now=0.0))
                if number % 3 == 0:
                    raise ValueError(number)
                return number

            return write

        outcomes = await asyncio.gather(*(ledger.write(act(n)) for n in range(60)), return_exceptions=True)
        for number, outcome in enumerate(outcomes):
            assert (
                (isinstance(outcome, ValueError) and outcome.args == (number,))
                if number % 3 == 0
                else outcome == number
            )
        there = names(await ledger.read(lambda tx: tx.uploads.page(states=(), after="", limit=100)))
        assert there == [f"{n:032x}" for n in range(60) if n % 3]

    async def test_any_error_of_an_act_reaches_its_caller(self, ledger: Ledger) -> None:
        def stops(_tx: Transaction) -> None:
            raise StopIteration

        ended, answered = await asyncio.gather(ledger.write(stops), ledger.write(lambda _: 7), return_exceptions=True)
        assert isinstance(ended, RuntimeError)
        assert answered == 7

    async def test_a_cancelled_caller_does_not_disturb_those_beside_it(self, ledger: Ledger) -> None:
        hasty = asyncio.create_task(ledger.write(lambda tx: tx.settings.put("a", "1")))
        await asyncio.sleep(0)
        hasty.cancel()
        await ledger.write(lambda tx: tx.settings.put("b", "2"))
        assert await ledger.read(lambda tx: tx.settings.get("b")) == "2"

    async def test_a_read_sees_one_moment(self, ledger: Ledger) -> None:
        await ledger.write(lambda tx: tx.settings.put("a", "before"))
        loop = asyncio.get_running_loop()

        def act(tx: Transaction) -> tuple[str | None, str | None]:
            first = tx.settings.get("a")
            asyncio.run_coroutine_threadsafe(ledger.write(lambda tx: tx.settings.put("a", "after")), loop).result(10)
            return first, tx.settings.get("a")

        assert await ledger.read(act) == ("before", "before")
        assert await ledger.read(lambda tx: tx.settings.get("a")) == "after"

    async def test_a_read_must_not_write(self, ledger: Ledger) -> None:
        with pytest.raises(ReadOnly):
            await ledger.read(lambda tx: tx.settings.put("a", "1"))
        assert await ledger.read(lambda tx: tx.settings.get("a")) is None

    async def test_close_finishes_what_is_queued_and_refuses_what_comes_after(self, ledger: Ledger) -> None:
        queued = [asyncio.create_task(ledger.write(setting(str(n)))) for n in range(50)]
        await asyncio.sleep(0)
        await asyncio.gather(ledger.close(), ledger.close())
        assert all(task.done() and task.exception() is None for task in queued)
        for late in (ledger.write(lambda _: None), ledger.read(lambda _: None), ledger.scrub()):
            with pytest.raises(Unavailable):
                await late


class TestWatching:
    async def test_a_commit_between_registering_and_waiting_is_not_missed(self, ledger: Ledger) -> None:
        with ledger.watch(U) as watch:
            await ledger.write(lambda tx: tx.wake(U))
            assert await watch.changed(timeout_s=5)
            assert not await watch.changed(timeout_s=0)

    async def test_a_waiter_is_woken_once_the_commit_can_be_read(self, ledger: Ledger) -> None:
        async def wait() -> str | None:
            with ledger.watch(JOBS) as watch:
                ready.set()
                assert await watch.changed()
                return await ledger.read(lambda tx: tx.settings.get("a"))

        ready = asyncio.Event()
        waiter = asyncio.create_task(wait())
        await ready.wait()
        await given(ledger, lambda tx: tx.wake(JOBS), lambda tx: tx.settings.put("a", "1"))
        assert await waiter == "1"

    async def test_only_the_watchers_of_a_topic_are_woken(self, ledger: Ledger) -> None:
        with ledger.watch(U) as one, ledger.watch(U) as two, ledger.watch(AUDIT) as other:
            await ledger.write(lambda tx: tx.wake(U))
            assert await one.changed(timeout_s=0)
            assert await two.changed(timeout_s=0)
            assert not await other.changed(timeout_s=0)

    async def test_several_commits_may_be_one_change(self, ledger: Ledger) -> None:
        with ledger.watch(U) as watch:
            for _ in range(3):
                await ledger.write(lambda tx: tx.wake(U))
            assert await watch.changed(timeout_s=0)
            assert not await watch.changed(timeout_s=0)


class TestUploads:
    async def test_an_id_is_taken_once(self, ledger: Ledger) -> None:
        await with_uploads(ledger)
        with pytest.raises(Conflict):
            await with_uploads(ledger)

    async def test_a_record_that_is_gone_can_not_be_saved(self, ledger: Ledger) -> None:
        with pytest.raises(NotFound):
            await ledger.write(lambda tx: tx.uploads.save(upload_row(U, now=0.0)))

    async def test_expired_are_the_unfinished_past_their_time_oldest_first(self, ledger: Ledger) -> None:
        rows = [
            upload_row(U, now=0.0, expires_at=30.0),
            upload_row(V, now=0.0, expires_at=20.0, state=UploadState.UPLOADING),
            upload_row(W, now=0.0, expires_at=31.0),
            upload_row(F, now=0.0, expires_at=1.0, state=UploadState.DELIVERING),
            upload_row(G, now=0.0, expires_at=1.0, state=UploadState.EXPIRED, finished_at=2.0),
        ]
        await given(ledger, *(lambda tx, row=row: tx.uploads.insert(row) for row in rows))
        assert names(await ledger.read(lambda tx: tx.uploads.expired(30.0, 10))) == [V, U]
        assert names(await ledger.read(lambda tx: tx.uploads.expired(30.0, 1))) == [V]

    async def test_what_is_finished_and_not_erased_is_found_by_state_and_time(self, ledger: Ledger) -> None:
        rows = [
            upload_row(U, now=0.0, state=UploadState.CANCELLED, finished_at=9.0),
            upload_row(V, now=0.0, state=UploadState.EXPIRED, finished_at=8.0),
            upload_row(W, now=0.0, state=UploadState.EXPIRED, finished_at=7.0, erased_at=7.5),
            upload_row(F, now=0.0, state=UploadState.SUCCESS, finished_at=1.0),
            upload_row(G, now=0.0, state=UploadState.EXPIRED, finished_at=9.5),
        ]
        await given(ledger, *(lambda tx, row=row: tx.uploads.insert(row) for row in rows))
        dead = list(DEAD_STATES)
        assert names(await ledger.read(lambda tx: tx.uploads.finished_unerased(dead, 9.0, 10))) == [V, U]
        assert names(await ledger.read(lambda tx: tx.uploads.finished_unerased(dead, 9.0, 1))) == [V]
        assert names(await ledger.read(lambda tx: tx.uploads.finished_unerased(dead, 9.5, 10, since=9.0))) == [U, G]
        assert names(await ledger.read(lambda tx: tx.uploads.records_older(7.0, 10))) == [W]
        assert names(await ledger.read(lambda tx: tx.uploads.records_older(6.9, 10))) == []

    async def test_pages_follow_each_other_by_id(self, ledger: Ledger) -> None:
        ids = [f"{n:032x}" for n in range(7)]
        rows = [
            upload_row(one, now=0.0, state=UploadState.HELD if n % 2 else UploadState.OPEN) for n, one in enumerate(ids)
        ]
        await given(ledger, *(lambda tx, row=row: tx.uploads.insert(row) for row in rows))
        assert names(await ledger.read(lambda tx: tx.uploads.page(states=(), after=ids[1], limit=3))) == ids[2:5]
        held = [UploadState.HELD]
        assert names(await ledger.read(lambda tx: tx.uploads.page(states=held, after="", limit=2))) == [ids[1], ids[3]]
        both = [UploadState.HELD, UploadState.OPEN]
        assert names(await ledger.read(lambda tx: tx.uploads.page(states=both, after=ids[0], limit=4))) == ids[1:5]

    async def test_deadlines_move_for_the_unfinished_only_and_none_ends_too_soon(self, ledger: Ledger) -> None:
        rows = [
            upload_row(U, now=0.0, expires_at=10.0),
            upload_row(V, now=0.0, expires_at=500.0),
            upload_row(W, now=0.0, expires_at=10.0, state=UploadState.SUCCESS, finished_at=1.0),
        ]
        await given(ledger, *(lambda tx, row=row: tx.uploads.insert(row) for row in rows))
        assert await ledger.write(lambda tx: tx.uploads.shift_deadlines(60.0, 100.0)) == 2
        page = await ledger.read(lambda tx: tx.uploads.page(states=(), after="", limit=10))
        assert [row.expires_at for row in page] == [100.0, 560.0, 10.0]

    async def test_awaited_bytes_are_what_uploads_that_still_receive_have_reserved_and_not_got(
        self, ledger: Ledger
    ) -> None:
        async def awaited() -> int:
            return await ledger.read(lambda tx: tx.uploads.awaited_bytes())

        row = upload_row(U, now=0.0, reserved_bytes=1000)
        await ledger.write(lambda tx: tx.uploads.insert(row))
        await ledger.write(lambda tx: tx.uploads.insert(upload_row(V, now=0.0, reserved_bytes=1 << 40)))
        await ledger.write(lambda tx: tx.uploads.insert(upload_row(W, now=0.0, reserved_bytes=7, completed_at=1.0)))
        assert await awaited() == 1000 + (1 << 40)
        await ledger.write(lambda tx: tx.uploads.save(replace(row, received_bytes=400)))
        assert await awaited() == 600 + (1 << 40)
        await ledger.write(lambda tx: tx.uploads.save(replace(row, received_bytes=2000)))
        assert await awaited() == 1 << 40
        await ledger.write(lambda tx: tx.uploads.save(replace(row, finished_at=5.0)))
        assert await awaited() == 1 << 40
        await ledger.write(lambda tx: tx.uploads.save(row))
        assert await awaited() == 1000 + (1 << 40)
        for upload_id in (U, V, W):
            await ledger.write(partial(_deleted, upload_id))
        assert await awaited() == 0

    async def test_reserved_bytes_are_those_of_uploads_that_are_not_erased(self, ledger: Ledger) -> None:
        async def reserved() -> int:
            return await ledger.read(lambda tx: tx.uploads.reserved_bytes())

        row = upload_row(U, now=0.0, reserved_bytes=1000)
        assert await reserved() == 0
        await given(
            ledger,
            lambda tx: tx.uploads.insert(row),
            lambda tx: tx.uploads.insert(upload_row(V, now=0.0, reserved_bytes=1 << 40)),
            lambda tx: tx.uploads.insert(upload_row(W, now=0.0, reserved_bytes=7, erased_at=1.0)),
        )
        assert await reserved() == 1000 + (1 << 40)
        await ledger.write(lambda tx: tx.uploads.save(replace(row, reserved_bytes=400)))
        assert await reserved() == 400 + (1 << 40)
        await ledger.write(lambda tx: tx.uploads.save(replace(row, reserved_bytes=300, erased_at=5.0)))
        assert await reserved() == 1 << 40
        await given(ledger, *(lambda tx, one=one: tx.uploads.delete(one) for one in (U, V, W)))
        assert await reserved() == 0

    async def test_a_deleted_upload_takes_with_it_all_that_hangs_on_it(self, ledger: Ledger) -> None:
        def act(tx: Transaction) -> tuple[int, int, int]:
            upload_key, file_key = tx.keys.insert(b"of the upload"), tx.keys.insert(b"of the file")
            tx.uploads.insert(upload_row(U, now=0.0, key_id=upload_key))
            tx.files.insert(file_row(F, U, key_id=file_key))
            tx.runs.begin_segment(S1, F, U)
            tx.runs.insert(run_row(F, S1))
            tx.receipts.note_delivered(DeliveredRow(b"i", b"c", "r", 1.0))
            tx.receipts.insert(ReceiptRow("r", U, "kid", b"jws", 1.0))
            tx.tokens.insert(token_row(b"t", upload_id=U))
            tx.tokens.remember(IdempotencyRow("p", b"k", b"b", U, 9.0))
            return tx.jobs.insert(job_row(U, due_at=0.0)), upload_key, file_key

        job_id, *key_ids = await ledger.write(act)
        await with_uploads(ledger, [V])
        await ledger.write(lambda tx: tx.uploads.delete(U))

        def left(tx: Transaction) -> list[object]:
            hanging: list[object] = [tx.uploads.get(U), tx.files.get(F), tx.runs.at(F, 0), tx.jobs.get(job_id)]
            hanging += [tx.receipts.get("r"), tx.receipts.delivered(b"i"), tx.tokens.get(b"t")]
            hanging += [tx.tokens.idempotency("p", b"k"), *(tx.keys.get(one) for one in key_ids)]
            return [*hanging, *tx.runs.segment_ids(U), *tx.files.counts(U), *tx.runs.of_file(F)]

        assert [one for one in await ledger.read(left) if one is not None] == []
        assert names(await ledger.read(lambda tx: tx.uploads.page(states=(), after="", limit=9))) == [V]


class TestFilesAndRuns:
    async def test_a_file_comes_back_as_it_was(self, ledger: Ledger) -> None:
        row = file_row(F, U, dialect=Dialect.REST, client_mac=b"m", length=1 << 40, offset=3, facts_sealed=b"f")
        await with_uploads(ledger)
        await ledger.write(lambda tx: tx.files.insert(row))
        assert await ledger.read(lambda tx: tx.files.get(F)) == row
        assert await ledger.read(lambda tx: tx.files.by_client_mac(U, b"m")) == row
        assert await ledger.read(lambda tx: tx.files.by_client_mac(V, b"m")) is None
        assert await ledger.read(lambda tx: tx.files.by_client_mac(U, b"n")) is None

    async def test_a_clients_file_id_is_taken_once_in_its_upload(self, ledger: Ledger) -> None:
        await with_uploads(ledger, [U, V])
        await given(
            ledger,
            lambda tx: tx.files.insert(file_row(F, U, client_mac=b"m")),
            lambda tx: tx.files.insert(file_row(G, V, client_mac=b"m")),
        )
        with pytest.raises(Conflict):
            await ledger.write(lambda tx: tx.files.insert(file_row(H, U, client_mac=b"m")))

    async def test_a_file_needs_its_upload(self, ledger: Ledger) -> None:
        with pytest.raises(Conflict, match="gone"):
            await ledger.write(lambda tx: tx.files.insert(file_row(F, U)))

    async def test_files_are_counted_by_state(self, ledger: Ledger) -> None:
        await with_uploads(ledger, [U, V])
        rows = [file_row(f"{n:032x}", U, state=FileState.WHOLE if n < 2 else FileState.RECEIVING) for n in range(5)]
        await given(ledger, *(lambda tx, row=row: tx.files.insert(row) for row in rows))
        await ledger.write(lambda tx: tx.files.save(replace(rows[4], state=FileState.REMOVED)))
        await ledger.write(lambda tx: tx.files.save(replace(rows[3], offset=9)))
        counts = await ledger.read(lambda tx: tx.files.counts(U))
        assert counts == {FileState.WHOLE: 2, FileState.RECEIVING: 2, FileState.REMOVED: 1}
        whole = [replace(row, state=FileState.WHOLE) for row in rows[2:4]]
        await given(ledger, lambda tx: tx.files.save(whole[0]), lambda tx: tx.files.save(whole[1]))
        counts = await ledger.read(lambda tx: tx.files.counts(U))
        assert counts == {FileState.WHOLE: 4, FileState.REMOVED: 1}
        assert await ledger.read(lambda tx: tx.files.counts(V)) == {}

    async def test_files_are_paged_by_id(self, ledger: Ledger) -> None:
        await with_uploads(ledger)
        await given(ledger, *(lambda tx, one=one: tx.files.insert(file_row(one, U)) for one in (G, F, H)))

        async def page(**known) -> list[str]:
            return [row.file_id for row in await ledger.read(lambda tx: tx.files.page(U, **known))]

        assert await page() == [F, G, H]
        assert await page(limit=2) == [F, G]
        assert await page(after=F) == [G, H]

    async def test_runs_are_found_by_file_and_start(self, ledger: Ledger) -> None:
        await with_uploads(ledger)
        await given(ledger, lambda tx: tx.runs.begin_segment(S1, F, U), lambda tx: tx.runs.begin_segment(S2, F, U))
        later = await ledger.write(lambda tx: tx.runs.insert(run_row(F, S1, start=10, length=5, content_mac=b"m")))
        first = await ledger.write(lambda tx: tx.runs.insert(run_row(F, S2, start=0, length=4, position=7)))
        await ledger.write(lambda tx: tx.runs.extend(first, 10, 46))
        runs = await ledger.read(lambda tx: tx.runs.of_file(F))
        assert [(run.run_id, run.start, run.length) for run in runs] == [(first, 0, 10), (later, 10, 5)]
        assert await ledger.read(lambda tx: tx.runs.at(F, 10)) == runs[1]
        assert await ledger.read(lambda tx: tx.runs.at(F, 3)) is None

    async def test_a_segment_is_known_from_its_beginning_until_it_is_forgotten(self, ledger: Ledger) -> None:
        await with_uploads(ledger)
        await given(
            ledger,
            lambda tx: tx.runs.begin_segment(S1, F, U),
            lambda tx: tx.runs.begin_segment(S2, G, U),
            lambda tx: tx.runs.insert(run_row(F, S1, length=1)),
        )
        assert sorted(await ledger.read(lambda tx: tx.runs.segment_ids(U))) == [S1, S2]
        assert await ledger.read(lambda tx: tx.runs.segment_ids(U, G)) == [S2]
        await ledger.write(lambda tx: tx.runs.forget([S1]))
        assert not await ledger.read(lambda tx: tx.runs.knows_segment(S1))
        assert await ledger.read(lambda tx: tx.runs.knows_segment(S2))
        assert await ledger.read(lambda tx: tx.runs.of_file(F)) == []
        with pytest.raises(Conflict):
            await ledger.write(lambda tx: tx.runs.insert(run_row(F, S1)))

    async def test_a_shared_segment_takes_runs_of_many_files_until_it_is_closed(self, ledger: Ledger) -> None:
        await with_uploads(ledger)
        await given(
            ledger,
            lambda tx: tx.runs.begin_shared(S1, "one"),
            lambda tx: tx.runs.insert(run_row(F, S1, length=1, entry_at=500, entry_id="e2", sealed_bytes=133)),
            lambda tx: tx.runs.insert(run_row(G, S1, length=2, entry_at=0, entry_id="e1", sealed_bytes=134)),
        )
        assert await ledger.read(lambda tx: tx.runs.knows_segment(S1))
        assert await ledger.read(lambda tx: tx.runs.segment_ids(U)) == []  # it is no file's own
        runs = await ledger.read(lambda tx: tx.runs.of_segment(S1))
        assert [(run.file_id, run.entry_at, run.entry_id, run.sealed_bytes) for run in runs] == [
            (G, 0, "e1", 134),
            (F, 500, "e2", 133),
        ]
        await ledger.write(lambda tx: tx.runs.close_shared([S1]))
        with pytest.raises(Conflict):
            await ledger.write(lambda tx: tx.runs.insert(run_row(F, S1, start=1, length=1)))
        assert await ledger.read(lambda tx: tx.runs.sharing(S1)) is SharedState.CLOSED
        assert await ledger.read(lambda tx: tx.runs.names_any(S1))
        assert await ledger.read(lambda tx: tx.runs.idle_shared(9)) == []
        await ledger.write(lambda tx: tx.runs.delete([run.run_id for run in runs]))
        assert await ledger.read(lambda tx: tx.runs.idle_shared(9)) == [S1]
        assert not await ledger.read(lambda tx: tx.runs.names_any(S1))
        await ledger.write(lambda tx: tx.runs.forget([S1]))
        assert await ledger.read(lambda tx: tx.runs.sharing(S1)) is None
        assert not await ledger.read(lambda tx: tx.runs.knows_segment(S1))

    async def test_an_entry_is_moved_with_all_that_files_have_of_it(self, ledger: Ledger) -> None:
        await with_uploads(ledger)
        entry = {"entry_at": 500, "position": 596, "entry_id": "e", "sealed_bytes": 133}
        await given(
            ledger,
            lambda tx: tx.runs.begin_shared(S1, "one"),
            lambda tx: tx.runs.begin_shared(S2, "one"),
            lambda tx: tx.runs.insert(run_row(F, S1, length=1, **entry)),
            lambda tx: tx.runs.insert(run_row(G, S1, length=1, source_id=F, **entry)),
            lambda tx: tx.runs.insert(run_row(G, S1, start=1, length=1, entry_at=0, entry_id="other")),
            lambda tx: tx.runs.close_shared([S1]),
            lambda tx: tx.runs.move_entry(S1, 500, S2, 100),
        )
        moved = await ledger.read(lambda tx: tx.runs.of_entry(S2, 100))
        assert {(run.file_id, run.position, run.entry_id, run.sealed_bytes) for run in moved} == {
            (F, 196, "e", 133),
            (G, 196, "e", 133),
        }
        assert [run.entry_id for run in await ledger.read(lambda tx: tx.runs.of_segment(S1))] == ["other"]
        assert [run.entry_id for run in await ledger.read(lambda tx: tx.runs.of_file(G))] == ["e", "other"]

    async def test_a_session_closes_what_former_ones_left_open(self, ledger: Ledger) -> None:
        await given(
            ledger,
            lambda tx: tx.runs.begin_shared(S1, "former"),
            lambda tx: tx.runs.begin_shared(S2, "present"),
            lambda tx: tx.runs.close_sessions(but="present"),
        )
        assert [one.segment_id for one in await ledger.read(lambda tx: tx.runs.shared(SharedState.OPEN))] == [S2]
        assert [one.segment_id for one in await ledger.read(lambda tx: tx.runs.shared(SharedState.CLOSED))] == [S1]
        await ledger.write(lambda tx: tx.runs.set_tidy([S1, S2], tidy=True))
        assert await ledger.read(lambda tx: tx.runs.sharing(S1)) is SharedState.TIDY
        assert await ledger.read(lambda tx: tx.runs.sharing(S2)) is SharedState.OPEN
        await ledger.write(lambda tx: tx.runs.set_tidy([S1, S2], tidy=False))
        assert await ledger.read(lambda tx: tx.runs.sharing(S1)) is SharedState.CLOSED
        assert await ledger.read(lambda tx: tx.runs.sharing(S2)) is SharedState.OPEN
        with pytest.raises(Conflict):
            await ledger.write(lambda tx: tx.runs.begin_shared(S2, "again"))


class TestReceiptsAndAccounts:
    async def test_the_last_delivery_of_an_instance_is_known_as_long_as_its_receipt(self, ledger: Ledger) -> None:
        await with_uploads(ledger, [U, V])
        newer = DeliveredRow(b"i", b"c2", "s", 2.0)
        await given(
            ledger,
            lambda tx: tx.receipts.insert(ReceiptRow("r", U, "kid", b"jws", 1.0)),
            lambda tx: tx.receipts.note_delivered(DeliveredRow(b"i", b"c", "r", 1.0)),
            lambda tx: tx.receipts.note_delivered(newer),
            lambda tx: tx.receipts.insert(ReceiptRow("s", V, "kid", b"jws", 2.0)),
        )
        await ledger.write(lambda tx: tx.uploads.delete(U))
        assert await ledger.read(lambda tx: tx.receipts.delivered(b"i")) == newer
        assert await ledger.read(lambda tx: tx.receipts.get("s")) == ReceiptRow("s", V, "kid", b"jws", 2.0)
        await ledger.write(lambda tx: tx.uploads.delete(V))
        assert await ledger.read(lambda tx: tx.receipts.delivered(b"i")) is None

    async def test_an_accounts_name_is_taken_once(self, ledger: Ledger) -> None:
        one = account_row("a", name_mac=b"n", created_at=1.0)
        await ledger.write(lambda tx: tx.accounts.insert(one))
        with pytest.raises(Conflict):
            await ledger.write(lambda tx: tx.accounts.insert(account_row("b", name_mac=b"n")))
        two = account_row("c", name_mac=b"m", created_at=0.5)
        await ledger.write(lambda tx: tx.accounts.insert(two))
        disabled = replace(one, disabled_at=3.0)
        await ledger.write(lambda tx: tx.accounts.save(disabled))
        assert await ledger.read(lambda tx: tx.accounts.all()) == [two, disabled]
        assert await ledger.read(lambda tx: tx.accounts.by_name(b"n")) == disabled
        assert await ledger.read(lambda tx: tx.accounts.get("x")) is None


def _deleted(upload_id: str, tx: Transaction) -> None:
    tx.uploads.delete(upload_id)
