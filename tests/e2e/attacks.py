"""What one client does to a gateway to hurt the others, each as a process of its own: `python -m tests.e2e.attacks NAME URL`
with `{"username": ..., "password": ...}` as a line of stdin. Prints `ready` when it is at it, and ends when stdin does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

MARKS = "e" + "\u0301" * 7000
OCTETS = "application/offset+octet-stream"


@dataclass
class Client:
    """Mallory, who has an account."""

    host: str
    port: int
    credentials: dict[str, str]
    token: str = ""

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port)

    def head(self, method: str, path: str, length: int, token: str = "", **headers: str) -> bytes:
        told = {"Host": f"{self.host}:{self.port}", "Content-Length": str(length)}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        bearer = token or self.token
        told |= {"Authorization": f"Bearer {bearer}"} if bearer else {}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def ask(self, method: str, path: str, body: Any = b"", token: str = "", **headers: str) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        reader, writer = await self.open()
        try:
            writer.write(self.head(method, path, len(raw), token, Connection="close", **headers) + raw)
            answer = await reader.read()
        finally:
            writer.close()
        head, _, content = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]) if head else 0, head if method == "POST" and not content else content

    async def log_in(self) -> None:
        _, answer = await self.ask("POST", "/auth/login", self.credentials)
        self.token = json.loads(answer)["access_token"]

    async def init(self, size: int, **meta: str) -> tuple[str, str]:
        wish = {"study_metadata": meta, "total_files": 1, "total_size_bytes": size}
        status, answer = await self.ask("POST", "/upload/init", wish)
        if status != 201:
            raise ConnectionError(f"init: {status}")
        opened = json.loads(answer)
        return opened["upload_id"], opened["upload_token"]


async def at_once(number: int, act: Callable[[int], Awaitable[Any]]) -> None:
    """So many of it, over and over; what is refused is tried again, a little later."""

    async def again(n: int) -> None:
        while True:
            with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
                await act(n)
            await asyncio.sleep(0.02)

    ready()
    await asyncio.gather(*map(again, range(number)))


def ready() -> None:
    print("ready", flush=True)


async def names_of_marks(me: Client) -> None:
    """S1: names whose normal form costs the square of their length."""
    await at_once(4, lambda _: me.ask("POST", "/auth/login", {"username": MARKS, "password": "x" * 12}))


async def trickling_bodies(me: Client) -> None:
    """S2: bodies that never end."""
    me.token = ""

    async def trickle(_number: int) -> None:
        _, sent = await me.open()
        sent.write(me.head("POST", "/auth/login", 1000))
        while not sent.is_closing():
            await asyncio.sleep(1.0)
            sent.write(b" ")
            await sent.drain()

    await at_once(400, trickle)


async def _stalled(me: Client, number: int, head: Callable[[int], bytes], sent: bytes) -> None:
    async def stall(n: int) -> None:
        reader, writer = await me.open()
        writer.write(head(n) + sent)
        await reader.read()

    await at_once(number, stall)


async def stalled_chunks(me: Client) -> None:
    """S3: raw chunks that stop one byte before their end."""
    upload_id, token = await me.init(4 << 20)
    path = f"/upload/{upload_id}/chunk?file_id=a&total_chunks=1&chunk_index=0"
    kind = {"Content_Type": "application/octet-stream"}
    await _stalled(me, 300, lambda _: me.head("PUT", path, 1 << 20, token, **kind), bytes((1 << 20) - 1))


async def stalled_multipart(me: Client) -> None:
    """S3: the same as multipart, which has to be held."""
    upload_id, token = await me.init(4 << 20)
    path, payload = f"/upload/{upload_id}/chunk", bytes(3 << 20)
    kind = {"Content_Type": "multipart/form-data; boundary=x"}
    begun = b'--x\r\nContent-Disposition: form-data; name="binary_payload"; filename="a"\r\n\r\n' + payload
    await _stalled(me, 100, lambda _: me.head("PUT", path, 4 << 20, token, **kind), begun)


async def empty_reservations(me: Client) -> None:
    """S4: room that nobody fills."""
    await at_once(4, lambda _: me.init(200 << 20))


async def wrong_checksums(me: Client) -> None:
    """S5: comparing what doesn't fit, over and over."""
    size = 64 << 20
    upload_id, token = await me.init(size)
    metadata = {"Tus_Resumable": "1.0.0", "Upload_Metadata": "file_id YQ=="}
    _, head = await me.ask("POST", "/files/", b"", token, Upload_Length=str(size), **metadata)
    location = next(line for line in head.decode().split("\r\n") if line.lower().startswith("location:"))
    path = urlsplit(location.partition(":")[2].strip()).path
    status, _ = await me.ask(
        "PATCH", path, bytes(size), token, Tus_Resumable="1.0.0", Upload_Offset="0", Content_Type=OCTETS
    )
    assert status == 204, status
    wish = {"checksums": {"a": "sha-256=:" + "A" * 43 + "=:"}}
    await at_once(24, lambda _: me.ask("POST", f"/upload/{upload_id}/complete", wish, token))


async def many_logins(me: Client) -> None:
    """S6: logins that are right."""
    me.token = ""
    await at_once(40, lambda _: me.ask("POST", "/auth/login", me.credentials))


async def event_streams(me: Client) -> None:
    """S7: as many streams as there are places."""
    upload_id, token = await me.init(10)
    await _stalled(me, 100, lambda _: me.head("GET", f"/upload/{upload_id}/events", 0, token), b"")


async def large_json(me: Client) -> None:
    """Bodies that are the largest that are taken, and say nothing."""
    body = b'{"study_metadata": [' + b"{}," * 300_000 + b"{}]}"
    await at_once(2, lambda _: me.ask("POST", "/upload/init", body))


async def many_rows(me: Client) -> None:
    """Files that are made and never sent: the ledger's writer has much to do."""
    wish = {"study_metadata": {}, "total_files": 20_000, "total_size_bytes": 20_000}
    _, answer = await me.ask("POST", "/upload/init", wish)
    token = json.loads(answer)["upload_token"]
    await at_once(16, lambda _: me.ask("POST", "/files/", b"", token, Tus_Resumable="1.0.0", Upload_Length="1"))


ATTACKS: dict[str, Callable[[Client], Awaitable[None]]] = {
    act.__name__: act
    for act in (
        names_of_marks, trickling_bodies, stalled_chunks, stalled_multipart, empty_reservations, wrong_checksums,
        many_logins, event_streams, large_json, many_rows,
    )
}  # fmt: skip


async def main(name: str, url: str, credentials: dict[str, str]) -> None:
    parts = urlsplit(url)
    me = Client(parts.hostname or "", parts.port or 80, credentials)
    await me.log_in()
    attack = asyncio.ensure_future(ATTACKS[name](me))
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    done, _ = await asyncio.wait({attack, over}, return_when=asyncio.FIRST_COMPLETED)
    if attack in done:
        attack.result()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.stdin.readline())))
