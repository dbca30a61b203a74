"""Digest of what a DICOM file says, whatever it is written in: behind group 2, in any uncompressed transfer syntax.

Promises: reads forward and holds a window only; two files with the same digest have the same elements with the same
values, in the same order. Lengths of sequences, group lengths and trailing padding say nothing and are left out.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR

UNCOMPRESSED = frozenset({
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99",
})  # fmt: skip
_IMPLICIT, _BIG_ENDIAN, _DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
#: JPIP Referenced Deflate and its HTJ2K sister deflate the data set, too.
_ALL_DEFLATED = frozenset({_DEFLATED, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})

_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US ??".split())
_WIDTHS = {
    **dict.fromkeys((b"US", b"SS", b"OW", b"AT"), 2),
    **dict.fromkeys((b"UL", b"SL", b"FL", b"OF", b"OL"), 4),
    **dict.fromkeys((b"FD", b"OD", b"SV", b"UV", b"OV"), 8),
}
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_TRAILING_PADDING = 0xFFFCFFFC
_PIECE = 1 << 16
_MAX_NESTING = 64
_META_START = 132
_TRANSFER_SYNTAX_UID = 0x00020010


class NotDicom(Exception):
    """The bytes aren't a DICOM file, or end in the middle."""


@dataclass(frozen=True, slots=True)
class FileDigests:
    """Of one file. :param data_set: None: it can't be read."""

    sha256: str
    data_set: str | None
    transfer_syntax_uid: str


def digests_of(pieces: Iterable[bytes]) -> FileDigests:
    """Of a file that comes in pieces of any size; all of them are taken."""
    whole = hashlib.sha256()

    def passing() -> Iterator[bytes]:
        for piece in pieces:
            whole.update(piece)
            yield piece

    taken = passing()
    syntax, found = "", None
    try:
        reader = _ForwardReader(taken)
        syntax = _transfer_syntax(reader)
        if syntax in _ALL_DEFLATED:
            reader = _ForwardReader(_inflated(reader))
        found = _DataSetHash(reader, syntax).digest()
    except NotDicom:
        pass
    for _ in taken:
        pass
    return FileDigests(whole.hexdigest(), found, syntax)


def data_set_start(pieces: Iterable[bytes]) -> tuple[str, int]:
    """The transfer syntax of a file, and where its data set begins. :raises NotDicom: it has no file meta."""
    reader = _ForwardReader(iter(pieces))
    return _transfer_syntax(reader), reader.position


