"""What a browser's profile says to whoever reads its files: the parts that are packed, unpacked.

LevelDB (IndexedDB, Local Storage, shared_proto_db) cuts its logs into blocks, shortens keys in its tables and packs
their blocks with Snappy; Chromium packs values of IndexedDB with Snappy once more. A search of the files as they lie
would miss what they hold. Formats: LevelDB's doc/log_format.md and doc/table_format.md, Snappy's format_description.txt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_LOG_BLOCK_BYTES = 32768
_LOG_HEADER_BYTES = 7  # crc32c, length, type
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4

_FOOTER_BYTES = 48
_TABLE_MAGIC = bytes.fromhex("57fb808b247547db")
_PLAIN, _SNAPPY = 0, 1

#: Before a value of IndexedDB that Chromium packed.
_PACKED_VALUE = b"\xff\x11\x02"
_MOST_UNPACKED_BYTES = 64 << 20


class BadFormatError(Exception):
    """It isn't what it should be."""


def unpack(profile: Path, into: Path) -> int:
    """Write what the packed files of a profile hold, one file each. :returns: how many tables there were."""
    into.mkdir(parents=True)
    tables = 0
    for number, path in enumerate(sorted(path for path in profile.rglob("*") if path.is_file())):
        data = path.read_bytes()
        inner = b""
        if path.suffix == ".log":
            inner = b"\n".join(log_records(data))
        elif data.endswith(_TABLE_MAGIC):
            inner = b"\n".join(table_entries(data))
            tables += 1
        values = b"\n".join(packed_values(inner or data))
        if inner or values:
            (into / f"{number:05}-{path.parent.name}-{path.name}").write_bytes(inner + b"\n" + values)
    return tables


def log_records(data: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log, put together; a torn end is given as far as it goes."""
    parts: list[bytes] = []
    for block in range(0, len(data), _LOG_BLOCK_BYTES):
        at, end = block, min(block + _LOG_BLOCK_BYTES, len(data))
        while at + _LOG_HEADER_BYTES <= end:
            length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
            parts.append(data[at + _LOG_HEADER_BYTES : at + _LOG_HEADER_BYTES + length])
            at += _LOG_HEADER_BYTES + length
            if kind in (_FULL, _LAST):
                yield b"".join(parts)
                parts.clear()
            elif kind not in (_FIRST, _MIDDLE):
                break  # zeros: the rest of the block is set aside
    yield b"".join(parts)


def table_entries(data: bytes) -> Iterator[bytes]:
    """The entries of a LevelDB table, each its whole key and its value. :raises BadFormatError: it isn't one."""
    footer = data[-_FOOTER_BYTES:]
    _, at = _handle(footer, 0)  # of the meta index
    index, _ = _handle(footer, at)
    for _, value in _block_entries(_block(data, *index)):
        block, _ = _handle(value, 0)
        for key, entry in _block_entries(_block(data, *block)):
            yield key + entry


def packed_values(data: bytes) -> Iterator[bytes]:
    """What can be unpacked where a packed value of IndexedDB seems to begin."""
    for found in re.finditer(re.escape(_PACKED_VALUE), data):
        unpacked = unsnappy(data[found.end() :], strict=False)
        if unpacked:
            yield unpacked


def unsnappy(data: bytes, *, strict: bool = True) -> bytes:
    """Snappy's raw format. :param strict: else what was unpacked before something didn't fit is returned."""
    try:
        length, at = _varint(data, 0)
    except BadFormatError:
        if strict:
            raise
        return b""
    out = bytearray()
    while len(out) < length and at < len(data) and length <= _MOST_UNPACKED_BYTES:
        tag = data[at]
        at += 1
        if tag & 3 == 0:  # bytes as they are
            size = tag >> 2
            if size >= 60:
                width = size - 59
                size, at = int.from_bytes(data[at : at + width], "little"), at + width
            out += data[at : at + size + 1]
            at += size + 1
            continue
        if tag & 3 == 1:  # a copy of what came before
            size, width, high = (tag >> 2 & 7) + 4, 1, tag >> 5 << 8
        else:
            size, width, high = (tag >> 2) + 1, 2 if tag & 3 == 2 else 4, 0
        distance = high | int.from_bytes(data[at : at + width], "little")
        at += width
        if not 0 < distance <= len(out):
            break
        for _ in range(size):
            out.append(out[-distance])
    if strict and len(out) != length:
        raise BadFormatError("not Snappy, or not all of it")
    return bytes(out)


def _block(data: bytes, offset: int, size: int) -> bytes:
    packed, kind = data[offset : offset + size], data[offset + size]
    if kind == _PLAIN:
        return packed
    if kind == _SNAPPY:
        return unsnappy(packed)
    raise BadFormatError(f"blocks of kind {kind} can't be read yet: what is in them would be missed")


def _block_entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    restarts = int.from_bytes(block[-4:], "little")
    at, end, key = 0, len(block) - 4 - 4 * restarts, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        size, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + size]
        at += own + size


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise BadFormatError("not a number")
