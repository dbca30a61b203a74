"""What every ledger promises of concatenations: parts, finals, and entries that several files name."""

from __future__ import annotations

import pytest

from gateway.errors import Conflict
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import Dialect, SharedState
from gateway.states import FileState
from tests.contracts.test_ledger import S1, S2, F, G, H, U, V, given, with_uploads
from tests.ledger_rows import file_row, run_row


async def test_a_final_has_its_parts_in_their_order_and_a_part_its_finals(ledger: Ledger) -> None:
    await given(ledger, lambda tx: tx.concats.insert(F, [G, H, G]), lambda tx: tx.concats.insert(V, [G]))
    found = await ledger.read(lambda tx: (tx.concats.parts_of(F), tx.concats.finals_of(G), tx.concats.finals_of(U)))
    assert (found[0], sorted(found[1]), found[2]) == ([G, H, G], sorted([F, V]), [])


async def test_a_concatenation_ends_with_the_row_of_its_final(ledger: Ledger) -> None:
    await with_uploads(ledger)
    for end in (lambda tx: tx.files.delete([F]), lambda tx: tx.uploads.delete(U)):
        await given(
            ledger,
            lambda tx: tx.files.insert(file_row(F, U, dialect=Dialect.FINAL)),
            lambda tx: tx.concats.insert(F, [G]),
            end,
        )
        assert await ledger.read(lambda tx: (tx.concats.parts_of(F), tx.concats.finals_of(G))) == ([], [])


async def test_parts_are_in_no_count_and_in_a_list_only_if_asked_for(ledger: Ledger) -> None:
    await with_uploads(ledger)
    rows = [file_row(F, U), file_row(G, U, dialect=Dialect.PART), file_row(H, U, dialect=Dialect.FINAL)]
    await given(ledger, *(lambda tx, row=row: tx.files.insert(row) for row in rows))
    await given(ledger, lambda tx: tx.files.save(file_row(G, U, dialect=Dialect.PART, state=FileState.WHOLE)))

    def look(tx: Transaction) -> tuple[object, ...]:
        pages = (tx.files.page(U), tx.files.page(U, limit=2), tx.files.page(U, parts=True))
        return (*([row.file_id for row in page] for page in pages), tx.files.counts(U))

    assert await ledger.read(look) == ([F, H], [F, H], [F, G, H], {FileState.RECEIVING: 2})
    await given(ledger, lambda tx: tx.files.delete([G]))
    assert await ledger.read(lambda tx: tx.files.counts(U)) == {FileState.RECEIVING: 2}


async def test_a_part_and_its_segments_join_another_upload(ledger: Ledger) -> None:
    await with_uploads(ledger, [U, V])
    await given(
        ledger,
        lambda tx: tx.files.insert(file_row(F, U, dialect=Dialect.PART)),
        lambda tx: tx.runs.begin_segment(S1, F, U),
        lambda tx: tx.runs.insert(run_row(F, S1, length=5)),
        lambda tx: tx.files.save(file_row(F, V, dialect=Dialect.PART)),
        lambda tx: tx.runs.move(U, F, V),
        lambda tx: tx.uploads.delete(U),
    )
    found = await ledger.read(lambda tx: (tx.files.page(V, parts=True), tx.runs.segment_ids(V, F), tx.runs.of_file(F)))
    assert ([row.upload_id for row in found[0]], found[1], len(found[2])) == ([V], [S1], 1)
    with pytest.raises(Conflict):
        await given(ledger, lambda tx: tx.runs.move(V, F, U))


async def test_entries_of_a_segment_that_was_one_files_get_rows_of_others_as_long_as_a_row_names_them(
    ledger: Ledger,
) -> None:
    await with_uploads(ledger)
    await given(
        ledger,
        lambda tx: tx.files.insert(file_row(F, U, dialect=Dialect.PART)),
        lambda tx: tx.runs.begin_segment(S1, F, U),
        lambda tx: tx.runs.begin_segment(S2, G, U),
        lambda tx: tx.runs.insert(run_row(F, S1, length=5)),
        lambda tx: tx.runs.share(U, F),
    )
    shared = await ledger.read(lambda tx: (tx.runs.sharing(S1), tx.runs.sharing(S2), tx.runs.segment_ids(U)))
    assert shared == (SharedState.CLOSED, None, [S2])
    run = run_row(G, S1, start=3, length=5, source_id=F, source_start=0)
    await given(ledger, lambda tx: tx.runs.insert(run))
    assert sorted(one.file_id for one in await ledger.read(lambda tx: tx.runs.of_entry(S1, 0))) == sorted([F, G])
    (copy,) = await ledger.read(lambda tx: tx.runs.of_file(G))
    assert (copy.start, copy.source_id, copy.source_start) == (3, F, 0)
    with pytest.raises(Conflict):
        await given(ledger, lambda tx: tx.runs.insert(run_row(G, S1, entry_at=500)))
    await given(ledger, lambda tx: tx.runs.delete([one.run_id for one in tx.runs.of_segment(S1)]))
    with pytest.raises(Conflict):
        await given(ledger, lambda tx: tx.runs.insert(run))
