"""The sealed form of an entry: its header and its frames. Bytes in, bytes out (docs/spool-format.md).

Entries are of version 2. A segment of version 1 is one entry from its beginning to its end, with a header of its own;
it is read, and never written any more.

A frame's nonce is random and never a function of its place: a frame that was cut off and is written again with
other bytes must not share a nonce with the first. Frames are appended, never rewritten. Knows no file, no key
hierarchy and no ledger.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import Damaged

MAGIC, VERSION = b"RPSE", 2
FORMER_MAGIC, FORMER_VERSION = b"RPSP", 1
SUITE_AES_256_GCM = 1
FRAME_LOG2 = 16
FRAME_SIZE = 1 << FRAME_LOG2  #: plaintext bytes of a full frame
HEADER_SIZE = 96  #: of an entry
FORMER_HEADER_SIZE = 128  #: of a segment of version 1
FRAME_HEADER_SIZE = 20
NONCE_SIZE = 12
TAG_SIZE = 16
FRAME_OVERHEAD = FRAME_HEADER_SIZE + TAG_SIZE
SEALED_FRAME_SIZE = FRAME_SIZE + FRAME_OVERHEAD
#: Random 96-bit nonces: 2^32 frames under one key at most (NIST SP 800-38D, 8.3).
MAX_FRAMES = 1 << 32

_HEADER = struct.Struct(">4sBBBB16s16sQQ32s8s")
_FORMER_HEADER = struct.Struct(">4sBBBB16s16s16sQQ32s24s")
_FRAME = struct.Struct(">II12s")
_AAD = struct.Struct(">32sQQI")
_ZEROS = bytes(8)
_FORMER_ZEROS = bytes(24)


@dataclass(frozen=True, slots=True)
class EntryHeader:
    """What an entry says of itself. Ids are 32 lower-case hex digits. Where it lies isn't in it."""

    source_id: str  #: the file that it was sealed for
    entry_id: str
    base_offset: int  #: plaintext offset, in that file, of the first frame
    fence: int  #: of the file, when its writer began
    commitment: bytes  #: 32 bytes that only this file's key gives

    def pack(self) -> bytes:
        """The 96 bytes at an entry's beginning."""
        ids = [bytes.fromhex(text) for text in (self.source_id, self.entry_id)]
        if any(len(raw) != 16 for raw in ids) or len(self.commitment) != 32:
            raise ValueError("ids are 32 hex digits, a commitment is 32 bytes")
        form = (MAGIC, VERSION, SUITE_AES_256_GCM, FRAME_LOG2, 0)
        return _HEADER.pack(*form, *ids, self.base_offset, self.fence, self.commitment, _ZEROS)

    @classmethod
    def parse(cls, raw: bytes) -> EntryHeader:
        """:raises Damaged: not a header, or one of a version, suite or frame size that isn't read here."""
        if len(raw) != HEADER_SIZE:
            raise Damaged("a segment ends within an entry's header")
        magic, version, suite, log2, flags, source, entry, base, fence, commitment, zeros = _HEADER.unpack(raw)
        if magic != MAGIC:
            raise Damaged("an entry doesn't begin like one")
        if (version, suite, log2, flags, zeros) != (VERSION, SUITE_AES_256_GCM, FRAME_LOG2, 0, _ZEROS):
            raise Damaged("an entry is of a form that isn't read here")
        return cls(source.hex(), entry.hex(), base, fence, commitment)


@dataclass(frozen=True, slots=True)
class FormerHeader:
    """What a segment of version 1 says of itself."""

    upload_id: str
    file_id: str
    segment_id: str
    base_offset: int  #: plaintext offset, in its file, of the first frame
    epoch: int  #: of the lease under which it was written
    commitment: bytes  #: as in an entry's header

    @classmethod
    def parse(cls, raw: bytes) -> FormerHeader:
        """:raises Damaged: not a header, or one of a version, suite or frame size that isn't read here."""
        if len(raw) != FORMER_HEADER_SIZE:
            raise Damaged("a segment is shorter than its header")
        magic, version, suite, log2, flags, upload, file, segment, base, epoch, commitment, zeros = (
            _FORMER_HEADER.unpack(raw)
        )
        if magic != FORMER_MAGIC:
            raise Damaged("a segment doesn't begin like one")
        if (version, suite, log2, flags, zeros) != (FORMER_VERSION, SUITE_AES_256_GCM, FRAME_LOG2, 0, _FORMER_ZEROS):
            raise Damaged("a segment is of a form that isn't read here")
        return cls(upload.hex(), file.hex(), segment.hex(), base, epoch, commitment)


