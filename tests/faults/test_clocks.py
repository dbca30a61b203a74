"""A day of outage, and a clock that somebody sets a day ahead or back: nobody loses what he could not have saved.

On the real modules, with a clock moved by hand and a PACS in a dict.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.ledger.rows import JobKind
from gateway.states import UploadState
from tests.component.gateway_app import Gate, Opened, gateway_app
from tests.unit.delivery.little_pacs import Toy

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
CONTENT = Toy("1.2.3.4.5", pixels=b"pixels" * 500).content
HALF = len(CONTENT) // 2


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with gateway_app(tmp_path, sqlite=True) as gate:
        await gate.person()
        await gate.purge()
        yield gate


async def begun(gate: Gate) -> tuple[Opened, str]:
    """An upload of one file, of which the first half is there."""
    opened = await gate.init((await gate.login())["access_token"], (len(CONTENT),))
    path = await gate.tus_file(opened.token, len(CONTENT), metadata={"file_id": "f0"})
    answer = await gate.tus_patch(opened.token, path, 0, CONTENT[:HALF])
    assert answer.status == 204
    return opened, path


async def waiting(gate: Gate) -> Opened:
    """A completed upload whose PACS is down; it was tried once."""
    gate.pacs.down = True
    opened, path = await begun(gate)
    assert (await gate.tus_patch(opened.token, path, HALF, CONTENT[HALF:])).status == 204
    assert (await gate.complete(opened)).status == 202
    await gate.workers.run_due()
    return opened


async def renewed(gate: Gate, opened: Opened) -> str:
    """An upload token by the refresh token: the other one has ended by any clock."""
    answer = await gate.ask("POST", f"/upload/{opened.upload_id}/token", opened.refresh_token)
    assert answer.status == 200, answer.json
    return str(answer.json["upload_token"])


async def finish(gate: Gate, opened: Opened, path: str) -> None:
    token = await renewed(gate, opened)
    assert await gate.offset(token, path) == HALF
    assert (await gate.tus_patch(token, path, HALF, CONTENT[HALF:])).status == 204
    assert (await gate.complete(opened, token=token)).status == 202
    await gate.deliver(for_s=HOUR)
    assert (await gate.upload(opened.upload_id)).state is UploadState.SUCCESS
    assert list(gate.pacs.held.values()) == [CONTENT]


async def test_after_a_day_of_outage_an_upload_is_finished_by_its_client(gate: Gate) -> None:
    opened, path = await begun(gate)
    await gate.purge(for_s=HOUR)
    await gate.close()
    gate.clock.advance(DAY + HOUR)
    gate._stack = type(gate._stack)()
    await gate.open()
    await gate.purge(for_s=10 * MINUTE)
    await finish(gate, opened, path)


@pytest.mark.parametrize("jump_s", [DAY, -DAY, 30 * DAY, -30 * DAY])
async def test_a_clock_that_jumps_ends_no_upload_that_its_client_goes_on_with(gate: Gate, jump_s: float) -> None:
    opened, path = await begun(gate)
    await gate.purge(for_s=HOUR)
    gate.clock.jump(jump_s)
    await gate.purge(for_s=10 * MINUTE)
    await finish(gate, opened, path)


async def test_one_that_is_silent_while_the_gateway_runs_expires_in_its_time_all_the_same(gate: Gate) -> None:
    opened, _ = await begun(gate)
    gate.clock.jump(DAY)
    await gate.purge(for_s=10 * MINUTE)
    gate.clock.jump(-DAY)
    await gate.purge(for_s=DAY - HOUR)
    assert (await gate.upload(opened.upload_id)).state is UploadState.UPLOADING
    await gate.purge(for_s=2 * HOUR)
    assert (await gate.upload(opened.upload_id)).state is UploadState.EXPIRED


async def test_an_outage_uses_up_none_of_the_time_for_which_a_delivery_is_tried(gate: Gate) -> None:
    opened = await waiting(gate)
    await gate.close()
    gate.clock.advance(30 * DAY)
    gate._stack = type(gate._stack)()
    await gate.open()
    await gate.purge()
    await gate.deliver(for_s=HOUR)
    assert (await gate.upload(opened.upload_id)).state is UploadState.DELIVERING
    gate.pacs.down = False
    await gate.deliver(for_s=HOUR)
    assert (await gate.upload(opened.upload_id)).state is UploadState.SUCCESS


@pytest.mark.parametrize("jump_s", [DAY, -DAY, 30 * DAY])
async def test_nor_does_a_clock_that_jumps(gate: Gate, jump_s: float) -> None:
    opened = await waiting(gate)
    gate.clock.jump(jump_s)
    await gate.purge()
    gate.pacs.down = False
    await gate.deliver(for_s=HOUR)
    assert (await gate.upload(opened.upload_id)).state is UploadState.SUCCESS


async def test_a_clock_set_back_a_day_delays_no_delivery_by_a_day(gate: Gate) -> None:
    opened = await waiting(gate)
    gate.pacs.down = False
    gate.clock.jump(-DAY)
    await gate.purge(for_s=5 * MINUTE)
    await gate.workers.run_due()
    assert (await gate.upload(opened.upload_id)).state is UploadState.SUCCESS


async def test_a_clock_set_back_while_the_gateway_is_down_delays_no_delivery_by_a_day_either(gate: Gate) -> None:
    opened = await waiting(gate)
    gate.pacs.down = False
    await gate.close()
    gate.clock.jump(-DAY)
    gate._stack = type(gate._stack)()
    await gate.open()
    await gate.purge(for_s=5 * MINUTE)
    await gate.workers.run_due()
    assert (await gate.upload(opened.upload_id)).state is UploadState.SUCCESS


async def tried_s(gate: Gate, opened: Opened) -> float:
    """What counts against `retry_for`."""
    (job,) = await gate.ledger.read(lambda tx: tx.jobs.of_upload(opened.upload_id, JobKind.DELIVER))
    return job.tried_s


async def test_time_in_which_the_pacs_is_down_counts_and_time_in_which_it_refuses_us_does_not(gate: Gate) -> None:
    opened = await waiting(gate)
    await gate.deliver(for_s=2 * HOUR)
    counted_s = await tried_s(gate, opened)
    assert 0.9 * 2 * HOUR < counted_s < 1.1 * 2 * HOUR
    gate.pacs.down, gate.pacs.refuses_us = False, True
    await gate.deliver(for_s=3 * HOUR)
    assert await tried_s(gate, opened) - counted_s < 5 * MINUTE
    gate.pacs.refuses_us = False
    await gate.deliver(for_s=HOUR)
    assert (await gate.upload(opened.upload_id)).state is UploadState.SUCCESS
