"""tus in one process with a clock moved by hand: creation, joining, take-over, and what is kept (CONTRACT 2.3)."""

from __future__ import annotations

import asyncio
import logging

import pytest
from yarl import URL

from tests.component.gateway_app import CHUNK, OFFSET_TYPE, TUS, gateway_app, sha256_field, tus_metadata
from tests.unit.delivery.little_pacs import toys


@pytest.fixture
async def person(gate):
    return await gate.person()


@pytest.fixture
async def opened(gate, person):
    return await gate.init(person.token, [100] * 5)


def path_of(answer) -> str:
    return URL(answer.headers["Location"]).path


def told(at: int, length: int | None) -> dict[str, str]:
    size = {"Content-Length": str(length)} if length is not None else {"Transfer-Encoding": "chunked"}
    return {**TUS, "Content-Type": OFFSET_TYPE, "Upload-Offset": str(at), **size}


# --- creation ---------------------------------------------------------------------------------------------------------


async def test_the_same_file_id_and_length_give_the_same_file_and_its_present_offset(gate, opened):
    name = {"file_id": "a"}
    first = await gate.tus_create(opened.token, 100, metadata=name)
    await gate.tus_patch(opened.token, path_of(first), 0, b"x" * 40)
    again = await gate.tus_create(opened.token, 100, metadata=name)
    assert (first.status, again.status) == (201, 201)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Upload-Offset"] == "40"
    assert await gate.count("files") == 1


async def test_the_same_file_id_with_another_length_is_a_conflict(gate, opened):
    await gate.tus_create(opened.token, 100, metadata={"file_id": "a"})
    answer = await gate.tus_create(opened.token, 99, metadata={"file_id": "a"})
    assert (answer.status, answer.code) == (409, "length_mismatch")


async def test_racing_creations_of_one_file_id_make_one_file(gate, opened):
    answers = await asyncio.gather(*(gate.tus_create(opened.token, 100, metadata={"file_id": "a"}) for _ in range(8)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.headers["Location"] for answer in answers}) == 1


async def test_a_creation_whose_answer_was_lost_leaves_no_orphan(gate, opened):
    headers = {**TUS, "Upload-Length": "100", "Upload-Metadata": tus_metadata({"file_id": "a"}),
               "Content-Type": OFFSET_TYPE, "Content-Length": "100"}  # fmt: skip
    async with gate.begun("POST", "/files/", opened.token, headers, b"x" * 30) as line:
        await gate.in_flight()
        while not await gate.count("files"):
            await asyncio.sleep(0.001)
        await line.reset()
    again = await gate.tus_create(opened.token, 100, b"x" * 100, metadata={"file_id": "a"})
    assert again.status == 201
    offset = int(again.headers["Upload-Offset"])
    assert offset in {30, 100}
    assert await gate.count("files") == 1
    if offset < 100:
        assert (await gate.tus_patch(opened.token, path_of(again), 30, b"x" * 70)).status == 204
    assert await gate.stored(await gate.file_at(path_of(again))) == b"x" * 100


async def test_a_creation_repeated_with_its_body_takes_the_bytes_once(gate, opened):
    name = {"file_id": "a"}
    answers = [await gate.tus_create(opened.token, 100, b"x" * 100, metadata=name) for _ in range(2)]
    assert [answer.headers["Upload-Offset"] for answer in answers] == ["100", "100"]
    assert (await gate.status(opened))["uploaded_bytes"] == 100


@pytest.mark.parametrize("size", [0, 30, 100])
async def test_a_creation_takes_the_bytes_it_brings(gate, opened, size):
    answer = await gate.tus_create(opened.token, 100, b"x" * size)
    assert answer.status == 201
    assert answer.headers["Upload-Offset"] == str(size)
    assert ("Upload-Expires" in answer.headers) == (size < 100), "a whole file doesn't expire"
    assert await gate.stored(await gate.file_at(path_of(answer))) == b"x" * size


