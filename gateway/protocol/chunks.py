"""The REST facade's chunks: where one belongs, and when a file of chunks is whole (CONTRACT 2.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.errors import Conflict, TooLarge

#: Index of the farthest chunk that can be asked for: keeps offsets inside 63 bits.
MAX_CHUNK_INDEX = 10_000_000


@dataclass(frozen=True, slots=True)
class ChunkedFile:
    """What is known of a file of chunks. Sizes in bytes."""

    chunk_size: int
    total_chunks: int | None  #: told, or marked by a short chunk
    received_bytes: int
    chunks: int  #: how many are there
    highest_index: int  #: of those; -1: none


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk as its request names it."""

    index: int
    total_chunks: int | None


def start_of(file: ChunkedFile, index: int) -> int:
    """Offset of a chunk in its file."""
    return index * file.chunk_size


def check_place(file: ChunkedFile, chunk: Chunk) -> None:
    """Before the body: may there be such a chunk at all?

    :raises Conflict: it lies beyond the end, or contradicts a total that is known.
    """
    known = file.total_chunks
    if chunk.total_chunks is not None:
        if known is not None and known != chunk.total_chunks:
            raise Conflict("total_chunks differs from what is known of this file", code="length_mismatch")
        if chunk.total_chunks <= file.highest_index:
            raise Conflict("total_chunks is less than the chunks that are there", code="length_mismatch")
        known = chunk.total_chunks
    if known is not None and chunk.index >= known:
        raise Conflict("chunk_index lies beyond the end of the file", code="chunk_size_mismatch")


def check_size(file: ChunkedFile, size: int) -> None:
    """:raises TooLarge: no chunk is longer than `chunk_size`."""
    if size > file.chunk_size:
        raise TooLarge("the chunk is longer than chunk_size", code="body_too_large", chunk_size=file.chunk_size)


def accept(file: ChunkedFile, chunk: Chunk, size: int) -> ChunkedFile:
    """The file with one more chunk of `size` bytes, which wasn't there before.

    :raises Conflict: a short chunk that isn't the last, a second short one, or one beyond the end.
    """
    check_place(file, chunk)
    check_size(file, size)
    total = chunk.total_chunks if chunk.total_chunks is not None else file.total_chunks
    short = size < file.chunk_size
    if short and total is None:
        if file.highest_index > chunk.index:
            raise Conflict("a short chunk ends the file, and later ones are there", code="chunk_size_mismatch")
        total = chunk.index + 1
    if short and total is not None and chunk.index != total - 1:
        raise Conflict("only the last chunk may be shorter than chunk_size", code="chunk_size_mismatch")
    if size == 0 and chunk.index > 0:
        raise Conflict("an empty chunk is only for an empty file", code="chunk_size_mismatch")
    return replace(
        file,
        total_chunks=total,
        received_bytes=file.received_bytes + size,
        chunks=file.chunks + 1,
        highest_index=max(file.highest_index, chunk.index),
    )


def is_whole(file: ChunkedFile) -> bool:
    """The last chunk is known and all are there."""
    return file.total_chunks is not None and file.chunks == file.total_chunks


def is_whole_at_complete(file: ChunkedFile) -> bool:
    """`complete` ends every file that has no hole, whether its last chunk was marked or not."""
    return is_whole(file) or (file.total_chunks is None and file.chunks > 0 and file.chunks == file.highest_index + 1)


def ranges(indexes: list[int]) -> list[list[int]]:
    """Sorted indexes as inclusive ranges: [0, 1, 2, 5] -> [[0, 2], [5, 5]]."""
    found: list[list[int]] = []
    for index in indexes:
        if found and found[-1][1] == index - 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return found
