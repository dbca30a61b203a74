"""A webhook whose receiver is down while the gateway is killed: the message comes all the same, and repeats can be told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.dicom_samples import study
from tests.e2e.conftest import pacs_of
from tests.e2e.lab import running_lab, wait_until
from tests.e2e.orthanc import Orthanc


@dataclass
class Receiver:
    url: str
    status: int = 204
    came: list[tuple[str, dict[str, Any], int]] = field(default_factory=list)


@contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            here.came.append((self.headers["webhook-id"], json.loads(body), here.status))
            self.send_response(here.status)
            self.end_headers()

        def log_message(self, *_words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Receiver(f"http://127.0.0.1:{server.server_port}/relay")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_kill_while_the_receiver_is_down_loses_no_message(tmp_path: Path, orthanc: Orthanc) -> None:
    with receiver() as here:
        settings = {"[webhooks]": {"url": here.url, "secret": "a secret of sixteen bytes"}}
        with running_lab(tmp_path / "gateway", pacs_of(orthanc), settings=settings) as lab:
            here.status = 500
            uploads = []
            for _ in range(3):
                upload_id, client = lab.open_upload(lab.login(), files := study(1))
                client.create(len(files[0]), {"file_id": "f"}, files[0]).expect(201)
                assert client.complete(upload_id).expect(200).json["status"] == "success"
                uploads.append(upload_id)
            wait_until("it is tried", lambda: len(here.came) >= 2)
            lab.kill()
            here.status = 204
            lab.start()

            def taken() -> list[str]:
                return [body["data"]["upload_id"] for _, body, status in here.came if status == 204]

            wait_until("every message comes", lambda: set(uploads) <= set(taken()), 60)
            ids = {(body["data"]["upload_id"], message_id) for message_id, body, _ in here.came}
            assert len(ids) == len(uploads), "a repeat has the same id"
