"""A client that sends a study to a gateway that may die at any moment, and keeps a log of what it was told.

`Campaign.send` goes as far as the gateway lives; called again after a restart it first holds the gateway to the log,
then goes on where that stands. Nothing here imports the gateway.
"""

from __future__ import annotations

import http.client
import json
import random
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol

from tests.dicom_samples import instance
from tests.e2e.lab import Answer, Http, Lab
from tests.e2e.orthanc import Orthanc
from tests.e2e.parrot import Parrot
from tests.e2e.plaintext import Hit, Scanner
from tests.e2e.series import sha256

CHUNK_SIZE = 1 << 16
LANES = 3
#: Values of the studies and of what is said about them: none is ever on the gateway's disk.
MARKERS = {
    "patient name": "ZQXKILLED^NAME",
    "patient id": "ZQX-KILLED-4711",
    "pixels": "ZQXPIXELSOFTHEKILLED",
    "file_id": "ZQX_FILE_ID",
    "physician": "ZQXREFERRER",
}
SCANNER = Scanner(MARKERS)
METADATA = {
    "patient_name": MARKERS["patient name"],
    "patient_id": MARKERS["patient id"],
    "referring_physician": MARKERS["physician"],
}
#: For a soak's hours.
LONG_TOKENS = {"tokens": {"access_ttl": "12h", "upload_ttl": "12h"}}


class Archive(Protocol):
    """What a PACS holds, by digest: an instance that is there twice is listed twice."""

    def digests(self) -> list[str]: ...


@dataclass
class OrthancArchive:
    orthanc: Orthanc

    def digests(self) -> list[str]:
        return [sha256(data) for data in self.orthanc.stored_bytes()]


@dataclass
class ParrotArchive:
    """`held` has one entry per UID, the first; what came again is in the parrot's requests only."""

    pacs: Parrot

    def digests(self) -> list[str]:
        with self.pacs.lock:
            return [sha256(one.content) for one in self.pacs.held.values()]


#: What is sent at once of a file that has a segment for itself.
LARGE_PIECE = 1_100_000


class LineBroke(Exception):
    """The gateway is gone, or says that it is going."""


