"""Opening an upload: limits, room, its key, and nothing left of a refusal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import SpoolFull, TooLarge, Unprocessable
from gateway.spool import HEADER_SIZE, UploadKey, sealed_size
from gateway.states import UploadState
from gateway.uploads.admission import ADMIT_SHARE, Limits, Wish, check_size, create_upload, new_id
from gateway.uploads.completion import Timing
from tests.clocks import ManualClock
from tests.opened import opened_ledger

NOW = 1_800_000_000.0
TIMING = Timing(expires_s=86400.0, autocomplete_s=60.0)
LIMITS = Limits(chunk_size=1024, max_file_size=1000, max_upload_size=5000, max_files=10, spool_max_bytes=100_000)
WISH = Wish(
    owner_id="a" * 32,
    actor="account:a",
    endpoint_id="main",
    single=False,
    total_files=2,
    total_size_bytes=3000,
    meta={"study_metadata": {"patient_name": "DOE^JANE"}},
)


@pytest.fixture
async def opened():
    async with opened_ledger(ManualClock(NOW)) as opened:
        yield opened


async def admitted(opened, wish: Wish = WISH, limits: Limits = LIMITS, room_bytes: int = 1 << 40):
    return await opened.ledger.write(lambda tx: create_upload(tx, opened.ring, wish, limits, TIMING, NOW, room_bytes))


def test_sizes_within_the_limits_are_taken():
    check_size(WISH, LIMITS)
    check_size(replace(WISH, total_files=10, total_size_bytes=5000), LIMITS)
    check_size(replace(WISH, single=True, total_files=1, total_size_bytes=1000), LIMITS)


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        ({"total_files": 11}, Unprocessable, "invalid_field"),
        ({"total_size_bytes": 5001}, TooLarge, "upload_too_large"),
        ({"single": True, "total_size_bytes": 1001}, TooLarge, "file_too_large"),
    ],
)
def test_sizes_over_a_limit_are_refused(change, kind, code):
    with pytest.raises(kind) as caught:
        check_size(replace(WISH, **change), LIMITS)
    assert caught.value.code == code


async def test_a_new_upload_is_open_empty_and_ends_by_itself(opened):
    row = await admitted(opened)
    assert row == await opened.ledger.read(lambda tx: tx.uploads.get(row.upload_id))
    assert (row.state, row.live_files, row.received_bytes) == (UploadState.OPEN, 0, 0)
    assert (row.created_at, row.active_at, row.expires_at) == (NOW, NOW, NOW + 86400)
    assert row.chunk_size == 1024


async def test_what_was_declared_is_sealed_under_the_uploads_own_key(opened):
    row = await admitted(opened)
    assert b"DOE" not in row.meta_sealed
    wrapped = await opened.ledger.read(lambda tx: tx.keys.get(row.key_id))
    key = UploadKey.unwrap(opened.ring, row.upload_id, row.kek_id, wrapped)
    assert key.meta.open_json(row.meta_sealed, context=f"uploads|meta|{row.upload_id}") == WISH.meta


async def test_its_opening_is_in_the_trail_without_a_name(opened):
    row = await admitted(opened)
    event = (await opened.events())[-1]
    assert (event.event, event.actor, event.upload_id) == ("upload.opened", "account:a", row.upload_id)
    assert "DOE" not in event.detail


async def test_room_is_set_aside_for_what_the_sealed_bytes_will_take(opened):
    row = await admitted(opened)
    assert row.reserved_bytes == sealed_size(3000) + 2 * HEADER_SIZE
    assert await opened.ledger.read(lambda tx: tx.uploads.reserved_bytes()) == row.reserved_bytes


async def test_no_upload_is_taken_beyond_the_spools_share(opened):
    one = sealed_size(3000) + 2 * HEADER_SIZE
    limits = replace(LIMITS, spool_max_bytes=int(one * 3 / ADMIT_SHARE) + 1, reserved_share=1.0)
    for _ in range(3):
        await admitted(opened, limits=limits)
    before = len(await opened.events())
    with pytest.raises(SpoolFull):
        await admitted(opened, limits=limits)
    assert len(await opened.events()) == before
    rows = await opened.ledger.read(lambda tx: tx.uploads.page(states=[], after="", limit=10))
    assert len(rows) == 3, "nothing was written"


async def test_no_upload_is_taken_that_its_disk_has_no_room_for_besides_those_under_way(opened):
    one = sealed_size(3000) + 2 * HEADER_SIZE
    await admitted(opened, room_bytes=one)
    with pytest.raises(SpoolFull):
        await admitted(opened, room_bytes=2 * one - 1)
    await admitted(opened, room_bytes=2 * one)


async def test_erased_uploads_give_their_room_back(opened):
    row = await admitted(opened)
    await opened.ledger.write(lambda tx: tx.uploads.save(replace(row, erased_at=NOW)))
    assert await opened.ledger.read(lambda tx: tx.uploads.reserved_bytes()) == 0


def test_ids_are_random_and_of_one_form():
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(one) == 32 and set(one) <= set("0123456789abcdef") for one in ids)
