"""Clients who write to the same files of one gateway, and ask about them, while it dies and comes back.

Each writer has bytes of its own for every file, so that what is delivered tells whose they were. Whatever a request was
told, or that nobody told it, is noted (`history.py`). Nothing here imports the gateway.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.dicom_samples import instance, new_uid
from tests.e2e.lab import OCTETS, Answer, Http, Lab
from tests.faults.history import Outcome, Request, faults

COLUMNS = 256
WRITERS = 2
#: Between a refusal and the next attempt; between two questions of who only asks.
PAUSE_S = 0.02


@dataclass
class Written:
    """A file of the crowd.

    :param header: its first bytes, the same for all writers.
    """

    number: int
    uid: str
    header: bytes
    size: int
    seed: int
    url: str = ""
    missing: bool = False  #: it was made, and later it was not found
    requests: list[Request] = field(default_factory=list)

    def bytes_of(self, writer: int) -> bytes:
        """The whole file, as this writer would have it."""
        return _content(self.header, self.size, f"{self.seed} {self.number} {writer}")

    def faults(self, content: bytes | None = None) -> list[str]:
        """What can't be true of it."""
        found = faults(list(self.requests), content, self.bytes_of)
        found += ["it was made, and later it wasn't there"] if self.missing else []
        return [f"file {self.number}: {one}" for one in found]


@cache
def _content(header: bytes, size: int, seed: str) -> bytes:
    return header + random.Random(seed).randbytes(size - len(header))


def written(number: int, rows: int, seed: int, uids: dict[str, Any]) -> Written:
    """A file of about rows * 256 bytes."""
    uid, pixels = new_uid(), bytes(rows * COLUMNS)
    whole = instance(sop_instance_uid=uid, rows=rows, columns=COLUMNS, pixel_data=pixels, **uids)
    return Written(number, uid, whole[: len(whole) - len(pixels)], len(whole), seed)


class Crowd:
    """Writers of some files of one upload.

    :param sizes: of the files, in rows of 256 bytes.
    :param pieces: how many bytes an append has at most.
    """

    def __init__(self, lab: Lab, who: Http, seed: int, sizes: list[int], pieces: list[int]) -> None:
        uids = {"study_instance_uid": new_uid(), "series_instance_uid": new_uid()}
        self.files = [written(number, rows, seed, uids) for number, rows in enumerate(sizes)]
        self._seed = seed
        self._pieces = pieces
        self._lab = lab
        self.upload_id, self.client = lab.open_upload(who, [one.size for one in self.files])
        for one in self.files:
            made = self.client.create(one.size, {"file_id": f"f{one.number}"}).expect(201)
            one.url = made.headers["Location"]
        self.alive = threading.Event()  #: the gateway takes requests
        self.alive.set()
        self._over = threading.Event()
        self._noted = threading.Condition()
        self._count = 0

    @contextlib.contextmanager
    def at_work(self) -> Iterator[Callable[[float], bool]]:
        """Everybody writes and asks; yields a wait of so many seconds for all being written, which says whether it is.

        At the end the writers leave off. See `some_more`.
        """
        with ThreadPoolExecutor(len(self.files) * WRITERS + 1) as threads:
            writers = [threads.submit(self._write, file, writer) for file in self.files for writer in range(WRITERS)]
            asker = threads.submit(self._ask)
            try:
                yield lambda wait_s: _all_done(writers, wait_s)
            finally:
                self._over.set()
                self.alive.set()
            for one in (*writers, asker):
                one.result()

    def some_more(self, count: int) -> None:
        """Return when so many more requests have ended, or a file is lost."""
        with self._noted:
            until = self._count + count
            assert self._noted.wait_for(lambda: self._count >= until or self._over.is_set(), timeout=60), (
                "nothing moves any more"
            )

    def look(self, file: Written) -> int | None:
        """HEAD; the offset, or None: none was told."""
        began = time.monotonic()
        answer = self._answer(lambda: self.client.head(file.url))
        if answer is None or answer.status in {423, 503, 507}:
            return None
        if answer.status in {404, 410}:
            file.missing |= answer.status == 404
            self._over.set()
            self._note(file, began, outcome=Outcome.LOST)
            return None
        self._note(file, began, offset=answer.expect(200).offset)
        return answer.offset

    def faults(self) -> list[str]:
        """What can't be true of what was told."""
        return [fault for file in self.files for fault in file.faults()]

    # a writer

    def _write(self, file: Written, writer: int) -> None:
        dice = random.Random(f"{self._seed} {file.number} {writer}")
        data, at = file.bytes_of(writer), 0
        while at < file.size and not self._over.is_set():
            self.alive.wait()
            piece = data[at : at + dice.randint(1, dice.choice(self._pieces))]
            if dice.random() < 0.1:
                self._break_off(file, writer, at, piece)
                told = self.look(file)
            else:
                told = self._append(file, writer, at, piece)
            if told is None:
                self._over.wait(PAUSE_S)
                told = self.look(file)
            at = at if told is None else told

    def _append(self, file: Written, writer: int, at: int, piece: bytes) -> int | None:
        """PATCH; where to go on, if the answer says so."""
        began, sent = time.monotonic(), {"writer": writer, "at": at, "size": len(piece)}
        answer = self._answer(lambda: self.client.patch(file.url, at, piece))
        if answer is not None and answer.status == 204:
            self._note(file, began, offset=answer.offset, **sent)
            return answer.offset
        if answer is not None and answer.status == 409 and "Upload-Offset" in answer.headers:
            self._note(file, began, outcome=Outcome.REFUSED, offset=answer.offset, **sent)
            return answer.offset
        locked = answer is not None and answer.status == 423
        self._note(file, began, outcome=Outcome.REFUSED if locked else Outcome.UNKNOWN, **sent)
        return None

    def _break_off(self, file: Written, writer: int, at: int, piece: bytes) -> None:
        """A PATCH that promises more than it sends before it hangs up."""
        began = time.monotonic()
        with contextlib.suppress(OSError), contextlib.closing(self.client.connect()) as line:
            line.putrequest("PATCH", file.url.removeprefix(self.client.base))
            for name, value in {
                "Authorization": f"Bearer {self.client.token}",
                "Tus-Resumable": "1.0.0",
                "Upload-Offset": str(at),
                "Content-Type": OCTETS,
                "Content-Length": str(file.size - at),
            }.items():
                line.putheader(name, value)
            line.endheaders(piece)
        self._note(file, began, outcome=Outcome.UNKNOWN, writer=writer, at=at, size=len(piece))

    # who only asks

    def _ask(self) -> None:
        dice = random.Random(self._seed)
        while not self._over.wait(PAUSE_S):
            self.alive.wait()
            self.look(dice.choice(self.files))

    def _answer(self, ask: Callable[[], Answer]) -> Answer | None:
        try:
            return ask()
        except (OSError, http.client.HTTPException):
            return None

    def _note(self, file: Written, began: float, **what: Any) -> None:
        ended = math.inf if what.get("offset") is None else time.monotonic()
        with self._noted:
            file.requests.append(Request(began_s=began, ended_s=ended, **what))
            self._count += 1
            self._noted.notify_all()


def _all_done(writers: list[Future[None]], wait_s: float) -> bool:
    until = time.monotonic() + wait_s
    for one in writers:
        with contextlib.suppress(TimeoutError):
            one.exception(max(0.0, until - time.monotonic()))
    return all(one.done() for one in writers)
