"""The REST facade as CONTRACT 2.2 tells it, over HTTP. `rest_cases` holds what is refused before anything happens."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from urllib.parse import urlencode

import pytest

from gateway.errors import Gone
from gateway.receipts import document
from tests.component.gateway_app import CHUNK, PASSWORD, TUS, chunks_of, gateway_app, init_body, sha256_field
from tests.conformance.rest_cases import CHUNKS, INIT, OCTETS
from tests.unit.delivery.little_pacs import toys


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
async def person(gate):
    return await gate.person()


# --- init -----------------------------------------------------------------------------------------------------------


async def test_init_answers_with_all_that_a_client_needs(gate, person):
    answer = await gate.ask("POST", "/upload/init", person.token, json=init_body([10], endpoint_id="main"))
    assert answer.status == 201
    assert answer.json.keys() >= {
        "upload_id", "upload_token", "expires_in", "refresh_token", "chunk_size", "endpoint_id", "expires_at", "tus_url",
    }  # fmt: skip
    assert answer.json["chunk_size"] == CHUNK
    assert answer.json["expires_in"] == 15 * 60
    assert answer.json["expires_at"] == "2027-01-16T08:00:00Z", "RFC 3339, UTC"


async def test_init_without_an_endpoint_takes_the_default(gate, person):
    assert (await gate.init(person.token)).told["endpoint_id"] == "main"


@pytest.mark.parametrize("case", INIT, ids=lambda case: case.name)
async def test_init_refuses(gate, person, case):
    body = {**init_body([10]), **case.change}
    wish = {name: value for name, value in body.items() if value is not None}
    answer = await gate.ask("POST", "/upload/init", person.token, json=wish)
    assert (answer.status, answer.code) == (case.status, case.code), case.clause
    if case.named is not None:
        assert answer.json["field"] == case.named
    assert await gate.count("uploads") == 0, "a request that fails uses up nothing"


async def test_notes_are_taken_where_they_are_delivered(gate, person):
    answer = await gate.ask("POST", "/upload/init", person.token, json=init_body(clinical_notes="pain"))
    assert (answer.status, answer.json["endpoint_id"]) == (201, "main")


async def test_empty_notes_are_none_and_refused_nowhere(gate, person):
    wish = init_body(endpoint_id="deaf", clinical_notes=" \n")
    assert (await gate.ask("POST", "/upload/init", person.token, json=wish)).status == 201


async def test_nothing_that_was_declared_of_a_patient_lies_open(gate, person):
    opened = await gate.init(person.token, wish={"study_metadata": {"patient_name": "DOE^JANE"},
                                                 "uploader": {"name": "Dr. Roe"},
                                                 "clinical_notes": "pain in the knee"})  # fmt: skip
    status = await gate.status(opened)
    assert "DOE" not in str(status)
    for path in gate.folder.rglob("*"):
        if path.is_file():
            assert b"DOE^JANE" not in path.read_bytes(), path.name
            assert b"Dr. Roe" not in path.read_bytes(), path.name
            assert b"in the knee" not in path.read_bytes(), path.name


# --- Idempotency-Key --------------------------------------------------------------------------------------------------


async def keyed(gate, token: str, key: str = "k-1", **body):
    return await gate.ask("POST", "/upload/init", token, json=init_body(**body), headers={"Idempotency-Key": key})


async def test_the_same_key_and_body_give_the_same_upload_with_fresh_tokens(gate, person):
    first, again = await keyed(gate, person.token), await keyed(gate, person.token)
    assert (first.status, again.status) == (201, 201)
    assert first.json["upload_id"] == again.json["upload_id"]
    assert first.json["upload_token"] != again.json["upload_token"]
    assert first.json["refresh_token"] != again.json["refresh_token"]
    assert await gate.count("uploads") == 1


async def test_racing_requests_with_one_key_open_one_upload(gate, person):
    answers = await asyncio.gather(*(keyed(gate, person.token) for _ in range(8)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["upload_id"] for answer in answers}) == 1


async def test_the_same_key_with_another_body_is_refused(gate, person):
    await keyed(gate, person.token)
    for body in ({"sizes": [11]}, {"sizes": [5, 5]}, {"study_metadata": {"patient_id": "1"}}, {"endpoint_id": "deaf"}):
        answer = await keyed(gate, person.token, **body)
        assert (answer.status, answer.code) == (422, "idempotency_key_reused")


async def test_a_default_that_is_spelled_out_is_the_same_body(gate, person):
    first, again = await keyed(gate, person.token), await keyed(gate, person.token, endpoint_id="main")
    assert first.json["upload_id"] == again.json["upload_id"]


async def test_a_key_belongs_to_its_account(gate, person):
    other = await gate.person("other")
    assert (await keyed(gate, person.token)).json["upload_id"] != (await keyed(gate, other.token)).json["upload_id"]


async def test_a_key_whose_request_failed_is_free(gate, person):
    failed = await keyed(gate, person.token, endpoint_id="nowhere")
    assert failed.status == 422
    assert (await keyed(gate, person.token)).status == 201


async def test_a_key_works_as_long_as_its_upload_lives_and_not_after(tmp_path):
    async with gateway_app(tmp_path, uploads='expires = "30m"') as gate:
        person = await gate.person()
        first = await keyed(gate, person.token)
        for _ in range(3):
            await gate.purge(for_s=20 * 60)
            token = gate.services.mint.access(person.row.account_id, "uploader").token
            again = await keyed(gate, token)
            assert again.json["upload_id"] == first.json["upload_id"]
            renewed = await gate.ask("POST", f"/upload/{first.json['upload_id']}/token", again.json["refresh_token"])
            assert renewed.status == 200
        await gate.purge(for_s=31 * 60)
        token = gate.services.mint.access(person.row.account_id, "uploader").token
        assert (await keyed(gate, token)).json["upload_id"] != first.json["upload_id"]


@pytest.mark.parametrize("key", ["x" * 257])
async def test_a_key_has_a_sensible_length(gate, person, key):
    assert (await keyed(gate, person.token, key)).status == 400


# --- room ---------------------------------------------------------------------------------------------------------------


async def test_init_reserves_the_declared_space_and_full_is_told_at_init(tmp_path):
    async with gateway_app(tmp_path, spool_max_bytes=100_000) as gate:
        person, other = await gate.person(), await gate.person("other")
        first = await gate.init(other.token, [45_000])
        refused = await keyed(gate, person.token, sizes=[41_000])
        assert (refused.status, refused.code) == (507, "spool_full")
        assert await gate.count("uploads") == 1
        single = await gate.tus_create(person.token, 41_000)
        assert (single.status, single.code) == (507, "spool_full")
        await gate.ask("DELETE", f"/upload/{first.upload_id}", first.token)
        await gate.purge()
        assert (await keyed(gate, person.token, sizes=[41_000])).status == 201, "the key was not used up either"


# --- chunks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
@pytest.mark.parametrize("told", [True, False], ids=["total told", "short chunk marks"])
async def test_chunks_in_any_order_make_the_file(gate, person, order, told):
    source = content(3 * CHUNK + 100)
    opened = await gate.init(person.token, [len(source)])
    pieces, received = chunks_of(source), 0
    for index in order:
        answer = await gate.chunk(opened, "a", index, pieces[index], total=4 if told else None)
        received += len(pieces[index])
        assert answer.status == 200
        assert answer.json == {"received_chunk_index": index, "file_id": "a", "received_bytes": received}
    file = await gate.file(opened.upload_id)
    assert file.state == "whole"
    assert await gate.stored(file) == source


async def test_eight_chunks_at_once_make_the_file(gate, person):
    source = content(7 * CHUNK + 5)
    opened = await gate.init(person.token, [len(source)])
    pieces = list(enumerate(chunks_of(source)))
    random.Random(5).shuffle(pieces)
    answers = await asyncio.gather(*(gate.chunk(opened, "a", index, piece, total=8) for index, piece in pieces))
    assert {answer.status for answer in answers} == {200}
    assert max(answer.json["received_bytes"] for answer in answers) == len(source)
    assert await gate.stored(await gate.file(opened.upload_id)) == source


async def test_the_same_chunk_eight_times_at_once_is_kept_once(gate, person):
    source = content(CHUNK + 5)
    opened = await gate.init(person.token, [len(source)])
    pieces = chunks_of(source)
    answers = await asyncio.gather(*(gate.chunk(opened, "a", index % 2, pieces[index % 2]) for index in range(8)))
    assert {answer.status for answer in answers} == {200}
    assert (await gate.status(opened))["uploaded_bytes"] == len(source)
    assert await gate.stored(await gate.file(opened.upload_id)) == source


async def test_of_racing_chunks_with_other_bytes_one_wins_whole(gate, person):
    opened = await gate.init(person.token, [CHUNK])
    sources = [bytes([number]) * CHUNK for number in range(6)]
    answers = await asyncio.gather(*(gate.chunk(opened, "a", 0, source, total=1) for source in sources))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 5
    winner = next(source for source, answer in zip(sources, answers, strict=True) if answer.status == 200)
    assert await gate.stored(await gate.file(opened.upload_id)) == winner


async def test_the_same_bytes_again_change_nothing(gate, person):
    opened = await gate.init(person.token, [CHUNK + 5, 10])
    await gate.send_file(opened, "a", content(CHUNK + 5))
    before = await gate.status(opened)
    again = await gate.chunk(opened, "a", 0, content(CHUNK + 5)[:CHUNK])
    assert again.status == 200
    assert again.json["received_bytes"] == CHUNK + 5
    assert await gate.status(opened) == before


@pytest.mark.parametrize("size", [CHUNK, CHUNK - 1, 0])
async def test_other_bytes_at_the_same_place_are_a_conflict(gate, person, size):
    opened = await gate.init(person.token, [CHUNK * 2])
    await gate.chunk(opened, "a", 0, content(CHUNK))
    answer = await gate.chunk(opened, "a", 0, content(size, seed=2))
    assert (answer.status, answer.code) == (409, "chunk_conflict")
    assert await gate.stored(await gate.file(opened.upload_id)) == content(CHUNK)


@pytest.mark.parametrize("case", CHUNKS, ids=lambda case: case.name)
async def test_a_chunk_is_refused(gate, person, case):
    opened = await gate.init(person.token, [CHUNK * 2, CHUNK * 2])
    for index, size in case.before.items():
        assert (await gate.chunk(opened, "a", index, content(size))).status == 200
    before = await gate.status(opened)
    answer = await gate.ask(
        "PUT",
        f"/upload/{opened.upload_id}/chunk?{urlencode(case.query)}",
        opened.token,
        data=content(case.size, seed=3),
        headers={"Content-Type": OCTETS, **case.headers},
    )
    assert (answer.status, answer.code) == (case.status, case.code), case.clause
    after = await gate.status(opened)
    assert after["uploaded_bytes"] == before["uploaded_bytes"], "kept whole or not at all"


async def test_a_total_that_contradicts_an_earlier_one_is_refused(gate, person):
    opened = await gate.init(person.token, [CHUNK * 4])
    await gate.chunk(opened, "a", 0, content(CHUNK), total=3)
    answer = await gate.chunk(opened, "a", 1, content(CHUNK), total=4)
    assert (answer.status, answer.code) == (409, "length_mismatch")


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
async def test_a_digest_that_matches_is_taken(gate, person, algorithm):
    opened = await gate.init(person.token, [100])
    digest = base64.b64encode(hashlib.new(algorithm.replace("-", ""), content(100)).digest()).decode()
    answer = await gate.chunk(opened, "a", 0, content(100), headers={"Content-Digest": f"{algorithm}=:{digest}:"})
    assert answer.status == 200


async def test_a_chunk_whose_digest_was_wrong_can_be_sent_again(gate, person):
    opened = await gate.init(person.token, [100])
    told = {"Content-Digest": sha256_field(content(100))}
    wrong = await gate.chunk(opened, "a", 0, content(100, seed=2), headers=told)
    assert (wrong.status, wrong.code) == (460, "checksum_mismatch")
    assert (await gate.chunk(opened, "a", 0, content(100), headers=told)).status == 200
    assert await gate.stored(await gate.file(opened.upload_id)) == content(100)


async def test_a_repeat_with_a_wrong_digest_is_a_mismatch_too(gate, person):
    opened = await gate.init(person.token, [100])
    await gate.chunk(opened, "a", 0, content(100))
    told = {"Content-Digest": sha256_field(b"other")}
    assert (await gate.chunk(opened, "a", 0, content(100), headers=told)).status == 460


async def test_a_chunk_in_chunked_coding_is_measured_as_it_comes(gate, person):
    opened = await gate.init(person.token, [CHUNK * 4])

    async def pieces(size: int):
        yield content(CHUNK)[: size // 2]
        yield content(CHUNK + 1)[size // 2 : size]

    assert (await gate.chunk(opened, "a", 0, pieces(CHUNK))).status == 200
    too_long = await gate.chunk(opened, "a", 1, pieces(CHUNK + 1))
    assert (too_long.status, too_long.code) == (413, "body_too_large")
    assert (await gate.status(opened))["uploaded_bytes"] == CHUNK


async def test_an_empty_file_is_one_empty_chunk(gate, person):
    opened = await gate.init(person.token, [0, 10])
    answer = await gate.chunk(opened, "empty", 0, b"", total=1)
    assert answer.status == 200
    assert (await gate.file(opened.upload_id)).state == "whole"


async def test_more_files_than_declared_are_refused(gate, person):
    opened = await gate.init(person.token, [10])
    await gate.chunk(opened, "a", 0, b"01234")
    answer = await gate.chunk(opened, "b", 0, b"56789")
    assert (answer.status, answer.code) == (409, "too_many_files")


async def test_file_ids_are_the_clients_and_unique_in_its_upload_only(gate, person):
    one, two = await gate.init(person.token), await gate.init(person.token)
    for opened in (one, two):
        await gate.send_file(opened, "A-z_0", b"0123456789")
    listed = await gate.ask("GET", f"/upload/{one.upload_id}/files", one.token)
    assert [file["file_id"] for file in listed.json["files"]] == ["A-z_0"]


async def test_a_chunk_needs_no_content_type_and_may_have_parameters(gate, person):
    opened = await gate.init(person.token, [2 * CHUNK + 1])
    path = f"/upload/{opened.upload_id}/chunk?file_id=a&chunk_index="
    for index, said in enumerate(({}, {"Content-Type": "Application/Octet-Stream; x=y"})):
        told = {"Content-Length": str(CHUNK), **said}
        async with gate.begun("PUT", f"{path}{index}", opened.token, told, content(CHUNK)) as line:
            assert (await line.answer()).status == 200


@pytest.mark.parametrize("query", ["file_id=a&file_id=b&chunk_index=0", "file_id=a&chunk_index=0&chunk_index=1"])
async def test_a_chunk_whose_place_is_told_twice_is_refused(gate, person, query):
    opened = await gate.init(person.token)
    answer = await gate.ask("PUT", f"/upload/{opened.upload_id}/chunk?{query}", opened.token, data=b"0123456789",
                            headers={"Content-Type": OCTETS})  # fmt: skip
    assert (answer.status, answer.code) == (422, "invalid_field")


async def test_text_that_is_no_unicode_is_refused(gate, person):
    for notes, status in ((rb"\ud83e\ude7b", 201), (rb"\ud83e", 400)):
        body = b'{"study_metadata": {"patient_name": "%s"}, "total_files": 1, "total_size_bytes": 1}' % notes
        assert (await gate.ask("POST", "/upload/init", person.token, data=body)).status == status


async def test_a_json_body_that_names_a_field_twice_is_refused(gate, person):
    body = (
        b'{"study_metadata": {}, "total_files": 1, "total_size_bytes": 1, "clinical_notes": "a", "clinical_notes": ""}'
    )
    answer = await gate.ask("POST", "/upload/init", person.token, data=body)
    assert (answer.status, answer.code) == (400, "malformed_json")


# --- chunks as multipart ----------------------------------------------------------------------------------------------------


async def multipart(gate, opened, parts: list[tuple[str, bytes]], **headers: str):
    body = b""
    for name, value in parts:
        filename = '; filename="DOE^JANE.dcm"' if name == "binary_payload" else ""
        body += f'--xx\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'.encode() + value + b"\r\n"
    told = {"Content-Type": "multipart/form-data; boundary=xx", **headers}
    path = f"/upload/{opened.upload_id}/chunk"
    return await gate.ask("PUT", path, opened.token, data=body + b"--xx--\r\n", headers=told)


PAYLOAD, ID, INDEX = ("binary_payload", b"0123456789"), ("file_id", b"a"), ("chunk_index", b"0")
TOTAL = ("total_chunks", b"1")


@pytest.mark.parametrize(
    "parts", [[ID, INDEX, PAYLOAD], [PAYLOAD, ID, INDEX], [TOTAL, PAYLOAD, INDEX, ID], [ID, PAYLOAD, TOTAL, INDEX]]
)
async def test_multipart_fields_come_in_any_order(gate, person, parts):
    opened = await gate.init(person.token)
    answer = await multipart(gate, opened, parts)
    assert answer.status == 200, answer.json
    assert answer.json == {"received_chunk_index": 0, "file_id": "a", "received_bytes": 10}
    assert await gate.stored(await gate.file(opened.upload_id)) == b"0123456789"


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ([ID, INDEX], 422, "missing_field"),
        ([ID, PAYLOAD], 422, "missing_field"),
        ([INDEX, PAYLOAD], 422, "invalid_field"),
        ([("file_id", b"a b"), INDEX, PAYLOAD], 422, "invalid_field"),
        ([("file_id", b"\xff"), INDEX, PAYLOAD], 400, "malformed"),
        ([("file_id", b"a" * 300), INDEX, PAYLOAD], 413, "body_too_large"),
        ([ID, INDEX, ("binary_payload", b"x" * (CHUNK + 1))], 413, "body_too_large"),
        ([ID, ID, INDEX, PAYLOAD], 400, "malformed"),
        ([ID, INDEX, PAYLOAD, PAYLOAD], 400, "malformed"),
        ([ID, INDEX, PAYLOAD, *[(f"x{n}", b"y") for n in range(50)]], 400, "malformed"),
    ],
)
async def test_multipart_is_refused(gate, person, parts, status, code):
    opened = await gate.init(person.token)
    answer = await multipart(gate, opened, parts)
    assert (answer.status, answer.code) == (status, code)
    assert (await gate.status(opened))["uploaded_bytes"] == 0


async def test_a_largest_chunk_fits_into_multipart(gate, person):
    opened = await gate.init(person.token, [CHUNK * 2])
    answer = await multipart(gate, opened, [("binary_payload", content(CHUNK)), INDEX, ID])
    assert answer.json["received_bytes"] == CHUNK


@pytest.mark.parametrize("body", [b"", b"--xx", b"--xx--\r\n", b"garbage", b"--xx\r\n\r\n\r\n--xx--\r\n", b"--xx\r\nA"])
async def test_a_multipart_body_that_cant_be_read_is_the_clients_fault(gate, person, body):
    opened = await gate.init(person.token)
    headers = {"Content-Type": "multipart/form-data; boundary=xx"}
    answer = await gate.ask("PUT", f"/upload/{opened.upload_id}/chunk", opened.token, data=body, headers=headers)
    assert answer.status in {400, 422}
    none = {"Content-Type": "multipart/form-data"}
    answer = await gate.ask("PUT", f"/upload/{opened.upload_id}/chunk", opened.token, data=body, headers=none)
    assert answer.status == 400


async def test_no_part_of_a_multipart_body_is_on_a_disk_in_clear(gate, person, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    opened = await gate.init(person.token, [CHUNK])
    assert (await multipart(gate, opened, [ID, INDEX, ("binary_payload", b"DOE^JANE" * 128)])).status == 200
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"DOE^JANE" not in path.read_bytes()


# --- complete ---------------------------------------------------------------------------------------------------------------


async def test_complete_of_an_upload_that_lacks_something_says_what(gate, person):
    opened = await gate.init(person.token, [10, 20])
    await gate.send_file(opened, "a", content(10))
    answer = await gate.complete(opened)
    assert (answer.status, answer.code) == (409, "incomplete")
    assert answer.json["expected"] == {"files": 2, "size_bytes": 30}
    assert answer.json["got"] == {"files": 1, "size_bytes": 10}
    assert answer.json["missing"] == {"files": 1, "size_bytes": 20}
    assert (await gate.status(opened))["state"] == "uploading"


async def test_complete_that_would_wait_may_come_a_moment_before_the_last_file(gate, person, monkeypatch):
    first, last = (toy.content for toy in toys(2))
    opened = await gate.init(person.token, [len(first), len(last)])
    await gate.send_file(opened, "a", first)
    came, watch = asyncio.Event(), gate.ledger.watch

    def watched(topic):
        came.set()
        return watch(topic)

    monkeypatch.setattr(gate.ledger, "watch", watched)
    asked = asyncio.create_task(gate.complete(opened, wait_s=30))
    async with asyncio.timeout(5):
        await came.wait()
    await gate.send_file(opened, "b", last)
    while (await gate.upload(opened.upload_id)).completed_at is None:
        assert not asked.done()
        await asyncio.sleep(0.005)
    await gate.deliver(for_s=3600)
    assert (await asked).json["status"] == "success"


async def test_complete_that_would_wait_is_refused_soon_where_nothing_comes(gate, person):
    opened = await gate.init(person.token, [10, 20])
    await gate.send_file(opened, "a", content(10))
    answer = await gate.complete(opened, wait_s=30)
    assert (answer.status, answer.code) == (409, "incomplete")


async def test_complete_wants_exactly_the_declared_bytes(gate, person):
    opened = await gate.init(person.token, [10, 20])
    await gate.send_file(opened, "a", content(10))
    await gate.send_file(opened, "b", content(19))
    answer = await gate.complete(opened)
    assert (answer.status, answer.code) == (409, "incomplete")
    assert answer.json["missing"] == {"files": 0, "size_bytes": 1}


async def test_a_file_whose_end_nobody_told_is_whole_at_complete(gate, person):
    opened = await gate.init(person.token, [CHUNK * 2])
    for index, piece in enumerate(chunks_of(content(CHUNK * 2))):
        await gate.chunk(opened, "a", index, piece)
    assert (await gate.file(opened.upload_id)).state == "receiving"
    assert (await gate.complete(opened)).status == 202
    assert await gate.stored(await gate.file(opened.upload_id)) == content(CHUNK * 2)


async def test_a_file_with_a_hole_isnt_whole_at_complete(gate, person):
    opened = await gate.init(person.token, [CHUNK * 2])
    await gate.chunk(opened, "a", 0, content(CHUNK))
    await gate.chunk(opened, "a", 2, content(CHUNK))
    answer = await gate.complete(opened)
    assert (answer.status, answer.code) == (409, "incomplete")
    file = await gate.file(opened.upload_id)
    assert file.state == "receiving"
    assert (await gate.chunk(opened, "a", 1, b"", total=3)).status == 409


async def test_after_complete_nothing_comes_in_any_more(gate, person):
    opened = await gate.init(person.token, [10])
    await gate.send_file(opened, "a", content(10))
    path = await gate.tus_file(person.token, 10)
    assert (await gate.complete(opened)).status == 202
    for answer in [
        await gate.chunk(opened, "a", 0, content(10), total=1),
        await gate.chunk(opened, "a", 1, content(10)),
        await gate.tus_create(opened.token, 5),
        await gate.ask("DELETE", f"/upload/{opened.upload_id}/files/a", opened.token),
    ]:
        assert (answer.status, answer.code) == (409, "upload_completed")
    assert await gate.offset(person.token, path) == 0, "other uploads are not concerned"


async def test_complete_is_idempotent(gate, person):
    opened = await gate.init(person.token, [10])
    await gate.send_file(opened, "a", content(10))
    answers = await asyncio.gather(*(gate.complete(opened) for _ in range(5)))
    assert {answer.status for answer in answers} == {202}
    events = await gate.ledger.read(lambda tx: [one.event for one in tx.audit.after(0, 1000)])
    assert events.count("upload.completed") == 1


async def test_a_chunk_that_commits_after_complete_is_refused(gate, person):
    opened = await gate.init(person.token, [10, 10])
    await gate.send_file(opened, "a", content(10))
    told = {"Content-Type": OCTETS, "Content-Length": "10"}
    path = f"/upload/{opened.upload_id}/chunk?file_id=b&chunk_index=0"
    async with gate.begun("PUT", path, opened.token, told, b"01234") as line:
        await gate.in_flight()
        assert (await gate.complete(opened, {"skipped": [{"file_id": "b", "reason": "late"}]})).status == 202
        await line.send(b"56789")
        answer = await line.answer()
    assert (answer.status, answer.code) == (409, "upload_completed")


@pytest.mark.parametrize("body", [{"checksum": {}}, {"skipped": [{"file": "a"}]}])
async def test_complete_names_a_field_it_doesnt_know(gate, person, body):
    opened = await gate.init(person.token)
    answer = await gate.complete(opened, body)
    assert (answer.status, answer.code) == (422, "unknown_field")


async def test_complete_may_have_no_body(gate, person):
    opened = await gate.init(person.token)
    await gate.send_file(opened, "a", content(10))
    answer = await gate.ask("POST", f"/upload/{opened.upload_id}/complete", opened.token, headers={"Prefer": "wait=0"})
    assert answer.status == 202


async def test_checksums_that_match_let_it_through(gate, person):
    opened = await gate.init(person.token, [CHUNK + 10, 20])
    await gate.send_file(opened, "a", content(CHUNK + 10))
    await gate.send_file(opened, "b", content(20))
    checksums = {"a": sha256_field(content(CHUNK + 10)), "b": sha256_field(content(20))}
    assert (await gate.complete(opened, {"checksums": checksums})).status == 202


async def test_a_checksum_that_doesnt_match_leaves_the_upload_open(gate, person):
    opened = await gate.init(person.token, [10])
    await gate.send_file(opened, "a", content(10))
    answer = await gate.complete(opened, {"checksums": {"a": sha256_field(b"other")}})
    assert (answer.status, answer.code) == (460, "checksum_mismatch")
    assert (await gate.status(opened))["state"] == "uploading"
    assert (await gate.complete(opened)).status == 202


async def test_a_checksum_of_a_file_that_isnt_whole_is_incomplete(gate, person):
    opened = await gate.init(person.token, [CHUNK * 3])
    await gate.chunk(opened, "a", 0, content(CHUNK))
    await gate.chunk(opened, "a", 2, content(CHUNK))
    answer = await gate.complete(opened, {"checksums": {"a": sha256_field(b"x")}})
    assert (answer.status, answer.code) == (409, "incomplete")
    assert answer.json.keys() >= {"expected", "got", "missing"}


async def test_a_checksum_of_a_file_that_isnt_there_is_not_found(gate, person):
    opened = await gate.init(person.token, [10])
    await gate.send_file(opened, "a", content(10))
    answer = await gate.complete(opened, {"checksums": {"b": sha256_field(b"x")}})
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize(
    "skipped",
    [
        [{"file_id": "b", "reason": "changed on disk"}, {"file_id": "c", "reason": "never sent"}],
        [{"file_id": "b", "reason": ""}, {"reason": "DICOMDIR"}],
    ],
)
async def test_what_is_skipped_isnt_waited_for(gate, person, skipped):
    opened = await gate.init(person.token, [10, CHUNK + 10, 30])
    await gate.send_file(opened, "a", content(10))
    await gate.chunk(opened, "b", 0, content(CHUNK), total=2)
    answer = await gate.complete(opened, {"skipped": skipped})
    assert answer.status == 202, answer.json
    files = (await gate.ask("GET", f"/upload/{opened.upload_id}/files", opened.token)).json["files"]
    assert {file["file_id"]: file["state"] for file in files} == {"a": "queued", "b": "skipped"}


async def test_a_whole_file_may_be_skipped_too(gate, person):
    opened = await gate.init(person.token, [10, 20])
    await gate.send_file(opened, "a", content(10))
    await gate.send_file(opened, "b", content(20))
    assert (await gate.complete(opened, {"skipped": [{"file_id": "b", "reason": "wrong patient"}]})).status == 202
    assert (await gate.status(opened))["files"] == {"queued": 1, "skipped": 1}


async def test_a_file_skipped_twice_counts_once(gate, person):
    opened = await gate.init(person.token, [10, 20, 30])
    await gate.send_file(opened, "a", content(10))
    answer = await gate.complete(
        opened, {"skipped": [{"file_id": "b", "reason": "r"}, {"file_id": "b", "reason": "r"}]}
    )
    assert (answer.status, answer.code) == (422, "invalid_field")


async def test_more_files_cant_be_skipped_than_were_declared(gate, person):
    opened = await gate.init(person.token, [10])
    answer = await gate.complete(opened, {"skipped": [{"reason": "not readable"}, {"reason": "not readable"}]})
    assert (answer.status, answer.json["field"]) == (422, "skipped")


async def test_more_bytes_than_declared_are_never_right_whatever_is_skipped(gate, person):
    opened = await gate.init(person.token, [10, 20])
    await gate.send_file(opened, "a", content(30))
    answer = await gate.complete(opened, {"skipped": [{"file_id": "a", "reason": "r"}]})
    assert (answer.status, answer.code) == (409, "incomplete")


# --- waiting and the outcome ------------------------------------------------------------------------------------------------


async def delivered(gate, person, count: int = 2):
    """An upload of toys that the little PACS takes."""
    sources = [toy.content for toy in toys(count)]
    opened = await gate.init(person.token, [len(source) for source in sources])
    for number, source in enumerate(sources):
        await gate.send_file(opened, f"f{number}", source)
    return opened


async def test_complete_still_running_says_where_to_look_and_when(gate, person):
    opened = await delivered(gate, person)
    answer = await gate.complete(opened)
    assert answer.status == 202
    assert answer.json["state"] == "delivering"
    assert answer.headers["Location"].endswith(f"/upload/{opened.upload_id}/status")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Preference-Applied"] == "wait=0"


async def test_complete_waits_for_the_outcome(gate, person):
    opened = await delivered(gate, person)
    asked = asyncio.create_task(gate.complete(opened, wait_s=30))
    while (await gate.upload(opened.upload_id)).completed_at is None:
        await asyncio.sleep(0.005)
    await gate.deliver(for_s=3600)
    answer = await asked
    assert answer.status == 200
    assert answer.json["status"] == "success"
    assert answer.json["pacs_receipt_id"]
    assert answer.json["warnings"] == []
    assert answer.json["studies"][0]["stored"] == 2
    assert answer.headers["Preference-Applied"] == "wait=30"


@pytest.mark.parametrize(("prefer", "applied"), [("wait=600", "wait=60"), ("respond-async", None), (None, None)])
async def test_only_a_preference_that_was_applied_is_told(gate, person, prefer, applied):
    opened = await delivered(gate, person)
    await gate.complete(opened)
    await gate.deliver(for_s=3600)
    headers = {} if prefer is None else {"Prefer": prefer}
    answer = await gate.ask("POST", f"/upload/{opened.upload_id}/complete", opened.token, json={}, headers=headers)
    if answer.status == 401:  # an hour of the clock's time has gone by
        token = gate.services.mint.upload(opened.upload_id, person.row.account_id).token
        answer = await gate.ask("POST", f"/upload/{opened.upload_id}/complete", token, json={}, headers=headers)
    assert answer.status == 200
    assert answer.headers.get("Preference-Applied") == applied


async def test_what_the_pacs_refused_makes_it_partial_with_a_warning_that_names_no_value(gate, person):
    one, two = toys(2)
    gate.pacs.failures[two.uid] = 0xA900
    opened = await delivered(gate, person)
    await gate.complete(opened)
    await gate.deliver(for_s=3600)
    fresh = gate.services.mint.upload(opened.upload_id, person.row.account_id).token
    answer = await gate.complete(opened, token=fresh)
    assert answer.json["status"] == "partial"
    warning = answer.json["warnings"][0]
    assert warning["code"] == "refused_by_pacs"
    assert warning["file_id"] == "f1"
    assert warning["sop_instance_uid"] == two.uid
    assert warning["message"]
    assert one.patient_name not in answer.body.decode()


async def test_an_upload_that_adds_up_is_completed_without_a_word_after_its_time(gate, person):
    opened = await delivered(gate, person)
    gate.clock.advance(59)
    await gate.workers.run_due()
    assert (await gate.status(opened))["state"] == "uploading"
    gate.clock.advance(2)
    await gate.deliver()
    assert (await gate.status(opened))["state"] == "success"


async def test_news_puts_the_automatic_completion_off(gate, person):
    sources = [content(10, 1), content(10, 2)]
    opened = await gate.init(person.token, [10, 10])
    await gate.send_file(opened, "a", sources[0])
    await gate.send_file(opened, "b", sources[1])
    gate.clock.advance(50)
    await gate.ask("DELETE", f"/upload/{opened.upload_id}/files/b", opened.token)
    gate.clock.advance(50)
    await gate.workers.run_due()
    assert (await gate.status(opened))["state"] == "uploading"
    gate.clock.advance(11)
    await gate.workers.run_due()
    assert (await gate.upload(opened.upload_id)).completed_at is not None


async def test_an_upload_that_doesnt_add_up_isnt_completed_by_itself(gate, person):
    opened = await gate.init(person.token, [10, 10])
    await gate.send_file(opened, "a", content(10))
    gate.clock.advance(600)
    await gate.workers.run_due()
    assert (await gate.status(opened))["state"] == "uploading"


# --- status and files -------------------------------------------------------------------------------------------------------


async def test_status_tells_how_far_it_is(gate, person):
    opened = await gate.init(person.token, [100, 100])
    assert (await gate.status(opened))["state"] == "open"
    await gate.chunk(opened, "a", 0, content(50))
    status = await gate.status(opened)
    assert status.keys() >= {
        "upload_id", "endpoint_id", "state", "progress_percent", "uploaded_bytes", "total_bytes", "files", "studies",
        "pacs_receipt_id", "warnings", "expires_at",
    }  # fmt: skip
    assert status["state"] == "uploading"
    assert (status["uploaded_bytes"], status["total_bytes"], status["progress_percent"]) == (50, 200, 25.0)
    assert status["files"] == {"whole": 1}
    assert status["pacs_receipt_id"] is None


async def test_an_upload_of_nothing_is_no_division_by_zero(gate, person):
    opened = await gate.init(person.token, [0])
    assert (await gate.status(opened))["progress_percent"] in {0.0, 100.0}


async def test_files_tell_their_chunks_as_ranges(gate, person):
    opened = await gate.init(person.token, [CHUNK * 7, 10])
    for index in (0, 1, 2, 5):
        await gate.chunk(opened, "a", index, content(CHUNK))
    await gate.tus_file(opened.token, 10, body=b"0123", metadata={"file_id": "b"})
    answer = await gate.ask("GET", f"/upload/{opened.upload_id}/files", opened.token)
    files = {file["file_id"]: file for file in answer.json["files"]}
    assert files["a"] == {"file_id": "a", "state": "receiving", "size": None, "offset": CHUNK * 4, "outcome": None,
                          "received_chunks": [[0, 2], [5, 5]]}  # fmt: skip
    assert files["b"] == {"file_id": "b", "state": "receiving", "size": 10, "offset": 4, "outcome": None,
                              "received_chunks": []}  # fmt: skip


async def test_files_come_in_pages(gate, person):
    opened = await gate.init(person.token, [1] * 5)
    for number in range(5):
        await gate.chunk(opened, f"f{number}", 0, b"x")
    seen: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        page = await gate.ask("GET", f"/upload/{opened.upload_id}/files?limit=2&cursor={cursor}", opened.token)
        assert len(page.json["files"]) <= 2
        seen += [file["file_id"] for file in page.json["files"]]
        cursor, pages = page.json["cursor"], pages + 1
    assert sorted(seen) == [f"f{number}" for number in range(5)]
    assert pages == 3


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "limit=1001", "limit=99999999999999999999"])
async def test_a_limit_is_a_number_within_bounds(gate, person, query):
    opened = await gate.init(person.token)
    answer = await gate.ask("GET", f"/upload/{opened.upload_id}/files?{query}", opened.token)
    assert (answer.status, answer.json["field"]) == (422, "limit")


async def test_a_file_tells_its_outcome_once_there_is_one(gate, person):
    opened = await delivered(gate, person, 1)
    await gate.complete(opened)
    await gate.deliver()
    file = (await gate.ask("GET", f"/upload/{opened.upload_id}/files", opened.token)).json["files"][0]
    assert file["state"] == "stored"
    assert file["outcome"] == "stored"
    assert file["sop_instance_uid"] == toys(1)[0].uid


# --- receipt ----------------------------------------------------------------------------------------------------------------


async def test_there_is_no_receipt_before_the_end(gate, person):
    opened = await delivered(gate, person)
    answer = await gate.ask("GET", f"/upload/{opened.upload_id}/receipt", opened.token)
    assert (answer.status, answer.code) == (404, "no_receipt_yet")


async def test_the_receipt_is_a_signed_proof_that_anyone_can_check(gate, person):
    opened = await delivered(gate, person)
    await gate.complete(opened)
    await gate.deliver()
    answer = await gate.ask("GET", f"/upload/{opened.upload_id}/receipt", opened.token)
    assert answer.status == 200
    keys = (await gate.ask("GET", "/.well-known/jwks.json")).json
    payload = document.verify(answer.body.decode(), keys)
    status = await gate.status(opened)
    assert payload["upload_id"] == opened.upload_id
    assert payload["pacs_receipt_id"] == status["pacs_receipt_id"]
    assert payload["endpoint_id"] == "main"
    assert {one["sha256"] for one in payload["instances"]} == {toy.sha256 for toy in toys(2)}
    assert {one["outcome"] for one in payload["instances"]} == {"stored"}
    assert toys(1)[0].patient_name not in str(payload)
    await gate.purge(for_s=600)
    assert (await gate.ask("GET", f"/upload/{opened.upload_id}/receipt", opened.token)).body == answer.body


# --- taking files out, cancelling -------------------------------------------------------------------------------------------


async def test_a_bad_file_is_taken_out_and_the_totals_go_down(gate, person):
    opened = await gate.init(person.token, [10, 20])
    await gate.send_file(opened, "a", content(10))
    await gate.send_file(opened, "b", content(20))
    assert (await gate.ask("DELETE", f"/upload/{opened.upload_id}/files/b", opened.token)).status == 204
    status = await gate.status(opened)
    assert (status["total_bytes"], status["uploaded_bytes"], status["files"]) == (10, 10, {"whole": 1})
    assert (await gate.complete(opened)).status == 202


async def test_a_file_taken_out_is_gone_from_list_and_disk(gate, person):
    opened = await gate.init(person.token, [10, 20])
    await gate.send_file(opened, "b", content(20))
    segments = await gate.ledger.read(lambda tx: tx.runs.segment_ids(opened.upload_id))
    await gate.ask("DELETE", f"/upload/{opened.upload_id}/files/b", opened.token)
    assert (await gate.ask("GET", f"/upload/{opened.upload_id}/files", opened.token)).json["files"] == []
    assert not {facts.name for facts in gate.blobs.list()} & set(segments)
    for again in ("b", "nothing"):
        answer = await gate.ask("DELETE", f"/upload/{opened.upload_id}/files/{again}", opened.token)
        assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("name", ["a%20b", "a.b", "x" * 65])
async def test_only_a_files_id_names_a_file(gate, person, name):
    opened = await gate.init(person.token)
    answer = await gate.ask("DELETE", f"/upload/{opened.upload_id}/files/{name}", opened.token)
    assert answer.status == 422


async def test_a_cancelled_upload_is_gone_and_says_so(gate, person):
    opened = await gate.init(person.token, [CHUNK * 2])
    path = await gate.tus_file(opened.token, CHUNK, body=content(10))
    assert (await gate.ask("DELETE", f"/upload/{opened.upload_id}", opened.token)).status == 204
    for answer in [
        await gate.ask("GET", f"/upload/{opened.upload_id}/status", opened.token),
        await gate.ask("GET", f"/upload/{opened.upload_id}/status", person.token),
        await gate.chunk(opened, "a", 0, content(CHUNK)),
        await gate.complete(opened),
        await gate.tus_create(opened.token, 5),
        await gate.tus_patch(opened.token, path, 10, b"x"),
        await gate.ask("DELETE", f"/upload/{opened.upload_id}/files/a", opened.token),
    ]:
        assert (answer.status, answer.code) == (410, "upload_gone")
        assert answer.json["state"] == "cancelled"
        assert answer.json["pacs_receipt_id"] is None
        assert answer.json["warnings"] == []
    assert (await gate.tus_head(opened.token, path)).status == 410
    assert (await gate.ask("GET", f"/upload/{opened.upload_id}/receipt", opened.token)).code == "no_receipt_yet"


async def test_the_refresh_token_of_a_dead_upload_hears_what_became_of_it(gate, person):
    opened = await gate.init(person.token)
    assert (await gate.ask("DELETE", f"/upload/{opened.upload_id}", opened.token)).status == 204
    for _ in range(2):
        answer = await gate.ask("POST", f"/upload/{opened.upload_id}/token", opened.told["refresh_token"])
        assert (answer.status, answer.code, answer.json["state"]) == (410, "upload_gone", "cancelled")


async def test_cancelling_cuts_a_body_in_flight_and_tells_it_why(gate, person):
    opened = await gate.init(person.token, [100])
    path = await gate.tus_file(opened.token, 100)
    async with gate.hanging_patch(opened.token, path, 0, 100, b"0123456789") as line:
        assert (await gate.ask("DELETE", f"/upload/{opened.upload_id}", opened.token)).status == 204
        answer = await line.answer()
    assert (answer.status, answer.code) == (410, "upload_gone")
    assert answer.json.keys() >= {"state", "pacs_receipt_id", "warnings"}
    await gate.purge()
    assert not list(gate.blobs.list())


async def test_bytes_of_a_cancelled_upload_cant_be_read_and_go_at_the_next_purge(gate, person):
    opened = await gate.init(person.token, [CHUNK])
    await gate.send_file(opened, "a", content(CHUNK))
    upload, file = await gate.upload(opened.upload_id), await gate.file(opened.upload_id)

    async def keys():
        return await gate.ledger.read(lambda tx: (tx.keys.get(upload.key_id), tx.keys.get(file.key_id)))

    assert None not in await keys()
    await gate.ask("DELETE", f"/upload/{opened.upload_id}", opened.token)
    assert (await gate.upload(opened.upload_id)).key_id is None
    assert (await keys())[0] is None, "what its files' keys are wrapped under"
    with pytest.raises(Gone):
        await gate.stored(file)
    await gate.purge()
    assert await keys() == (None, None)
    assert not list(gate.blobs.list())


async def test_an_expired_upload_says_so(tmp_path):
    async with gateway_app(tmp_path, uploads='expires = "10m"') as gate:
        opened = await gate.init((await gate.person()).token, [100])
        await gate.purge(for_s=11 * 60)
        answer = await gate.ask("GET", f"/upload/{opened.upload_id}/status", opened.token)
        assert (answer.status, answer.json["state"]) == (410, "expired")
        assert answer.json.keys() >= {"pacs_receipt_id", "warnings"}
        answer = await gate.ask("POST", f"/upload/{opened.upload_id}/token", opened.told["refresh_token"])
        assert (answer.status, answer.json["state"]) == (410, "expired")


async def test_an_admin_must_say_why_and_the_uploader_sees_it(gate, person):
    admin = await gate.person("root", "admin")
    opened = await gate.init(person.token)
    path = f"/upload/{opened.upload_id}"
    answer = await gate.ask("DELETE", path, admin.token)
    assert (answer.status, answer.code) == (422, "reason_required")
    assert (await gate.ask("DELETE", path, admin.token, json={"reason": "sent twice"})).status == 204
    told = await gate.ask("GET", f"{path}/status", opened.token)
    assert told.status == 410
    assert told.json["warnings"][0]["message"] == "sent twice"


async def test_what_the_pacs_has_already_gets_a_receipt_and_a_warning(gate, person):
    opened = await delivered(gate, person, 2)
    await gate.complete(opened)
    one, two = toys(2)
    loop, cancelled = asyncio.get_running_loop(), asyncio.Event()

    async def cancel() -> None:
        await gate.ask("DELETE", f"/upload/{opened.upload_id}", opened.token)
        cancelled.set()

    gate.pacs.on_instance = lambda uid: asyncio.run_coroutine_threadsafe(cancel(), loop).result(10) if (
        uid == two.uid
    ) else None  # fmt: skip
    await gate.deliver()
    assert cancelled.is_set()
    answer = await gate.ask("GET", f"/upload/{opened.upload_id}/status", opened.token)
    assert answer.status == 410
    if one.uid in gate.pacs.held:
        assert "partial_left_in_pacs" in {warning["code"] for warning in answer.json["warnings"]}


async def test_a_delivered_upload_cant_be_cancelled(gate, person):
    opened = await delivered(gate, person)
    await gate.complete(opened)
    await gate.deliver()
    answer = await gate.ask("DELETE", f"/upload/{opened.upload_id}", opened.token)
    assert (answer.status, answer.code, answer.json["state"]) == (409, "conflict", "success")


async def test_no_file_is_taken_out_of_a_delivered_upload(gate, person):
    opened = await delivered(gate, person)
    await gate.complete(opened)
    await gate.deliver()
    await gate.purge()
    answer = await gate.ask("DELETE", f"/upload/{opened.upload_id}/files/f0", opened.token)
    assert (answer.status, answer.code) == (409, "upload_completed")


# --- dialects ---------------------------------------------------------------------------------------------------------------


async def test_an_upload_may_hold_files_of_both_protocols(gate, person):
    opened = await gate.init(person.token, [10, 10])
    await gate.send_file(opened, "a", content(10))
    await gate.tus_file(opened.token, 10, body=content(10, 2), metadata={"file_id": "b"})
    assert (await gate.complete(opened)).status == 202


async def test_a_file_belongs_to_the_protocol_that_made_it(gate, person):
    opened = await gate.init(person.token, [CHUNK, CHUNK])
    await gate.chunk(opened, "a", 0, content(10))
    path = await gate.tus_file(opened.token, CHUNK, metadata={"file_id": "b"})
    for answer in [
        await gate.chunk(opened, "b", 0, content(CHUNK)),
        await gate.tus_create(opened.token, CHUNK, metadata={"file_id": "a"}),
        await gate.tus_patch(opened.token, f"/files/{(await _rest_file(gate, opened)).file_id}", 10, b"x"),
    ]:
        assert (answer.status, answer.code) == (409, "other_dialect")
    assert await gate.offset(opened.token, path) == 0


async def _rest_file(gate, opened):
    files = await gate.ledger.read(lambda tx: tx.files.page(opened.upload_id))
    return next(file for file in files if file.dialect == "rest")


# --- the end to end picture -------------------------------------------------------------------------------------------------


async def test_a_client_with_a_name_and_a_password_gets_its_receipt(gate):
    await gate.person("maria")
    login = await gate.ask("POST", "/auth/login", json={"username": "maria", "password": PASSWORD})
    opened = await gate.init(login.json["access_token"], [len(toy.content) for toy in toys(3)])
    for number, toy in enumerate(toys(3)):
        await gate.send_file(opened, f"f{number}", toy.content)
    await gate.complete(opened)
    await gate.deliver()
    assert gate.pacs.held == {toy.uid: toy.content for toy in toys(3)}, "to the last bit"
    assert (await gate.status(opened))["state"] == "success"


async def test_tus_requests_at_rest_addresses_are_none(gate, person):
    opened = await gate.init(person.token)
    answer = await gate.ask("PATCH", f"/upload/{opened.upload_id}/chunk", opened.token, headers=TUS)
    assert answer.status == 405


async def test_a_first_chunk_that_is_refused_uses_up_no_file_of_the_upload(gate, person):
    opened = await gate.init(person.token, (10,))
    refused = await gate.chunk(
        opened, "mistyped", 0, b"0123456789", total=1, headers={"Content-Digest": sha256_field(b"other bytes")}
    )
    assert refused.status == 460
    assert (await gate.chunk(opened, "right", 0, b"0123456789", total=1)).status == 200
    assert (await gate.complete(opened)).status == 202
    await gate.deliver()
    told = await gate.ask("GET", f"/upload/{opened.upload_id}/files", opened.token)
    assert [file["file_id"] for file in told.json["files"]] == ["right"]
