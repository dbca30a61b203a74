"""Declared digests against the bytes that are in the spool, before an upload is completed (CONTRACT 2.2, checksums).

Promises: comparing takes no thread of those that store bytes, and yields to them; accounts take turns, and uploads of an
account do, by the stretch; what was digested once is remembered, so that asking again and again costs one reading.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from gateway.errors import ChecksumMismatch, Conflict
from gateway.fair import FairTurns
from gateway.keys.unwrap import sources_of
from gateway.ledger.base import Transaction
from gateway.ledger.rows import FileRow, UploadRow
from gateway.spool import SpooledFile
from gateway.uploads.intake import Intake, file_key

#: After so many bytes another upload has its turn.
STRETCH_BYTES = 32 << 20
#: Files whose digests are remembered.
REMEMBERED = 10_000
#: Files of one upload that may wait to be read.
WAITING = 32
#: How much the reading thread steps back behind the others (nice).
_NICE = 10

#: file_id, its size in bytes, hashlib names
_What = tuple[str, int, tuple[str, ...]]


class Digests:
    """Reads files for their digests, beside the way of the bytes."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="digest", initializer=_step_back)
        self._turns = FairTurns(1, waiting=WAITING)
        self._known: OrderedDict[_What, dict[str, bytes]] = OrderedDict()
        self._reading: dict[_What, asyncio.Task[dict[str, bytes]]] = {}

    async def compare(self, intake: Intake, upload: UploadRow, file: FileRow, declared: Mapping[str, bytes]) -> None:
        """Compare a file, and read it for that if it wasn't yet.

        :param declared: hashlib name -> raw digest.
        :raises ChecksumMismatch: the bytes differ.
        :raises Conflict: `incomplete`: the file has holes.
        :raises TooMany: too many files of this upload wait to be read.
        """
        what = (file.file_id, file.offset, tuple(sorted(declared)))
        found = self._known.get(what)
        if found is None:
            reading = self._reading.get(what)
            if reading is None:
                reading = self._reading[what] = asyncio.create_task(self._read(intake, upload, file, what))
                reading.add_done_callback(lambda _done: self._reading.pop(what, None))
            found = await asyncio.shield(reading)
        if not all(hmac.compare_digest(found[name], digest) for name, digest in declared.items()):
            raise ChecksumMismatch("a file doesn't have the declared digest")

    async def _read(self, intake: Intake, upload: UploadRow, file: FileRow, what: _What) -> dict[str, bytes]:
        source = await intake.ledger.read(lambda tx: open_source(tx, intake, upload, file))
        hashes = {name: hashlib.new(name) for name in what[2]}
        pieces, loop = source.iter_pieces(), asyncio.get_running_loop()
        try:
            more = True
            while more:
                async with self._turns.turn(upload.owner_id, upload.upload_id):
                    more = await loop.run_in_executor(self._thread, _stretch, pieces, hashes)
        finally:
            source.close()
        found = self._known[what] = {name: one.digest() for name, one in hashes.items()}
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found


def open_source(tx: Transaction, intake: Intake, upload: UploadRow, file: FileRow) -> SpooledFile:
    """The plaintext of a file as far as it is there. :raises Conflict: `incomplete`: it has holes."""
    rows = [run for run in tx.runs.of_file(file.file_id) if run.length]
    if rows and rows[-1].start + rows[-1].length != file.offset:
        raise Conflict("a file whose checksum is declared isn't whole", code="incomplete")
    key = file_key(tx, intake.ring, upload, file)
    return intake.spool.reader(
        rows,
        upload_id=upload.upload_id,
        file_id=file.file_id,
        key=key,
        size_bytes=file.offset,
        sources=sources_of(key, file.file_id, file.sources_sealed),
    )


def _stretch(pieces: Iterator[memoryview], hashes: Mapping[str, Any]) -> bool:
    """In the thread: digest the next pieces. False: there are no more."""
    size = 0
    for piece in pieces:
        for one in hashes.values():
            one.update(piece)
        size += len(piece)
        if size >= STRETCH_BYTES:
            return True
    return False


def _step_back() -> None:
    """Whoever stores bytes comes first. Linux has a niceness for each thread; elsewhere all stay as they are."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
