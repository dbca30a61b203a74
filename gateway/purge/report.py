"""What a run of the purge did, for whoever asked for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.purge.erasure import Erased


@dataclass(slots=True)
class PurgeReport:
    """What one run did."""

    expired: int = 0  #: uploads that had gone silent
    uploads: int = 0  #: uploads whose bytes were erased
    files: int = 0  #: files whose bytes were erased
    size_bytes: int = 0  #: sealed bytes of those
    records: int = 0  #: records of uploads that were deleted
    tokens: int = 0  #: refresh tokens and idempotency keys past their time
    orphans: int = 0  #: blobs without a row
    scrubbed: bool = True  #: False: a reader was in the way, the next run tries again
    faults: list[str] = field(default_factory=list)  #: codes of what could not be done

    def add(self, erased: Erased) -> None:
        """Count what was erased."""
        self.files += erased.files
        self.size_bytes += erased.size_bytes
