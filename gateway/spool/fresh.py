"""Random bytes that needn't be secret: nonces and names. Secret ones, keys and tokens, are asked of the system one by one.

Each asking lets Python's other threads in, and the asker waits for its turn again, longer than the bytes take to make. So
they are drawn many at a time.
"""

from __future__ import annotations

import os
import threading

_DRAWN_BYTES = 4096


class _Draw:
    """Bytes drawn and not yet given out. For all threads."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """What was drawn isn't given out any more. In the child of a fork: another thread may have held the lock."""
        self._lock = threading.Lock()
        self._bytes = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        with self._lock:
            at = self._at
            if at + count > len(self._bytes):
                self._bytes, at = os.urandom(max(count, _DRAWN_BYTES)), 0
            self._at = at + count
            return self._bytes[at : at + count]


_draw = _Draw()
os.register_at_fork(after_in_child=_draw.forget)


def fresh_bytes(count: int) -> bytes:
    """:param count: how many bytes. :returns: so many of the system's random bytes, given to nobody else."""
    return _draw.take(count)


def fresh_hex(count: int) -> str:
    """:param count: how many bytes. :returns: fresh ones, as twice so many lower hex digits."""
    return fresh_bytes(count).hex()
