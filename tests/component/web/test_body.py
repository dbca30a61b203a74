"""Bodies over a real socket: what is said before they come, how they end, and that every byte that came is kept."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import random
from collections.abc import Sequence
from unittest import mock

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.uploads.body import BodyStopped
from gateway.web import rest
from gateway.web.api.operation import MAX_JSON_BYTES
from gateway.web.body import MUCH_BYTES, SOON_S, StreamBody
from tests.component.gateway_app import CHUNK, OFFSET_TYPE, TUS, Line

#: So large that its socket is told to wait for more of it.
LARGE = 2 * MUCH_BYTES
WAITS = {"Expect": "100-continue"}


@pytest.fixture
async def opened(gate):
    return await gate.init((await gate.person()).token, [CHUNK * 4, 10])


def patch_headers(at: int, length: int | None, **more: str) -> dict[str, str]:
    size = {"Content-Length": str(length)} if length is not None else {"Transfer-Encoding": "chunked"}
    return {**TUS, "Content-Type": OFFSET_TYPE, "Upload-Offset": str(at), **size, **more}


# --- 100 Continue ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (patch_headers(5, 10, **WAITS), 409),
        (patch_headers(0, 10_000, **WAITS), 413),
        (patch_headers(0, 10, **WAITS) | {"Content-Type": "text/plain"}, 415),
        (patch_headers(0, 10, **WAITS) | {"Tus-Resumable": "0.1"}, 412),
        (patch_headers(0, 10, **WAITS) | {"Authorization": "Bearer x"}, 401),
    ],
)
async def test_a_client_that_waits_hears_a_refusal_before_it_sends_a_byte(gate, opened, headers, status):
    path = await gate.tus_file(opened.token, 10)
    async with gate.begun("PATCH", path, opened.token, headers, b"") as line:
        answer = await line.answer()
        assert answer.status == status
        assert answer.headers["Connection"] == "close", "its body may or may not come: the line can't be used again"


@pytest.mark.parametrize(("came", "connection"), [(b"", "close"), (b"012", "close"), (b"0123456789", None)])
async def test_who_is_refused_in_mid_body_gets_the_line_closed(gate, opened, came, connection):
    """A proxy would send another client's request down a line on which the rest of a body is still awaited."""
    path = await gate.tus_file(opened.token, 10)
    async with gate.begun("PATCH", path, opened.token, patch_headers(5, 10), came) as line:
        answer = await line.answer()
        assert answer.status == 409
        assert answer.headers.get("Connection") == connection


async def test_a_client_that_waits_is_told_to_go_on_once_when_its_bytes_are_wanted(gate, opened):
    path = await gate.tus_file(opened.token, 10)
    async with gate.begun("PATCH", path, opened.token, patch_headers(0, 10, **WAITS), b"") as line:
        assert (await line.answer()).status == 100
        await line.send(b"01234")
        await asyncio.sleep(0)
        await line.send(b"56789")
        assert (await line.answer()).status == 204
    assert await gate.stored(await gate.file_at(path)) == b"0123456789"


async def test_a_creation_that_waits_is_refused_or_told_to_go_on(gate, opened):
    told = {**TUS, "Content-Type": OFFSET_TYPE, "Content-Length": "10", **WAITS}
    async with gate.begun("POST", "/files/", opened.token, {**told, "Upload-Length": "5"}, b"") as line:
        assert (await line.answer()).status == 413
    async with gate.begun("POST", "/files/", opened.token, {**told, "Upload-Length": "10"}, b"") as line:
        assert (await line.answer()).status == 100
        await line.send(b"0123456789")
        created = await line.answer()
        assert created.status == 201
        assert created.headers["Upload-Offset"] == "10"


async def test_json_that_waits_is_told_to_go_on(gate):
    await gate.person()
    body = b'{"username": "maria", "password": "a good long password"}'
    async with gate.begun("POST", "/auth/login", "", {"Content-Length": str(len(body)), **WAITS}, b"") as line:
        assert (await line.answer()).status == 100
        await line.send(body)
        assert (await line.answer()).status == 200


@pytest.mark.parametrize("kind", ["raw", "multipart"])
async def test_a_chunk_that_waits_is_told_to_go_on(gate, opened, kind):
    if kind == "raw":
        query, body, media_type = "?file_id=a&chunk_index=0&total_chunks=1", b"0123456789", "application/octet-stream"
    else:
        query, media_type = "", "multipart/form-data; boundary=xx"
        parts = {"file_id": "a", "chunk_index": "0", "total_chunks": "1", "binary_payload": "0123456789"}
        body = b"".join(
            f'--xx\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in parts.items()
        )
        body += b"--xx--\r\n"
    told = {"Content-Type": media_type, "Content-Length": str(len(body)), **WAITS}
    path = f"/upload/{opened.upload_id}/chunk{query}"
    async with gate.begun("PUT", path, opened.token, told, b"") as line:
        assert (await line.answer()).status == 100
        await line.send(body)
        answer = await line.answer()
        assert answer.status == 200
        assert answer.json["received_bytes"] == 10