async def test_a_creation_whose_body_is_longer_than_its_length_makes_nothing(gate, opened):
    answer = await gate.tus_create(opened.token, 10, b"x" * 11)
    assert (answer.status, answer.code) == (413, "file_too_large")
    assert await gate.count("files") == 0


async def test_a_creation_in_chunked_coding_longer_than_its_length_keeps_what_fits(gate, opened):
    async def pieces():
        yield b"x" * 60
        yield b"y" * 60

    answer = await gate.tus_create(opened.token, 100, pieces(), metadata={"file_id": "a"})
    assert (answer.status, answer.code) == (413, "file_too_large")
    again = await gate.tus_create(opened.token, 100, metadata={"file_id": "a"})
    assert again.headers["Upload-Offset"] == "100"


async def test_a_file_of_no_bytes_is_whole_at_once(gate, opened, person):
    answer = await gate.tus_create(opened.token, 0, metadata={"file_id": "empty"})
    assert answer.headers["Upload-Offset"] == "0"
    assert (await gate.file_at(path_of(answer))).state == "whole"
    single = await gate.tus_create(person.token, 0)
    file = await gate.file_at(path_of(single))
    assert (await gate.upload(file.upload_id)).state == "delivering"
    assert (await gate.tus_patch(opened.token, path_of(answer), 0, b"")).status == 204


async def test_an_empty_creation_may_say_any_media_type(gate, opened):
    """Some HTTP clients put one on every POST."""
    headers = {"Content-Type": "application/octet-stream"}
    assert (await gate.tus_create(opened.token, 10, headers=headers)).status == 201
    assert (await gate.tus_create(opened.token, 10, b"x", headers=headers)).status == 415


@pytest.mark.parametrize("file_id", ["a b", "a/b", "../x", "x" * 65, "ä"])
async def test_a_file_id_has_the_same_form_as_in_rest(gate, opened, file_id):
    answer = await gate.tus_create(opened.token, 10, metadata={"file_id": file_id})
    assert (answer.status, answer.json["field"]) == (422, "file_id")


# --- which upload -------------------------------------------------------------------------------------------------------


async def test_under_an_upload_token_a_file_joins_that_upload(gate, opened):
    path = await gate.tus_file(opened.token, 10)
    assert (await gate.file_at(path)).upload_id == opened.upload_id


async def test_under_an_access_token_each_file_has_an_upload_of_its_own_that_completes_itself(gate, person):
    toy = toys(1)[0]
    path = await gate.tus_file(person.token, len(toy.content), metadata={"filename": "DOE^JANE.dcm", "filetype": "x"})
    upload = await gate.upload((await gate.file_at(path)).upload_id)
    assert (upload.single, upload.total_files, upload.endpoint_id) == (True, 1, "main")
    assert (await gate.tus_patch(person.token, path, 0, toy.content)).status == 204
    await gate.deliver()
    assert (await gate.upload(upload.upload_id)).state == "success"
    assert gate.pacs.held == {toy.uid: toy.content}


async def test_under_an_access_token_metadata_may_name_the_endpoint(gate, person):
    path = await gate.tus_file(person.token, 10, metadata={"endpoint_id": "deaf"})
    assert (await gate.upload((await gate.file_at(path)).upload_id)).endpoint_id == "deaf"
    answer = await gate.tus_create(person.token, 10, metadata={"endpoint_id": "nowhere"})
    assert (answer.status, answer.code) == (422, "unknown_endpoint")


async def test_metadata_may_name_one_of_the_callers_own_uploads(gate, person, opened):
    path = await gate.tus_file(person.token, 10, metadata={"upload_id": opened.upload_id})
    assert (await gate.file_at(path)).upload_id == opened.upload_id
    assert await gate.offset(opened.token, path) == 0


