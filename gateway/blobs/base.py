"""What a store of sealed bytes must do. Synchronous: called from worker threads, never from the event loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

#: What `append` takes: anything with the buffer protocol (typing has `Buffer` from 3.12 on only).
Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class BlobFacts:
    """A blob as a listing shows it."""

    name: str
    size_bytes: int
    modified_at: float  #: unix seconds


class BlobWriter(Protocol):
    """An append-only blob with one writer.

    After any `OSError` the writer is unusable: what was synced before stays, nothing is tried again (a page of a
    failed fsync may be gone).
    """

    @property
    def size_bytes(self) -> int:
        """Bytes appended so far."""

    def append(self, pieces: Sequence[Bytes]) -> None:
        """Write all pieces at the end. :raises OSError: as the system says (ENOSPC, EIO)."""

    def sync(self) -> None:
        """Return when every appended byte, and the blob's name, would survive a power cut."""

    def close(self) -> None:
        """Give the handle back. Not a sync. May be called twice."""


class BlobReader(Protocol):
    """Random access to a blob."""

    def read_at(self, position: int, size: int) -> bytes:
        """Up to `size` bytes from `position`; fewer only at the end."""

    def close(self) -> None:
        """Give the handle back."""


class BlobStore(Protocol):
    """Names are `[0-9a-f]{32}`; a blob is created once and never written again after its writer closed."""

    def create(self, name: str) -> BlobWriter:
        """A new blob. :raises FileExistsError: the name is taken."""

    def open(self, name: str) -> BlobReader:
        """:raises FileNotFoundError: no such blob."""

    def delete(self, names: Sequence[str]) -> None:
        """Remove blobs and return when their removal would survive a power cut. A missing one is no error."""

    def list(self) -> Iterator[BlobFacts]:
        """Every blob, in no order."""

    def free_bytes(self) -> int:
        """Room left in the medium."""

    def medium_bytes(self) -> int:
        """Size of the medium, taken and free."""
