"""States of uploads and files, and the one table of what may happen to them (docs/states.md shows it)."""

from __future__ import annotations

from enum import StrEnum

from gateway.errors import Conflict, GatewayError, Gone


class UploadState(StrEnum):
    """CONTRACT 2.2."""

    OPEN = "open"
    UPLOADING = "uploading"
    DELIVERING = "delivering"
    HELD = "held"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class FileState(StrEnum):
    """CONTRACT 2.2."""

    RECEIVING = "receiving"
    WHOLE = "whole"
    QUEUED = "queued"
    SENDING = "sending"
    STORED = "stored"
    ALREADY_THERE = "already_there"
    REJECTED = "rejected"
    FAILED = "failed"
    SKIPPED = "skipped"
    LOST = "lost"
    REMOVED = "removed"


class UploadEvent(StrEnum):
    """What can happen to an upload."""

    BYTES = "bytes"
    COMPLETE = "complete"
    HOLD = "hold"
    RELEASE = "release"
    DELIVERED = "delivered"
    DELIVERED_PARTLY = "delivered_partly"
    NOT_DELIVERED = "not_delivered"
    RETRY = "retry"
    CANCEL = "cancel"
    EXPIRE = "expire"


S, E = UploadState, UploadEvent

#: state x event -> state. What isn't in it is refused by `refusal`.
TRANSITIONS: dict[tuple[UploadState, UploadEvent], UploadState] = {
    (S.OPEN, E.BYTES): S.UPLOADING,
    (S.UPLOADING, E.BYTES): S.UPLOADING,
    (S.OPEN, E.COMPLETE): S.DELIVERING,
    (S.UPLOADING, E.COMPLETE): S.DELIVERING,
    (S.OPEN, E.EXPIRE): S.EXPIRED,
    (S.UPLOADING, E.EXPIRE): S.EXPIRED,
    (S.DELIVERING, E.HOLD): S.HELD,
    (S.HELD, E.RELEASE): S.DELIVERING,
    (S.DELIVERING, E.DELIVERED): S.SUCCESS,
    (S.DELIVERING, E.DELIVERED_PARTLY): S.PARTIAL,
    (S.DELIVERING, E.NOT_DELIVERED): S.FAILED,
    (S.PARTIAL, E.RETRY): S.DELIVERING,
    (S.FAILED, E.RETRY): S.DELIVERING,
    (S.OPEN, E.CANCEL): S.CANCELLED,
    (S.UPLOADING, E.CANCEL): S.CANCELLED,
    (S.DELIVERING, E.CANCEL): S.CANCELLED,
    (S.HELD, E.CANCEL): S.CANCELLED,
    (S.PARTIAL, E.CANCEL): S.CANCELLED,
    (S.FAILED, E.CANCEL): S.CANCELLED,
}

RECEIVING_STATES = frozenset({S.OPEN, S.UPLOADING})
DEAD_STATES = frozenset({S.CANCELLED, S.EXPIRED})
FINISHED_STATES = frozenset({S.SUCCESS, S.PARTIAL, S.FAILED})

#: Files whose bytes arrived in full and wait for their fate.
WHOLE_STATES = frozenset({FileState.WHOLE, FileState.QUEUED, FileState.SENDING})
#: Files that count among the upload's instances in its outcome.
IN_PACS_STATES = frozenset({FileState.STORED, FileState.ALREADY_THERE})
#: Files that the PACS has, or may have.
LEFT_STATES = frozenset({FileState.SENDING, *IN_PACS_STATES})
#: Files that take no more part: not counted by `complete`.
OUT_STATES = frozenset({FileState.REMOVED})


def as_told(state: FileState, *, completed: bool) -> FileState:
    """What a file's own state means in its upload: what is whole is queued as soon as the upload is complete."""
    return FileState.QUEUED if completed and state is FileState.WHOLE else state


def after(state: UploadState, event: UploadEvent) -> UploadState:
    """The state after an event.

    :raises Gone: the upload is dead.
    :raises Conflict: the event doesn't fit the state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise refusal(state, event) from None


def refusal(state: UploadState, event: UploadEvent) -> GatewayError:
    """Why `event` can't happen in `state`, as the error to raise."""
    if state in DEAD_STATES:
        return Gone(f"the upload is {state}", code="upload_gone", state=str(state))
    if event is UploadEvent.RELEASE:
        return Conflict("the upload isn't held", code="not_held", state=str(state))
    if event in (UploadEvent.BYTES, UploadEvent.COMPLETE, UploadEvent.EXPIRE):
        return Conflict("the upload is completed", code="upload_completed", state=str(state))
    return Conflict(f"the upload is {state}", code="conflict", state=str(state))


class FileResult(StrEnum):
    """What became of a file (CONTRACT 5: `outcome`), as its record and the receipt have it."""

    STORED = "stored"
    WARNING = "warning"  #: stored, with a remark of the PACS
    ALREADY_THERE = "already_there"
    REJECTED = "rejected"  #: by our check
    FAILED = "failed"
    SKIPPED = "skipped"  #: left out; in no receipt's list of instances
    ACKNOWLEDGED = "acknowledged"  #: not final: the PACS named it, and hasn't been asked for it yet