async def test_an_upload_of_another_account_isnt_there(gate, opened):
    other = await gate.person("other", "admin")
    for upload_id in (opened.upload_id, "f" * 32, "x"):
        answer = await gate.tus_create(other.token, 10, metadata={"upload_id": upload_id})
        assert (answer.status, answer.code) == (404, "not_found")
    assert await gate.count("files") == 0


async def test_an_upload_token_names_no_other_upload(gate, person, opened):
    second = await gate.init(person.token)
    answer = await gate.tus_create(opened.token, 10, metadata={"upload_id": second.upload_id})
    assert (answer.status, answer.code) == (403, "forbidden")
    same = await gate.tus_create(opened.token, 10, metadata={"upload_id": opened.upload_id})
    assert same.status == 201


async def test_no_more_files_or_bytes_than_were_declared(gate, person):
    opened = await gate.init(person.token, [10, 10])
    too_long = await gate.tus_create(opened.token, 21)
    assert (too_long.status, too_long.code) == (413, "upload_too_large")
    await gate.tus_file(opened.token, 5)
    await gate.tus_file(opened.token, 5)
    too_many = await gate.tus_create(opened.token, 5)
    assert (too_many.status, too_many.code) == (409, "too_many_files")


async def test_no_file_is_larger_than_any_may_be(gate, person):
    most = (await gate.ask("OPTIONS", "/files/")).headers["Tus-Max-Size"]
    answer = await gate.tus_create(person.token, int(most) + 1)
    assert (answer.status, answer.code) == (413, "file_too_large")
    assert await gate.count("uploads") == 0


# --- metadata -----------------------------------------------------------------------------------------------------------


async def test_metadata_comes_back_as_it_was_sent_and_lies_nowhere_in_clear(gate, opened):
    raw = "filename RE9FXkpBTkUuZGNt,empty, odd/key YQ== ,filetype eA=="
    headers = {**TUS, "Upload-Length": "10", "Upload-Metadata": raw}
    answer = await gate.ask("POST", "/files/", opened.token, headers=headers)
    seen = await gate.tus_head(opened.token, path_of(answer))
    assert seen.headers["Upload-Metadata"] == raw
    for path in gate.folder.rglob("*"):
        if path.is_file():
            assert b"DOE^JANE" not in path.read_bytes()
            assert b"RE9FXkpBTkUuZGNt" not in path.read_bytes()


async def test_head_tells_what_a_client_must_know_to_go_on(gate, opened):
    path = await gate.tus_file(opened.token, 100, body=b"x" * 7)
    answer = await gate.tus_head(opened.token, path)
    assert answer.status == 200
    assert answer.headers["Upload-Offset"] == "7"
    assert answer.headers["Upload-Length"] == "100"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Upload-Expires"].endswith("GMT")
    assert "Upload-Metadata" not in answer.headers
    assert answer.body == b""


# --- patch --------------------------------------------------------------------------------------------------------------


async def test_a_file_grows_patch_by_patch(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    for at in range(0, 100, 20):
        answer = await gate.tus_patch(opened.token, path, at, bytes([at]) * 20)
        assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(at + 20))
    assert await gate.stored(await gate.file_at(path)) == b"".join(bytes([at]) * 20 for at in range(0, 100, 20))


@pytest.mark.parametrize("at", [0, 39, 41, 100, 1000])
async def test_a_patch_elsewhere_is_told_where_the_end_is_and_changes_nothing(gate, opened, at):
    path = await gate.tus_file(opened.token, 100, body=b"x" * 40)
    answer = await gate.tus_patch(opened.token, path, at, b"y")
    assert (answer.status, answer.code) == (409, "offset_mismatch")
    assert answer.headers["Upload-Offset"] == "40"
    assert await gate.stored(await gate.file_at(path)) == b"x" * 40


async def test_an_empty_patch_at_the_end_changes_nothing(gate, opened):
    path = await gate.tus_file(opened.token, 100, body=b"x" * 40)
    answer = await gate.tus_patch(opened.token, path, 40, b"")
    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "40")


