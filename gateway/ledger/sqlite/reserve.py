"""Room on the ledger's disk that is given up when nothing else is left, so that a full disk can still be purged.

A file beside the ledger. While it isn't there, no new bytes are taken (see `gateway.uploads.pipeline`): what its room serves is
the writing down of what is there already, and of its end.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

#: Of a large disk; of a small one its sixteenth part.
RESERVE_BYTES = 16 << 20
RESERVE_SHARE = 16
#: It is made, also again, where so many times its size is free.
PLENTY = 3


class LedgerReserve:
    """The file. Several processes may share it.

    :param database: the ledger's file.
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".reserve")

    @property
    def held(self) -> bool:
        """It is there."""
        return self._path.exists()

    def hold(self) -> bool:
        """Make it if there is room, and say whether it is there. Never raises: without it the gateway works too."""
        if self.held:
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
            return self.held  # another thread or process may have been quicker
        return True

    def release(self) -> bool:
        """Give its room up. False: there was none."""
        with suppress(OSError):
            self._path.unlink()
            return True
        return False
