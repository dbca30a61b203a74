"""A STAT upload that isn't delivered in time is told of, once."""

from __future__ import annotations

import pytest

from tests.commands.site import events, send
from tests.component.gateway_app import gateway_app
from tests.component.telling.receiver import listening
from tests.unit.delivery.little_pacs import Toy, toys


@pytest.fixture
async def receiver():
    async with listening() as receiver:
        yield receiver


@pytest.fixture
async def gate(tmp_path, receiver):
    async with gateway_app(tmp_path, toml=f'{receiver.toml()}[alerts]\nstat_after = "10m"\n') as gate:
        yield gate


async def late(gate) -> int:
    found = await gate.gateway.telling.delays.run_once()
    await gate.workers.run_due()
    return found


async def test_an_undelivered_stat_upload_is_told_once_and_counts_until_it_is_over(gate, receiver):
    person = await gate.person()
    gate.pacs.down = True
    await send(gate, person, *toys(1), study_metadata={"priority": "routine"})
    stat = await send(gate, person, Toy("7.1", study="7"), study_metadata={"priority": "stat"})
    gate.clock.advance(599)
    assert (await late(gate), receiver.told) == (0, [])
    gate.clock.advance(1)
    assert (await late(gate), receiver.told) == (1, ["upload.delayed"])
    assert receiver.came[0][1]["data"]["upload_id"] == stat.upload_id
    assert receiver.came[0][1]["data"]["state"] == "delivering"
    gate.clock.advance(600)
    assert await late(gate) == 0
    assert [event for event, _ in await events(gate)].count("upload.delayed") == 1
    survey = await gate.ledger.read(lambda tx: tx.uploads.survey())
    assert dict(survey.delayed) == {"main": 1}
    gate.pacs.down = False
    await gate.deliver(for_s=900)
    assert receiver.told.count("upload.delayed") == 1
    assert receiver.told.count("upload.success") == 2
    assert not (await gate.ledger.read(lambda tx: tx.uploads.survey())).delayed


async def test_a_stat_upload_that_is_held_is_late_too(gate, receiver):
    two = [Toy("3.1", patient_id="P3"), Toy("3.2", patient_id="P4", birth_date="19800101")]
    await send(gate, await gate.person(), *two, study_metadata={"priority": "stat"})
    await gate.deliver()
    gate.clock.advance(601)
    assert (await late(gate), receiver.told) == (1, ["upload.held", "upload.delayed"])


async def test_nothing_is_late_where_nobody_wants_to_hear_of_it(tmp_path):
    async with gateway_app(tmp_path, toml='[alerts]\nstat_after = "0s"\n') as gate:
        gate.pacs.down = True
        await send(gate, await gate.person(), *toys(1), study_metadata={"priority": "stat"})
        gate.clock.advance(1e6)
        assert await late(gate) == 0
