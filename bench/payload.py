"""What is sent: random bytes in memory, and DICOM instances whose pixels are those bytes. Nothing is held per request."""

from __future__ import annotations

import mmap
import os
import struct
import uuid
from dataclasses import dataclass

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"

_LONG_VRS = {"OB", "OW"}
_SPAN = 64 << 20  #: random bytes that are kept; a longer body goes round


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a body: `head`, then `size - len(head)` random bytes from `at` on."""

    head: bytes
    size: int
    at: int = 0


class Payload:
    """Random bytes in an anonymous file, so that the kernel sends them by itself."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("bench")
        block = os.urandom(1 << 20)
        for number in range(_SPAN >> 20):
            os.pwrite(self._fd, block[number:] + block[:number], number << 20)
        self._map = mmap.mmap(self._fd, _SPAN, prot=mmap.PROT_READ)

    def send(self, sock_fd: int, size: int, at: int) -> None:
        """Send `size` bytes from `at`. The socket blocks.

        :raises OSError: the other side has gone, or takes nothing for too long.
        """
        at %= _SPAN
        while size:
            sent = os.sendfile(sock_fd, self._fd, at, min(size, _SPAN - at))
            size -= sent
            at = (at + sent) % _SPAN

    def bytes_at(self, size: int, at: int) -> memoryview:
        """A few bytes."""
        at %= _SPAN - size
        return memoryview(self._map)[at : at + size]


def opaque(size: int, number: int) -> Part:
    """A body that is no DICOM."""
    return Part(b"", size, number * 7919)


class Series:
    """CT instances of one series, each of exactly `size` bytes (at least 4 KiB) with a UID of its own."""

    def __init__(self, size: int) -> None:
        self._size = size & ~1
        self._rows = (size - 2048) // 1024
        self.study_uid = _new_uid()
        self._series_uid = _new_uid()

    def instance(self, number: int) -> Part:
        """An instance; every call gives it a new UID."""
        uid = _new_uid()
        front = _meta(uid) + _elements(
            (0x0008, 0x0016, "UI", CT_IMAGE),
            (0x0008, 0x0018, "UI", uid),
            (0x0008, 0x0020, "DA", "20240102"),
            (0x0008, 0x0030, "TM", "120000"),
            (0x0008, 0x0050, "SH", "A1"),
            (0x0008, 0x0060, "CS", "CT"),
            (0x0008, 0x0090, "PN", "Bench^Referrer"),
            (0x0010, 0x0010, "PN", "Bench^Patient"),
            (0x0010, 0x0020, "LO", "BENCH1"),
            (0x0010, 0x0030, "DA", "19700101"),
            (0x0010, 0x0040, "CS", "O"),
            (0x0020, 0x000D, "UI", self.study_uid),
            (0x0020, 0x000E, "UI", self._series_uid),
            (0x0020, 0x0010, "SH", "1"),
            (0x0020, 0x0011, "IS", "1"),
            (0x0020, 0x0013, "IS", str(number + 1)),
        )
        pixels = self._rows * 1024
        image = _elements(
            (0x0028, 0x0002, "US", 1),
            (0x0028, 0x0004, "CS", "MONOCHROME2"),
            (0x0028, 0x0010, "US", self._rows),
            (0x0028, 0x0011, "US", 512),
            (0x0028, 0x0100, "US", 16),
            (0x0028, 0x0101, "US", 16),
            (0x0028, 0x0102, "US", 15),
            (0x0028, 0x0103, "US", 0),
        ) + _header(0x7FE0, 0x0010, "OW", pixels)
        comment = " " * (self._size - len(front) - 8 - len(image) - pixels)
        head = front + _elements((0x0020, 0x4000, "LT", comment)) + image
        return Part(head, self._size, number * 7919)


def _new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def _meta(uid: str) -> bytes:
    rest = _elements(
        (0x0002, 0x0001, "OB", b"\0\1"),
        (0x0002, 0x0002, "UI", CT_IMAGE),
        (0x0002, 0x0003, "UI", uid),
        (0x0002, 0x0010, "UI", EXPLICIT_LE),
        (0x0002, 0x0012, "UI", "2.25.1"),
    )
    return b"\0" * 128 + b"DICM" + _header(0x0002, 0x0000, "UL", 4) + struct.pack("<I", len(rest)) + rest


def _elements(*rows: tuple[int, int, str, str | bytes | int]) -> bytes:
    return b"".join(_element(*row) for row in rows)


def _element(group: int, element: int, vr: str, value: str | bytes | int) -> bytes:
    if isinstance(value, int):
        value = struct.pack("<H", value)
    elif isinstance(value, str):
        value = value.encode()
    if len(value) % 2:
        value += b"\0" if vr in {"UI", "OB"} else b" "
    return _header(group, element, vr, len(value)) + value


def _header(group: int, element: int, vr: str, length: int) -> bytes:
    head = struct.pack("<HH", group, element) + vr.encode()
    if vr in _LONG_VRS:
        return head + b"\0\0" + struct.pack("<I", length)
    return head + struct.pack("<H", length)