class _ForwardReader:
    """Bytes, forward only."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""
        self._at = 0
        self.position = 0

    def peek(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        while len(self._held) - self._at < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._held = self._held[self._at :] + piece
            self._at = 0
        return self._held[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """:raises NotDicom: there aren't so many."""
        found = self.peek(size)
        if len(found) < size:
            raise NotDicom
        self._at += size
        self.position += size
        return found

    def through(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes in pieces. :raises NotDicom: as `take`."""
        while size:
            piece = self.take(min(size, _PIECE))
            size -= len(piece)
            yield piece

    def rest(self) -> Iterator[bytes]:
        """Whatever is left."""
        while piece := self.peek(_PIECE):
            yield self.take(len(piece))


def _transfer_syntax(reader: _ForwardReader) -> str:
    """Of the file meta, which is read to its end (PS3.10 section 7.1)."""
    if reader.take(_META_START)[128:] != b"DICM":
        raise NotDicom
    syntax = ""
    while reader.peek(2) == b"\x02\x00":
        tag, vr, length = _explicit(reader, "<")
        if length == _UNDEFINED:
            raise NotDicom
        begin = b""
        for piece in reader.through(length):
            begin = begin or piece
        if tag == _TRANSFER_SYNTAX_UID and vr:
            syntax = begin.strip(b"\0 ").decode("ascii", "replace")
    if not syntax:
        raise NotDicom
    return syntax


def _inflated(reader: _ForwardReader) -> Iterator[bytes]:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in reader.rest():
            packed = piece
            while packed and not inflate.eof:
                yield inflate.decompress(packed, _PIECE)
                packed = inflate.unconsumed_tail
        if tail := inflate.flush():
            yield tail
    except zlib.error:
        raise NotDicom from None


def _explicit(reader: _ForwardReader, order: str) -> tuple[int, bytes, int]:
    group, number = struct.unpack(f"{order}HH", reader.take(4))
    tag = group << 16 | number
    if group == 0xFFFE:
        return tag, b"", struct.unpack(f"{order}I", reader.take(4))[0]
    vr = reader.take(2)
    if vr in _SHORT_VRS:
        return tag, vr, struct.unpack(f"{order}H", reader.take(2))[0]
    reader.take(2)
    return tag, vr, struct.unpack(f"{order}I", reader.take(4))[0]


def _implicit(reader: _ForwardReader) -> tuple[int, bytes, int]:
    group, number, length = struct.unpack("<HHI", reader.take(8))
    tag = group << 16 | number
    if group == 0xFFFE:
        return tag, b"", length
    try:
        vr = dictionary_VR(tag).encode()
    except KeyError:
        vr = b"UN"
    return tag, vr, length


@dataclass(slots=True)
class _Nested:
    """A sequence, an item or a run of fragments. :param end: position; None: a delimiter ends it."""

    kind: bytes  #: S, I, P
    tag: int
    end: int | None
    implicit: bool
    empty: bool = True


class _DataSetHash:
    def __init__(self, reader: _ForwardReader, transfer_syntax_uid: str) -> None:
        self._reader = reader
        self._order = ">" if transfer_syntax_uid == _BIG_ENDIAN else "<"
        self._implicit = transfer_syntax_uid == _IMPLICIT
        self._stack: list[_Nested] = []
        self._hash = hashlib.sha256()

    def digest(self) -> str:
        """:raises NotDicom: see there."""
        while True:
            while self._stack and self._reader.position == self._stack[-1].end:
                self._close()
            if not self._stack and not self._reader.peek(1):
                return self._hash.hexdigest()
            self._step()

    def _step(self) -> None:
        top = self._stack[-1] if self._stack else None
        implicit = top.implicit if top else self._implicit
        tag, vr, length = _implicit(self._reader) if implicit else _explicit(self._reader, self._order)
        if tag in {_ITEM_END, _SEQUENCE_END}:
            if top is None:
                raise NotDicom
            self._close()
        elif tag == _ITEM:
            self._item(top, length)
        elif top is not None and top.kind != b"I":
            raise NotDicom
        elif tag & 0xFFFF == 0 or tag == _TRAILING_PADDING:
            self._leave_out(length)
        else:
            self._element(tag, vr, length, implicit=implicit)

    def _leave_out(self, length: int) -> None:
        for _ in self._reader.through(length):
            pass

    def _item(self, top: _Nested | None, length: int) -> None:
        if top is None or top.kind == b"I":
            raise NotDicom
        if top.empty:
            top.empty = False
            self._hash.update(top.kind + struct.pack(">I", top.tag))
        if top.kind == b"P":
            self._value(b"F", 0, b"", length)
            return
        end = None if length == _UNDEFINED else self._reader.position + length
        self._stack.append(_Nested(b"I", 0, end, top.implicit))
        self._hash.update(b"I")

    def _element(self, tag: int, vr: bytes, length: int, *, implicit: bool) -> None:
        pixels = tag >> 16 == 0x7FE0
        guess = vr in {b"UN", b"SQ"} and not pixels and self._looks_like_items(length)
        if length == _UNDEFINED and pixels:
            self._open(_Nested(b"P", tag, None, implicit))
        elif length == _UNDEFINED or vr == b"SQ" or guess:
            end = None if length == _UNDEFINED else self._reader.position + length
            # PS3.5 section 6.2.2: what is in UN is implicit.
            self._open(_Nested(b"S", tag, end, implicit or vr == b"UN"))
        else:
            self._value(b"E", tag, vr, length)

    def _looks_like_items(self, length: int) -> bool:
        head = self._reader.peek(8)
        if length < 8 or len(head) < 8:
            return False
        group, number, item_length = struct.unpack("<HHI", head)
        return (group, number) == (0xFFFE, 0xE000) and (item_length == _UNDEFINED or item_length <= length - 8)

    def _open(self, opened: _Nested) -> None:
        if len(self._stack) >= _MAX_NESTING:
            raise NotDicom
        self._stack.append(opened)

    def _close(self) -> None:
        closed = self._stack.pop()
        if closed.kind == b"I":
            self._hash.update(b"i")
        elif closed.empty:
            self._hash.update(b"E" + struct.pack(">II", closed.tag, 0))  # no items: an empty element
        else:
            self._hash.update(b"s")

    def _value(self, kind: bytes, tag: int, vr: bytes, length: int) -> None:
        if length == _UNDEFINED:
            raise NotDicom
        self._hash.update(kind + struct.pack(">II", tag, length))
        width = _WIDTHS.get(vr, 1) if self._order == ">" else 1
        for piece in self._reader.through(length):
            self._hash.update(_swapped(piece, width))


def _swapped(piece: bytes, width: int) -> bytes:
    """Numbers the other way round."""
    if width == 1 or len(piece) % width:
        return piece
    swapped = bytearray(len(piece))
    for place in range(width):
        swapped[place::width] = piece[width - 1 - place :: width]
    return bytes(swapped)
