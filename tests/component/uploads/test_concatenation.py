"""tus concatenation from inside: nothing is copied, what counts where, who can still read what, and crashes at each step."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.blobs.local import LocalBlobs
from gateway.errors import Gone
from gateway.ledger.rows import FileRow, UploadRow
from gateway.states import FileState, UploadState
from gateway.uploads import parts as parts_module
from gateway.uploads.reservations import Lapsing, room_of
from tests.component.gateway_app import TUS, Answer, Gate, Person, gateway_app, sha256_field, tus_metadata
from tests.unit.delivery.little_pacs import Toy
from tests.unit.spool.support import noise

PART = {"Upload-Concat": "partial"}
NAMED = {"Upload-Metadata": "file_id YQ=="}
LARGE = 2 << 20  #: has a segment for itself


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    blobs = LocalBlobs(tmp_path / "spool")
    async with gateway_app(tmp_path, sqlite=True, blobs=blobs) as gate:
        yield gate


@pytest.fixture
async def person(gate: Gate) -> Person:
    return await gate.person()


async def part(gate: Gate, token: str, data: bytes, **known: object) -> str:
    """The path of a part that has these bytes."""
    return await gate.tus_file(token, len(data), body=io.BytesIO(data), headers=PART, **known)


async def concatenate(gate: Gate, token: str, *paths: str, **headers: str) -> Answer:
    told = {**TUS, "Upload-Concat": "final;" + " ".join(paths), **headers}
    return await gate.ask("POST", "/files/", token, headers=told)


async def final(gate: Gate, token: str, *paths: str) -> str:
    answer = await concatenate(gate, token, *paths)
    assert answer.status == 201, answer.json
    return "/files/" + answer.headers["Location"].rpartition("/")[2]


async def upload_of(gate: Gate, path: str) -> UploadRow:
    return await gate.upload((await gate.file_at(path)).upload_id)


def taken(gate: Gate) -> int:
    """Bytes of the medium."""
    return sum(facts.taken_bytes for facts in gate.blobs.list())


async def files_of(gate: Gate, upload_id: str) -> list[FileRow]:
    return await gate.ledger.read(lambda tx: tx.files.page(upload_id, parts=True))


async def test_nothing_is_copied_and_a_receipt_has_the_digest_of_the_whole(gate: Gate, person: Person) -> None:
    whole = Toy("1.1", pixels=noise(2 * LARGE)).content
    cuts = [0, LARGE, LARGE + 1000, len(whole)]
    paths = [await part(gate, person.token, whole[start:end]) for start, end in pairwise(cuts)]
    before = taken(gate)
    path = await final(gate, person.token, *paths)
    assert taken(gate) == before
    row = await gate.file_at(path)
    assert await gate.stored(row) == whole
    await gate.deliver(for_s=60)
    assert (await gate.upload(row.upload_id)).state is UploadState.SUCCESS
    assert gate.pacs.held["1.1"] == whole
    answer = await gate.ask("GET", f"/upload/{row.upload_id}/files", person.token)
    (told,) = answer.json["files"]
    assert told["sha256"] == hashlib.sha256(whole).hexdigest()
    await gate.purge()
    assert taken(gate) == 0
    assert all(one.key_id is None for one in await files_of(gate, row.upload_id))


async def test_what_the_pacs_has_is_erased_with_its_parts_where_another_file_is_kept(
    gate: Gate, person: Person
) -> None:
    good, bad = Toy("1.1", pixels=noise(LARGE)), Toy("1.2", pixels=noise(LARGE, 1))
    opened = await gate.init(person.token, [len(good.content), len(bad.content)])
    gate.pacs.failures[bad.uid] = 0xA900
    parts = dict[str, list[str]]()
    for toy in (good, bad):
        halves = (toy.content[:LARGE], toy.content[LARGE:])
        parts[toy.uid] = [await part(gate, opened.token, half) for half in halves]
        await final(gate, opened.token, *parts[toy.uid])
    assert (await gate.complete(opened)).status == 202
    await gate.deliver(for_s=600)
    assert (await gate.upload(opened.upload_id)).state is UploadState.PARTIAL
    await gate.purge()
    for path in parts[good.uid]:
        assert (await gate.file_at(path)).key_id is None
    for path in parts[bad.uid]:
        assert (await gate.file_at(path)).key_id is not None
    assert LARGE < taken(gate) < LARGE + 100_000


async def test_parts_are_in_no_list_and_no_count_and_can_not_complete_an_upload(gate: Gate, person: Person) -> None:
    opened = await gate.init(person.token, [2000])
    first = await part(gate, opened.token, noise(1000), metadata={"file_id": "part"})
    second = await part(gate, opened.token, noise(1000, 1))
    await gate.deliver(for_s=300)
    status = await gate.status(opened)
    assert (status["state"], status["files"]) == ("uploading", {})
    answer = await gate.ask("GET", f"/upload/{opened.upload_id}/files", opened.token)
    assert answer.json["files"] == []
    assert (await gate.complete(opened)).code == "incomplete"
    assert (await gate.ask("DELETE", f"/upload/{opened.upload_id}/files/part", opened.token)).status == 404

    path = await final(gate, opened.token, first, second)
    assert (await gate.status(opened))["files"] == {"whole": 1}
    whole = noise(1000) + noise(1000, 1)
    assert await gate.stored(await gate.file_at(path)) == whole
    assert (await gate.complete(opened)).status == 202


async def test_the_declared_digest_of_a_final_is_compared_with_the_whole(gate: Gate, person: Person) -> None:
    opened = await gate.init(person.token, [2000])
    paths = [await part(gate, opened.token, noise(1000, number)) for number in range(2)]
    assert (await concatenate(gate, opened.token, *paths, **NAMED)).status == 201
    wrong = {"checksums": {"a": sha256_field(noise(1000, 1) + noise(1000))}}
    assert (await gate.complete(opened, wrong)).status == 460
    right = {"checksums": {"a": sha256_field(noise(1000) + noise(1000, 1))}}
    assert (await gate.complete(opened, right)).status == 202


async def test_a_final_with_a_file_id_is_there_once(gate: Gate, person: Person) -> None:
    opened = await gate.init(person.token, [2000])
    paths = [await part(gate, opened.token, noise(1000, number)) for number in range(2)]
    first = await concatenate(gate, opened.token, *paths, **NAMED)
    again = await concatenate(gate, opened.token, *paths, **NAMED)
    anew = [await part(gate, opened.token, noise(1000, number)) for number in range(2)]
    assert (await concatenate(gate, opened.token, *anew, **NAMED)).headers["Location"] == first.headers["Location"]
    assert again.headers["Location"] == first.headers["Location"]
    assert (again.status, again.headers["Upload-Offset"]) == (201, "2000")
    assert (await concatenate(gate, opened.token, paths[0], **NAMED)).code == "length_mismatch"


async def test_a_final_that_is_repeated_when_all_has_ended_and_is_erased_hears_that_it_has_ended(
    gate: Gate, person: Person
) -> None:
    """Its first answer was lost: it mustn't sound as if bytes were."""
    toy = Toy("1.1", pixels=noise(LARGE))
    opened = await gate.init(person.token, [len(toy.content)])
    paths = [await part(gate, opened.token, half) for half in (toy.content[:LARGE], toy.content[LARGE:])]
    await concatenate(gate, opened.token, *paths, **NAMED)
    await gate.complete(opened)
    assert (await concatenate(gate, opened.token, *paths, **NAMED)).code == "upload_completed"
    await gate.deliver(for_s=60)
    await gate.purge()
    assert taken(gate) == 0
    again = await concatenate(gate, opened.token, *paths, **NAMED)
    assert (again.status, again.code) == (409, "upload_completed")


