"""A ledger and a spool that the release before format 2 left: everything in them goes on, in place, blob by blob."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.blobs.memory import MemoryBlobs
from gateway.errors import ConfigError
from gateway.ledger.sqlite import connection
from tests.component.gateway_app import Gate, Opened, chunks_of, gateway_app
from tests.unit.delivery.little_pacs import Toy

SITE: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "site_v1.json").read_text())
HALF, HOLES, WHOLE = (
    Toy(f"1.2.3.7.{n}", pixels=bytes([n]) * size).content for n, size in ((1, 900), (2, 3000), (8, 200))
)


def put_back(folder: Path) -> MemoryBlobs:
    with closing(sqlite3.connect(folder / "relaypacs.db")) as db:
        db.executescript("\n".join(SITE["ledger"]))
        db.execute(f"PRAGMA user_version = {SITE['schema']}")
        db.execute(f"PRAGMA application_id = {SITE['application_id']}")
    blobs = MemoryBlobs()
    for name, content in SITE["blobs"].items():
        blobs.put(name, base64.b64decode(content))
    return blobs


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with gateway_app(tmp_path, sqlite=True, now=SITE["ends"], blobs=put_back(tmp_path)) as gate:
        yield gate


async def bearer_of(gate: Gate, name: str) -> Opened:
    """Fresh tokens of an upload, for its owner."""
    upload_id = SITE["uploads"][name]["id"]
    token = (await gate.login())["access_token"]
    told = (await gate.ask("POST", f"/upload/{upload_id}/token", token)).json
    return Opened(upload_id, told["upload_token"], told["refresh_token"], told)


async def test_a_half_file_goes_on_where_it_was_acknowledged(gate: Gate) -> None:
    opened, path = await bearer_of(gate, "half"), SITE["uploads"]["half"]["path"]
    assert await gate.offset(opened.token, path) == 400
    assert (await gate.tus_patch(opened.token, path, 400, HALF[400:])).status == 204
    await gate.complete(opened)
    await gate.deliver(for_s=60)
    assert HALF in gate.pacs.held.values()


async def test_holes_are_filled(gate: Gate) -> None:
    opened, pieces = await bearer_of(gate, "holes"), chunks_of(HOLES)
    for index, piece in enumerate(pieces):  # the former ones are known still
        answer = await gate.chunk(opened, "holes", index, piece, total=len(pieces))
        assert answer.status == 200, answer.json
    await gate.complete(opened)
    await gate.deliver(for_s=60)
    assert HOLES in gate.pacs.held.values()


async def test_what_waited_is_delivered_and_what_was_held_stays_so_until_it_is_let_go(gate: Gate) -> None:
    await gate.deliver(for_s=3600)
    uploads = {name: await gate.upload(one["id"]) for name, one in SITE["uploads"].items()}
    assert [str(uploads[name].state) for name in ("whole", "held", "partial")] == ["success", "held", "partial"]
    assert WHOLE in gate.pacs.held.values()
    admin = await gate.person("root", "admin")
    path = f"/admin/uploads/{uploads['held'].upload_id}/release"
    assert (await gate.ask("POST", path, admin.token, json={"reason": "two it is"})).status == 204
    await gate.deliver(for_s=60)
    assert {"1.2.3.7.3", "1.2.3.7.4"} <= set(gate.pacs.held)


async def test_an_erasure_that_was_interrupted_is_finished(gate: Gate) -> None:
    upload_id = SITE["uploads"]["interrupted"]["id"]
    segments = set(await gate.ledger.read(lambda tx: tx.runs.segment_ids(upload_id)))
    assert segments & {facts.name for facts in gate.blobs.list()}
    await gate.purge()
    assert not segments & {facts.name for facts in gate.blobs.list()}


async def test_nothing_of_the_former_format_is_left_when_all_is_over(gate: Gate) -> None:
    owner = (await gate.login())["access_token"]
    for one in SITE["uploads"].values():
        assert (await gate.ask("DELETE", f"/upload/{one['id']}", owner)).status in {204, 409, 410}
    await gate.deliver(for_s=60)
    await gate.purge(for_s=8 * 86_400)
    assert list(gate.blobs.list()) == []


async def test_the_release_before_refuses_a_ledger_that_has_gone_on(tmp_path: Path, monkeypatch) -> None:
    blobs = put_back(tmp_path)
    async with gateway_app(tmp_path, sqlite=True, now=SITE["ends"], blobs=blobs):
        pass
    former = connection._migrations()[: SITE["schema"]]
    monkeypatch.setattr(connection, "_migrations", lambda: former)
    with pytest.raises(ConfigError, match="written by a newer release"):
        connection.open_writer(tmp_path / "relaypacs.db")