async def break_off_after(line: Line, fits: Sequence[bytes], *, abort: bool) -> None:
    """They come one by one: nothing tells when the gateway has one, so each has two milliseconds to itself."""
    for fit in fits:
        await line.send(fit)
        await asyncio.sleep(0.002)
    if abort:
        await line.reset()
    else:
        line.writer.close()


# --- ends -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [100, None], ids=["with a length", "in chunked coding"])
@pytest.mark.parametrize("abort", [True, False], ids=["reset", "closed"])
async def test_a_body_that_trickles_and_breaks_off_keeps_every_byte(gate, opened, length, abort):
    path = await gate.tus_file(opened.token, 100)

    def framed(data: bytes) -> bytes:
        return data if length else b"%x\r\n%s\r\n" % (len(data), data)

    async with gate.begun("PATCH", path, opened.token, patch_headers(0, length), framed(b"a")) as line:
        await gate.held(path)
        await break_off_after(line, [framed(byte) for byte in (b"b", b"c", b"d")], abort=abort)
        await gate.in_flight(0)
    assert await gate.offset(opened.token, path) == 4
    assert await gate.stored(await gate.file_at(path)) == b"abcd"


async def test_bytes_that_came_with_the_end_of_the_line_are_kept(gate, opened):
    path = await gate.tus_file(opened.token, 3000)
    async with gate.begun("PATCH", path, opened.token, patch_headers(0, 3000), b"x" * 2999) as line:
        line.writer.close()
        await asyncio.sleep(0.01)
        await gate.in_flight(0)
    assert await gate.offset(opened.token, path) == 2999


@pytest.mark.parametrize("abort", [True, False], ids=["reset", "closed"])
async def test_a_large_body_that_comes_in_fits_and_breaks_off_keeps_every_byte(gate, abort):
    opened = await gate.init((await gate.person()).token, [LARGE])
    path, content = await gate.tus_file(opened.token, LARGE), random.Random(7).randbytes(LARGE)
    async with gate.begun("PATCH", path, opened.token, patch_headers(0, LARGE), content[:50_000]) as line:
        await gate.held(path)
        fits = [content[begin:end] for begin, end in ((50_000, 50_001), (50_001, 90_000), (90_000, LARGE - 1))]
        await break_off_after(line, fits, abort=abort)
        await gate.in_flight(0)
    assert await gate.offset(opened.token, path) == LARGE - 1
    assert await gate.stored(await gate.file_at(path)) == content[:-1]


class Received:
    """What the body's connection has got of it, each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        feed = aiohttp.StreamReader.feed_data

        def fed(reader: aiohttp.StreamReader, data: bytes, size: int = 0) -> bool:
            self.sizes.append(len(data))
            return feed(reader, data, size)

        monkeypatch.setattr(aiohttp.StreamReader, "feed_data", fed)


async def test_what_a_slow_body_brings_in_a_while_is_received_at_once(gate, opened, monkeypatch):
    """Until then it is in the system's memory, and nobody is woken for it."""
    monkeypatch.setattr("gateway.web.body.FLUSH_AFTER_S", 1.5)
    monkeypatch.setattr("gateway.uploads.body.FLUSH_AFTER_S", 1.5)
    path, content = await gate.tus_file(opened.token, CHUNK * 4), random.Random(7).randbytes(CHUNK * 4)
    received = Received(monkeypatch)
    async with gate.begun("PATCH", path, opened.token, patch_headers(0, len(content)), b"") as line:
        await gate.held(path)
        for at in range(5):
            await line.send(content[at : at + 1])
            await asyncio.sleep(0.01)
        assert received.sizes == []
        async with asyncio.timeout(5):
            while not received.sizes:
                await asyncio.sleep(0.001)
        assert received.sizes == [5]
        await line.send(content[5:])
        assert (await line.answer()).status == 204
    assert await gate.stored(await gate.file_at(path)) == content


