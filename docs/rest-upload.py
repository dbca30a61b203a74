#!/usr/bin/env python3
"""Sends files through the REST facade: chunks in random order, each of them twice, eight at a time.

An example of `POST /upload/init`, `PUT /upload/{id}/chunk` and `POST /upload/{id}/complete` for clients that don't
speak tus. Needs Python 3.11 and nothing else. All the files must be of one patient. Prints the final status as JSON;
exit 0 on success, 1 otherwise.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import random
import secrets
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

AT_ONCE = 8
COPIES = 2
ATTEMPTS = 8
PASSING = {408, 423, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Chunk:
    """A stretch of a file. Every chunk but a file's last has exactly the size that `init` says."""

    path: Path
    file_id: str
    index: int
    total: int
    size_limit: int

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.index * self.size_limit)
            return file.read(self.size_limit)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="the gateway")
    parser.add_argument("--token", required=True, help="an access token")
    parser.add_argument("--endpoint", help="the PACS to send to (default: the gateway's)")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a DICOM file, or a folder of them")
    args = parser.parse_args()
    files = [path for path in all_files(args.paths) if is_dicom(path)]
    if not files:
        sys.exit("there is no DICOM file at the given paths")
    try:
        result = upload(args.url.rstrip("/"), args.token, files, args.endpoint)
    except (urllib.error.URLError, OSError) as error:
        sys.exit(f"the upload broke off: {error_words(error)}")
    print(json.dumps(result, indent=2))
    return 0 if result.get("status", result.get("state")) == "success" else 1


def upload(url: str, access_token: str, files: list[Path], endpoint_id: str | None = None) -> dict[str, Any]:
    """Send the files as one upload and wait for its end."""
    wish: dict[str, Any] = {
        "study_metadata": {},  # patient_id, study_date, accession_number and others: all may be declared
        "total_files": len(files),
        "total_size_bytes": sum(path.stat().st_size for path in files),
    }
    if endpoint_id:
        wish["endpoint_id"] = endpoint_id
    # The same key gives the same upload again: a lost answer opens no second one.
    opened = call("POST", f"{url}/upload/init", access_token, wish, {"Idempotency-Key": secrets.token_hex(16)})
    here = f"{url}/upload/{opened['upload_id']}"
    tokens = Tokens(here, opened)

    chunks = [chunk for path in files for chunk in chunks_of(path, opened["chunk_size"])] * COPIES
    random.shuffle(chunks)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda chunk: put(here, tokens.current(), chunk), chunks):
            pass

    answer = call("POST", f"{here}/complete", tokens.current(), {}, {"Prefer": "wait=30"})
    while answer.get("status", answer.get("state")) not in {"success", "partial", "failed"}:
        time.sleep(2)  # 202: the PACS hasn't got it all yet
        answer = call("GET", f"{here}/status", tokens.current())
    return answer


class Tokens:
    """An upload token lives for a quarter of an hour; the refresh token gets the next one."""

    def __init__(self, upload_url: str, opened: dict[str, Any]) -> None:
        self._url = f"{upload_url}/token"
        self._lock = threading.Lock()
        self._take(opened)

    def current(self) -> str:
        with self._lock:
            if time.monotonic() > self._renew_at:
                self._take(call("POST", self._url, self._refresh, {}))
            return self._token

    def _take(self, answer: dict[str, Any]) -> None:
        self._token, self._refresh = str(answer["upload_token"]), str(answer["refresh_token"])
        self._renew_at = time.monotonic() + 0.7 * float(answer["expires_in"])


def all_files(paths: list[Path]) -> list[Path]:
    found = (path.rglob("*") if path.is_dir() else [path] for path in paths)
    return sorted({one.resolve() for group in found for one in group if one.is_file()})


def is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM" and path.name != "DICOMDIR"


def chunks_of(path: Path, size_limit: int) -> list[Chunk]:
    total = max(1, -(-path.stat().st_size // size_limit))
    file_id = secrets.token_urlsafe(16)  # opaque: a file name may hold a patient's
    return [Chunk(path, file_id, index, total, size_limit) for index in range(total)]


def put(upload_url: str, token: str, chunk: Chunk) -> None:
    place = {"file_id": chunk.file_id, "chunk_index": chunk.index, "total_chunks": chunk.total}
    body = chunk.read()
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    headers = {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{digest}:"}
    call("PUT", f"{upload_url}/chunk?{urllib.parse.urlencode(place)}", token, body, headers)


def call(
    method: str, url: str, token: str, body: bytes | dict[str, Any] | None = None, headers: Mapping[str, str] = {}
) -> dict[str, Any]:
    """One call; trouble that passes is tried again, since every call here may be repeated."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)
    request.add_header("Authorization", f"Bearer {token}")
    for attempt in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            if error.code not in PASSING or attempt == ATTEMPTS - 1:
                raise
            error.close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if attempt == ATTEMPTS - 1:
                raise
        time.sleep(random.uniform(0.5, 1) * 2**attempt / 2)
    raise AssertionError("the last attempt returns or raises")


def error_words(error: Exception) -> str:
    """What the gateway says, RFC 9457."""
    if isinstance(error, urllib.error.HTTPError):
        try:
            problem = json.load(error)
        except ValueError:
            problem = {}
        return f"{error.code} {problem.get('code', '')} {problem.get('detail', '')}".strip()
    return str(getattr(error, "reason", error))


if __name__ == "__main__":
    sys.exit(main())
