"""Files of this machine, judged as uploads are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from gateway.assembly.parts import scanner
from gateway.config import Config
from gateway.errors import ConfigError
from hooks.contract import Accept, CheckBroke, Facts, Reject, Verdict


class LocalSource:
    """A file's bytes. :raises OSError: it can't be read."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size_bytes = os.fstat(self._handle).st_size

    @property
    def size_bytes(self) -> int:
        """Length of the whole."""
        return self._size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        """Fewer than `size` only at the end."""
        return os.pread(self._handle, size, offset)

    def readinto(self, offset: int, out: memoryview) -> int:
        """As `read_at`, into the beginning of `out`; how many bytes."""
        return os.preadv(self._handle, [out], offset)

    def close(self) -> None:
        """Give the handle back."""
        os.close(self._handle)


def judged(config: Config, paths: Iterable[Path]) -> Iterator[tuple[int, Facts | str]]:
    """Size of each file in bytes, and what it says of itself, or the code of why it would not be sent.

    :raises ConfigError: a file can't be read.
    """
    with closing(scanner(config.validation)) as check:
        for path in paths:
            try:
                with closing(LocalSource(path)) as source:
                    yield source.size_bytes, _told(check.check(source))
            except CheckBroke:
                yield path.stat().st_size, "check_failed"
            except OSError as error:
                raise ConfigError(f"{path} can't be read: {error.strerror}") from None


def _told(verdict: Verdict) -> Facts | str:
    if isinstance(verdict, Accept):
        return verdict.facts
    return verdict.code if isinstance(verdict, Reject) else f"skipped: {verdict.code}"