async def test_a_final_that_waits_is_replaced_by_one_with_its_file_id(gate: Gate, person: Person) -> None:
    opened = await gate.init(person.token, [2000])
    lost = [await gate.tus_file(opened.token, 1000, headers=PART) for _ in range(2)]
    waits = await concatenate(gate, opened.token, *lost, **NAMED)
    paths = [await part(gate, opened.token, noise(1000, number)) for number in range(2)]
    whole = await concatenate(gate, opened.token, *paths, **NAMED)
    assert whole.headers["Location"] != waits.headers["Location"]
    assert (await gate.tus_head(opened.token, "/files/" + waits.headers["Location"].rpartition("/")[2])).status == 410
    assert (await gate.complete(opened)).status == 202


async def test_parts_under_an_access_token_wait_in_a_pool_and_join_the_upload_of_their_final(
    gate: Gate, person: Person
) -> None:
    paths = [await part(gate, person.token, noise(1000, number)) for number in range(3)]
    pools = [await upload_of(gate, path) for path in paths]
    assert len({one.upload_id for one in pools}) == 3
    path = await final(gate, person.token, *paths[:2])
    upload = await upload_of(gate, path)
    assert upload.state is UploadState.DELIVERING
    assert (upload.total_files, upload.total_size_bytes, upload.received_bytes, upload.parts) == (1, 2000, 2000, 0)
    assert {(await upload_of(gate, one)).upload_id for one in paths[:2]} == {upload.upload_id}
    assert await gate.count("uploads") == 2
    sums = await gate.ledger.read(lambda tx: tx.uploads.sums_of(person.row.account_id))
    left = await gate.upload(pools[2].upload_id)
    assert sums.reserved_bytes == upload.reserved_bytes + left.reserved_bytes
    assert sums.open_uploads == 1


