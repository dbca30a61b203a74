"""Format 2 of docs/spool-format.md, held by golden values and by a second reader written from that page.

A change that breaks these tests makes spools in the field unreadable: it needs a new version of the format.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.blobs.memory import MemoryBlobs
from gateway.errors import Damaged
from gateway.spool import FileKey, Run, SpooledFile
from gateway.spool.frames import HEADER_SIZE, EntryHeader, header_digest, seal_frames, sealed_size

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "spool_v2.json").read_text())
IDS, ENTRIES = VECTORS["ids"], VECTORS["entries"]
KEYS = {name: bytes.fromhex(VECTORS[f"{name}_key"]) for name in ("file", "neighbour")}
BLOB = b"".join(
    bytes.fromhex(entry["header"] + "".join(frame["sealed"] for frame in entry["frames"])) for entry in ENTRIES
)
PLAINTEXT = {"file": VECTORS["plaintext"].encode(), "neighbour": b"another file's bytes"}


def runs(of: str) -> list[Run]:
    return [
        Run(
            IDS["segment"], one["start"], one["length"], one["entry_at"] + HEADER_SIZE, 0, one["entry_at"],
            one["entry_id"], one["sealed_bytes"],
        )
        for one in ENTRIES
        if one["of"] == of
    ]  # fmt: skip


def read(blob: bytes, of: str = "file", *, key: bytes | None = None, found: list[Run] | None = None) -> bytes:
    blobs = MemoryBlobs()
    blobs.put(IDS["segment"], blob)
    known = {"upload_id": IDS["upload"], "file_id": IDS[of], "key": FileKey(key or KEYS[of])}
    file = SpooledFile(blobs, found or runs(of), **known, size_bytes=len(PLAINTEXT[of]))
    file.probe()
    return file.read_at(0, 1000)


def given_nonce(nonce: bytes, size: int) -> bytes:
    assert size == len(nonce)
    return nonce


def flipped(place: int) -> bytes:
    damaged = bytearray(BLOB)
    damaged[place // 8] ^= 1 << place % 8
    return bytes(damaged)


def entry_of(place: int) -> dict[str, Any]:
    return next(one for one in reversed(ENTRIES) if one["entry_at"] <= place)


def test_the_golden_segment_is_read() -> None:
    assert {of: read(BLOB, of) for of in PLAINTEXT} == PLAINTEXT


def test_the_same_facts_give_the_same_entries() -> None:
    for one in ENTRIES:
        key = FileKey(KEYS[one["of"]])
        header = EntryHeader(IDS[one["of"]], one["entry_id"], one["start"], one["fence"], key.commitment)
        assert header.pack().hex() == one["header"]
        assert header_digest(header.pack()).hex() == one["header_digest"]
        for number, frame in enumerate(one["frames"]):
            plaintext, nonce = frame["plaintext"].encode(), bytes.fromhex(frame["nonce"])
            out = bytearray(sealed_size(len(plaintext)))
            digest = header_digest(header.pack())
            place = (number, frame["offset"])
            seal_frames(key.frames, digest, *place, memoryview(plaintext), out, partial(given_nonce, nonce))
            assert out.hex() == frame["sealed"]


def test_every_flipped_bit_loses_the_file_whose_entry_holds_it_and_no_other() -> None:
    for place in range(len(BLOB) * 8):
        hurt = entry_of(place // 8)["of"]
        for of, plaintext in PLAINTEXT.items():
            if of == hurt:
                with pytest.raises(Damaged):
                    read(flipped(place), of)
            else:
                assert read(flipped(place), of) == plaintext


def test_every_truncation_loses_the_files_whose_entries_it_cuts_and_no_other() -> None:
    for length in range(len(BLOB)):
        for of, plaintext in PLAINTEXT.items():
            if all(one["entry_at"] + one["sealed_bytes"] <= length for one in ENTRIES if one["of"] == of):
                assert read(BLOB[:length], of) == plaintext
            else:
                with pytest.raises(Damaged):
                    read(BLOB[:length], of)


def test_every_bit_of_the_key_counts() -> None:
    for place in range(256):
        key = bytearray(KEYS["file"])
        key[place // 8] ^= 1 << place % 8
        with pytest.raises(Damaged):
            read(BLOB, key=bytes(key))


def test_an_entry_may_be_copied_to_another_place_and_a_frame_may_not() -> None:
    first, second = runs("file")
    size = second.entry_at, second.entry_at + second.sealed_bytes
    moved = BLOB + BLOB[size[0] : size[1]]
    there = replace(second, entry_at=len(BLOB), position=len(BLOB) + HEADER_SIZE)
    assert read(moved, found=[first, there]) == PLAINTEXT["file"]
    frames = ENTRIES[0]["frames"]
    a, b = (bytes.fromhex(frame["sealed"]) for frame in frames)
    with pytest.raises(Damaged):
        read(BLOB.replace(a + b, b + a))


@pytest.mark.parametrize(
    "change",
    [
        {"entry_id": "00" * 16},
        {"entry_at": 0, "position": HEADER_SIZE},
        {"first_frame": 1},
        {"position": ENTRIES[2]["entry_at"] + HEADER_SIZE + 1},
        {"segment_id": "00" * 16},
    ],
)
def test_a_row_that_names_another_entry_is_damage(change: dict[str, Any]) -> None:
    first, second = sorted(runs("file"), key=lambda run: run.start)
    with pytest.raises(Damaged):
        read(BLOB, found=[replace(first, **change), second])


class TestSecondReader:
    """Written from docs/spool-format.md with `struct`, `hmac` and AES-GCM alone."""

    @staticmethod
    def derived(key: bytes, purpose: bytes) -> bytes:
        extracted = hmac.digest(bytes(32), key, "sha256")
        return hmac.digest(extracted, b"relaypacs|1|" + purpose + b"\x01", "sha256")

    @pytest.mark.parametrize("of", ["file", "neighbour"])
    def test_entries(self, of: str) -> None:
        result = bytearray(len(PLAINTEXT[of]))
        cipher = AESGCM(self.derived(KEYS[of], b"frames"))
        for run in runs(of):
            header = BLOB[run.entry_at : run.entry_at + 96]
            magic, version, suite, log2, flags = struct.unpack_from(">4s4B", header)
            assert (magic, version, suite, log2, flags) == (b"RPSE", 2, 1, 16, 0)
            assert [header[8:24].hex(), header[24:40].hex()] == [IDS[of], run.entry_id]
            assert struct.unpack_from(">QQ", header, 40) == (run.start, 7)
            assert header[56:88] == self.derived(KEYS[of], b"commitment")
            assert header[88:] == bytes(8)
            at, number, offset = run.entry_at + 96, 0, run.start
            while offset < run.end:
                length, reserved = struct.unpack_from(">II", BLOB, at)
                assert reserved == 0
                aad = hashlib.sha256(header).digest() + struct.pack(">QQI", number, offset, length)
                end = at + 20 + length + 16
                result[offset : offset + length] = cipher.decrypt(BLOB[at + 8 : at + 20], BLOB[at + 20 : end], aad)
                at, number, offset = end, number + 1, offset + length
            assert at == run.entry_at + run.sealed_bytes
        assert bytes(result) == PLAINTEXT[of]
