"""The least that a gateway of this kind does in Python: `python bench/floor.py FOLDER`.

aiohttp, a thread that seals and hashes each body into a shared segment, one thread that syncs it and commits to SQLite for
all that wait. Keys, frames and a durable answer as the gateway has them; no accounts, no limits, no check of what comes, no
erasure, no audit trail. How far the gateway is above it is what all of those cost. A body is held whole: for small files.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import queue
import secrets
import sqlite3
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FRAME_BYTES, TAG_BYTES, NONCE_BYTES = 1 << 16, 16, 12
SCRATCH_BYTES = 2 << 20
_AAD = struct.Struct(">QQ")


@dataclass
class File:
    """A file, as far as it came."""

    file_id: str
    length: int
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    offset: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


@dataclass
class Stored:
    """Bytes that are in the segment, and who waits until that is durable."""

    file: File
    start: int
    size: int
    at: int
    done: asyncio.Future[None]


class Store:
    """Segment and ledger."""

    def __init__(self, folder: Path) -> None:
        self._segment = os.open(folder / "segment", os.O_RDWR | os.O_CREAT, 0o600)
        self._path = folder / "floor.db"
        self._end = 0
        self._lock = threading.Lock()
        self._scratch = threading.local()
        self._queue: queue.SimpleQueue[Stored] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def put(self, file: File, pieces: list[bytes], done: asyncio.Future[None]) -> None:
        """In a thread: hash, seal, write; then the one that syncs has it."""
        size = sum(map(len, pieces))
        sealed = size + -(-size // FRAME_BYTES) * (NONCE_BYTES + TAG_BYTES)
        with self._lock:
            at, self._end = self._end, self._end + sealed
        if size:
            self._seal(file, pieces, size, at)
        self._queue.put(Stored(file, file.offset, size, at, done))

    def _seal(self, file: File, pieces: list[bytes], size: int, at: int) -> None:
        data = memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        file.digest.update(data)
        if not hasattr(self._scratch, "out"):
            self._scratch.out = memoryview(bytearray(SCRATCH_BYTES))
        out, used, cipher = self._scratch.out, 0, AESGCM(file.key)
        nonces = os.urandom(-(-size // FRAME_BYTES) * NONCE_BYTES)
        for number, begin in enumerate(range(0, size, FRAME_BYTES)):
            part = data[begin : begin + FRAME_BYTES]
            nonce = nonces[number * NONCE_BYTES : (number + 1) * NONCE_BYTES]
            out[used : used + NONCE_BYTES] = nonce
            used += NONCE_BYTES
            end = used + len(part) + TAG_BYTES
            cipher.encrypt_into(nonce, part, _AAD.pack(number, file.offset + begin), out[used:end])
            used = end
        os.pwrite(self._segment, out[:used], at)

    def _run(self) -> None:
        db = sqlite3.connect(self._path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE files (file_id TEXT PRIMARY KEY, length INT, offset INT, key BLOB, sha256 BLOB)")
        db.execute("CREATE TABLE runs (run_id INTEGER PRIMARY KEY, file_id TEXT, start INT, length INT, at INT)")
        while True:
            group = [self._queue.get()]
            with suppress(queue.Empty):
                while True:
                    group.append(self._queue.get_nowait())
            if any(one.size for one in group):
                os.fdatasync(self._segment)
            self._commit(db, group)
            group[0].done.get_loop().call_soon_threadsafe(_tell, group)

    @staticmethod
    def _commit(db: sqlite3.Connection, group: list[Stored]) -> None:
        rows = [
            (one.file.file_id, one.file.length, one.start + one.size, one.file.key, one.file.digest.digest())
            for one in group
        ]
        runs = [(one.file.file_id, one.start, one.size, one.at) for one in group if one.size]
        db.execute("BEGIN IMMEDIATE")
        db.executemany(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET offset = excluded.offset, sha256 = excluded.sha256",
            rows,
        )
        db.executemany("INSERT INTO runs (file_id, start, length, at) VALUES (?, ?, ?, ?)", runs)
        db.execute("COMMIT")


def _tell(group: list[Stored]) -> None:
    for one in group:
        if not one.done.cancelled():
            one.done.set_result(None)


class Floor:
    """Creation, with or without bytes, and PATCH."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._files: dict[str, File] = {}
        self._threads = ThreadPoolExecutor(4)

    async def create(self, request: web.Request) -> web.Response:
        """POST."""
        file = File(secrets.token_hex(16), int(request.headers["Upload-Length"]))
        self._files[file.file_id] = file
        await self._take(request, file)
        headers = {"Location": f"/files/{file.file_id}", **_told(file)}
        return web.Response(status=201, headers=headers)

    async def append(self, request: web.Request) -> web.Response:
        """PATCH."""
        file = self._files[request.match_info["file_id"]]
        await self._take(request, file)
        return web.Response(status=204, headers=_told(file))

    async def _take(self, request: web.Request, file: File) -> None:
        pieces = [piece async for piece in request.content.iter_any()]
        done = asyncio.get_running_loop().create_future()
        self._threads.submit(self._store.put, file, pieces, done)
        await done
        file.offset += sum(map(len, pieces))


def _told(file: File) -> dict[str, str]:
    return {"Upload-Offset": str(file.offset), "Tus-Resumable": "1.0.0"}


async def _options(_request: web.Request) -> web.Response:
    return web.Response(status=204, headers={"Tus-Version": "1.0.0", "Tus-Extension": "creation,creation-with-upload"})


async def _serve(folder: Path) -> None:
    floor, app = Floor(Store(folder)), web.Application(client_max_size=1 << 40)
    app.router.add_post("/files/", floor.create)
    app.router.add_patch("/files/{file_id}", floor.append)
    app.router.add_route("OPTIONS", "/files/", _options)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1])))