async def test_a_pool_expires_and_is_erased(gate: Gate, person: Person) -> None:
    path = await part(gate, person.token, noise(LARGE))
    pool = await upload_of(gate, path)
    await gate.ledger.write(lambda tx: tx.uploads.save(replace(pool, expires_at=gate.clock.now())))
    await gate.purge()
    assert (await gate.tus_head(person.token, path)).status == 410
    assert taken(gate) == 0
    assert (await concatenate(gate, person.token, path)).status == 410


async def test_bytes_of_parts_count_against_quotas(tmp_path: Path) -> None:
    async with gateway_app(tmp_path, spool_max_bytes=1_000_000, toml="[limits]\nopen_uploads = 8\n") as gate:
        ada = await gate.person("ada")
        first = await part(gate, ada.token, bytes(400_000))
        assert (await gate.tus_create(ada.token, 200_000, headers=PART)).json["limit"] == "limits.reserved_share"
        opened = await gate.init(ada.token, [50_000])
        await part(gate, opened.token, bytes(50_000))
        answer = await gate.tus_create(opened.token, 100_000, headers=PART)
        assert (answer.status, answer.json["limit"]) == (429, "limits.reserved_share")
        deferred = {**TUS, **PART, "Upload-Defer-Length": "1"}
        answer = await gate.ask("POST", "/files/", opened.token, headers=deferred)
        path = "/files/" + answer.headers["Location"].rpartition("/")[2]
        assert (await gate.tus_patch(opened.token, path, 0, bytes(100_000))).status == 429
        # Room comes back with the part, and a final needs none of its own.
        assert (await gate.ask("DELETE", path, opened.token, headers=TUS)).status == 204
        assert await final(gate, ada.token, first)
        for _ in range(7):
            await gate.tus_create(ada.token, 1, headers=PART)
        assert (await gate.tus_create(ada.token, 1, headers=PART)).json["limit"] == "limits.open_uploads"


async def test_parts_are_no_way_around_what_a_qr_code_gives(gate: Gate) -> None:
    issuer = await gate.person("ida", "issuer")
    code = await gate.ask("POST", "/qr", issuer.token, json={"endpoint_id": "main", "max_bytes": 1000})
    opened = await gate.init(code.json["upload_token"], [1000])
    for _ in range(3):
        await part(gate, opened.token, noise(1000))
    answer = await gate.tus_create(opened.token, 1000, headers=PART)
    assert (answer.status, answer.json["limit"]) == (429, "limits.qr_max_bytes")


