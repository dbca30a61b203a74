"""What an upload comes to, as its uploader sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.protocol.lifecycle import UploadState
from tests.unit.delivery.little_pacs import toys
from tests.unit.delivery.room import Room, room


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Room]:
    async with room(tmp_path) as opened:
        yield opened


async def test_a_series_arrives_with_its_bytes_and_a_signed_receipt(it: Room):
    series = toys(25)
    upload_id = await it.submit(series)
    await it.run()

    assert it.pacs.held == {toy.uid: toy.content for toy in series}
    upload = await it.upload(upload_id)
    assert upload.state is UploadState.SUCCESS
    assert upload.finished_at is not None
    assert await it.states(upload_id) == ["stored"] * 25
    assert await it.warnings(upload_id) == []
    receipt = await it.receipt(upload_id)
    assert receipt["verification"] == "queried"
    assert {(one["sop_instance_uid"], one["sha256"], one["outcome"]) for one in receipt["instances"]} == {
        (toy.uid, toy.sha256, "stored") for toy in series
    }
    assert await it.jobs() == []
    assert (await it.event_names())[-1] == "upload.delivered"
