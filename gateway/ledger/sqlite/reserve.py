"""Room on the ledger's disk that is given up when nothing else is left, so that a full disk can still be purged.

A file beside the ledger. While it isn't there, no new bytes are taken (see `gateway.uploads.pipeline`): what its room serves is
the writing down of what is there already, and of its end.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

#: Of a large disk; of a small one its sixteenth part.
RESERVE_BYTES = 16 << 20
RESERVE_SHARE = 16
#: It is made, also again, where so many times its size is free.
PLENTY = 3
#: That it is there is believed so long: each body asks. That it was given up by this process is known at once.
BELIEVED_FOR_S = 0.25


class LedgerReserve:
    """The file. Several processes may share it.

    :param database: the ledger's file.
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".reserve")
        self._believed_until = 0.0  #: monotonic seconds

    @property
    def held(self) -> bool:
        """It is there, or was a moment ago."""
        now = time.monotonic()
        if now < self._believed_until:
            return True
        there = self._path.exists()
        if there:
            self._believed_until = now + BELIEVED_FOR_S
        return there

    def hold(self) -> bool:
        """Make it if there is room, and say whether it is there. Never raises: without it the gateway works too."""
        if self._path.exists():
            return True
        try:
            facts = os.statvfs(self._path.parent)
            size = min(RESERVE_BYTES, facts.f_blocks * facts.f_frsize // RESERVE_SHARE)
            if facts.f_bavail * facts.f_frsize < PLENTY * size:
                return False
            unfinished = self._path.with_name(self._path.name + ".new")
            handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, size)
            finally:
                os.close(handle)
            unfinished.replace(self._path)
        except OSError:
            return self._path.exists()  # another thread or process may have been quicker
        return True

    def release(self) -> bool:
        """Give its room up. False: there was none."""
        try:
            self._path.unlink()
        except OSError:
            return False
        finally:
            self._believed_until = 0.0
        return True