async def test_parts_of_lost_answers_take_room_beside_what_was_declared_and_give_it_back(
    gate: Gate, person: Person
) -> None:
    opened = await gate.init(person.token, [3000])
    declared = (await gate.upload(opened.upload_id)).reserved_bytes
    lost = [await part(gate, opened.token, noise(2000)) for _ in range(3)]
    more = await gate.upload(opened.upload_id)
    assert (more.parts, more.part_bytes, more.received_bytes) == (3, 6000, 6000)
    assert more.reserved_bytes == room_of(more) > declared
    assert (await gate.status(opened))["progress_percent"] == 100.0
    path = await final(gate, opened.token, lost[0], await part(gate, opened.token, noise(1000, 1)))
    for one in lost[1:]:
        assert (await gate.ask("DELETE", one, opened.token, headers=TUS)).status == 204
    now = await gate.upload(opened.upload_id)
    assert (now.parts, now.part_bytes, now.received_bytes, now.planned_bytes) == (0, 0, 3000, 3000)
    assert (await gate.ask("DELETE", path, opened.token, headers=TUS)).status == 204
    again = await gate.upload(opened.upload_id)
    assert (again.parts, again.part_bytes, again.received_bytes, again.planned_bytes) == (2, 3000, 3000, 0)
    assert await final(gate, opened.token, lost[0]), "its parts outlive a final"


async def test_a_pool_without_a_byte_gives_its_room_back_and_takes_it_again(gate: Gate, person: Person) -> None:
    path = await gate.tus_file(person.token, 1000, headers=PART)
    assert (await upload_of(gate, path)).reserved_bytes > 1000
    gate.clock.advance(1000)
    assert await Lapsing(gate.ledger, gate.clock, 900.0).run_once() == 1
    assert (await upload_of(gate, path)).reserved_bytes == 0
    assert (await gate.tus_patch(person.token, path, 0, bytes(1000))).status == 204
    assert (await upload_of(gate, path)).reserved_bytes > 1000


async def test_a_part_that_is_erased_leaves_the_final_as_it_is_and_the_other_way_round(
    gate: Gate, person: Person
) -> None:
    opened = await gate.init(person.token, [LARGE + 9000, LARGE + 9000])
    pieces = [noise(LARGE), noise(9000, 1)]
    paths = [await part(gate, opened.token, data) for data in pieces]
    finals = [await final(gate, opened.token, *paths) for _ in range(2)]
    for path in paths:
        assert (await gate.ask("DELETE", path, opened.token, headers=TUS)).status == 204
    with pytest.raises(Gone):
        await gate.stored(await gate.file_at(paths[0]))
    for path in finals:
        assert await gate.stored(await gate.file_at(path)) == b"".join(pieces)
    assert (await gate.ask("DELETE", finals[0], opened.token, headers=TUS)).status == 204
    await gate.purge()
    assert await gate.stored(await gate.file_at(finals[1])) == b"".join(pieces)
    assert (await gate.ask("DELETE", finals[1], opened.token, headers=TUS)).status == 204
    await gate.purge()
    assert taken(gate) == 0


async def test_a_final_of_parts_that_another_upload_has_outlives_that_one(gate: Gate, person: Person) -> None:
    whole = Toy("1.1", pixels=noise(LARGE)).content
    paths = [await part(gate, person.token, half) for half in (whole[:LARGE], whole[LARGE:])]
    alone = await final(gate, person.token, *paths)
    opened = await gate.init(person.token, [len(whole)])
    into = {"Upload-Metadata": tus_metadata({"upload_id": opened.upload_id})}
    assert (await concatenate(gate, person.token, *paths, **into)).status == 201
    await gate.deliver(for_s=30)
    await gate.purge()
    assert (await upload_of(gate, alone)).erased_at is not None
    (row,) = await gate.ledger.read(lambda tx: tx.files.page(opened.upload_id))
    assert await gate.stored(row) == whole
    assert (await gate.complete(opened)).status == 202
    await gate.deliver(for_s=30)
    await gate.purge()
    assert taken(gate) == 0


async def test_a_final_that_waits_goes_with_a_part_of_it_and_its_upload_with_that(gate: Gate, person: Person) -> None:
    paths = [await part(gate, person.token, noise(10)), await gate.tus_file(person.token, 10, headers=PART)]
    path = await final(gate, person.token, *paths)
    waiting = await upload_of(gate, path)
    assert (await gate.ask("DELETE", paths[1], person.token, headers=TUS)).status == 204
    assert (await gate.tus_head(person.token, path)).status == 410
    assert (await gate.file_at(path)).state is FileState.REMOVED
    await gate.purge()
    assert (await gate.upload(waiting.upload_id)).state is UploadState.EXPIRED


