"""`GET /readyz`: what doesn't work, and what still does without it."""

from __future__ import annotations

import asyncio

from gateway.blobs.memory import MemoryBlobs
from gateway.errors import ConfigError
from tests.commands.site import send
from tests.component.gateway_app import gateway_app
from tests.unit.delivery.little_pacs import toys


async def test_a_gateway_that_works_says_so_of_every_part(tmp_path):
    async with gateway_app(tmp_path) as gate:
        said = await gate.ask("GET", "/readyz")
    assert said.status == 200
    assert said.json["status"] == "ready"
    assert said.json["parts"] == {"database": "ok", "spool": "ok", "room": "ok", "keys": "ok"}
    assert set(said.json["works"].values()) == {True}


async def test_a_full_spool_hides_neither_status_nor_receipts_that_still_work(tmp_path):
    blobs = MemoryBlobs(capacity_bytes=64 << 20)
    async with gateway_app(tmp_path, blobs=blobs) as gate:
        person = await gate.person()
        sent = await send(gate, person, *toys(1))
        await gate.deliver()
        blobs.capacity_bytes = 0
        said = await gate.ask("GET", "/readyz")
        refused = await gate.ask(
            "POST", "/upload/init", person.token, json={"study_metadata": {}, "total_files": 1, "total_size_bytes": 9}
        )
        status = await gate.ask("GET", f"/upload/{sent.upload_id}/status", person.token)
        receipt = await gate.ask("GET", f"/upload/{sent.upload_id}/receipt", person.token)
    assert (said.status, said.json["status"]) == (503, "not ready")
    assert said.json["parts"] == {"database": "ok", "spool": "spool_full", "room": "spool_full", "keys": "ok"}
    works = {"status": True, "receipts": True, "login": True, "delivery": True}
    assert said.json["works"] == works | {"new_uploads": False, "open_uploads": False}
    assert (refused.status, status.status, receipt.status) == (507, 200, 200)


async def test_a_spool_that_is_promised_to_others_is_told_and_no_reason_to_be_not_ready(tmp_path):
    async with gateway_app(tmp_path, spool_max_bytes=100_000, toml="[limits]\nreserved_share = 1.0") as gate:
        person = await gate.person()
        room = 0
        for size in (50_000, 5_000, 500, 50, 5, 1):
            while (
                await gate.ask(
                    "POST",
                    "/upload/init",
                    person.token,
                    json={"study_metadata": {}, "total_files": 1, "total_size_bytes": size},
                )
            ).status == 201:
                room += size
        said = await gate.ask("GET", "/readyz")
    assert room
    assert said.status == 200
    assert said.json["parts"]["room"] == "spool_full"
    assert [what for what, works in said.json["works"].items() if not works] == ["new_uploads"]


async def test_a_part_that_never_answers_is_unavailable_and_the_others_are_told(tmp_path):
    async def silent():
        await asyncio.Event().wait()

    async def locked():
        raise ConfigError("spool.keys.k2 is missing from the configuration")

    async def fine():
        pass

    probes = {"database": fine, "spool": silent, "room": silent, "keys": locked}
    async with gateway_app(tmp_path, services={"probes": probes}) as gate:
        said = await gate.ask("GET", "/readyz")
    assert said.status == 503
    assert (said.json["parts"]["spool"], said.json["parts"]["keys"]) == ("unavailable", ConfigError.codes[0])
    works = {what for what, works in said.json["works"].items() if works}
    assert works == {"status", "receipts", "login"}
