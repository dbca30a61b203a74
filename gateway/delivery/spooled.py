"""From rows to a way to read a file's plaintext, again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.errors import Damaged, GatewayError, Unavailable
from gateway.keys.columns import Column
from gateway.keys.unwrap import sources_of
from gateway.ledger.base import Transaction
from gateway.ledger.rows import FileRow, RunRow
from gateway.spool import RunningDigest, Spool, UploadKey
from hooks.contract import Source


@dataclass(frozen=True, slots=True)
class SpooledPlace:
    """Where a file's bytes are, and its wrapped key."""

    file_id: str
    length: int
    runs: tuple[RunRow, ...]
    wrapped: bytes | None
    bytes_sealed: bytes | None = None  #: they are here, and not in the spool
    sources_sealed: bytes | None = None  #: keys of other files whose entries the runs name


def place_of(tx: Transaction, row: FileRow) -> SpooledPlace:
    """As the ledger has it now."""
    wrapped = None if row.key_id is None else tx.keys.get(row.key_id)
    runs = tuple(tx.runs.of_file(row.file_id))
    return SpooledPlace(row.file_id, row.length or 0, runs, wrapped, row.bytes_sealed, row.sources_sealed)


def opener(spool: Spool, key: UploadKey, place: SpooledPlace) -> Callable[[], Source]:
    """Opens the file afresh. What it returns raises `Damaged` if the bytes aren't what was acknowledged."""

    def open_file() -> Source:
        if place.wrapped is None:
            raise Damaged("a file's key is gone")
        file_key = key.file_key(place.file_id, place.wrapped)
        if place.bytes_sealed is not None:
            return WholeSource(file_key.whole().open(place.bytes_sealed, context=Column.FILE_BYTES.of(place.file_id)))
        return spool.reader(
            place.runs,
            upload_id=key.upload_id,
            file_id=place.file_id,
            key=file_key,
            size_bytes=place.length,
            sources=sources_of(file_key, place.file_id, place.sources_sealed),
        )

    return open_file


class WholeSource:
    """A source that is held whole: of a file that the gateway made."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size_bytes(self) -> int:
        """Length of the whole."""
        return len(self._content)

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Source`."""
        return self._content[offset : offset + size]

    def readinto(self, offset: int, out: memoryview) -> int:
        """See `Source`."""
        piece = self.read_at(offset, len(out))
        out[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Nothing to give back."""


class ReportingSource:
    """A source that remembers why it couldn't be read: a target may swallow or rename what is raised through it.

    Who reads all of it in order doesn't get the last bytes if the whole has another digest than it had when it came.

    :param sha256: hex.
    """

    def __init__(self, source: Source, sha256: str, failed: Callable[[GatewayError], None]) -> None:
        self._source = source
        self._sha256 = sha256
        self._digest = RunningDigest()
        self._failed = failed

    @property
    def size_bytes(self) -> int:
        """Length of the whole."""
        return self._source.size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Source`. :raises Damaged, Unavailable: after telling."""
        with self._telling():
            piece = self._source.read_at(offset, size)
            self._watch(offset, piece)
            return piece

    def readinto(self, offset: int, out: memoryview) -> int:
        """See `Source`. :raises Damaged, Unavailable: after telling."""
        with self._telling():
            size = self._source.readinto(offset, out)
            self._watch(offset, out[:size])
            return size

    def close(self) -> None:
        """Give the handles back."""
        self._source.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (Damaged, Unavailable) as error:
            self._failed(error)
            raise

    def _watch(self, offset: int, piece: bytes | memoryview) -> None:
        """:raises Damaged: these were the last bytes, and the whole has another digest."""
        if offset != self._digest.size_bytes:
            return
        self._digest.update(piece)
        if self._digest.size_bytes == self.size_bytes and self._digest.hexdigest() != self._sha256:
            raise Damaged("a file has another digest than it had when it came")


class ReadFaults:
    """Which files of a batch couldn't be read."""

    def __init__(self) -> None:
        self.damaged: set[str] = set()
        self.unavailable: Unavailable | None = None

    def watched(self, file_id: str, sha256: str, open_file: Callable[[], Source]) -> Callable[[], Source]:
        """`open_file`, told about here when it fails, or gives other bytes than those of this digest."""

        def failed(error: GatewayError) -> None:
            if isinstance(error, Unavailable):
                self.unavailable = error
            else:
                self.damaged.add(file_id)

        def open_watched() -> Source:
            try:
                return ReportingSource(open_file(), sha256, failed)
            except (Damaged, Unavailable) as error:
                failed(error)
                raise

        return open_watched

    def any_of(self, file_ids: Sequence[str]) -> bool:
        """Something of these was at fault, not the target."""
        return self.unavailable is not None or any(file_id in self.damaged for file_id in file_ids)
