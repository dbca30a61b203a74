"""Runs, segments and concatenations in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from gateway.errors import Conflict
from gateway.ledger.memory.store import ConcatRow, SegmentRow, Store
from gateway.ledger.rows import RunRow, SharedSegmentRow, SharedState


def check_upload(store: Store, upload_id: str | None) -> None:
    """:raises Conflict: a row that is to hang on an upload which isn't there."""
    if upload_id is not None and store.uploads.get(upload_id) is None:
        raise Conflict("the record that this one belongs to is gone")


class MemoryRuns:
    """Where the bytes are."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def insert(self, row: RunRow) -> int:
        """Returns the new run_id.

        :raises Conflict: its segment was never begun or is forgotten; or it is shared and closed, and no run names that
            entry.
        """
        self._store.runs.check_writable()
        shared = self._store.shared_segments.get(row.segment_id)
        takes = shared is not None and (
            shared.state is SharedState.OPEN
            or any(one.entry_id == row.entry_id for one in self.of_entry(row.segment_id, row.entry_at))
        )
        if self._store.segments.get(row.segment_id) is None and not takes:
            raise Conflict("the record that this one belongs to is gone")
        run_id = self._store.next("run_id")
        self._store.runs.insert(replace(row, run_id=run_id))
        return run_id

    def extend(self, run_id: int, length: int, sealed_bytes: int) -> None:
        """Set the run's length, and its entry's."""
        self._store.runs.check_writable()
        if (row := self._store.runs.get(run_id)) is not None:
            self._store.runs.save(replace(row, length=length, sealed_bytes=sealed_bytes))

    def of_file(self, file_id: str) -> list[RunRow]:
        """By start."""
        return sorted(self._store.runs.by("file", file_id), key=attrgetter("start", "run_id"))

    def at(self, file_id: str, start: int) -> RunRow | None:
        """The run that begins at `start`; the last written, should there be several."""
        found = [run for run in self._store.runs.by("file", file_id) if run.start == start]
        return max(found, key=attrgetter("run_id"), default=None)

    def segment_ids(self, upload_id: str, file_id: str | None = None) -> list[str]:
        """Every segment ever begun for the upload (or one file) alone, with or without runs."""
        segments = self._store.segments
        found = segments.by("upload", upload_id) if file_id is None else segments.by("file", (upload_id, file_id))
        return [one.segment_id for one in found]

    def begin_segment(self, segment_id: str, file_id: str, upload_id: str) -> None:
        """A segment is written down before its blob is made.

        :raises Conflict: the id is taken, or the upload is gone.
        """
        self._store.segments.check_writable()
        check_upload(self._store, upload_id)
        self._store.segments.insert(SegmentRow(segment_id, file_id, upload_id))

    def begin_shared(self, segment_id: str, session_id: str) -> None:
        """The same of one that files share. :raises Conflict: the id is taken."""
        self._store.shared_segments.insert(SharedSegmentRow(segment_id, session_id, SharedState.OPEN))

    def close_shared(self, segment_ids: Sequence[str]) -> None:
        """No run is added to these any more."""
        for segment_id in segment_ids:
            self._move(segment_id, SharedState.OPEN, SharedState.CLOSED)

    def close_sessions(self, but: str) -> None:
        """The same of all that other sessions have left open."""
        self.close_shared([one.segment_id for one in self.shared(SharedState.OPEN) if one.session_id != but])

    def set_tidy(self, segment_ids: Sequence[str], *, tidy: bool) -> None:
        """Of those that are closed: whether all that no run names was given back."""
        before, now = (SharedState.CLOSED, SharedState.TIDY) if tidy else (SharedState.TIDY, SharedState.CLOSED)
        for segment_id in segment_ids:
            self._move(segment_id, before, now)

    def _move(self, segment_id: str, before: SharedState, now: SharedState) -> None:
        self._store.shared_segments.check_writable()
        row = self._store.shared_segments.get(segment_id)
        if row is not None and row.state is before:
            self._store.shared_segments.save(replace(row, state=now))

    def shared(self, state: SharedState) -> list[SharedSegmentRow]:
        """Those that files share, of one state."""
        return sorted(self._store.shared_segments.by("state", state), key=attrgetter("segment_id"))

    def sharing(self, segment_id: str) -> SharedState | None:
        """The state of a segment that files share; None: it isn't one."""
        row = self._store.shared_segments.get(segment_id)
        return None if row is None else row.state

    def names_any(self, segment_id: str) -> bool:
        """Whether a run is in the segment."""
        return self._store.runs.count("segment", segment_id) > 0

    def idle_shared(self, limit: int) -> list[str]:
        """So many at most of those that are closed and have no run."""
        closed = [*self.shared(SharedState.CLOSED), *self.shared(SharedState.TIDY)]
        idle = [one.segment_id for one in closed if not self._store.runs.count("segment", one.segment_id)]
        return idle[:limit]

    def of_segment(self, segment_id: str) -> list[RunRow]:
        """By entry, then start."""
        return sorted(self._store.runs.by("segment", segment_id), key=attrgetter("entry_at", "start"))

    def of_entry(self, segment_id: str, entry_at: int) -> list[RunRow]:
        """What files have of an entry."""
        return [run for run in self._store.runs.by("segment", segment_id) if run.entry_at == entry_at]

    def move_entry(self, segment_id: str, entry_at: int, to_segment_id: str, to_entry_at: int) -> None:
        """An entry lies elsewhere from now on: all that files have of it."""
        self._store.runs.check_writable()
        for run in self.of_entry(segment_id, entry_at):
            position = run.position + to_entry_at - entry_at
            moved = replace(run, segment_id=to_segment_id, entry_at=to_entry_at, position=position)
            self._store.runs.save(moved)

    def share(self, upload_id: str, file_id: str) -> None:
        """Segments of this file alone become shared ones that are closed: another file's runs will name them."""
        self._store.segments.check_writable()
        for segment_id in self.segment_ids(upload_id, file_id):
            self._store.shared_segments.insert(SharedSegmentRow(segment_id, "", SharedState.CLOSED))
            self._store.segments.delete(segment_id)

    def move(self, upload_id: str, file_id: str, to_upload_id: str) -> None:
        """Segments of this file alone are another upload's from now on. :raises Conflict: that one isn't there."""
        self._store.segments.check_writable()
        check_upload(self._store, to_upload_id)
        for segment_id in self.segment_ids(upload_id, file_id):
            self._store.segments.save(SegmentRow(segment_id, file_id, to_upload_id))

    def delete(self, run_ids: Sequence[int]) -> None:
        """Drop runs whose bytes are gone."""
        for run_id in run_ids:
            self._store.runs.delete(run_id)

    def knows_segment(self, segment_id: str) -> bool:
        """Whether the segment was begun and isn't forgotten."""
        store = self._store
        return store.segments.get(segment_id) is not None or store.shared_segments.get(segment_id) is not None

    def forget(self, segment_ids: Sequence[str]) -> None:
        """The blobs are gone: drop the segments and their runs."""
        for segment_id in segment_ids:
            self._store.segments.delete(segment_id)
            self._store.shared_segments.delete(segment_id)
            for run in self._store.runs.by("segment", segment_id):
                self._store.runs.delete(run.run_id)


class MemoryConcats:
    """Which parts a final is put together from."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def insert(self, final_id: str, part_ids: Sequence[str]) -> None:
        """In their order; one may be there more than once."""
        for number, part_id in enumerate(part_ids):
            self._store.concats.insert(ConcatRow(final_id, number, part_id))

    def parts_of(self, final_id: str) -> list[str]:
        """In their order."""
        rows = sorted(self._store.concats.by("final", final_id), key=attrgetter("number"))
        return [row.part_id for row in rows]

    def finals_of(self, part_id: str) -> list[str]:
        """Each once."""
        return list(dict.fromkeys(row.final_id for row in self._store.concats.by("part", part_id)))


def drop_concatenation(store: Store, final_id: str) -> None:
    """The final's row is gone."""
    for row in store.concats.by("final", final_id):
        store.concats.delete((row.final_id, row.number))
