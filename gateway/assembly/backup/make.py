"""A backup made beside a running gateway.

Promises: everything that was acknowledged before it began is in it, byte for byte as it is sealed. The ledger is copied
first, as of one moment; blobs only grow afterwards, and the purge waits until they are copied. What comes meanwhile may
be in it or not, as after a power cut.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

from gateway.assembly.backup import folder as layout
from gateway.assembly.backup.folder import Manifest
from gateway.audit.files import former_files
from gateway.clock import Clock, rfc3339
from gateway.errors import ConfigError, Malformed, SpoolFull, Unavailable
from gateway.ledger.base import Ledger
from gateway.ledger.chain import from_line
from gateway.ledger.sqlite.connection import open_unchanged
from gateway.ledger.sqlite.copying import copy_ledger
from gateway.ledger.sqlite.transaction import SqliteTransaction
from gateway.purge.turn import copying, lock_beside


async def make(
    ledger: Ledger,
    clock: Clock,
    folder: Path,
    *,
    database: Path,
    spool: Path,
    audit_file: Path | None,
    version: str,
    actor: str,
) -> Manifest:
    """Copy everything into `folder`, which is made, or empty.

    :raises ConfigError: the folder can't be used.
    :raises SpoolFull, Unavailable: it can't be read or written; what is there is no backup.
    """
    layout.begin(folder)
    made_at = clock.now()
    with copying(lock_beside(database)):
        await ledger.write(lambda tx: tx.audit.append("backup.begun", at=made_at, actor=actor))
        copy = folder / layout.LEDGER
        await copy_ledger(database, copy)
        try:
            count, size_bytes = await asyncio.to_thread(layout.copy_blobs, spool, folder / layout.SPOOL)
        except OSError as error:
            raise _fault(error, folder) from None
    with closing(open_unchanged(copy)) as db:
        tx = SqliteTransaction(db)
        head, keys = tx.audit.head()[0], tuple(sorted(tx.keys.kek_ids()))
        uploads = int(db.execute("SELECT count(*) FROM uploads").fetchone()[0])
    manifest = Manifest(rfc3339(made_at), version, head, keys, uploads, count, size_bytes)
    try:
        if audit_file is not None:
            await asyncio.to_thread(_copy_audit, audit_file, folder / layout.AUDIT, head)
        await asyncio.to_thread(layout.finish, folder, manifest)
    except OSError as error:
        raise _fault(error, folder) from None
    return manifest


def _copy_audit(present: Path, to: Path, head: int) -> None:
    """The exported trail, as far as the copied ledger knows it."""
    to.mkdir(mode=0o700)
    for path in (*former_files(present), present):
        if path.exists():
            layout.copy_file(path, to / path.name, _known_bytes(path, head))
    layout.sync_folder(to)


def _known_bytes(path: Path, head: int) -> int:
    """Length of the lines up to event `head`."""
    size = 0
    with path.open("rb") as file:
        for line in file:
            try:
                known = line.startswith(b'{"opening"') or (line.endswith(b"\n") and from_line(line).number <= head)
            except Malformed:
                known = True  # whoever checks it finds out
            if not known:
                break
            size += len(line)
    return size


def _fault(error: OSError, folder: Path) -> ConfigError | SpoolFull | Unavailable:
    if error.errno == 28:
        return SpoolFull(f"the disk of {folder} is full: make room, and begin again in a new folder")
    return Unavailable(
        f"the backup can't be written ({error.strerror}): what is in {folder} is none", code="storage_error"
    )
