"""Forward-only walk over a DICOM data set (PS3.5 section 7): element headers, without values nobody asked for.

Promises: no recursion, one window in memory, and an end in time linear in the bytes looked at; whatever the bytes
are, the walk ends with its last element or with `Broken`. Knows nothing of what a value means.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

WINDOW_BYTES, FIRST_WINDOW_BYTES = 64 * 1024, 16 * 1024  #: in the first one most files have their headers
UNDEFINED_LENGTH = 0xFFFFFFFF
#: Real structured reports stay below 15; 60 crash an archive in wide use.
MAX_NESTING = 32
#: Elements, items and fragments of one file; a segmentation of 10,000 frames has about 300,000.
MAX_ELEMENTS = 3_000_000
#: Of a deflated data set, of which a few kilobytes may unfold to that many: so many, and so many for each byte there is.
MAX_ELEMENTS_DEFLATED = 50_000
MAX_ELEMENTS_PER_DEFLATED_BYTE = 2

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA_GROUP = 0x7FE0

#: PS3.5 table 7.1-2: these have a two-byte length; all others, unknown ones too, a four-byte length.
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
#: Written by old toolkits that had no VR for a private element; archives read them with a two-byte length.
NO_VRS = frozenset({b"??", b"  ", b"\0\0"})
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


class Broken(Exception):
    """The bytes aren't a data set. `code` is one of docs/validation.md."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ReadAt(Protocol):
    """The bytes of a file; `hooks.contract.Source` is one."""

    @property
    def size_bytes(self) -> int:
        """Length of the whole."""

    def read_at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, fewer only at the end."""


class Window(Protocol):
    """Bytes by position; positions asked for never go back."""

    def peek(self, position: int, size: int) -> bytes:
        """Up to `size` bytes, at most `WINDOW_BYTES`; fewer only at the end."""

    def reaches(self, position: int) -> bool:
        """Whether there are at least `position` bytes."""


class FileWindow:
    """A window over a file; what lies between two positions asked for isn't read."""

    def __init__(self, source: ReadAt) -> None:
        self._source = source
        self._size = source.size_bytes
        self._start = 0
        self._bytes = b""

    def peek(self, position: int, size: int) -> bytes:
        at = position - self._start
        if at < 0 or at + size > len(self._bytes):
            self._start, at = position, 0
            wanted = min(WINDOW_BYTES if position else max(size, FIRST_WINDOW_BYTES), max(self._size - position, 0))
            self._bytes = self._source.read_at(position, wanted) if wanted else b""
        return self._bytes[at : at + size]

    def reaches(self, position: int) -> bool:
        return position <= self._size


class InflatingWindow:
    """A window over a deflated data set (PS3.5 annex A.5): raw deflate from `start` to the end of the file.

    :raises Broken: `deflate_damaged`, or `deflate_bomb` for more than 512 MiB unless it is below 100 times the file.
    """

    FREE_BYTES = 512 * 2**20
    MAX_RATIO = 100

    def __init__(self, source: ReadAt, start: int) -> None:
        self._source = source
        self._next = start
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._limit = max(self.FREE_BYTES, self.MAX_RATIO * source.size_bytes)
        self._start = 0
        self._bytes = b""

    def peek(self, position: int, size: int) -> bytes:
        self._forward(position)
        if position < self._start:
            raise Broken("bad_length")  # only a value that overlaps another asks for what has gone by
        while len(self._bytes) < size and (more := self._more()):
            self._bytes += more
        return self._bytes[:size]

    def reaches(self, position: int) -> bool:
        # A short value stays in the window: it may be asked for. One byte less than a long one: what comes next stays.
        start = self._start if position - self._start <= WINDOW_BYTES else position - 1
        return position <= start or len(self.peek(start, position - start)) == position - start

    def _forward(self, position: int) -> None:
        while position > self._start:
            step = min(position - self._start, len(self._bytes))
            self._bytes = self._bytes[step:]
            self._start += step
            if position > self._start:
                self._bytes = self._more()
                if not self._bytes:
                    return

    def _more(self) -> bytes:
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._read()
            try:
                # With nothing left to read this gives what zlib still holds.
                plain = self._inflate.decompress(packed, WINDOW_BYTES)
            except zlib.error:
                raise Broken("deflate_damaged") from None
            if plain:
                self._limit -= len(plain)
                if self._limit < 0:
                    raise Broken("deflate_bomb")
                return plain
            if not packed:
                raise Broken("truncated")
        return b""

    def _read(self) -> bytes:
        size = min(WINDOW_BYTES, self._source.size_bytes - self._next)
        packed = self._source.read_at(self._next, size) if size > 0 else b""
        self._next += len(packed)
        return packed


@dataclass(frozen=True, slots=True)
class Encoding:
    """How element headers are written."""

    explicit: bool
    big_endian: bool = False