def header_digest(raw: bytes) -> bytes:
    """SHA-256 of a packed header: what binds each frame to its entry."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(raw)
    return digest.finalize()


def sealed_size(size_bytes: int) -> int:
    """Bytes that one piece of plaintext takes when sealed at once."""
    return size_bytes + -(-size_bytes // FRAME_SIZE) * FRAME_OVERHEAD


def seal_frames(
    cipher: AESGCM,
    digest: bytes,
    first_frame: int,
    offset: int,
    plaintext: memoryview,
    out: bytearray | memoryview,
    nonces: Callable[[int], bytes] = os.urandom,
) -> tuple[int, int]:
    """Seal plaintext into `out` as full frames and a short last one.

    :param digest: of the entry's header (`header_digest`).
    :param first_frame: number, in its entry, of the first frame to make.
    :param offset: of the plaintext in its file.
    :param nonces: gives n fresh random bytes; only tests of the format bring their own.
    :returns: how many frames, and how many bytes of `out` they take.
    :raises ValueError: `out` is shorter than `sealed_size` of the plaintext; numbers out of range.
    """
    size = len(plaintext)
    if len(out) < sealed_size(size):
        raise ValueError("no room for the sealed frames")
    count = -(-size // FRAME_SIZE)
    if first_frame < 0 or first_frame + count > MAX_FRAMES:
        raise ValueError("an entry has 2^32 frames at most")
    target, fresh = memoryview(out), nonces(count * NONCE_SIZE)  # asked for at once: each asking lets other threads in
    frame, at = first_frame, 0
    for number in range(count):
        begin = number * FRAME_SIZE
        length = min(FRAME_SIZE, size - begin)
        nonce = fresh[number * NONCE_SIZE : (number + 1) * NONCE_SIZE]
        _FRAME.pack_into(target, at, length, 0, nonce)
        body = at + FRAME_HEADER_SIZE
        at = body + length + TAG_SIZE
        aad = _AAD.pack(digest, frame, offset + begin, length)
        cipher.encrypt_into(nonce, plaintext[begin : begin + length], aad, target[body:at])
        frame += 1
    return frame - first_frame, at


def frame_length(sealed: bytes | memoryview, at: int = 0) -> int:
    """Plaintext length that a frame's header claims; true only once the frame was opened.

    :raises Damaged: the header is cut or says what can't be.
    """
    if len(sealed) - at < FRAME_HEADER_SIZE:
        raise Damaged("a segment ends within a frame")
    length, reserved, _ = _FRAME.unpack_from(sealed, at)
    if reserved != 0 or not 1 <= length <= FRAME_SIZE:
        raise Damaged("a frame's header is damaged")
    return int(length)


def open_frame(
    cipher: AESGCM,
    digest: bytes,
    frame: int,
    offset: int,
    sealed: memoryview,
    out: memoryview,
) -> int:
    """Open the frame at the beginning of `sealed` into the beginning of `out`; its plaintext length.

    :param frame: number that it must have in its entry.
    :param offset: that its plaintext must have in its file.
    :raises Damaged: it isn't the frame that was sealed for this place; `out` then holds zeros.
    """
    length = frame_length(sealed)
    end = FRAME_HEADER_SIZE + length + TAG_SIZE
    if len(sealed) < end:
        raise Damaged("a segment ends within a frame")
    aad = _AAD.pack(digest, frame, offset, length)
    nonce = sealed[FRAME_HEADER_SIZE - NONCE_SIZE : FRAME_HEADER_SIZE]
    try:
        cipher.decrypt_into(nonce, sealed[FRAME_HEADER_SIZE:end], aad, out[:length])
    except InvalidTag:
        out[:length] = bytes(length)
        raise Damaged("a frame can't be opened") from None
    return length
