"""A scripted PACS over real HTTP: whatever it says or does, each instance gets the outcome that is true."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.states import UploadState
from hooks.checks.validate import ChildCheck
from hooks.targets.stow import DicomWebTarget
from tests.dicom_samples import instance, new_uid, study
from tests.e2e import parrot
from tests.e2e.parrot import Parrot
from tests.unit.delivery.room import Room, room


@dataclass
class Scene:
    """A gateway's delivery, and the parrot before it."""

    it: Room
    pacs: Parrot

    async def deliver(self, files: list[bytes], *acts: parrot.Act, for_s: float = 120.0) -> str:
        self.pacs.script(*acts)
        upload_id = await self.it.submit(files)
        await self.it.run(for_s=for_s)
        return upload_id

    async def arrived(self, upload_id: str, files: list[bytes]) -> None:
        """All of it, bit for bit, once, with a receipt."""
        assert (await self.it.upload(upload_id)).state is UploadState.SUCCESS
        assert sorted(digest(one.content) for one in self.pacs.held.values()) == sorted(map(digest, files))
        receipt = await self.it.receipt(upload_id)
        assert sorted(one["sha256"] for one in receipt["instances"]) == sorted(map(digest, files))
        assert {one["outcome"] for one in receipt["instances"]} == {"stored"}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    check = ChildCheck(workers=1)
    with Parrot() as pacs:
        target = DicomWebTarget(pacs.url, answer_timeout_s=1.0)
        async with room(tmp_path, config={"target": target, "batch_instances": 4}, check=check) as it:
            yield Scene(it, pacs)
        target.close()
    check.close()


@pytest.mark.parametrize(
    "act",
    [
        parrot.store,
        parrot.mute,
        parrot.html,
        parrot.half,
        parrot.status(429, retry_after=3),
        parrot.status(503, retry_after=3),
        parrot.status(500),
        parrot.hang(3.0),
        parrot.hang(3.0, stores=True),
        parrot.reset(),
        parrot.slow(1 << 20),
        parrot.partial(0xA700, count=2),
    ],
    ids=["store", "mute", "html", "half", "429", "503", "500", "hang", "hang-stored", "reset", "slow", "out-of-room"],
)
async def test_what_can_be_repaired_arrives_complete(scene: Scene, act: parrot.Act):
    files = study(10, pixel_bytes=8192)
    upload_id = await scene.deliver(files, act)
    await scene.arrived(upload_id, files)


async def test_patience_that_is_asked_for_is_granted(scene: Scene):
    upload_id = await scene.deliver(study(1), parrot.status(503, retry_after=60), for_s=59)
    assert (await scene.it.upload(upload_id)).state is UploadState.DELIVERING
    assert scene.pacs.stows == 1
    await scene.it.run(for_s=10)
    assert (await scene.it.upload(upload_id)).state is UploadState.SUCCESS


async def test_refusals_by_name_are_failures_of_those_and_of_no_others(scene: Scene):
    upload_id = await scene.deliver(study(4), parrot.partial(0xC122))
    assert (await scene.it.upload(upload_id)).state is UploadState.PARTIAL
    assert sorted(await scene.it.states(upload_id)) == ["failed", "stored", "stored", "stored"]
    (one,) = await scene.it.warnings(upload_id)
    assert (one["code"], one["reason"]) == ("refused_by_pacs", "C122")


async def test_a_full_disk_that_says_200_is_a_failure_of_all(scene: Scene):
    upload_id = await scene.deliver(study(3), *[parrot.silent] * 4)
    assert (await scene.it.upload(upload_id)).state is UploadState.FAILED
    assert {one["code"] for one in await scene.it.warnings(upload_id)} == {"not_acknowledged"}
    assert scene.pacs.held == {}


@pytest.mark.parametrize("status", [401, 403, 404, 415])
async def test_an_endpoint_that_refuses_us_is_stopped_and_all_is_kept(scene: Scene, status: int):
    files = study(3)
    upload_id = await scene.deliver(files, parrot.status(status), for_s=30)
    assert (await scene.it.upload(upload_id)).state is UploadState.DELIVERING
    assert (await scene.it.event_names()).count("endpoint.misconfigured") == 1
    await scene.it.run(for_s=60)
    await scene.arrived(upload_id, files)


async def test_a_request_that_is_too_large_is_made_smaller(scene: Scene):
    files = study(4)
    upload_id = await scene.deliver(files, parrot.status(413), parrot.status(413))
    await scene.arrived(upload_id, files)


async def test_an_index_that_is_late_is_waited_for(scene: Scene):
    scene.pacs.index_delay_s = 3600.0
    files = study(3)
    upload_id = await scene.deliver(files, for_s=60)
    assert (await scene.it.upload(upload_id)).state is UploadState.DELIVERING
    scene.pacs.held = {uid: replace(one, shown_from=0.0) for uid, one in scene.pacs.held.items()}
    await scene.it.run(for_s=30)
    await scene.arrived(upload_id, files)
    assert await scene.it.warnings(upload_id) == []


async def test_pages_of_queries_are_all_read(scene: Scene):
    scene.pacs.page_limit = 3
    files = study(10)
    await scene.arrived(await scene.deliver(files), files)


async def test_a_pacs_that_forbids_queries_is_believed_and_the_receipt_says_so(scene: Scene):
    scene.pacs.queries = 403
    files = study(3)
    upload_id = await scene.deliver(files)
    await scene.arrived(upload_id, files)
    assert (await scene.it.receipt(upload_id))["verification"] == "acknowledged"


async def test_other_content_under_a_known_uid_is_a_conflict_though_the_pacs_would_say_200(scene: Scene):
    uids: dict[str, Any] = {
        "sop_instance_uid": new_uid(),
        "study_instance_uid": new_uid(),
        "series_instance_uid": new_uid(),
    }
    theirs, ours = instance(**uids, modality="CT"), instance(**uids, modality="MR")
    scene.pacs.keep([scene.pacs.parsed(theirs)])
    upload_id = await scene.deliver([ours])
    assert [one["code"] for one in await scene.it.warnings(upload_id)] == ["uid_conflict"]
    assert scene.pacs.stows == 0
    same = await scene.deliver([theirs])
    assert await scene.it.states(same) == ["already_there"]
    assert (await scene.it.receipt(same))["verification"] == "compared"


async def test_a_pacs_that_hangs_up_again_and_again_gets_every_instance_in_the_end(scene: Scene):
    files = study(30, pixel_bytes=8192)
    upload_id = await scene.deliver(files, *[parrot.reset(20_000), parrot.half, parrot.store] * 6, for_s=900)
    await scene.arrived(upload_id, files)


async def test_no_thread_is_left_waiting_when_a_pacs_never_answers(scene: Scene):
    upload_id = await scene.deliver(study(2), parrot.hang(60.0), for_s=0.0)
    assert (await scene.it.upload(upload_id)).state is UploadState.DELIVERING
    for one in [one for one in threading.enumerate() if one.name == "delivery"]:
        await asyncio.to_thread(one.join, 10.0)  # it may be on its last lines
        assert not one.is_alive()