IMPLICIT_LE = Encoding(explicit=False)
EXPLICIT_LE = Encoding(explicit=True)
EXPLICIT_BE = Encoding(explicit=True, big_endian=True)

_TAG_LENGTH = (struct.Struct("<HHI"), struct.Struct(">HHI"))
_SHORT = (struct.Struct("<H"), struct.Struct(">H"))
_LONG = (struct.Struct("<I"), struct.Struct(">I"))


@dataclass(slots=True)
class Element:
    """A header at top level, or in an item of a sequence that was asked for."""

    tag: int
    position: int  #: of the value
    length: int  #: of the value in bytes; of all fragments together for encapsulated pixel data
    vr: bytes = b""  #: as it is written; empty where none is
    parent: int = 0  #: of the sequence that it is in; 0: at the top
    encapsulated: bool = False
    fragments: int = 0  #: with bytes in them, the offset table left out


@dataclass(slots=True)
class _Open:
    """A sequence, item or run of fragments that hasn't ended. `end` None: a delimiter ends it."""

    kind: int  #: ITEM, SEQUENCE_END for a sequence, PIXEL_DATA_GROUP for fragments
    end: int | None
    encoding: Encoding
    tag: int = 0  #: of the sequence or the pixel data
    items: int = 0
    #: Set for a value that only looks like a sequence: where to go on if it isn't one.
    unless_broken: int | None = None


