"""A ledger copied while others write it: SQLite's online backup, of one moment."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import aiosqlite

from gateway.errors import Unavailable
from gateway.ledger.sqlite.connection import BUSY_TIMEOUT_S, meaning


async def copy_ledger(path: Path, to: Path) -> None:
    """Copy the ledger at `path` into the new file `to`, which is one file alone: no log beside it.

    :raises SpoolFull: the disk is full.
    :raises Unavailable: the one can't be read, or the other not be written.
    """
    source_uri = _prepared(path, to)
    try:
        async with (
            aiosqlite.connect(source_uri, uri=True, timeout=BUSY_TIMEOUT_S) as source,
            aiosqlite.connect(to, isolation_level=None) as copy,
        ):
            await source.backup(copy)  # in one step: a reader of the log, whom no writer waits for
            await copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        found = meaning(error)
        raise (
            found if found is not error else Unavailable("the ledger can't be copied", code="storage_error")
        ) from error


def _prepared(path: Path, to: Path) -> str:
    """Makes the copy's file, for its owner only; the source's address, to be read."""
    to.touch(mode=0o600, exist_ok=False)
    return f"{path.absolute().as_uri()}?mode=ro"