def small_study(seed: int) -> list[bytes]:
    """Instances of sizes on both sides of frames and chunks; about 4 MB, the first in a segment for itself."""
    dice = random.Random(seed)
    sizes = [3 * LARGE_PIECE, *(dice.choice([256, 4096, 65_536, 150_000]) for _ in range(5)), 400_000]
    uids: dict[str, Any] = {
        "study_instance_uid": f"2.25.{secrets.randbits(96)}",
        "series_instance_uid": f"2.25.{secrets.randbits(96)}",
    }
    pixels = MARKERS["pixels"].encode()
    return [
        instance(
            patient_name=MARKERS["patient name"],
            patient_id=MARKERS["patient id"],
            rows=size // 256,
            columns=256,
            pixel_data=(pixels * (size // len(pixels) + 1))[: size // 256 * 256],
            **uids,
        )
        for size in sizes
    ]


def readable_on_disk(lab: Lab) -> list[Hit]:
    """Where markers are found in what the gateway has written."""
    return SCANNER.hits(path for path in lab.folder.iterdir() if path != lab.config)


@dataclass
class Campaign:
    """One upload: the even files go by tus, the odd ones as chunks.

    :ivar told: what was acknowledged: file number -> tus offset.
    :ivar chunks: file number -> chunk indexes that were acknowledged.
    """

    lab: Lab
    who: Http
    archive: Archive
    files: Sequence[bytes]
    seed: int
    told: dict[int, int] = field(default_factory=dict)
    chunks: dict[int, set[int]] = field(default_factory=dict)
    urls: dict[int, str] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)
    upload_id: str = ""
    client: Http | None = None
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self) -> bool:
        """As far as the line holds. True: the gateway said `success`."""
        try:
            self._open()
            self._hold_to_the_log()
            with ThreadPoolExecutor(LANES) as lanes:
                for done in [lanes.submit(self._file, number) for number in range(len(self.files))]:
                    done.result()
            self._complete()
        except LineBroke:
            return False
        return True

    def after_restart(self) -> None:
        """What must hold, whatever was going on."""
        if self.client is not None:
            self._hold_to_the_log()

    # steps

    def _open(self) -> None:
        if self.client is not None:
            return
        wish = {
            "study_metadata": METADATA,
            "total_files": len(self.files),
            "total_size_bytes": sum(map(len, self.files)),
        }
        body, kind = json.dumps(wish).encode(), {"Content-Type": "application/json", "Idempotency-Key": self.key}
        opened = self._told(lambda: self.who.call("POST", "/upload/init", body, kind)).expect(201).json
        self.upload_id = opened["upload_id"]
        self.client = self.who.with_token(opened["upload_token"])

    def _hold_to_the_log(self) -> None:
        """Acknowledged <= there; `success` only when it is true."""
        client = self._bearer()
        status = self._told(lambda: client.call("GET", f"/upload/{self.upload_id}/status")).expect(200).json
        self._seen(status["state"])
        if status["state"] not in {"open", "uploading"}:
            return
        for number, offset in list(self.told.items()):
            now = self._told(lambda number=number: client.head(self.urls[number]))  # type: ignore[misc] # bound now
            assert now.expect(200).offset >= offset, f"{offset} was acknowledged, {now.offset} is there"
            self.told[number] = now.offset
        listed = self._told(lambda: client.call("GET", f"/upload/{self.upload_id}/files?limit=1000")).expect(200).json
        by_name = {one["file_id"]: one for one in listed["files"]}
        for number, indexes in self.chunks.items():
            there = set(chain(*(range(first, last + 1) for first, last in by_name[_name(number)]["received_chunks"])))
            assert there >= indexes, f"chunks {sorted(indexes - there)} were acknowledged and are gone"

    def _seen(self, state: str) -> None:
        self.states.append(state)
        assert state not in {"failed", "partial", "cancelled", "expired"}, f"the upload is {state}"
        if state == "success":
            self.arrived()

    def arrived(self) -> None:
        """Each instance is in the PACS, once, byte by byte."""
        there = Counter(self.archive.digests())
        for data in self.files:
            assert there[sha256(data)] == 1, f"an instance is there {there[sha256(data)]} times"

    def _file(self, number: int) -> None:
        if self.states and self.states[-1] not in {"open", "uploading"}:
            return
        (self._by_tus if number % 2 == 0 else self._by_chunks)(number)

    def _by_tus(self, number: int) -> None:
        client, data, dice = self._bearer(), self.files[number], random.Random(self.seed + number)
        if number not in self.urls:
            first = data[: dice.choice([0, 0, 70_000])]
            made = self._told(lambda: client.create(len(data), {"file_id": _name(number)}, first)).expect(201)
            self.urls[number] = made.headers["Location"]
            self._acknowledged(number, made.offset)
        at = self._told(lambda: client.head(self.urls[number])).expect(200).offset
        while at < len(data):
            size = LARGE_PIECE if len(data) > LARGE_PIECE else dice.choice([1024, 65_536, 200_000])
            piece = data[at : at + size]
            answer = self._told(lambda at=at, piece=piece: client.patch(self.urls[number], at, piece))  # type: ignore[misc] # bound now
            at = answer.expect(204).offset
            self._acknowledged(number, at)

    def _by_chunks(self, number: int) -> None:
        client, data = self._bearer(), self.files[number]
        pieces = [data[at : at + CHUNK_SIZE] for at in range(0, len(data), CHUNK_SIZE)]
        missing = [index for index in range(len(pieces)) if index not in self.chunks.get(number, set())]
        random.Random(self.seed + number).shuffle(missing)
        for index in missing:
            self._told(
                lambda index=index: client.chunk(self.upload_id, _name(number), index, pieces[index], len(pieces))  # type: ignore[misc] # bound now
            ).expect(200)
            with self._lock:
                self.chunks.setdefault(number, set()).add(index)

    def _complete(self) -> None:
        client = self._bearer()
        answer = self._told(lambda: client.complete(self.upload_id, wait_s=60)).expect(200)
        self._seen(answer.json["status"])

    # the line

    def _acknowledged(self, number: int, offset: int) -> None:
        with self._lock:
            self.told[number] = max(offset, self.told.get(number, 0))

    def _bearer(self) -> Http:
        assert self.client is not None
        return self.client

    def _told(self, ask: Callable[[], Answer]) -> Answer:
        try:
            answer = ask()
        except (OSError, http.client.HTTPException):
            raise LineBroke from None
        if answer.status == 503:
            raise LineBroke
        return answer


def _name(number: int) -> str:
    return f"{MARKERS['file_id']}_{number}"
