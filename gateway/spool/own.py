"""The store of one ledger, and no other: a folder that its disk isn't mounted on looks like an empty spool.

What is missing in a store without the ledger's mark is not damage, and nothing is written into it or taken out of it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence

from gateway.blobs.base import BlobFacts, BlobReader, BlobStore, BlobWriter


class OwnBlobs:
    """A `BlobStore` that fails with ENODEV while it isn't the one that was marked.

    :param mark: 32 hex digits; None: nobody has marked it yet.
    """

    def __init__(self, blobs: BlobStore, mark: str | None = None) -> None:
        self._blobs = blobs
        self._mark = mark

    def create(self, name: str) -> BlobWriter:
        self._check()
        return self._blobs.create(name)

    def open(self, name: str) -> BlobReader:
        try:
            return self._blobs.open(name)
        except FileNotFoundError:
            self._check()
            raise

    def delete(self, names: Sequence[str]) -> None:
        self._check()
        self._blobs.delete(names)

    def punch(self, name: str, holes: Sequence[tuple[int, int]]) -> bool:
        self._check()
        return self._blobs.punch(name, holes)

    def taken_bytes(self, name: str) -> int:
        return self._blobs.taken_bytes(name)

    def list(self) -> Iterator[BlobFacts]:
        self._check()
        return self._blobs.list()

    def free_bytes(self) -> int:
        self._check()
        return self._blobs.free_bytes()

    def medium_bytes(self) -> int:
        return self._blobs.medium_bytes()

    def marks(self) -> Sequence[str]:
        return self._blobs.marks()

    def mark(self, mark: str) -> None:
        self._blobs.mark(mark)

    def belong_to(self, mark: str) -> None:
        """From now on only the store with that mark is ours."""
        self._mark = mark

    @property
    def is_ours(self) -> bool:
        """It has the mark."""
        return self._mark is None or self._mark in self._blobs.marks()

    def _check(self) -> None:
        if not self.is_ours:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