class Walk:
    """Iterates over the elements at top level; nested ones are checked and not shown, but for those of `within`.

    A value without a VR, or of VR UN, that begins like a sequence is walked as one; if it turns out to be none, it is
    passed over as the bytes it is. An archive with a dictionary would walk it too.

    :param start: position of the first element.
    :param max_elements: elements, items and fragments at most.
    :param within: sequences at top level whose items' own elements are shown, too.
    :ivar odd_vr: a VR was met that the standard doesn't have.
    :raises Broken: truncated, bad_length, bad_sequence, bad_vr, nesting_too_deep, too_many_elements.
    """

    def __init__(
        self,
        window: Window,
        start: int,
        encoding: Encoding,
        max_elements: int = MAX_ELEMENTS,
        within: frozenset[int] = frozenset(),
    ) -> None:
        self.odd_vr = False
        self._within = within
        self._window = window
        self._encoding = encoding
        self._max_elements = max_elements
        self._stack: list[_Open] = []
        self._pixels: Element | None = None
        self._count = 0
        self._nesting = 0
        self.position = start

    def value(self, element: Element, limit: int) -> bytes:
        """The first `limit` bytes of an element that was just given out."""
        return self._window.peek(element.position, min(element.length, limit))

    def __iter__(self) -> Iterator[Element]:
        while True:
            while self._stack and self.position == self._stack[-1].end:
                self._close()
            if not self._stack and not self._window.peek(self.position, 1):
                return
            self._count += 1
            if self._count > self._max_elements:
                raise Broken("too_many_elements")
            try:
                element = self._step()
            except Broken as broken:
                if broken.code in {"nesting_too_deep", "deflate_bomb"} or not self._give_up_guess():
                    raise
                continue
            if element is not None:
                yield element

    def _step(self) -> Element | None:
        top = self._stack[-1] if self._stack else None
        if top is None or top.kind == ITEM:
            return self._element(top)
        return self._item(top)

    def _item(self, top: _Open) -> Element | None:
        """An item, a fragment, or the end of their list."""
        tag, length = self._tag_length(top.encoding)
        start = self.position + 8
        if tag == SEQUENCE_END and top.end in {None, start}:
            self.position = start
            return self._close()
        if tag != ITEM:
            raise Broken("bad_sequence")
        if top.kind == PIXEL_DATA_GROUP:
            if length == UNDEFINED_LENGTH:
                raise Broken("bad_length")
            self.position = self._end_of(start, length)
            top.items += 1
            if self._pixels is not None:
                self._pixels.fragments += top.items > 1 and length > 0
                self._pixels.length += length
            return None
        end = None if length == UNDEFINED_LENGTH else self._end_inside(start, length)
        self._stack.append(_Open(ITEM, end, top.encoding))
        self.position = start
        return None

    def _element(self, top: _Open | None) -> Element | None:
        encoding = top.encoding if top else self._encoding
        tag, vr, length, start = read_header(self._window, self.position, encoding)
        if tag >> 16 == 0xFFFE:
            if tag == ITEM_END and top is not None and top.end in {None, start}:
                self.position = start
                self._close()
                return None
            raise Broken("bad_sequence")
        self.odd_vr |= encoding.explicit and vr not in SHORT_VRS and vr not in LONG_VRS
        vr = vr.upper()
        parent = self._stack[0].tag if len(self._stack) == 2 else 0
        element = Element(tag, start, length, vr, parent)
        shown = element if top is None or parent in self._within else None
        if length == UNDEFINED_LENGTH:
            return self._undefined(element, vr, encoding, at_top=top is None)
        guess = vr in {b"", b"UN"} and tag >> 16 != PIXEL_DATA_GROUP and self._looks_like_sequence(start, length)
        end = self._end_inside(start, length) if vr == b"SQ" or guess else self._end_of(start, length)
        if vr == b"SQ":
            self._open_sequence(end, encoding, start, tag)
        elif guess:
            self._open_sequence(end, IMPLICIT_LE if vr else encoding, start, tag, unless_broken=end)
        else:
            self.position = end
        return shown

    def _undefined(self, element: Element, vr: bytes, encoding: Encoding, *, at_top: bool) -> Element | None:
        fragments = vr in {b"OB", b"OW"} or (element.tag >> 16 == PIXEL_DATA_GROUP and vr in {b"", b"UN"})
        if fragments:
            self._stack.append(_Open(PIXEL_DATA_GROUP, None, encoding))
            element.encapsulated, element.length = True, 0
            self._pixels = element if at_top else None
        elif vr in {b"", b"SQ", b"UN"}:
            # PS3.5 section 6.2.2: UN of undefined length is an implicit VR sequence, whatever is around it.
            inner = IMPLICIT_LE if vr == b"UN" else encoding
            self._open_sequence(None, inner, element.position, element.tag)
            element.length = 0
        else:
            raise Broken("bad_length")
        self.position = element.position
        # Fragments are shown when they have been counted.
        return element if at_top and not fragments else None

    def _open_sequence(
        self, end: int | None, encoding: Encoding, start: int, tag: int, unless_broken: int | None = None
    ) -> None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise Broken("nesting_too_deep")
        self._stack.append(_Open(SEQUENCE_END, end, encoding, tag, unless_broken=unless_broken))
        self.position = start

    def _close(self) -> Element | None:
        closed = self._stack.pop()
        if closed.kind == SEQUENCE_END:
            self._nesting -= 1
        if closed.kind == PIXEL_DATA_GROUP:
            pixels, self._pixels = self._pixels, None
            return pixels
        return None

    def _give_up_guess(self) -> bool:
        """Go on behind the outermost value that only looked like a sequence; False if there is none."""
        for depth, opened in enumerate(self._stack):
            if opened.unless_broken is not None:
                if not self._window.reaches(opened.unless_broken):
                    raise Broken("truncated")
                self.position = opened.unless_broken
                del self._stack[depth:]
                self._nesting = sum(left.kind == SEQUENCE_END for left in self._stack)
                return True
        return False

    def _looks_like_sequence(self, start: int, length: int) -> bool:
        """Whether a value begins with the header of an item that would fit in it."""
        head = self._window.peek(start, 8)
        if length < 8 or len(head) < 8:
            return False
        group, number, item_length = _TAG_LENGTH[0].unpack(head)
        return (group, number) == (0xFFFE, 0xE000) and (item_length == UNDEFINED_LENGTH or item_length <= length - 8)

    def _tag_length(self, encoding: Encoding) -> tuple[int, int]:
        head = self._window.peek(self.position, 8)
        if len(head) < 8:
            raise Broken("truncated")
        group, number, length = _TAG_LENGTH[encoding.big_endian].unpack(head)
        return group << 16 | number, length

    def _end_of(self, start: int, length: int) -> int:
        """Where a value of `length` ends: inside what holds it, and inside the file."""
        end = self._end_inside(start, length)
        if not self._window.reaches(end):
            raise Broken("truncated")
        return end

    def _end_inside(self, start: int, length: int) -> int:
        """Where it ends, inside what holds it."""
        end = start + length
        holder = next((opened.end for opened in reversed(self._stack) if opened.end is not None), end)
        if end > holder:
            raise Broken("bad_length")
        return end


def read_header(window: Window, position: int, encoding: Encoding) -> tuple[int, bytes, int, int]:
    """Tag, VR (empty where none is written), length and position of the value (PS3.5 section 7.1).

    Small letters are read as capitals, like everybody reads them; `Walk` says that they were there.

    :raises Broken: truncated, bad_vr.
    """
    head = window.peek(position, 12)
    if len(head) < 8:
        raise Broken("truncated")
    group, number, length = _TAG_LENGTH[encoding.big_endian].unpack_from(head)
    tag = group << 16 | number
    if not encoding.explicit or group == 0xFFFE:
        return tag, b"", length, position + 8
    vr = head[4:6]
    if vr.upper() in SHORT_VRS or vr in NO_VRS:
        return tag, vr, _SHORT[encoding.big_endian].unpack_from(head, 6)[0], position + 8
    if not vr.isalpha() or not vr.isascii():
        raise Broken("bad_vr")
    if len(head) < 12:
        raise Broken("truncated")
    return tag, vr, _LONG[encoding.big_endian].unpack_from(head, 8)[0], position + 12
