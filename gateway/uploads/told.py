"""What is told of an upload's files: their own rows, read in the light of the upload's.

The one place that knows what a completion means for each file. Rows follow later, page by page, or never: `queued` is
what a whole file of a completed upload is called, and REST files that `complete` has ended are whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.ledger.rows import FileRow, UploadRow
from gateway.states import FileState, as_told
from gateway.uploads.completion import ends, is_unbegun


def file_as_told(upload: UploadRow, file: FileRow) -> FileRow:
    """The file as its client sees it."""
    if upload.completed_at is None:
        return file
    if is_unbegun(file):
        return replace(file, state=FileState.REMOVED)
    if ends(upload, file):
        return replace(file, state=FileState.QUEUED, length=file.offset)
    return replace(file, state=as_told(file.state, completed=True))


def counts_as_told(upload: UploadRow, counts: Mapping[FileState, int]) -> dict[FileState, int]:
    """How many files are in each state, by what the ledger counts; states that none is in are left out."""
    if upload.completed_at is None:
        return dict(counts)
    moved = {
        FileState.RECEIVING: -upload.ending_files - upload.unbegun_files,
        FileState.QUEUED: upload.ending_files,
        FileState.REMOVED: upload.unbegun_files,
    }
    told = dict.fromkeys(sorted({as_told(state, completed=True) for state in (*counts, *moved)}), 0)
    for state, count in (*counts.items(), *moved.items()):
        told[as_told(state, completed=True)] += count
    return {state: count for state, count in told.items() if count}
