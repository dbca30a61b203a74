from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import Damaged
from gateway.spool.frames import (
    FRAME_OVERHEAD,
    FRAME_SIZE,
    HEADER_SIZE,
    MAX_FRAMES,
    SEALED_FRAME_SIZE,
    EntryHeader,
    frame_length,
    header_digest,
    open_frame,
    seal_frames,
    sealed_size,
)
from tests.unit.spool.support import noise

CIPHER = AESGCM(bytes(range(32)))
DIGEST = header_digest(b"some header")
HEADER = EntryHeader("aa" * 16, "bb" * 16, base_offset=2**40, fence=2**63, commitment=bytes(range(32)))


def sealed(plaintext: bytes, *, first_frame: int = 0, offset: int = 0) -> bytearray:
    out = bytearray(sealed_size(len(plaintext)))
    seal_frames(CIPHER, DIGEST, first_frame, offset, memoryview(plaintext), out)
    return out


def opened(blob: bytes | bytearray, *, first_frame: int = 0, offset: int = 0) -> bytes:
    view, result, frame = memoryview(blob), bytearray(), first_frame
    out = memoryview(bytearray(FRAME_SIZE))
    while view:
        length = open_frame(CIPHER, DIGEST, frame, offset + len(result), view, out)
        result += out[:length]
        view = view[length + FRAME_OVERHEAD :]
        frame += 1
    return bytes(result)


@pytest.mark.parametrize("size", [1, 2, FRAME_SIZE - 1, FRAME_SIZE, FRAME_SIZE + 1, 3 * FRAME_SIZE, 3 * FRAME_SIZE + 7])
def test_every_length_comes_back_in_full_frames_and_a_short_last_one(size: int) -> None:
    plaintext = noise(size)
    out = bytearray(sealed_size(size) + 5)
    frames, used = seal_frames(CIPHER, DIGEST, 7, 99, memoryview(plaintext), out)
    assert frames == -(-size // FRAME_SIZE)
    assert used == sealed_size(size) == size + frames * 36
    assert out[used:] == bytes(5)
    assert opened(out[:used], first_frame=7, offset=99) == plaintext


def test_nothing_becomes_nothing() -> None:
    assert seal_frames(CIPHER, DIGEST, 0, 0, memoryview(b""), bytearray()) == (0, 0)
    assert sealed_size(0) == 0


def test_the_same_bytes_at_the_same_place_never_look_the_same_twice() -> None:
    nonces = {bytes(sealed(b"same")[8:20]) for _ in range(1000)}
    assert len(nonces) == 1000
    one, two = sealed(noise(2 * FRAME_SIZE)), sealed(noise(2 * FRAME_SIZE))
    assert one[8:20] != one[SEALED_FRAME_SIZE + 8 : SEALED_FRAME_SIZE + 20]
    assert one != two


def test_no_plaintext_shows() -> None:
    plaintext = b"DOE^JANE" * 5000
    assert b"DOE^JANE" not in sealed(plaintext)


def test_a_frame_opens_only_at_its_number_its_offset_and_in_its_segment() -> None:
    blob = memoryview(sealed(b"here", first_frame=3, offset=50))
    out = memoryview(bytearray(FRAME_SIZE))
    assert open_frame(CIPHER, DIGEST, 3, 50, blob, out) == 4
    for digest, frame, offset in [(DIGEST, 2, 50), (DIGEST, 3, 51), (header_digest(b"other header"), 3, 50)]:
        with pytest.raises(Damaged):
            open_frame(CIPHER, digest, frame, offset, blob, out)
    with pytest.raises(Damaged):
        open_frame(AESGCM(bytes(32)), DIGEST, 3, 50, blob, out)


def test_a_damaged_frame_leaves_no_plaintext_behind() -> None:
    blob = sealed(b"secret" * 100)
    blob[-1] ^= 1
    out = bytearray(b"\xff" * FRAME_SIZE)
    with pytest.raises(Damaged):
        open_frame(CIPHER, DIGEST, 0, 0, memoryview(blob), memoryview(out))
    assert out[:600] == bytes(600)


@pytest.mark.parametrize("claimed", [0, FRAME_SIZE + 1, 2**32 - 1])
def test_a_length_that_can_not_be_is_refused(claimed: int) -> None:
    with pytest.raises(Damaged):
        frame_length(claimed.to_bytes(4, "big") + bytes(16))


def test_reserved_bits_are_checked() -> None:
    blob = sealed(b"x")
    blob[7] = 1
    with pytest.raises(Damaged):
        frame_length(bytes(blob))


def test_an_entry_has_no_more_frames_than_random_nonces_allow() -> None:
    out = bytearray(2 * SEALED_FRAME_SIZE)
    assert seal_frames(CIPHER, DIGEST, MAX_FRAMES - 1, 0, memoryview(b"x"), out) == (1, 37)
    with pytest.raises(ValueError, match="2\\^32"):
        seal_frames(CIPHER, DIGEST, MAX_FRAMES - 1, 0, memoryview(bytes(FRAME_SIZE + 1)), out)


def test_too_little_room_is_the_caller_s_mistake() -> None:
    with pytest.raises(ValueError, match="room"):
        seal_frames(CIPHER, DIGEST, 0, 0, memoryview(b"x"), bytearray(36))


def test_a_header_comes_back_as_it_was_packed() -> None:
    raw = HEADER.pack()
    assert len(raw) == HEADER_SIZE
    assert EntryHeader.parse(raw) == HEADER


@pytest.mark.parametrize("length", range(HEADER_SIZE))
def test_a_cut_header_is_refused(length: int) -> None:
    with pytest.raises(Damaged):
        EntryHeader.parse(HEADER.pack()[:length])


@pytest.mark.parametrize("place", [*range(8), *range(88, 96)])
def test_fixed_parts_of_a_header_are_checked_to_the_bit(place: int) -> None:
    for bit in range(8):
        raw = bytearray(HEADER.pack())
        raw[place] ^= 1 << bit
        with pytest.raises(Damaged):
            EntryHeader.parse(bytes(raw))


@pytest.mark.parametrize("damage", [{"source_id": "aa" * 15}, {"entry_id": "cc" * 17}, {"commitment": os.urandom(31)}])
def test_a_header_of_wrong_lengths_is_never_packed(damage: dict) -> None:
    facts = {name: getattr(HEADER, name) for name in EntryHeader.__slots__}
    with pytest.raises(ValueError):
        EntryHeader(**{**facts, **damage}).pack()