async def test_a_patch_beyond_the_end_is_too_large_and_takes_nothing(gate, opened):
    path = await gate.tus_file(opened.token, 100, body=b"x" * 40)
    answer = await gate.tus_patch(opened.token, path, 40, b"y" * 61)
    assert (answer.status, answer.code) == (413, "file_too_large")
    assert await gate.offset(opened.token, path) == 40


async def test_a_file_that_was_taken_out_is_gone(gate, opened):
    path = await gate.tus_file(opened.token, 100, body=b"x" * 40)
    assert (await gate.ask("DELETE", path, opened.token, headers=TUS)).status == 204
    for answer in [
        await gate.tus_patch(opened.token, path, 40, b"y"),
        await gate.ask("DELETE", path, opened.token, headers=TUS),
    ]:
        assert (answer.status, answer.code, answer.json["state"]) == (410, "file_gone", "removed")
        assert answer.json.keys() >= {"pacs_receipt_id", "warnings"}
    assert (await gate.tus_head(opened.token, path)).status == 410
    again = await gate.tus_create(opened.token, 100, metadata={"file_id": "a"})
    assert again.status == 201


async def test_deleting_a_single_file_cancels_its_upload(gate, person):
    path = await gate.tus_file(person.token, 100, body=b"x")
    assert (await gate.ask("DELETE", path, person.token, headers=TUS)).status == 204
    assert (await gate.upload((await gate.file_at(path)).upload_id)).state == "cancelled"
    assert (await gate.tus_head(person.token, path)).status == 410


@pytest.mark.parametrize("meant", ["PATCH", "HEAD", "DELETE"])
async def test_a_post_may_mean_another_method(gate, opened, meant):
    path = await gate.tus_file(opened.token, 100)
    headers = {**TUS, "X-HTTP-Method-Override": meant, "Upload-Offset": "0", "Content-Type": OFFSET_TYPE}
    answer = await gate.ask("POST", path, opened.token, headers=headers, data=b"x" if meant == "PATCH" else None)
    assert answer.status == (200 if meant == "HEAD" else 204)


@pytest.mark.parametrize("meant", ["GET", "PUSH", "", "PUT"])
async def test_a_post_to_a_file_that_means_nothing_is_refused(gate, opened, meant):
    path = await gate.tus_file(opened.token, 100)
    answer = await gate.ask("POST", path, opened.token, headers={**TUS, "X-HTTP-Method-Override": meant})
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert "PATCH" in answer.headers["Allow"]


# --- take-over ------------------------------------------------------------------------------------------------------------


async def test_a_live_holder_isnt_cut_off_by_a_patch(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"x" * 10) as line:
        answer = await gate.tus_patch(opened.token, path, 0, b"y")
        assert (answer.status, answer.code) == (423, "locked")
        assert answer.headers["Retry-After"] == "1"
        await line.send(b"x" * 90)
        assert (await line.answer()).status == 204
    assert await gate.stored(await gate.file_at(path)) == b"x" * 100