@pytest.mark.parametrize("abort", [True, False], ids=["reset", "closed"])
async def test_a_slow_body_that_breaks_off_keeps_what_nobody_was_told_of(gate, opened, abort):
    path = await gate.tus_file(opened.token, 100)
    async with gate.begun("PATCH", path, opened.token, patch_headers(0, 100), b"") as line:
        await gate.held(path)
        await break_off_after(line, [b"a", b"b", b"c"], abort=abort)
        await gate.in_flight(0)
    assert await gate.stored(await gate.file_at(path)) == b"abc"


async def test_a_slow_body_that_is_taken_over_keeps_what_nobody_was_told_of(gate, opened):
    path = await gate.tus_file(opened.token, 100)
    async with gate.begun("PATCH", path, opened.token, patch_headers(0, 100), b"") as line:
        await gate.held(path)
        await line.send(b"abc")
        await asyncio.sleep(0.01)  # nothing tells when the system has it
        assert await gate.offset(opened.token, path) == 3
    assert await gate.stored(await gate.file_at(path)) == b"abc"


@pytest.mark.parametrize("turns", range(8))
async def test_a_body_can_be_stopped_in_the_very_moment_in_which_its_waiting_ends(turns):
    content = aiohttp.StreamReader(mock.Mock(_reading_paused=False), 1 << 16, loop=asyncio.get_running_loop())
    body = StreamBody(make_mocked_request("PATCH", "/", {"Content-Length": "10"}, payload=content))
    reading = asyncio.create_task(body.read(0.0))
    for _ in range(turns):
        await asyncio.sleep(0)
    body.stop()
    body.stop()
    with contextlib.suppress(BodyStopped):
        assert await reading is None
    with pytest.raises(BodyStopped):
        await body.read(0.0)


async def test_after_a_silence_a_body_goes_on(gate, opened, monkeypatch):
    monkeypatch.setattr("gateway.web.body.FLUSH_AFTER_S", 0.02)
    path = await gate.tus_file(opened.token, 10)
    async with gate.begun("PATCH", path, opened.token, patch_headers(0, 10), b"") as line:
        await gate.held(path)
        for part in (b"01234", b"56789"):
            await asyncio.sleep(0.1)  # it is the silence that is tried
            await line.send(part)
        assert (await line.answer()).status == 204
    assert await gate.stored(await gate.file_at(path)) == b"0123456789"


async def test_a_connection_goes_on_after_a_large_body_that_stood_still(gate):
    """Whatever its socket was told to wait for is forgotten with the body."""
    opened = await gate.init((await gate.person()).token, [LARGE])
    path, content = await gate.tus_file(opened.token, LARGE), random.Random(7).randbytes(LARGE)
    async with gate.begun("PATCH", path, opened.token, patch_headers(0, LARGE), content[:1000]) as line:
        await gate.held(path)
        await asyncio.sleep(3 * SOON_S)  # it is the silence that is tried
        await line.send(content[1000:])
        assert (await line.answer()).status == 204
        for _ in range(3):
            await line.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await line.answer()).status == 200
    assert await gate.stored(await gate.file_at(path)) == content


async def test_a_file_is_whole_if_the_line_broke_after_its_last_byte(gate, opened):
    path = await gate.tus_file(opened.token, 10)
    async with gate.begun("PATCH", path, opened.token, patch_headers(0, 10), b"012345678") as line:
        await gate.held(path)
        await line.send(b"9")
        await line.reset()
        await gate.in_flight(0)
    assert (await gate.file_at(path)).whole_at is not None


async def test_a_chunked_body_longer_than_the_file_is_too_large_and_the_file_keeps_what_fits(gate, opened):
    path = await gate.tus_file(opened.token, 10)
    body = b"c\r\n0123456789AB\r\n0\r\n\r\n"
    async with gate.begun("PATCH", path, opened.token, patch_headers(0, None), body) as line:
        answer = await line.answer()
    assert (answer.status, answer.code) == (413, "file_too_large")
    assert await gate.offset(opened.token, path) == 10
    assert await gate.stored(await gate.file_at(path)) == b"0123456789"


async def test_a_body_that_stands_still_is_given_up_and_what_came_is_kept(tmp_path):
    from tests.component.gateway_app import gateway_app

    async with gateway_app(tmp_path, toml='[server]\nbody_idle_timeout = "200ms"\n') as gate:
        opened = await gate.init((await gate.person()).token, [10])
        path = await gate.tus_file(opened.token, 10)
        async with gate.begun("PATCH", path, opened.token, patch_headers(0, 10), b"012") as line:
            answer = await line.answer()
            assert (answer.status, answer.code) == (408, "body_interrupted")
            assert answer.headers["Connection"] == "close"
        assert await gate.offset(opened.token, path) == 3


