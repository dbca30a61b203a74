"""A gateway of the tests' own: the calls that a sender makes, in memory, with trouble on demand.

It runs in a loop and thread of its own, because the sender blocks.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class ToyFile:
    file_id: str
    length: int
    data: bytearray = field(default_factory=bytearray)
    metadata: str = ""
    parts: list[str] | None = None  #: ids of those that it was joined of


@dataclass
class ToyUpload:
    upload_id: str
    body: dict[str, Any]
    key: str
    state: str = "open"
    outcome: str = "success"
    pending_polls: int = 0  #: status calls that say "delivering" after complete
    warnings: list[dict[str, str]] = field(default_factory=list)
    files: dict[str, ToyFile] = field(default_factory=dict)
    parts: dict[str, ToyFile] = field(default_factory=dict)  #: of concatenations
    skipped: list[dict[str, str]] = field(default_factory=list)

    def received(self) -> dict[str, bytes]:
        return {file_id: bytes(file.data) for file_id, file in self.files.items()}


#: Looks at a request before it is served: None lets it pass, a response is the answer, "cut:N" takes N bytes of the
#: body and drops the connection, "hang" keeps it without an answer, "meet" keeps it until as many as `meeting` wants are
#: there.
Trouble = Callable[[web.Request], "web.Response | str | None"]


_MADE: web.RequestKey[ToyFile] = web.RequestKey("made", ToyFile)
#: The system takes no more of a body than that before it is read: else whole files would be there at once.
_RECEIVED_BYTES = 16 * 1024


def problem(status: int, code: str, detail: str = "", headers: dict[str, str] | None = None) -> web.Response:
    body = {"type": "about:blank", "status": status, "code": code, "title": code, "detail": detail or code}
    return web.Response(status=status, text=json.dumps(body), content_type="application/problem+json", headers=headers)


def once(method: str, part: str, answer: web.Response | str, times: int = 1) -> Trouble:
    """Trouble for the first `times` requests of this method whose path has `part` in it."""
    left = [times]

    def look(request: web.Request) -> web.Response | str | None:
        if left[0] and request.method == method and part in request.path:
            left[0] -= 1
            if isinstance(answer, str):
                return answer
            return web.Response(
                status=answer.status, body=answer.body, headers=answer.headers
            )  # a response can be sent but once
        return None

    return look


class ToyGateway:
    def __init__(self) -> None:
        self.troubles: list[Trouble] = []
        self.log: list[tuple[str, str]] = []
        self.bodies_bytes = 0  #: of tus bodies
        self.uploads: dict[str, ToyUpload] = {}
        self.access_tokens = {"access-0"}
        self.passwords = {"jane": "pass word"}
        self.upload_tokens: dict[str, str] = {}
        self.refresh_tokens: dict[str, str] = {}
        self.qr_tokens: set[str] = set()
        self.expires_in = 900
        self.outcome = "success"
        self.pending_polls = 0
        self.warnings: list[dict[str, str]] = []
        self.limits: dict[str, int] = {}
        self.contact = "+00 000 0000"
        self.lose_answers = 0  #: of creations
        self.joins = False  #: it has tus' concatenation
        self.lost_joins = 0  #: answers of joinings that are lost, once `complete` has come
        self.each_bytes_per_s = 0  #: what each body is taken with; 0: as it comes
        self.bodies_now = 0
        self.most_bodies = 0  #: that came at once
        self.public_origin = ""
        self.hanging = threading.Event()
        self.completed = asyncio.Event()
        self.meeting = asyncio.Barrier(1)
        self.loop = asyncio.new_event_loop()
        self.url = ""
        self._thread = threading.Thread(target=self.loop.run_forever)

    def start(self) -> None:
        app = web.Application(middlewares=[self._trouble], client_max_size=1 << 30)
        app.add_routes([
            web.post("/auth/login", self.login),
            web.post("/auth/refresh", self.refresh),
            web.post("/auth/logout", self.logout),
            web.get("/endpoints", self.endpoints),
            web.post("/upload/init", self.init),
            web.get("/upload/{upload_id}/receipt", self.receipt),
            web.post("/upload/{upload_id}/token", self.token),
            web.get("/upload/{upload_id}/status", self.status),
            web.post("/upload/{upload_id}/complete", self.complete),
            web.delete("/upload/{upload_id}", self.cancel),
            web.options("/files/", self.options),
            web.post("/files/", self.create),
            web.head("/files/{file}", self.head),
            web.patch("/files/{file}", self.patch),
        ])  # fmt: skip
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

        async def listen() -> int:
            await self._runner.setup()
            place = socket.create_server(("127.0.0.1", 0))
            place.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED_BYTES)  # its connections have it, too
            await web.SockSite(self._runner, place).start()
            return int(place.getsockname()[1])

        self.url = f"http://127.0.0.1:{self.loop.run_until_complete(listen())}"
        self._thread.start()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def count(self, method: str, part: str) -> int:
        return sum(1 for one, path in self.log if one == method and part in path)

    def only_upload(self) -> ToyUpload:
        (upload,) = self.uploads.values()
        return upload

    # what every request goes through

    @web.middleware
    async def _trouble(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.log.append((request.method, request.path))
        for trouble in self.troubles:
            answer = trouble(request)
            if answer == "meet":
                await self.meeting.wait()
            elif answer == "hang":
                self.hanging.set()
                await asyncio.sleep(3600)
            elif answer == "lost":
                await handler(request)
                assert request.transport is not None
                request.transport.abort()
                raise web.HTTPInternalServerError
            elif isinstance(answer, str):
                await self._take(request, int(answer.removeprefix("cut:")))
                assert request.transport is not None
                request.transport.abort()
                raise web.HTTPInternalServerError
            elif answer is not None:
                return answer
        response: web.StreamResponse = await handler(request)
        return response

    def _bearer(self, request: web.Request) -> str:
        return request.headers.get("Authorization", "").removeprefix("Bearer ")

    def _refuse(self) -> web.HTTPException:
        text = problem(401, "unauthorized", "a valid token is needed").text
        return web.HTTPUnauthorized(text=text, content_type="application/problem+json")

    def _of_token(self, request: web.Request) -> ToyUpload:
        upload_id = self.upload_tokens.get(self._bearer(request))
        if upload_id is None:
            raise self._refuse()
        return self.uploads[upload_id]

    # accounts

    async def login(self, request: web.Request) -> web.Response:
        said = await request.json()
        if self.passwords.get(said["username"]) != said["password"]:
            return problem(401, "bad_credentials")
        return self._session()

    async def refresh(self, request: web.Request) -> web.Response:
        return self._session() if self._bearer(request).startswith("again-") else problem(401, "unauthorized")

    async def logout(self, request: web.Request) -> web.Response:
        self.access_tokens.discard(self._bearer(request))
        return web.Response(status=204)

    def _session(self) -> web.Response:
        token = "access-" + secrets.token_hex(4)
        self.access_tokens.add(token)
        return web.json_response({
            "access_token": token, "token_type": "Bearer", "expires_in": 1800, "refresh_token": "again-" + token,
        })  # fmt: skip

    # the REST facade

    async def endpoints(self, request: web.Request) -> web.Response:
        if self._bearer(request) not in self.access_tokens:
            raise self._refuse()
        one = {"endpoint_id": "main", "default": True, "contact": self.contact, "limits": self.limits}
        return web.json_response({"endpoints": [one]})

    async def receipt(self, request: web.Request) -> web.Response:
        return web.Response(text=f"signed.{self._of_token(request).upload_id}.receipt")

    async def init(self, request: web.Request) -> web.Response:
        bearer, key = self._bearer(request), request.headers["Idempotency-Key"]
        if bearer not in self.access_tokens | self.qr_tokens:
            raise self._refuse()
        body = await request.json()
        for upload in self.uploads.values():
            if upload.key == key:
                if upload.body != body:
                    return problem(422, "idempotency_key_reused")
                return self._opened(upload)
        upload = ToyUpload(secrets.token_hex(8), body, key, outcome=self.outcome, warnings=self.warnings)
        self.uploads[upload.upload_id] = upload
        return self._opened(upload)

    def _opened(self, upload: ToyUpload) -> web.Response:
        return web.json_response(
            {
                **self._tokens(upload),
                "upload_id": upload.upload_id,
                "chunk_size": 4 << 20,
                "endpoint_id": upload.body.get("endpoint_id", "main"),
                "expires_at": "2099-01-01T00:00:00Z",
                "tus_url": (self.public_origin or self.url) + "/files/",
            },
            status=201,
        )

    def _tokens(self, upload: ToyUpload) -> dict[str, Any]:
        token, refresh = "upload-" + secrets.token_hex(4), "refresh-" + secrets.token_hex(4)
        self.upload_tokens[token] = upload.upload_id
        self.refresh_tokens = {old: one for old, one in self.refresh_tokens.items() if one != upload.upload_id}
        self.refresh_tokens[refresh] = upload.upload_id
        return {"upload_token": token, "refresh_token": refresh, "expires_in": self.expires_in}

    async def token(self, request: web.Request) -> web.Response:
        upload = self.uploads[request.match_info["upload_id"]]
        mine = self.refresh_tokens.get(self._bearer(request)) == upload.upload_id
        if not mine and self._bearer(request) not in self.access_tokens:
            raise self._refuse()
        if upload.state in {"cancelled", "expired"}:
            return problem(410, "upload_gone", f"the upload is {upload.state}")
        return web.json_response(self._tokens(upload))

    async def status(self, request: web.Request) -> web.Response:
        upload = self._of_token(request)
        if upload.state == "delivering":
            if upload.pending_polls == 0:
                upload.state = upload.outcome
            upload.pending_polls -= 1
        return self._standing(upload, {"state": upload.state})

    async def complete(self, request: web.Request) -> web.Response:
        upload = self._of_token(request)
        said = await request.json() if request.can_read_body else {}
        upload.skipped = said.get("skipped", [])
        whole = [file for file in upload.files.values() if len(file.data) == file.length]
        if len(whole) + len(upload.skipped) != upload.body["total_files"]:
            return problem(409, "incomplete", "files are missing")
        self.completed.set()
        size = sum(file.length for file in whole)
        assert size <= upload.body["total_size_bytes"] if upload.skipped else size == upload.body["total_size_bytes"]
        if self.pending_polls:
            upload.state, upload.pending_polls = "delivering", self.pending_polls
            return web.json_response(
                {"state": "delivering"}, status=202, headers={"Retry-After": "0", "Location": "status"}
            )
        upload.state = upload.outcome
        return self._standing(upload, {"status": upload.state})

    def _standing(self, upload: ToyUpload, first: dict[str, Any]) -> web.Response:
        final = upload.state in {"success", "partial", "failed"}
        receipt = f"receipt-{upload.upload_id}" if final else None
        held = {"held_reasons": ["two_patients"]} if upload.state == "held" else {}
        body = {**first, "pacs_receipt_id": receipt, "warnings": upload.warnings, "studies": [], **held}
        return web.json_response(body, headers={"Retry-After": "0"})

    async def cancel(self, request: web.Request) -> web.Response:
        self._of_token(request).state = "cancelled"
        return web.Response(status=204)

    # tus

    async def options(self, request: web.Request) -> web.Response:
        if not self.joins:
            raise web.HTTPMethodNotAllowed("OPTIONS", ["POST"])
        return web.Response(status=204, headers={"Tus-Extension": "creation,concatenation"})

    async def create(self, request: web.Request) -> web.Response:
        upload = self._of_token(request)
        metadata = request.headers["Upload-Metadata"]
        pairs = dict(pair.split(" ") for pair in metadata.split(","))
        file_id = base64.b64decode(pairs["file_id"]).decode()
        concat = request.headers.get("Upload-Concat", "")
        if concat.startswith("final;"):
            joined = self._join(upload, file_id, concat.removeprefix("final;").split(" "))
            if self.lost_joins:
                self.lost_joins -= 1
                await self.completed.wait()
                assert request.transport is not None
                request.transport.abort()
            return joined
        length = int(request.headers["Upload-Length"])
        among = upload.parts if concat == "partial" else upload.files
        file = among.get(file_id)
        if file is None:
            file = among[file_id] = ToyFile(file_id, length, metadata=metadata)
            request[_MADE] = file
            await self._take(request, None)
        if self.lose_answers:
            self.lose_answers -= 1
            assert request.transport is not None
            request.transport.abort()
        headers = {
            "Location": f"{self.public_origin or self.url}/files/{file_id}",
            "Upload-Offset": str(len(file.data)),
            "Tus-Resumable": "1.0.0",
        }
        return web.Response(status=201, headers=headers)

    def _join(self, upload: ToyUpload, file_id: str, addresses: list[str]) -> web.Response:
        ids = [address.rpartition("/")[2] for address in addresses]
        if file_id in upload.files and upload.files[file_id].parts is None:
            return problem(409, "other_dialect")
        data = b"".join(upload.parts[one].data for one in ids)
        upload.files[file_id] = ToyFile(file_id, len(data), bytearray(data), parts=ids)
        return web.Response(status=201, headers={"Location": f"{self.url}/files/{file_id}"})

    def _file(self, request: web.Request) -> ToyFile:
        upload, file_id = self._of_token(request), request.match_info["file"]
        return upload.parts.get(file_id) or upload.files[file_id]

    async def head(self, request: web.Request) -> web.Response:
        file = self._file(request)
        return web.Response(headers={"Upload-Offset": str(len(file.data)), "Upload-Length": str(file.length)})

    async def patch(self, request: web.Request) -> web.Response:
        file = self._file(request)
        if int(request.headers["Upload-Offset"]) != len(file.data):
            return problem(409, "offset_mismatch")
        await self._take(request, None)
        return web.Response(status=204, headers={"Upload-Offset": str(len(file.data))})

    async def _take(self, request: web.Request, most: int | None) -> None:
        """Keep what comes of the body; at most so much."""
        if request.method == "PATCH":
            file: ToyFile | None = self._file(request)
        else:
            file = request.get(_MADE)
        self.bodies_now += 1
        self.most_bodies = max(self.most_bodies, self.bodies_now)
        try:
            await self._take_slowly(request, file, most)
        finally:
            self.bodies_now -= 1

    async def _take_slowly(self, request: web.Request, file: ToyFile | None, most: int | None) -> None:
        taken = 0
        async for chunk in request.content.iter_any():
            self.bodies_bytes += len(chunk)
            kept = chunk if most is None else chunk[: most - taken]
            taken += len(kept)
            if file is not None:
                file.data += kept
            if most is not None and taken >= most:
                return
            if self.each_bytes_per_s:
                assert request.transport is not None
                request.transport.pause_reading()  # else all of it would be there at once
                await asyncio.sleep(len(chunk) / self.each_bytes_per_s)
                request.transport.resume_reading()
