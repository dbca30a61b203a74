"""Small files that come whole at once: while they are being synced somebody may judge them, for their bytes are at hand.

A verdict that is there in time is written with the file; else a job is, as for any other file. What a verdict is nobody
here knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.ledger.rows import FileRow, UploadRow
from gateway.spool import RunningDigest, UploadKey


class Judged(Protocol):
    """What came of one of them."""

    def on(self, upload: UploadRow, whole: FileRow) -> FileRow | None:
        """The whole file with it; None: a job has to judge it after all."""

    def told(self) -> None:
        """It is committed."""


class Judging(Protocol):
    """Some that are being judged; it is ended by `verdicts`."""

    def verdicts(self) -> Sequence[Judged | None]:
        """Of each in order; None: there is none in time. Doesn't wait for long."""


@dataclass(slots=True)
class Arrival:
    """One of them, before it is written down.

    :param key: of its upload.
    :param pieces: all its bytes.
    :param digest: has seen them when it is judged.
    :ivar judged: what came of it in time; it is looked at by the act that writes the file down.
    """

    file_id: str
    key: UploadKey
    pieces: Sequence[bytes | memoryview]
    digest: RunningDigest
    judged: Judged | None = None

    @property
    def sha256(self) -> str:
        """Hex."""
        return self.digest.hexdigest()

    def told(self, file: FileRow) -> bool:
        """The file is committed. Whether its verdict is, too."""
        if self.judged is None or file.facts_sealed is None:
            return False
        self.judged.told()
        return True


class Judge(Protocol):
    """Whoever does it."""

    def begin(self, arriving: Sequence[Arrival]) -> Judging | None:
        """None: not just now."""
