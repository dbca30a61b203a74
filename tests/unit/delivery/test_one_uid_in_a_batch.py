"""Whatever is in an upload, no request to a PACS holds a SOPInstanceUID twice: its answer couldn't tell them apart."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.states import FINISHED_STATES
from hooks.contract import Instance, Outcome
from tests.unit.delivery.little_pacs import LittlePacs, Toy
from tests.unit.delivery.room import room


class Strict(LittlePacs):
    """Takes no UID twice in a batch, as `Target.deliver` says."""

    def deliver(self, batch: Sequence[Instance], stop: Callable[[], bool]) -> dict[str, Outcome]:
        uids = [one.sop_instance_uid for one in batch]
        assert len(uids) == len(set(uids))
        assert len({one.study_instance_uid for one in batch}) == 1
        return super().deliver(batch, stop)


def toy(number: int, study: int, pixels: int) -> Toy:
    return Toy(f"1.2.{number}", study=f"1.3.{study}", series=f"1.3.{study}.1", pixels=b"%d" % pixels)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.builds(toy, st.integers(0, 3), st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=10),
    st.sets(st.integers(0, 3)),
    st.sets(st.integers(0, 3)),
)
def test_no_batch_holds_a_uid_twice_whatever_is_in_the_upload(content: list[Toy], mute: set[int], refused: set[int]):
    async def play() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with room(Path(folder), config={"batch_instances": 4}) as it:
                it.pacs = Strict(
                    now=it.clock.now,
                    mute={f"1.2.{number}" for number in mute},
                    failures={f"1.2.{number}": 0xC000 for number in refused},
                )
                it.restart()
                upload_id = await it.submit(content)
                await it.run(for_s=600)
                assert (await it.upload(upload_id)).state in FINISHED_STATES
                states = await it.states(upload_id)
                for one, state in zip(content, states, strict=True):
                    if state in {"stored", "already_there"}:
                        assert it.pacs.held[one.uid] == one.content

    asyncio.run(play())
