"""A running gateway under requests that nobody should send, over every route."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.hostile import Hostile
from tests.e2e.lab import PASSWORD, UPLOADER, Lab, Pacs, running_lab
from tests.e2e.load import descriptors, rss_bytes
from tests.scale import count

REQUESTS = count(10_000, 100_000)
WORKERS = 16
#: Where they come from: what fails there keeps nobody else from logging in.
FOES = ("127.0.0.2", 0)
#: Between two rounds good tokens are made anew: the requests use them up.
ROUND = 1000
ANSWER_WITHIN_S = 40.0
LIMITS = {"limits": {"logins_per_minute": 10_000, "open_uploads": 50, "qr_codes": 50, "json_timeout": "2s"}}


def arrange(lab: Lab) -> tuple[list[str], list[str]]:
    """Good tokens of every kind, and ids that are there."""
    tokens, ids = [], []
    admin = lab.login("root")
    for name in (UPLOADER, "root"):
        told = lab.http.call("POST", "/auth/login", {"username": name, "password": PASSWORD}).expect(200).json
        tokens += [told["access_token"], told["refresh_token"]]
        who = lab.http.with_token(told["access_token"])
        opened = who.call("POST", "/upload/init", {"study_metadata": {}, "total_files": 9, "total_size_bytes": 9000})
        if opened.status == 429:  # earlier rounds' uploads: that is a state to be in, too
            continue
        tokens += [opened.json["upload_token"], opened.json["refresh_token"]]
        holder = who.with_token(opened.json["upload_token"])
        made = holder.create(1000, {"file_id": "a"}).expect(201)
        ids += [opened.json["upload_id"], urlsplit(made.headers["Location"]).path.rpartition("/")[2], "a"]
    code = admin.call("POST", "/qr", {"endpoint_id": "main"})
    if code.status == 201:
        tokens.append(code.json["upload_token"])
        ids.append(code.json["qr_id"])
    return tokens, ids


class Line:
    """A connection that is opened again whenever the other side has ended it."""

    def __init__(self, host: str, port: int) -> None:
        self._where = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def answer(self, request: bytes) -> int:
        """The status; 0: it was cut off without one, as a request that is none may be."""
        for _ in range(2):  # a kept connection may have been ended meanwhile
            fresh = self._streams is None
            reader, writer = self._streams = self._streams or await asyncio.open_connection(
                *self._where, local_addr=FOES
            )
            try:
                writer.write(request)
                await writer.drain()
                return await self._read(reader, no_body=request.startswith(b"HEAD"))
            except (ConnectionError, asyncio.IncompleteReadError):
                await self.close()
                if fresh:
                    break
        return 0

    async def _read(self, reader: asyncio.StreamReader, *, no_body: bool) -> int:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        if status == 100:
            return await self._read(reader, no_body=no_body)
        length = re.search(r"^content-length: (\d+)", head, re.IGNORECASE | re.MULTILINE)
        if length is None and status not in (204, 304):
            await self.close()  # a stream of events would not end
        elif length is not None and not no_body:
            await reader.readexactly(int(length[1]))
        if re.search(r"^connection: close", head, re.IGNORECASE | re.MULTILINE) or no_body:
            await self.close()
        return status

    async def close(self) -> None:
        if self._streams is not None:
            (_, writer), self._streams = self._streams, None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def lines(url: str) -> AsyncIterator[list[Line]]:
    parts = urlsplit(url)
    found = [Line(parts.hostname or "", parts.port or 80) for _ in range(WORKERS)]
    try:
        yield found
    finally:
        for line in found:
            await line.close()


async def bombard(url: str, requests: Sequence[bytes]) -> Counter[int]:
    """Every request by one of the workers; none may hang, and none may be answered 5xx."""
    left, statuses = iter(requests), Counter[int]()

    async def work(line: Line) -> None:
        for request in left:
            try:
                status = await asyncio.wait_for(line.answer(request), ANSWER_WITHIN_S)
            except TimeoutError:
                raise AssertionError(f"no answer to {request[:2000]!r}") from None
            assert status < 500 or status in (501, 507), f"{status} to {request[:3000]!r}"
            statuses[status] += 1

    async with lines(url) as workers:
        await asyncio.gather(*map(work, workers))
    return statuses


def test_hostile_requests_are_refused_and_leave_nothing_behind(tmp_path: Path) -> None:
    with running_lab(tmp_path / "gateway", Pacs("http://127.0.0.1:9/dicom-web"), settings=LIMITS) as lab:
        lab.add_user("root", "admin")
        statuses: Counter[int] = Counter()
        before: tuple[int, int] | None = None
        for number in range(REQUESTS // ROUND):
            hostile = Hostile(number, *arrange(lab))
            statuses += asyncio.run(bombard(lab.url, [hostile.request() for _ in range(ROUND)]))
            if number == 1:  # pools, caches and pages are filled by then
                before = rss_bytes(lab.pid), descriptors(lab.pid)
        assert before is not None
        print(statuses)
        assert rss_bytes(lab.pid) - before[0] < 64 << 20
        assert descriptors(lab.pid) - before[1] < 40
        assert {200, 201, 204, 400, 401, 403, 404, 405, 412, 413, 422} <= set(statuses), "they reach everything"
        assert lab.http.call("GET", "/healthz").status == 200
        log = lab.log.read_text(encoding="ascii")  # whatever was sent, the log is text
        assert "Traceback" not in log
        assert all(line.isprintable() for line in log.splitlines())