async def test_a_holder_that_was_silent_for_a_second_is_cut_off_and_its_bytes_are_kept(gate, opened, caplog):
    caplog.set_level(logging.INFO)
    path = await gate.tus_file(opened.token, 100)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"x" * 10) as line:
        gate.clock.advance(0.9)
        assert (await gate.tus_patch(opened.token, path, 0, b"y")).status == 423
        gate.clock.advance(0.2)
        # What the holder brought moves the end: the newcomer hears where it is now.
        moved = await gate.tus_patch(opened.token, path, 0, b"y")
        assert (moved.status, moved.headers["Upload-Offset"]) == (409, "10")
        cut = await line.answer()
        assert (cut.status, cut.code) == (409, "taken_over")
        await line.send(b"late bytes of the old one")
        assert (await gate.tus_patch(opened.token, path, 10, b"y" * 90)).status == 204
    assert await gate.stored(await gate.file_at(path)) == b"x" * 10 + b"y" * 90
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_silent_holder_that_brought_nothing_is_replaced_at_the_same_offset(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    async with gate.begun("PATCH", path, opened.token, told(0, 100), b"") as line:
        await gate.held(path)
        gate.clock.advance(1.1)
        assert (await gate.tus_patch(opened.token, path, 0, b"y" * 100)).status == 204
        assert (await line.answer()).code == "taken_over"
    assert await gate.stored(await gate.file_at(path)) == b"y" * 100


async def test_a_holder_whose_line_broke_is_no_holder(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"x" * 10) as line:
        await line.reset()
        await gate.in_flight(0)
    assert (await gate.tus_patch(opened.token, path, 10, b"y" * 90)).status == 204


async def test_a_patch_at_a_wrong_offset_disturbs_nobody(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"x" * 10) as line:
        gate.clock.advance(60)
        assert (await gate.tus_patch(opened.token, path, 5, b"y")).status == 409
        await line.send(b"x" * 90)
        assert (await line.answer()).status == 204


async def test_a_byte_is_a_sign_of_life(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"x" * 10) as line:
        lease = gate.intake.leases.holder(path.rpartition("/")[2])
        gate.clock.advance(5)
        await line.send(b"x")
        await gate.read_from(path, 11)
        assert lease.silent_s() == 0
        assert (await gate.tus_patch(opened.token, path, 0, b"y")).status == 423


async def test_head_cuts_whoever_writes_and_tells_where_to_go_on(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"x" * 10) as line:
        assert await gate.offset(opened.token, path) == 10
        assert (await line.answer()).code == "taken_over"
    assert await gate.offset(opened.token, path) == 10, "stable"


async def test_delete_cuts_whoever_writes(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"x" * 10) as line:
        assert (await gate.ask("DELETE", path, opened.token, headers=TUS)).status == 204
        assert (await line.answer()).status in {409, 410}
    assert await gate.count("runs") == 0


async def test_a_creation_repeated_cuts_whoever_writes_and_tells_where_to_go_on(gate, opened):
    path = await gate.tus_file(opened.token, 100, metadata={"file_id": "a"})
    async with gate.hanging_patch(opened.token, path, 0, 100, b"x" * 10):
        again = await gate.tus_create(opened.token, 100, metadata={"file_id": "a"})
        assert again.headers["Upload-Offset"] == "10"


async def test_a_creation_with_bytes_that_comes_late_waits_for_whoever_goes_on_by_now(gate, opened):
    """It was under way on a line that was cut, and arrives when its client has long gone on over another connection."""
    name = {"file_id": "a"}
    path = await gate.tus_file(opened.token, 100, metadata=name)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"x" * 10) as line:
        late = asyncio.ensure_future(gate.tus_create(opened.token, 100, b"x" * 100, metadata=name))
        await gate.in_flight(2)
        await line.send(b"x" * 90)
        assert (await line.answer()).status == 204
        assert (await late).headers["Upload-Offset"] == "100"


async def test_a_creation_with_bytes_takes_the_place_of_one_that_is_silent(gate, opened):
    name = {"file_id": "a"}
    path = await gate.tus_file(opened.token, 100, metadata=name)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"") as line:
        gate.clock.advance(1.1)
        assert (await gate.tus_create(opened.token, 100, b"y" * 100, metadata=name)).headers["Upload-Offset"] == "100"
        assert (await line.answer()).code == "taken_over"
    assert await gate.stored(await gate.file_at(path)) == b"y" * 100


