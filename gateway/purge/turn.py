"""Whose turn it is at the spool's blobs: the purge takes them away, a backup copies them; never both at once.

A lock on a file, so that it holds between processes and ends with whoever holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import Unavailable
from gateway.owners import leave_to_owner


def lock_beside(database: Path) -> Path:
    """The file that is locked."""
    return database.with_name(database.name + ".purging")


@contextlib.contextmanager
def purging(lock: Path) -> Iterator[bool]:
    """A purge's turn; False: a backup is being made, it is another time's."""
    with _opened(lock) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextlib.contextmanager
def copying(lock: Path) -> Iterator[None]:
    """A backup's turn; begins when the purges that run just now are over. Blocks."""
    with _opened(lock) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _opened(lock: Path) -> Iterator[int]:
    """:raises Unavailable: no handle is left, or no room: the next turn may come."""
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable("the lock of the purge can't be opened", code="storage_error") from error
    try:
        leave_to_owner(lock)
        yield handle
    finally:
        os.close(handle)
