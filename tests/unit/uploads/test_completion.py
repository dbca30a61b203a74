"""What makes a file and an upload complete: rows, jobs and events of one transaction, over a real ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import Conflict, Gone, NotFound
from gateway.ledger.rows import Dialect, FileRow, JobKind
from gateway.states import DEAD_STATES, RECEIVING_STATES, FileState, UploadState
from gateway.uploads.completion import (
    PAGE,
    Declared,
    Timing,
    adds_up,
    all_there,
    await_completion,
    end_page,
    enqueue_delivery,
    got_by,
    incomplete,
    mark_whole,
    may_complete,
    note_bytes,
    noted,
    require_file,
    require_open,
    touched,
)
from gateway.uploads.told import counts_as_told, file_as_told
from tests.clocks import ManualClock
from tests.ledger_rows import account_row, file_row, upload_row
from tests.opened import opened_ledger

U, F, G = "1" * 32, "2" * 32, "3" * 32
NOW = 1_800_000_000.0
TIMING = Timing(expires_s=86400.0, autocomplete_s=60.0)


@pytest.fixture
async def opened():
    async with opened_ledger(ManualClock(NOW)) as opened:
        yield opened


@pytest.fixture
def ledger(opened):
    return opened.ledger


async def put(ledger, *files, **known):
    """An upload with these files."""
    upload = upload_row(U, now=NOW, **{"total_files": 2, "total_size_bytes": 30, "chunk_size": 10, **known})

    def act(tx):
        tx.uploads.insert(upload)
        for file in files:
            tx.files.insert(file)

    await ledger.write(act)
    return upload


async def jobs(ledger) -> list[tuple[str, str | None, float]]:
    rows = await ledger.read(lambda tx: tx.jobs.of_upload(U))
    return [(str(row.kind), row.file_id, row.due_at) for row in rows]


async def row(ledger):
    return await ledger.read(lambda tx: tx.uploads.get(U))


# --- may bytes still come? ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", UploadState)
async def test_bytes_come_only_while_an_upload_receives(ledger, state):
    await put(ledger, state=state)
    expected = None if state in RECEIVING_STATES else Gone if state in DEAD_STATES else Conflict
    if expected is None:
        assert (await ledger.read(lambda tx: require_open(tx, U))).state is state
        return
    with pytest.raises(expected) as caught:
        await ledger.read(lambda tx: require_open(tx, U))
    assert caught.value.extra["state"] == state


async def test_an_upload_that_was_stopped_in_between_takes_nothing(ledger):
    await put(ledger, epoch=4)
    assert await ledger.read(lambda tx: require_open(tx, U, 4))
    with pytest.raises(Conflict):
        await ledger.read(lambda tx: require_open(tx, U, 3))
    with pytest.raises(NotFound):
        await ledger.read(lambda tx: require_open(tx, F))


@pytest.mark.parametrize(
    ("state", "code"), [(FileState.REMOVED, "file_gone"), (FileState.LOST, "data_lost"), (FileState.RECEIVING, "")]
)
async def test_a_file_that_is_gone_takes_nothing(ledger, state, code):
    await put(ledger, file_row(F, U, state=state))
    if not code:
        assert await ledger.read(lambda tx: require_file(tx, F, Dialect.TAIL))
        return
    with pytest.raises(Gone) as caught:
        await ledger.read(lambda tx: require_file(tx, F, Dialect.TAIL))
    assert caught.value.code == code


async def test_a_file_of_another_protocol_takes_nothing(ledger):
    await put(ledger, file_row(F, U, dialect=Dialect.REST))
    with pytest.raises(Conflict) as caught:
        await ledger.read(lambda tx: require_file(tx, F, Dialect.TAIL))
    assert caught.value.code == "other_dialect"
    with pytest.raises(NotFound):
        await ledger.read(lambda tx: require_file(tx, G, Dialect.TAIL))


# --- sums ---------------------------------------------------------------------------------------------------------------


def test_bytes_begin_an_upload_and_move_its_end():
    upload = note_bytes(upload_row(U, now=NOW), 5, NOW + 100, TIMING)
    assert (upload.state, upload.received_bytes) == (UploadState.UPLOADING, 5)
    assert (upload.active_at, upload.expires_at) == (NOW + 100, NOW + 100 + 86400)
    assert touched(upload, NOW + 200, TIMING).expires_at == NOW + 200 + 86400


def test_what_adds_up_has_as_many_files_and_bytes_as_were_declared():
    upload = upload_row(U, now=NOW, total_files=2, total_size_bytes=30)
    for files, size, right in [(2, 30, True), (1, 30, False), (2, 29, False), (3, 30, False), (2, 31, False)]:
        assert adds_up(replace(upload, whole_files=files, whole_bytes=size)) is right


def test_a_file_is_all_there_as_its_protocol_says():
    upload = upload_row(U, now=NOW, chunk_size=10)
    tus = file_row(F, U, length=5, offset=5)
    assert all_there(upload, tus)
    assert not all_there(upload, replace(tus, offset=4))
    rest = file_row(F, U, dialect=Dialect.REST, offset=20, chunks=2, highest_chunk=1)
    assert all_there(upload, rest)
    assert not all_there(upload, replace(rest, highest_chunk=2))
    assert not all_there(upload, replace(rest, total_chunks=3))


def test_what_is_missing_is_told():
    error = incomplete(upload_row(U, now=NOW, whole_files=1, whole_bytes=10), Declared(2, 30))
    assert error.code == "incomplete"
    assert error.extra == {
        "expected": {"files": 2, "size_bytes": 30},
        "got": {"files": 1, "size_bytes": 10},
        "missing": {"files": 1, "size_bytes": 20},
    }


# --- whole ----------------------------------------------------------------------------------------------------------------


async def test_whole_its_job_and_its_event_are_one_transaction(opened, ledger):
    file = file_row(F, U, offset=10, length=10)
    upload = await put(ledger, file)
    await ledger.write(lambda tx: mark_whole(tx, upload, file, NOW, TIMING))
    stored = await ledger.read(lambda tx: tx.files.get(F))
    assert (stored.state, stored.whole_at, stored.length) == (FileState.WHOLE, NOW, 10)
    assert ((await row(ledger)).whole_files, (await row(ledger)).whole_bytes) == (1, 10)
    assert await jobs(ledger) == [("check", F, NOW)]
    event = (await opened.events())[-1]
    assert (event.event, event.upload_id) == ("file.whole", U)


async def test_a_transaction_that_fails_leaves_neither(opened, ledger):
    file = file_row(F, U, offset=10, length=10)
    upload = await put(ledger, file)

    def act(tx):
        mark_whole(tx, upload, file, NOW, TIMING)
        raise Conflict("no")

    with pytest.raises(Conflict):
        await ledger.write(act)
    assert (await ledger.read(lambda tx: tx.files.get(F))).state is FileState.RECEIVING
    assert await jobs(ledger) == []
    assert "file.whole" not in [event.event for event in await opened.events()]


async def test_a_single_upload_is_completed_with_its_file(ledger):
    file = file_row(F, U, offset=10, length=10)
    upload = await put(ledger, file, single=True, total_files=1, total_size_bytes=10)
    await ledger.write(lambda tx: mark_whole(tx, upload, file, NOW, TIMING))
    assert (await row(ledger)).state is UploadState.DELIVERING
    assert [kind for kind, _, _ in await jobs(ledger)] == ["check", "deliver"]


async def test_a_single_upload_of_a_disabled_account_waits(ledger):
    file = file_row(F, U, offset=10, length=10)
    upload = await put(ledger, file, single=True, total_files=1, total_size_bytes=10)
    await ledger.write(lambda tx: tx.accounts.insert(account_row("a" * 32, disabled_at=NOW)))
    await ledger.write(lambda tx: mark_whole(tx, upload, file, NOW, TIMING))
    assert (await row(ledger)).state is UploadState.OPEN
    assert await jobs(ledger) == [("check", F, NOW), ("complete", None, NOW + 60)]
    assert not await ledger.read(lambda tx: may_complete(tx, "a" * 32))


async def test_the_last_file_writes_the_job_that_completes_its_upload(ledger):
    file = file_row(F, U, offset=20, length=20)
    upload = await put(ledger, file, whole_files=1, whole_bytes=10)
    await ledger.write(lambda tx: mark_whole(tx, upload, file, NOW, TIMING))
    assert ("complete", None, NOW + 60) in await jobs(ledger)


async def test_that_job_moves_with_news_and_goes_when_the_sums_dont_add_up_any_more(ledger):
    upload = await put(ledger, whole_files=2, whole_bytes=30)
    await ledger.write(lambda tx: await_completion(tx, upload, NOW, TIMING))
    await ledger.write(lambda tx: await_completion(tx, upload, NOW + 30, TIMING))
    assert await jobs(ledger) == [("complete", None, NOW + 90)], "one job, later"
    await ledger.write(lambda tx: await_completion(tx, replace(upload, whole_files=1), NOW + 40, TIMING))
    assert await jobs(ledger) == []


def chunked(file_id: str, **known) -> FileRow:
    return file_row(file_id, U, dialect=Dialect.REST, **known)


async def put_noted(ledger, *files, **known):
    """An upload whose row knows of its REST files."""
    upload = await put(ledger, *files, **known)
    for file in files:
        upload = noted(upload, None, file)
    await ledger.write(lambda tx: tx.uploads.save(upload))
    return upload


async def ended(ledger) -> None:
    """What the job does that comes after the completion."""
    after_id: str | None = ""
    while after_id is not None:
        after_id = await ledger.write(lambda tx, after_id=after_id: end_page(tx, U, after_id, NOW + 9))


async def told(ledger) -> tuple[dict[str, tuple[str, int | None]], dict[str, int]]:
    """What a client is told of its files, and of how many are in each state."""

    def act(tx):
        upload = tx.uploads.get(U)
        files = [file_as_told(upload, file) for file in tx.files.page(U)]
        return {one.file_id: (str(one.state), one.length) for one in files}, counts_as_told(upload, tx.files.counts(U))

    return await ledger.read(act)


async def test_complete_ends_every_chunked_file_that_has_no_hole_and_no_other(opened, ledger):
    good, holed = chunked(F, offset=20, chunks=2, highest_chunk=1), chunked(G, offset=20, chunks=2, highest_chunk=2)
    unbegun = chunked("5" * 32, key_id=await ledger.write(lambda tx: tx.keys.insert(b"x")))
    tus = file_row("4" * 32, U, offset=5, length=10)
    upload = await put_noted(ledger, good, holed, tus, unbegun)
    assert got_by(upload) == (1, 20)
    done = await ledger.write(lambda tx: enqueue_delivery(tx, upload, NOW, "x"))
    assert (done.whole_files, done.whole_bytes) == (1, 20)
    said = {F: ("queued", 20), G: ("receiving", None), tus.file_id: ("receiving", 10), "5" * 32: ("removed", None)}
    assert await told(ledger) == (said, {"queued": 1, "receiving": 2, "removed": 1})
    assert await jobs(ledger) == [("complete", None, NOW)], "the delivery waits for that"

    await ended(ledger)
    assert await told(ledger) == (said, {"queued": 1, "receiving": 2, "removed": 1}), "nobody sees a difference"
    states = {file.file_id: file.state for file in await ledger.read(lambda tx: tx.files.page(U))}
    assert states[F] is FileState.WHOLE
    assert states[unbegun.file_id] is FileState.REMOVED
    assert await ledger.read(lambda tx: tx.keys.get(unbegun.key_id)) is None
    assert await jobs(ledger) == [("check", F, NOW + 9), ("deliver", None, NOW + 9)]
    assert [event.event for event in await opened.events()][-2:] == ["upload.completed", "file.whole"]
    await ended(ledger)
    assert len(await jobs(ledger)) == 2, "once"


async def test_files_that_a_completion_ends_are_ended_page_by_page(ledger):
    files = [chunked(f"{n:032x}", offset=10, chunks=1, highest_chunk=0) for n in range(2 * PAGE + 1)]
    upload = await put_noted(ledger, *files, total_files=len(files), total_size_bytes=10 * len(files))
    await ledger.write(lambda tx: enqueue_delivery(tx, upload, NOW, "x"))
    first = await ledger.write(lambda tx: end_page(tx, U, "", NOW))
    assert (await told(ledger))[1] == {"queued": len(files)}
    assert [kind for kind, _, _ in await jobs(ledger)].count("deliver") == 0
    second = await ledger.write(lambda tx: end_page(tx, U, first, NOW))
    assert await ledger.write(lambda tx: end_page(tx, U, second, NOW)) is None
    assert (await told(ledger))[1] == {"queued": len(files)}
    assert ((await row(ledger)).ending_files, (await row(ledger)).ending_bytes) == (0, 0)
    assert [kind for kind, _, _ in await jobs(ledger)].count("deliver") == 1


def test_what_a_completion_would_make_of_chunked_files_is_known_from_their_changes():
    upload = upload_row(U, now=NOW, chunk_size=10)
    steps = [
        chunked(F),
        chunked(F, offset=10, chunks=1, highest_chunk=1),
        chunked(F, offset=20, chunks=2, highest_chunk=1),
    ]
    seen, before = [], None
    for file in steps:
        upload = noted(upload, before, file)
        seen.append((upload.unbegun_files, upload.ending_files, upload.ending_bytes))
        before = file
    assert seen == [(1, 0, 0), (0, 0, 0), (0, 1, 20)]
    for gone in (None, replace(steps[-1], state=FileState.SKIPPED), replace(steps[-1], state=FileState.WHOLE)):
        now = noted(upload, before, gone)
        assert (now.unbegun_files, now.ending_files, now.ending_bytes) == (0, 0, 0)


async def test_a_completed_upload_queues_its_files_and_has_one_delivery(opened, ledger):
    files = [file_row(F, U, state=FileState.WHOLE), file_row(G, U, state=FileState.SKIPPED)]
    upload = await put(ledger, *files, whole_files=2, whole_bytes=30)
    await ledger.write(lambda tx: await_completion(tx, upload, NOW, TIMING))
    done = await ledger.write(lambda tx: enqueue_delivery(tx, upload, NOW + 5, "upload:x"))
    assert (done.state, done.completed_at) == (UploadState.DELIVERING, NOW + 5)
    assert await jobs(ledger) == [("deliver", None, NOW + 5)]
    assert await told(ledger) == (
        {F: ("queued", None), G: ("skipped", None)},
        {FileState.QUEUED: 1, FileState.SKIPPED: 1},
    )
    event = (await opened.events())[-1]
    assert (event.event, event.actor) == ("upload.completed", "upload:x")


async def test_no_upload_is_completed_twice(ledger):
    upload = await put(ledger)
    done = await ledger.write(lambda tx: enqueue_delivery(tx, upload, NOW, "x"))
    with pytest.raises(Conflict) as caught:
        await ledger.write(lambda tx: enqueue_delivery(tx, done, NOW, "x"))
    assert caught.value.code == "upload_completed"
    assert [kind for kind, _, _ in await jobs(ledger)] == [JobKind.DELIVER]