async def test_a_chunk_that_breaks_off_is_not_kept(gate, opened):
    told = {"Content-Length": "10", "Content-Type": "application/octet-stream"}
    path = f"/upload/{opened.upload_id}/chunk?file_id=a&chunk_index=0"
    async with gate.begun("PUT", path, opened.token, told, b"01234") as line:
        await gate.in_flight()
        await line.reset()
        await gate.in_flight(0)
    status = await gate.status(opened)
    assert status["uploaded_bytes"] == 0


async def test_a_multipart_body_that_breaks_off_is_not_kept_and_no_fault_of_ours(gate, opened, caplog):
    caplog.set_level(logging.INFO)
    told = {"Content-Length": "1000", "Content-Type": "multipart/form-data; boundary=xx"}
    path = f"/upload/{opened.upload_id}/chunk"
    begun = b'--xx\r\nContent-Disposition: form-data; name="binary_payload"\r\n\r\n01234'
    async with gate.begun("PUT", path, opened.token, told, begun) as line:
        await gate.in_flight()
        await line.reset()
        await gate.in_flight(0)
    assert (await gate.status(opened))["uploaded_bytes"] == 0
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_multipart_body_that_stands_still_is_given_up(gate, opened, monkeypatch):
    monkeypatch.setattr(rest, "_PART_WAIT_S", 0.1)
    told = {"Content-Length": "1000", "Content-Type": "multipart/form-data; boundary=xx"}
    begun = b'--xx\r\nContent-Disposition: form-data; name="binary_payload"\r\n\r\n01234'
    async with gate.begun("PUT", f"/upload/{opened.upload_id}/chunk", opened.token, told, begun) as line:
        assert (await line.answer()).status == 408


@pytest.mark.parametrize("coding", ["gzip", "identity, br", "x-doe"])
async def test_a_coded_body_is_refused_and_nothing_of_it_is_stored(gate, opened, coding):
    path = await gate.tus_file(opened.token, 10)
    answer = await gate.tus_patch(opened.token, path, 0, b"\x1f\x8b" + b"x" * 8, headers={"Content-Encoding": coding})
    assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert (await gate.status(opened))["uploaded_bytes"] == 0


async def test_a_body_whose_coding_is_identity_is_taken(gate, opened):
    path = await gate.tus_file(opened.token, 10)
    answer = await gate.tus_patch(opened.token, path, 0, b"x" * 10, headers={"Content-Encoding": "Identity"})
    assert answer.status == 204


# --- JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe{}", 400),
        (b'{"username": NaN}', 400),
        (b"[" * 10_000, 400),
        (b" " * (MAX_JSON_BYTES + 1), 413),
        (b"[]", 400),
        (b"null", 400),
    ],
)
async def test_a_body_that_isnt_a_json_object_is_refused(gate, data, status):
    answer = await gate.ask("POST", "/auth/login", data=io.BytesIO(data), headers={"Content-Type": "application/json"})
    assert answer.status == status
    assert answer.code == ("body_too_large" if status == 413 else "malformed_json")


async def test_json_that_breaks_off_disturbs_nobody(gate, caplog):
    caplog.set_level(logging.INFO)
    async with gate.begun("POST", "/auth/login", "", {"Content-Length": "100"}, b"{") as line:
        await gate.in_flight()
        await line.reset()
        await gate.in_flight(0)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert (await gate.ask("GET", "/healthz")).status == 200


# --- after a refusal ------------------------------------------------------------------------------------------------


async def test_a_line_goes_on_after_a_refusal_whose_body_was_not_read(gate, opened):
    """The rest of the body is no next request."""
    path = await gate.tus_file(opened.token, 10)
    smuggled = b"DELETE " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n"
    smuggled += f"Authorization: Bearer {opened.token}\r\n\r\n".encode()
    told = {**patch_headers(5, len(smuggled))}
    async with gate.begun("PATCH", path, opened.token, told, smuggled) as line:
        assert (await line.answer()).status == 409
        next_one = (
            f"HEAD {path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nAuthorization: Bearer {opened.token}\r\n"
        )
        await line.send(next_one.encode() + b"\r\n")
        answer = await asyncio.wait_for(line.reader.readuntil(b"\r\n\r\n"), 5)
        assert answer.startswith(b"HTTP/1.1 200")
    assert await gate.offset(opened.token, path) == 0


async def test_one_connection_serves_many_requests(gate, opened):
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(base_url=f"http://127.0.0.1:{gate.port}", connector=connector) as one:
        for _ in range(3):
            async with one.get("/healthz") as response:
                assert response.status == 200
