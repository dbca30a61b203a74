"""What a ledger promises of stored bytes: where they lie, and what finals are put together from (`base.py` has the rest)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.ledger.rows import RunRow, SharedSegmentRow, SharedState


class RunRows(Protocol):
    """Where the bytes are."""

    def insert(self, row: RunRow) -> int:
        """Returns the new run_id.

        :raises Conflict: its segment was never begun or is forgotten; or it is shared and closed, and no run names that
            entry.
        """

    def extend(self, run_id: int, length: int, sealed_bytes: int) -> None:
        """Set the run's length, and its entry's."""

    def of_file(self, file_id: str) -> list[RunRow]:
        """By start."""

    def at(self, file_id: str, start: int) -> RunRow | None: ...

    def segment_ids(self, upload_id: str, file_id: str | None = None) -> list[str]:
        """Every segment ever begun for the upload (or one file) alone, with or without runs."""

    def begin_segment(self, segment_id: str, file_id: str, upload_id: str) -> None:
        """A segment is written down before its blob is made."""

    def begin_shared(self, segment_id: str, session_id: str) -> None:
        """The same of one that files share."""

    def close_shared(self, segment_ids: Sequence[str]) -> None:
        """No run is added to these any more."""

    def close_sessions(self, but: str) -> None:
        """The same of all that other sessions have left open."""

    def set_tidy(self, segment_ids: Sequence[str], *, tidy: bool) -> None:
        """Of those that are closed: whether all that no run names was given back."""

    def shared(self, state: SharedState) -> list[SharedSegmentRow]:
        """Those that files share, of one state: few, for each is large."""

    def sharing(self, segment_id: str) -> SharedState | None:
        """The state of a segment that files share; None: it isn't one."""

    def names_any(self, segment_id: str) -> bool:
        """Whether a run is in the segment."""

    def idle_shared(self, limit: int) -> list[str]:
        """So many at most of those that are closed and have no run."""

    def of_segment(self, segment_id: str) -> list[RunRow]:
        """By entry, then start: what files have of a segment."""

    def of_entry(self, segment_id: str, entry_at: int) -> list[RunRow]:
        """What files have of an entry."""

    def move_entry(self, segment_id: str, entry_at: int, to_segment_id: str, to_entry_at: int) -> None:
        """An entry lies elsewhere from now on: all that files have of it."""

    def share(self, upload_id: str, file_id: str) -> None:
        """Segments of this file alone become shared ones that are closed: another file's runs will name them."""

    def move(self, upload_id: str, file_id: str, to_upload_id: str) -> None:
        """Segments of this file alone are another upload's from now on."""

    def delete(self, run_ids: Sequence[int]) -> None:
        """Drop runs whose bytes are gone."""

    def knows_segment(self, segment_id: str) -> bool: ...

    def forget(self, segment_ids: Sequence[str]) -> None:
        """The blobs are gone: drop the segments and their runs."""


class ConcatRows(Protocol):
    """Which parts a final is put together from; it lasts as long as the final's row."""

    def insert(self, final_id: str, part_ids: Sequence[str]) -> None:
        """In their order; one may be there more than once."""

    def parts_of(self, final_id: str) -> list[str]:
        """In their order."""

    def finals_of(self, part_id: str) -> list[str]:
        """Each once."""
