"""Verdicts on small files that came whole at once, from the bytes at hand, while these are being synced.

They are written down with the file, by the transaction that says it is whole: no job, nothing read back. What isn't there in
time is judged by a job (`check.py`), as every other file; so is what breaks the check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.delivery.streams import Streams
from gateway.delivery.verdicts import SealedVerdict, judgement_of, sealed, tell
from gateway.ledger.rows import FileRow, UploadRow
from gateway.spool import Fresh, ServiceKeys, UploadKey
from hooks.contract import Begun, Check


class Arriving(Protocol):
    """A file with all its bytes, before it is written down."""

    @property
    def file_id(self) -> str: ...
    @property
    def key(self) -> UploadKey: ...
    @property
    def pieces(self) -> Sequence[bytes | memoryview]: ...
    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ArrivalVerdict:
    """Of one of them."""

    upload_id: str
    file_id: str
    verdict: SealedVerdict
    streams: Streams

    def on(self, upload: UploadRow, whole: FileRow) -> FileRow | None:
        """The whole file with it; None: a job has to judge it, for more follows from a verdict than its row."""
        return None if self.streams.has(upload) else self.verdict.on(whole)

    def told(self) -> None:
        """It is committed."""
        tell(self.upload_id, self.file_id, self.verdict.judgement)


class Arrivals:
    """Judges them."""

    def __init__(self, check: Check, keys: ServiceKeys, streams: Streams) -> None:
        self._check = check
        self._keys = keys
        self._streams = streams

    def begin(self, arriving: Sequence[Arriving]) -> JudgedArrivals | None:
        """Begin with what came together; None: not just now."""
        begun = self._check.begin([HeldSource(one.pieces) for one in arriving])
        return None if begun is None else JudgedArrivals(begun, arriving, self._keys, self._streams)


class JudgedArrivals:
    """Some that are being judged."""

    def __init__(self, begun: Begun, arriving: Sequence[Arriving], keys: ServiceKeys, streams: Streams) -> None:
        self._begun = begun
        self._arriving = arriving
        self._keys = keys
        self._streams = streams

    def verdicts(self) -> list[ArrivalVerdict | None]:
        """Of each in order; None: there is none in time."""
        found: list[ArrivalVerdict | None] = []
        fresh = Fresh(2 * 12 * len(self._arriving))
        for one, verdict in zip(self._arriving, self._begun.verdicts(), strict=True):
            if verdict is None:
                found.append(None)
                continue
            ruling = sealed(self._keys, one.key, one.file_id, judgement_of(verdict, one.sha256), fresh)
            found.append(ArrivalVerdict(one.key.upload_id, one.file_id, ruling, self._streams))
        return found


class HeldSource:
    """A source of pieces in memory."""

    def __init__(self, pieces: Sequence[bytes | memoryview]) -> None:
        self._pieces = pieces
        self._size_bytes = sum(map(len, pieces))

    @property
    def size_bytes(self) -> int:
        """Length of the whole."""
        return self._size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Source`."""
        found, begin, end = [], 0, offset + size
        for piece in self._pieces:
            if begin >= end:
                break
            if begin + len(piece) > offset:
                found.append(memoryview(piece)[max(0, offset - begin) : end - begin])
            begin += len(piece)
        return b"".join(found)

    def readinto(self, offset: int, out: memoryview) -> int:
        """See `Source`."""
        piece = self.read_at(offset, len(out))
        out[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Nothing is open."""
