"""SHA-256 of files as they come in, so that a file which one process took in order isn't read back to be digested.

A state counts only together with its offset: who asks for another one (after a restart, a chunk out of order, bytes that
were refused) gets none, and reads the file. Memory only; nothing that was told depends on it. For several threads.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Any

from gateway.blobs.base import Bytes

#: Files whose states are kept: less than a KiB each.
KEPT = 20_000


class RunningDigest:
    """The state of one file, for one writer.

    :ivar size_bytes: what it has seen of the file, from its beginning on.
    """

    def __init__(self, state: Any = None, size_bytes: int = 0) -> None:
        self._state = hashlib.sha256() if state is None else state
        self.size_bytes = size_bytes

    def update(self, data: Bytes, /) -> None:
        """The next bytes of the file."""
        self._state.update(data)
        self.size_bytes += memoryview(data).nbytes

    def copy(self) -> RunningDigest:
        """The same state, for somebody else."""
        return RunningDigest(self._state.copy(), self.size_bytes)

    def hexdigest(self) -> str:
        """Of the bytes up to now."""
        return str(self._state.hexdigest())


class KnownDigests:
    """States at the offsets that are committed, by file id; those that nobody touched for longest are forgotten."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._known: OrderedDict[str, RunningDigest] = OrderedDict()

    def resume(self, file_id: str, offset: int) -> RunningDigest | None:
        """A state to go on with from `offset`; None: there is none."""
        if offset == 0:
            return RunningDigest()
        with self._lock:
            known = self._known.get(file_id)
            return known.copy() if known is not None and known.size_bytes == offset else None

    def commit(self, file_id: str, offset: int, digest: RunningDigest | None) -> None:
        """The file is committed up to `offset`. A digest that has seen more or less of it says nothing."""
        with self._lock:
            known = self._known.pop(file_id, None)
            if digest is not None and digest.size_bytes == offset:
                known = digest.copy()
            if known is not None and known.size_bytes == offset:
                self._known[file_id] = known
                while len(self._known) > self._kept:
                    self._known.popitem(last=False)

    def of(self, file_id: str, size_bytes: int) -> str | None:
        """SHA-256, in hex, of a file of that length; None: it has to be read."""
        with self._lock:
            known = self._known.get(file_id)
            return known.hexdigest() if known is not None and known.size_bytes == size_bytes else None

    def forget(self, file_id: str) -> None:
        """Nobody will ask for it any more."""
        with self._lock:
            self._known.pop(file_id, None)