async def test_of_eight_patches_at_one_offset_one_wins_and_its_bytes_only(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    answers = await asyncio.gather(
        *(gate.tus_patch(opened.token, path, 0, bytes([65 + number]) * 100) for number in range(8))
    )
    assert {answer.status for answer in answers} <= {204, 409, 423}
    assert [answer.status for answer in answers].count(204) == 1
    assert len(set(await gate.stored(await gate.file_at(path)))) == 1


async def test_foreign_requests_cut_nobody(gate, opened):
    other = await gate.person("other")
    path = await gate.tus_file(opened.token, 100)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"x" * 10) as line:
        gate.clock.advance(60)
        assert (await gate.tus_head(other.token, path)).status == 404
        assert (await gate.ask("DELETE", path, other.token, headers=TUS)).status == 404
        assert (await gate.tus_patch(other.token, path, 0, b"y")).status == 404
        await line.send(b"x" * 90)
        assert (await line.answer()).status == 204


# --- life -----------------------------------------------------------------------------------------------------------------


async def test_bytes_and_questions_keep_an_upload_alive(tmp_path):
    async with gateway_app(tmp_path, uploads='expires = "30m"') as gate:
        person = await gate.person()
        asked, written, silent = [await gate.tus_file(person.token, 100) for _ in range(3)]
        for number in range(3):
            await gate.purge(for_s=20 * 60)
            fresh = gate.services.mint.access(person.row.account_id, "uploader").token
            assert (await gate.tus_head(fresh, asked)).status == 200
            assert (await gate.tus_patch(fresh, written, number, b"x")).status == 204
        token = gate.services.mint.access(person.row.account_id, "uploader").token
        assert (await gate.tus_head(token, silent)).status == 410


@pytest.fixture
async def lasting(tmp_path):
    """A running gateway that can be restarted."""
    async with gateway_app(tmp_path, sqlite=True) as gate:
        yield gate


async def test_a_restart_forgets_no_offset_and_no_metadata(lasting):
    gate = lasting
    opened = await gate.init((await gate.person()).token, [100] * 5)
    path = await gate.tus_file(opened.token, 100, body=b"x" * 40, metadata={"file_id": "a", "filetype": "y"})
    await gate.restart()
    answer = await gate.tus_head(opened.token, path)
    assert answer.headers["Upload-Offset"] == "40"
    assert answer.headers["Upload-Metadata"] == tus_metadata({"file_id": "a", "filetype": "y"})
    assert (await gate.tus_patch(opened.token, path, 40, b"y" * 60)).status == 204
    assert await gate.stored(await gate.file_at(path)) == b"x" * 40 + b"y" * 60


async def test_checksums_at_complete_are_those_of_tus_files_too(gate, person):
    opened = await gate.init(person.token, [CHUNK])
    path = await gate.tus_file(opened.token, CHUNK, metadata={"file_id": "a"})
    await gate.tus_patch(opened.token, path, 0, b"x" * 10)
    partial = await gate.complete(opened, {"checksums": {"a": sha256_field(b"x" * 10)}})
    assert (partial.status, partial.code) == (409, "incomplete")
    await gate.tus_patch(opened.token, path, 10, b"x" * (CHUNK - 10))
    wrong = await gate.complete(opened, {"checksums": {"a": sha256_field(b"y")}})
    assert (wrong.status, wrong.code) == (460, "checksum_mismatch")
    assert (await gate.complete(opened, {"checksums": {"a": sha256_field(b"x" * CHUNK)}})).status == 202


# --- when the disk refuses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "code"), [(28, "spool_full"), (5, "storage_error")])
@pytest.mark.parametrize("operation", ["create", "append", "sync"])
async def test_a_disk_that_refuses_loses_nothing_that_was_told(lasting, operation, fault, code):
    gate = lasting
    opened = await gate.init((await gate.person()).token, [100] * 5)
    path = await gate.tus_file(opened.token, 100, body=b"x" * 40)
    if operation == "create":
        await gate.restart()
    gate.blobs.faults[operation] = fault
    answer = await gate.tus_patch(opened.token, path, 40, b"y" * 20)
    assert answer.code == code
    assert answer.status in {503, 507}
    assert await gate.offset(opened.token, path) == 40
    gate.blobs.faults.clear()
    assert (await gate.tus_patch(opened.token, path, 40, b"z" * 60)).status == 204
    assert await gate.stored(await gate.file_at(path)) == b"x" * 40 + b"z" * 60


