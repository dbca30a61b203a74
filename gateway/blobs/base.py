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
    taken_bytes: int  #: of the medium: less than its size where it has holes
    modified_at: float  #: unix seconds


class BlobWriter(Protocol):
    """A blob that grows: at its end by one thread, or at places that several threads have divided among them.

    After any `OSError` the writer is unusable: what was synced before stays, nothing is tried again (a page of a
    failed fsync may be gone). Only a `write_at` for which there is no room leaves it as it was: its place holds nothing
    that anybody may name.
    """

    @property
    def size_bytes(self) -> int:
        """Bytes appended so far."""

    def append(self, pieces: Sequence[Bytes]) -> None:
        """Write all pieces at the end. :raises OSError: as the system says (ENOSPC, EIO)."""

    def write_at(self, position: int, pieces: Sequence[Bytes]) -> None:
        """Write all pieces from `position` on, which nobody else writes to. :raises OSError: as the system says."""

    def sync(self) -> None:
        """Return when every byte that was written before, and the blob's name, would survive a power cut."""

    def close(self) -> None:
        """Give the handle back. Not a sync. May be called twice."""


class BlobReader(Protocol):
    """Random access to a blob."""

    def read_at(self, position: int, size: int) -> bytes:
        """Up to `size` bytes from `position`; fewer only at the end."""

    def readinto(self, position: int, out: memoryview) -> int:
        """The same into the beginning of `out`, as many as it has room for; how many."""

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

    def punch(self, name: str, holes: Sequence[tuple[int, int]]) -> bool:
        """Give the room of so many bytes from each position on back to the medium: they read as zeros from then on.

        :returns: False: the medium can't, or there is no such blob.
        :raises OSError: as the system says.
        """

    def taken_bytes(self, name: str) -> int:
        """What a blob takes of the medium; 0: there is none."""

    def list(self) -> Iterator[BlobFacts]:
        """Every blob, in no order."""

    def free_bytes(self) -> int:
        """Room left in the medium."""

    def medium_bytes(self) -> int:
        """Size of the medium, taken and free."""

    def marks(self) -> Sequence[str]:
        """What it was marked with: whose store it is."""

    def mark(self, mark: str) -> None:
        """Mark it, durably. :param mark: 32 hex digits."""
