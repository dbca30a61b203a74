"""The real application over a real ledger and spool in a folder, with a clock moved by hand, a little PACS and logins
that cost nothing. It listens on a socket, so that bodies, parser errors and drains are the real ones.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import aiohttp
from yarl import URL

from gateway.assembly.base import Base
from gateway.assembly.gateway import Gateway, open_gateway
from gateway.assembly.parts import Parts
from gateway.assembly.upkeep import open_retention
from gateway.blobs.base import BlobStore
from gateway.blobs.memory import MemoryBlobs
from gateway.config import load
from gateway.identity.passwords import Hashing
from gateway.identity.throttle import LoginLimits
from gateway.jobs.workers import Workers
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.memory.ledger import MemoryLedger
from gateway.ledger.rows import AccountRow, FileRow, JobKind, UploadRow
from gateway.ledger.sqlite.ledger import SqliteLedger
from gateway.uploads.chunks import Chunks
from gateway.uploads.intake import Intake
from gateway.web.app import create_app
from gateway.web.pace import RefusalPace
from gateway.web.server import Listener
from gateway.web.services import Services
from tests.clocks import ManualClock
from tests.described import Described
from tests.unit.delivery.little_pacs import LittlePacs, ToyCheck

KEY = bytes(range(32))
SECRET = "correct horse battery staple, thirty-two"
PASSWORD = "a good long password"
CHUNK = 1024
OFFSET_TYPE = "application/offset+octet-stream"
TUS = {"Tus-Resumable": "1.0.0"}

_CONFIG = f"""
[database]
url = "sqlite://{{folder}}/relaypacs.db"
[spool]
url = "file://{{folder}}/spool"
max_bytes = {{spool_max_bytes}}
[spool.keys]
active = "k1"
k1 = "{base64.b64encode(KEY).decode()}"
[uploads]
chunk_size = {CHUNK}
max_file_size = "64MiB"
max_upload_size = "128MiB"
max_files = 500
{{uploads}}
[tokens]
secret = "{SECRET}"
[audit]
file = "{{audit_file}}"
[endpoints.main]
url = "http://127.0.0.1:9/dicom-web"
default = true
display_name = "St. Elsewhere"
contact = "+00 000 0000"
[endpoints.deaf]
url = "http://127.0.0.1:9/dicom-web"
notes = "none"
"""


@dataclass(frozen=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any

    @property
    def code(self) -> str:
        """Of a problem."""
        return str(self.json["code"])


@dataclass(frozen=True)
class Opened:
    """What init told."""

    upload_id: str
    token: str
    refresh_token: str
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Person:
    """An account, logged in."""

    row: AccountRow
    name: str
    token: str


@dataclass
class Gate:
    """A running gateway and a client of it."""

    folder: Path
    clock: ManualClock
    pacs: LittlePacs
    options: Mapping[str, Any]
    blobs: BlobStore
    check: ToyCheck = field(default_factory=ToyCheck)
    others: dict[str, LittlePacs] = field(default_factory=dict)  #: by endpoint; option `others` names them

    gateway: Gateway = field(init=False)
    services: Services = field(init=False)
    listener: Listener = field(init=False)
    http: aiohttp.ClientSession = field(init=False)
    port: int = 0
    answers: list[Described] = field(default_factory=list)  #: of every process
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def open(self) -> Self:
        """Start, as after any end of the process before."""
        config = load(self._config_file(), {})
        stack = self._stack
        parts = Parts(
            open_ledger=SqliteLedger.open if self.options.get("sqlite") else _in_memory,
            open_blobs=lambda _path: self.blobs,
            make_target=lambda endpoint, _connections: self.others.get(endpoint.endpoint_id, self.pacs),
            make_check=lambda _validation: self.check,
            hashing=Hashing(time_cost=1, memory_kib=8, parallelism=1),
            login_limits=self.options.get("login_limits", LoginLimits()),
            acts_alone=False,
        )
        self.gateway = await stack.enter_async_context(open_gateway(config, self.clock, parts))
        for mark in self.blobs.marks():  # a command beside it looks into the folder
            (self.folder / "spool" / "spool_id" / mark).mkdir(parents=True, exist_ok=True)
        told_at_once = {"pace": RefusalPace(told_per_s=1 << 30)}
        self.services = replace(self.gateway.services, **(told_at_once | self.options.get("services", {})))
        app = create_app(self.services)
        self.answers.append(Described(app))
        self.listener = Listener(app, self.gateway.intake.leases)
        self.port = await self.listener.start("127.0.0.1", 0, None)
        stack.push_async_callback(self._stop_listening)
        self.http = aiohttp.ClientSession(
            base_url=f"http://127.0.0.1:{self.port}", timeout=aiohttp.ClientTimeout(total=30)
        )
        stack.push_async_callback(self.http.close)
        return self

    async def close(self) -> None:
        """End the process; what was acknowledged stays."""
        await self._stack.aclose()

    async def restart(self) -> None:
        """Another process over the same folders; no drain, no goodbye. (Option `sqlite`.)"""
        assert self.options.get("sqlite"), "a ledger in memory ends with its process"
        await self.close()
        await self.open()

    async def power_cut(self, *, keep_unsynced_bytes: int = 0) -> None:
        """Another process over what a power cut would leave at this moment. No act on the ledger may be under way.
        (Option `sqlite`.)
        """
        assert self.options.get("sqlite"), "a ledger in memory ends with its process"
        assert isinstance(self.blobs, MemoryBlobs)
        left = self.folder / "after"
        left.mkdir()
        for path in self.folder.glob("relaypacs.db*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, left)
        blobs = self.blobs.after_power_cut(keep_unsynced_bytes=keep_unsynced_bytes)
        await self.close()
        self.folder, self.blobs = left, blobs
        await self.open()

    async def _stop_listening(self) -> None:
        await self.intake.leases.cut_all()
        await self.listener._runner.cleanup()

    def _config_file(self) -> Path:
        options = {"spool_max_bytes": 1 << 40, "uploads": "", "audit_file": "", **self.options}
        known = {name: options[name] for name in ("spool_max_bytes", "uploads", "audit_file")}
        text = _CONFIG.format(folder=self.folder, **known)
        path = self.folder / "relaypacs.toml"
        path.write_text(text + self.options.get("toml", ""), encoding="utf-8")
        return path

    @property
    def base(self) -> Base:
        return self.gateway.base

    @property
    def ledger(self) -> Ledger:
        return self.gateway.base.ledger

    @property
    def intake(self) -> Intake:
        return self.gateway.intake

    @property
    def workers(self) -> Workers:
        return self.gateway.workers

    @property
    def chunks(self) -> Chunks:
        return self.services.chunks

    # --- who asks ---------------------------------------------------------------------------------------------------

    async def person(self, name: str = "maria", role: str = "uploader", endpoints: Sequence[str] = ()) -> Person:
        """A new account with an access token."""
        row = await self.services.accounts.add(name, role, PASSWORD, endpoints=endpoints)
        return Person(row, name, self.services.mint.access(row.account_id, role).token)

    async def login(self, name: str = "maria") -> dict[str, Any]:
        """What `POST /auth/login` tells of an account that is there."""
        answer = await self.ask("POST", "/auth/login", json={"username": name, "password": PASSWORD})
        assert answer.status == 200, answer.json
        return dict(answer.json)

    # --- requests ---------------------------------------------------------------------------------------------------

    async def ask(self, method: str, path: str, token: str | None = None, **known: Any) -> Answer:
        """One request; `headers` and whatever aiohttp's client takes."""
        headers = dict(known.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = URL(path, encoded=True)
        async with self.http.request(method, url, headers=headers, allow_redirects=False, **known) as response:
            # A stream of events would not end.
            body = b"" if response.content_type == "text/event-stream" else await response.read()
            told = await response.json(content_type=None) if body and "json" in response.content_type else None
            return Answer(response.status, response.headers, body, told)

    async def init(self, token: str, sizes: Sequence[int] = (10,), **known: Any) -> Opened:
        """An upload of files of these sizes."""
        wish = known.pop("wish", {})
        answer = await self.ask("POST", "/upload/init", token, json=init_body(sizes, **wish), **known)
        assert answer.status == 201, answer.json
        told = answer.json
        return Opened(told["upload_id"], told["upload_token"], told["refresh_token"], told)

    async def chunk(self, opened: Opened, file_id: str, index: int, data: Any, **known: Any) -> Answer:
        """`PUT chunk`, raw."""
        total = known.pop("total", None)
        query = f"file_id={file_id}&chunk_index={index}" + (f"&total_chunks={total}" if total is not None else "")
        headers = {"Content-Type": "application/octet-stream", **known.pop("headers", {})}
        path = f"/upload/{opened.upload_id}/chunk?{query}"
        return await self.ask("PUT", path, known.pop("token", opened.token), data=data, headers=headers, **known)

    async def send_file(self, opened: Opened, file_id: str, content: bytes) -> None:
        """A whole file in chunks, in order."""
        pieces = chunks_of(content)
        for index, piece in enumerate(pieces):
            answer = await self.chunk(opened, file_id, index, piece, total=len(pieces))
            assert answer.status == 200, answer.json

    async def complete(self, opened: Opened, body: Any = None, *, wait_s: int = 0, **known: Any) -> Answer:
        """`POST complete`, without waiting unless told to."""
        headers = {"Prefer": f"wait={wait_s}", **known.pop("headers", {})}
        path = f"/upload/{opened.upload_id}/complete"
        return await self.ask("POST", path, known.pop("token", opened.token), json=body or {}, headers=headers, **known)

    async def status(self, opened: Opened) -> dict[str, Any]:
        answer = await self.ask("GET", f"/upload/{opened.upload_id}/status", opened.token)
        assert answer.status == 200, answer.json
        return dict(answer.json)

    async def tus_create(
        self, token: str, length: int, body: Any = None, *, metadata: Mapping[str, str] | None = None, **known: Any
    ) -> Answer:
        """`POST /files/`."""
        headers = {**TUS, "Upload-Length": str(length), **known.pop("headers", {})}
        if metadata is not None:
            headers["Upload-Metadata"] = tus_metadata(metadata)
        if body is not None:
            headers.setdefault("Content-Type", OFFSET_TYPE)
        return await self.ask("POST", "/files/", token, headers=headers, data=body, **known)

    async def tus_file(self, token: str, length: int, **known: Any) -> str:
        """The path of a new file."""
        answer = await self.tus_create(token, length, **known)
        assert answer.status == 201, answer.json
        return URL(answer.headers["Location"]).path

    async def tus_patch(self, token: str, path: str, at: int, data: Any, **known: Any) -> Answer:
        headers = {**TUS, "Upload-Offset": str(at), "Content-Type": OFFSET_TYPE, **known.pop("headers", {})}
        return await self.ask("PATCH", path, token, headers=headers, data=data, **known)

    async def tus_head(self, token: str, path: str) -> Answer:
        return await self.ask("HEAD", path, token, headers=TUS)

    async def offset(self, token: str, path: str) -> int:
        """Where to go on, as HEAD tells it."""
        answer = await self.tus_head(token, path)
        assert answer.status == 200
        return int(answer.headers["Upload-Offset"])

    # --- a connection of one's own ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        """A raw connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Line(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @asynccontextmanager
    async def begun(
        self, method: str, path: str, token: str, headers: Mapping[str, str], data: bytes
    ) -> AsyncIterator[Line]:
        """A request whose head and first bytes were sent."""
        async with self.line() as line:
            await line.send(head(method, path, {"Authorization": f"Bearer {token}", **headers}) + data)
            yield line

    @asynccontextmanager
    async def hanging_patch(self, token: str, path: str, at: int, length: int, data: bytes) -> AsyncIterator[Line]:
        """A PATCH that holds its file: `data` of its `length` bytes were sent and are being stored."""
        told = {**TUS, "Content-Type": OFFSET_TYPE, "Upload-Offset": str(at), "Content-Length": str(length)}
        async with self.begun("PATCH", path, token, told, data) as line:
            await self.held(path)
            await self.read_from(path, len(data))
            yield line

    async def read_from(self, path: str, size: int) -> None:
        """Until so many bytes of the body of a request under way were read."""
        server = self.listener._runner.server
        assert server is not None
        async with asyncio.timeout(5):
            while not any(
                request.path == path and request.content._cursor >= size
                for one in server.connections
                if (request := one._current_request) is not None
            ):
                await asyncio.sleep(0.001)

    async def held(self, path: str, *, by_other_than: object = None) -> object:
        """The lease of whoever writes to a file, as soon as somebody does."""
        file_id = path.rpartition("/")[2]
        async with asyncio.timeout(5):
            while (lease := self.intake.leases.holder(file_id)) is by_other_than or lease is None:
                await asyncio.sleep(0.001)
        return lease

    async def in_flight(self, count: int = 1) -> None:
        """Until so many requests are being answered."""
        async with asyncio.timeout(5):
            while self.services.in_flight._count != count:
                await asyncio.sleep(0.001)

    # --- behind the doors ---------------------------------------------------------------------------------------------

    async def upload(self, upload_id: str) -> UploadRow:
        row = await self.ledger.read(lambda tx: tx.uploads.get(upload_id))
        assert row is not None
        return row

    async def file(self, upload_id: str, number: int = 0) -> FileRow:
        """A file of an upload, in the order in which they were made."""
        rows = await self.ledger.read(lambda tx: tx.files.page(upload_id))
        return sorted(rows, key=lambda row: (row.created_at, row.file_id))[number]

    async def file_at(self, path: str) -> FileRow:
        """By its tus address."""
        row = await self.ledger.read(lambda tx: tx.files.get(path.rpartition("/")[2]))
        assert row is not None
        return row

    async def stored(self, file: FileRow) -> bytes:
        """What the spool holds of a file, as far as it reaches without a hole."""
        from gateway.uploads.checksums import open_source

        upload = await self.upload(file.upload_id)

        def act(tx: Transaction) -> bytes:
            source = open_source(tx, self.intake, upload, file)
            try:
                return source.read_at(0, file.offset)
            finally:
                source.close()

        return await self.ledger.read(act)

    async def deliver(self, *, for_s: float = 0.0) -> None:
        """Work until nothing is due any more within `for_s` of the clock's time."""
        until = self.clock.now() + for_s
        while True:
            await self.workers.run_due()
            due_at = await self.ledger.read(lambda tx: tx.jobs.next_due(list(JobKind)))
            if due_at is None or due_at > until:
                self.clock.advance(max(0.0, until - self.clock.now()))
                return
            self.clock.advance(max(0.0, due_at - self.clock.now()) + 0.001)

    async def purge(self, *, for_s: float = 0.0) -> None:
        """What the retention timer does, every few minutes of the clock's time: a longer gap would be an outage."""
        retention, until = open_retention(self.base, self.intake), self.clock.now() + for_s
        await retention.run_once()
        while self.clock.now() < until:
            self.clock.advance(min(290.0, until - self.clock.now()))
            await retention.run_once()

    async def count(self, table: str) -> int:
        """Rows of a table."""

        def act(tx: Any) -> int:
            if isinstance(self.ledger, MemoryLedger):
                return len(getattr(tx.store, table))
            return int(tx.jobs._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

        return await self.ledger.read(act)


@dataclass
class Line:
    """A raw connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        """The next answer, informational ones too."""
        async with asyncio.timeout(15):
            raw = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = raw.decode("latin-1").split("\r\n")
            headers = {key.title(): value.strip() for key, _, value in (line.partition(":") for line in lines if line)}
            status = int(first.split()[1])
            size = int(headers.get("Content-Length", "0")) if status >= 200 else 0
            body = await self.reader.readexactly(size)
        told = None
        if "json" in headers.get("Content-Type", ""):
            import json

            told = json.loads(body)
        return Answer(status, headers, body, told)

    async def closed(self) -> None:
        """Until the other side hangs up; whatever it still says is read."""
        async with asyncio.timeout(15):
            with contextlib.suppress(ConnectionError):
                await self.reader.read()

    async def reset(self) -> None:
        """Cut it off, without a goodbye."""
        self.writer.transport.abort()


async def _in_memory(_path: Path) -> Ledger:
    return MemoryLedger()


def head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    """A request's head."""
    lines = [f"{method} {path} HTTP/1.1", "Host: gateway", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def init_body(sizes: Sequence[int] = (10,), **more: Any) -> dict[str, Any]:
    """The body of init for files of these sizes."""
    return {"study_metadata": {}, "total_files": len(sizes), "total_size_bytes": sum(sizes), **more}


def chunks_of(content: bytes, size: int = CHUNK) -> list[bytes]:
    """A file in its chunks; an empty one has one empty chunk."""
    return [content[at : at + size] for at in range(0, len(content), size)] or [b""]


def tus_metadata(pairs: Mapping[str, str]) -> str:
    """`Upload-Metadata`."""
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}".strip() for key, value in pairs.items())


def sha256_field(content: bytes) -> str:
    """`sha-256=:...:` of RFC 9530."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


@asynccontextmanager
async def gateway_app(folder: Path, **options: Any) -> AsyncIterator[Gate]:
    """A gateway over `folder`.

    :param options: `toml`, `uploads`: more lines of the configuration, of its table [uploads]; `blobs`: a store instead of one in memory; `check`: another one than toys'; `services`:
        fields of `Services`; `spool_max_bytes`; `audit_file`; `login_limits`; `others`: endpoints with a PACS of their own; `sqlite`: a ledger on the disk, not in memory; `now`: where the clock starts.
    """
    clock = ManualClock(options["now"]) if "now" in options else ManualClock()
    gate = Gate(folder, clock, LittlePacs(now=clock.now), options, options.get("blobs") or MemoryBlobs())
    gate.others = {name: LittlePacs(now=clock.now) for name in options.get("others", ())}
    gate.check = options.get("check", gate.check)
    await gate.open()
    try:
        yield gate
    finally:
        await gate.close()
    assert not [found for one in gate.answers for found in one.unknown], "/openapi.json knows every answer"