# --- a length that is told later ----------------------------------------------------------------------------------------


async def deferred(gate, token, **metadata):
    headers = {**TUS, "Upload-Defer-Length": "1", **metadata}
    answer = await gate.ask("POST", "/files/", token, headers=headers)
    assert answer.status == 201
    return path_of(answer)


async def test_an_upload_of_one_file_sets_aside_what_came_as_long_as_nobody_tells_the_length(gate, person):
    path = await deferred(gate, person.token)
    before = await gate.upload((await gate.file_at(path)).upload_id)
    await gate.tus_patch(person.token, path, 0, b"x" * 300)
    row = await gate.upload(before.upload_id)
    assert (row.total_size_bytes, row.planned_bytes, row.received_bytes) == (300, 300, 300)
    assert row.reserved_bytes > before.reserved_bytes
    status = await gate.ask("GET", f"/upload/{row.upload_id}/status", person.token)
    assert status.json["progress_percent"] < 100
    done = await gate.tus_patch(person.token, path, 300, b"y" * 100, headers={"Upload-Length": "400"})
    assert done.status == 204
    row = await gate.upload(before.upload_id)
    assert (row.total_size_bytes, row.whole_bytes, row.state) == (400, 400, "delivering")
    assert await gate.stored(await gate.file_at(path)) == b"x" * 300 + b"y" * 100


async def test_a_file_whose_length_isnt_told_takes_no_more_than_its_upload_declared(gate, opened):
    path = await deferred(gate, opened.token)
    assert (await gate.tus_patch(opened.token, path, 0, b"x" * 400)).status == 204
    too_long = await gate.tus_patch(opened.token, path, 400, b"x" * 101)
    assert (too_long.status, too_long.code) == (413, "upload_too_large")
    told = await gate.tus_patch(opened.token, path, 400, b"", headers={"Upload-Length": "501"})
    assert (told.status, told.code) == (413, "upload_too_large")
    assert await gate.offset(opened.token, path) == 400
    assert (await gate.upload(opened.upload_id)).planned_bytes == 400


async def test_an_upload_that_grows_is_stopped_at_its_accounts_share_of_the_spool(tmp_path):
    async with gateway_app(tmp_path, spool_max_bytes=200_000) as gate:
        person = await gate.person()
        path = await deferred(gate, person.token)
        assert (await gate.tus_patch(person.token, path, 0, b"x" * 60_000)).status == 204
        full = await gate.tus_patch(person.token, path, 60_000, b"x" * 60_000)
        assert (full.status, full.code, full.json["limit"]) == (429, "quota_exceeded", "limits.reserved_share")
        assert await gate.offset(person.token, path) == 60_000


async def test_a_file_that_is_dropped_gives_back_what_came_of_it(gate, opened):
    path = await deferred(gate, opened.token)
    await gate.tus_patch(opened.token, path, 0, b"x" * 400)
    assert (await gate.ask("DELETE", path, opened.token, headers=TUS)).status == 204
    row = await gate.upload(opened.upload_id)
    assert (row.planned_bytes, row.received_bytes, row.live_files) == (0, 0, 0)


async def test_a_body_with_a_digest_that_is_taken_over_counts_for_nothing(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    digest = {"Upload-Checksum": "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00="}
    async with gate.begun("PATCH", path, opened.token, told(0, 100) | digest, b"x" * 60) as line:
        await gate.read_from(path, 60)
        assert await gate.offset(opened.token, path) == 0
        assert (await line.answer()).code == "taken_over"
    answer = await gate.tus_patch(opened.token, path, 0, b"hello", headers=digest)
    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "5")
