"""One engine under every face: what an append may do (`plan`), and what it has done (`settle`).

`plan` is asked before a byte of the body is read; `settle` after it, at every commit in between, at a take-over and
at recovery: there is no other place that says whether a file is whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from gateway.errors import Conflict, Malformed, TooLarge


class Completes(Enum):
    """When an append makes its file whole (DESIGN, one engine, many faces)."""

    WHEN_FULL = auto()  #: tus: as soon as offset == length, even if the connection broke after the last byte
    AT_END = auto()  #: IETF `Upload-Complete: ?1`: at the clean end of the body
    NEVER = auto()  #: IETF `?0`


@dataclass(frozen=True, slots=True)
class FileView:
    """What the engine must know of a file. Sizes in bytes."""

    offset: int
    length: int | None
    whole: bool


@dataclass(frozen=True, slots=True)
class Append:
    """A wish to add bytes at the tail."""

    at: int
    size: int | None  #: declared size of the body; None: unknown (chunked coding)
    completes: Completes
    length: int | None = None  #: of the whole file, where the request tells it
    #: Declared of the body, hashlib name -> raw digest: it counts whole and verified, or not at all.
    digests: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The engine's leave: read up to `room` bytes to `at`; one byte more is too many."""

    at: int
    room: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is true once `offset` bytes are durable."""

    offset: int
    whole: bool


def told(file: FileView, append: Append, max_file_size: int) -> FileView:
    """The file with the length that the request tells. A length that is known stays.

    :raises Conflict: `length_mismatch`: another one is known.
    :raises Malformed: `length_too_short`: more bytes are there.
    :raises TooLarge: no file may be so long.
    """
    if append.length is None or append.length == file.length:
        return file
    if file.length is not None:
        raise Conflict("this isn't the length that is known of the file", code="length_mismatch")
    if append.length > max_file_size:
        raise TooLarge("the file is larger than uploads.max_file_size", code="file_too_large")
    if append.length < file.offset:
        raise Malformed("the length is less than the bytes that are there", code="length_too_short")
    return replace(file, length=append.length)


def plan(file: FileView, append: Append, max_file_size: int) -> Plan:
    """How much may be read, and where to.

    :raises Conflict: `offset_mismatch`, with the present `offset` in its extra.
    :raises TooLarge: the body is longer than the file's rest, or than any file may be.
    :raises Conflict, Malformed: see `told`.
    """
    if append.at != file.offset:
        raise Conflict("Upload-Offset is not the end of the file", code="offset_mismatch", offset=file.offset)
    file = told(file, append, max_file_size)
    room = (max_file_size if file.length is None else file.length) - file.offset
    if append.size is not None and append.size > room:
        raise TooLarge("the body goes beyond the end of the file", code="file_too_large")
    return Plan(append.at, room)


def settle(file: FileView, append: Append, stored: int, *, ended_cleanly: bool) -> Settlement:
    """What `stored` durable bytes of this append amount to.

    :param file: as it is before, with the length that is `told`.
    :param stored: bytes of this append that are on disk.
    :param ended_cleanly: the body came to its own end; False in mid-body, on a broken line, at a take-over.
    """
    offset = append.at + stored
    full = file.length is not None and offset == file.length
    if append.completes is Completes.WHEN_FULL:
        whole = full
    else:
        at_its_end = append.completes is Completes.AT_END and ended_cleanly
        whole = at_its_end and (file.length is None or full)
    return Settlement(offset, file.whole or whole)