async def test_a_final_that_has_become_too_large_goes_and_its_last_part_stays(gate: Gate, person: Person) -> None:
    opened = await gate.init(person.token, [10])
    first = await part(gate, opened.token, noise(6))
    deferred = {**TUS, **PART, "Upload-Defer-Length": "1"}
    answer = await gate.ask("POST", "/files/", opened.token, headers=deferred)
    second = "/files/" + answer.headers["Location"].rpartition("/")[2]
    path = await final(gate, opened.token, first, second)
    answer = await gate.tus_patch(opened.token, second, 0, noise(5), headers={"Upload-Length": "5"})
    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "5")
    assert (await gate.tus_head(opened.token, path)).status == 410
    assert (await gate.status(opened))["files"] == {}


async def test_parts_in_too_many_pieces_are_refused(gate: Gate, person: Person, monkeypatch) -> None:
    monkeypatch.setattr(parts_module, "MOST_RUNS", 10)
    path = await part(gate, person.token, noise(10))
    answer = await concatenate(gate, person.token, *[path] * 11)
    assert (answer.status, answer.code) == (413, "file_too_large")
    assert (await gate.tus_head(person.token, path)).headers["Upload-Offset"] == "10"


async def test_an_upload_token_has_parts_of_its_upload_only(gate: Gate, person: Person) -> None:
    mine = await part(gate, person.token, noise(10))
    opened, other = await gate.init(person.token, [20]), await gate.init(person.token, [20])
    inside, outside = await part(gate, opened.token, noise(10)), await part(gate, other.token, noise(10))
    for path in (mine, outside):
        assert (await concatenate(gate, opened.token, inside, path)).status == 404
        assert (await gate.tus_head(opened.token, path)).status == 404


async def test_a_final_cuts_off_who_writes_to_its_parts_and_a_strangers_doesnt(gate: Gate, person: Person) -> None:
    bob = await gate.person("bob")
    path = await gate.tus_file(person.token, 100, headers=PART)
    async with gate.hanging_patch(person.token, path, 0, 100, bytes(40)) as line:
        assert (await concatenate(gate, bob.token, path)).status == 404
        assert gate.intake.leases.holder(path.rpartition("/")[2]) is not None
        whole = await final(gate, person.token, path)
        answer = await line.answer()
        assert (answer.status, answer.code) == (409, "taken_over")
    assert await gate.offset(person.token, path) == 40
    assert (await gate.tus_patch(person.token, path, 40, bytes(60))).status == 204
    assert await gate.stored(await gate.file_at(whole)) == bytes(100)


@pytest.mark.parametrize("bearer", ["access token", "upload token"])
async def test_the_power_may_fail_after_each_step(tmp_path: Path, bearer: str) -> None:
    pieces = [noise(LARGE), noise(1000, 1), noise(70_000, 2)]
    for steps in range(6):
        folder = tmp_path / f"{bearer}-{steps}"
        folder.mkdir()
        async with gateway_app(folder, sqlite=True) as gate:
            token = (await gate.person()).token
            if bearer == "upload token":
                token = (await gate.init(token, [sum(map(len, pieces))])).token
            done, paths = 0, list[str]()

            async def step(gate: Gate = gate, steps: int = steps) -> None:
                nonlocal done
                done += 1
                if done == steps:
                    await gate.power_cut()

            for data in pieces[:2]:
                paths.append(await part(gate, token, data))
                await step()
            paths.append(await gate.tus_file(token, len(pieces[2]), headers=PART))
            path = await final(gate, token, *paths)
            await step()
            assert (await gate.tus_patch(token, paths[2], 0, pieces[2][:40_000])).status == 204
            await step()
            assert (await gate.tus_patch(token, paths[2], 40_000, pieces[2][40_000:])).status == 204
            await step()
            assert await gate.offset(token, path) == sum(map(len, pieces))
            assert await gate.stored(await gate.file_at(path)) == b"".join(pieces)
