"""Format 1 of docs/spool-format.md, which is only read, held by golden values and by a second reader from that page.

A change that breaks these tests makes spools in the field unreadable: it needs a new version of the format.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.blobs.memory import MemoryBlobs
from gateway.errors import Damaged
from gateway.spool import FileKey, KeyRing, Run, SpooledFile, UploadKey, unwrap_service_key
from gateway.spool.frames import FRAME_SIZE, FormerHeader, header_digest, seal_frames, sealed_size

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "spool_v1.json").read_text())
IDS, KEYS, WRAPS, SEGMENT = VECTORS["ids"], VECTORS["keys"], VECTORS["wraps"], VECTORS["segment"]
BLOB = bytes.fromhex(SEGMENT["header"] + "".join(frame["sealed"] for frame in SEGMENT["frames"]))
PLAINTEXT = SEGMENT["plaintext"].encode()


def hkdf(key: bytes, purpose: str) -> bytes:
    """RFC 5869 by hand: no salt, 32 bytes."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, b"relaypacs|1|" + purpose.encode() + b"\x01", "sha256")


def sealed_value(key: bytes, blob: bytes, context: str) -> bytes:
    assert blob[0] == 1
    return AESGCM(key).decrypt(blob[1:13], blob[13:], b"\x01" + context.encode())


def unhexed(values: dict[str, str]) -> dict[str, bytes]:
    return {name: bytes.fromhex(value) for name, value in values.items()}


def given_nonces(values: list[bytes]) -> Callable[[int], bytes]:
    def take(size: int) -> bytes:
        nonces = b"".join(values)
        assert len(nonces) == size
        return nonces

    return take


def runs() -> list[Run]:
    return [Run(IDS["segment"], **run, entry_at=0, entry_id=IDS["segment"], sealed_bytes=0) for run in SEGMENT["runs"]]


def file_of(blob: bytes, *, key: bytes | None = None) -> SpooledFile:
    blobs = MemoryBlobs()
    blobs.put(IDS["segment"], blob)
    return SpooledFile(
        blobs,
        runs(),
        upload_id=IDS["upload"],
        file_id=IDS["file"],
        key=FileKey(key or bytes.fromhex(KEYS["file"])),
        size_bytes=len(PLAINTEXT),
    )


class TestGolden:
    def test_the_golden_segment_is_read(self) -> None:
        assert file_of(BLOB).read_at(0, 1000) == PLAINTEXT

    def test_its_header_says_whose_it_is(self) -> None:
        header = FormerHeader(
            IDS["upload"],
            IDS["file"],
            IDS["segment"],
            base_offset=SEGMENT["base_offset"],
            epoch=SEGMENT["epoch"],
            commitment=FileKey(bytes.fromhex(KEYS["file"])).commitment,
        )
        assert FormerHeader.parse(BLOB[:128]) == header
        assert header_digest(BLOB[:128]).hex() == SEGMENT["header_digest"]

    def test_the_same_nonces_give_the_same_frames(self) -> None:
        key = FileKey(bytes.fromhex(KEYS["file"]))
        for number, frame in enumerate(SEGMENT["frames"]):
            plaintext, nonce = frame["plaintext"].encode(), bytes.fromhex(frame["nonce"])
            out = bytearray(sealed_size(len(plaintext)))
            digest = bytes.fromhex(SEGMENT["header_digest"])
            seal_frames(key.frames, digest, number, frame["offset"], memoryview(plaintext), out, given_nonces([nonce]))
            assert out.hex() == frame["sealed"]

    def test_full_frames_are_cut_where_the_format_says(self) -> None:
        large = VECTORS["large"]
        plaintext = (bytes(range(256)) * 1024)[: large["size_bytes"]]
        out = bytearray(sealed_size(len(plaintext)))
        nonces = given_nonces([bytes.fromhex(nonce) for nonce in large["nonces"]])
        key = FileKey(bytes.fromhex(KEYS["file"]))
        digest = bytes.fromhex(SEGMENT["header_digest"])
        seal_frames(key.frames, digest, large["first_frame"], large["offset"], memoryview(plaintext), out, nonces)
        assert len(out) == large["sealed_bytes"]
        assert hashlib.sha256(out).hexdigest() == large["sealed_sha256"]

    def test_golden_wraps_and_sealed_values_open(self) -> None:
        keys, wraps = unhexed(KEYS), unhexed(WRAPS)
        ring = KeyRing({"k1": keys["kek"]}, "k1")
        upload = UploadKey.unwrap(ring, IDS["upload"], "k1", wraps["upload"])
        file_key = upload.file_key(IDS["file"], wraps["file"])
        assert file_key.commitment == FileKey(keys["file"]).commitment
        assert unwrap_service_key(ring, "records", "k1", wraps["service_records"]) == keys["service_records"]
        value = VECTORS["value"]
        assert upload.meta.open_json(bytes.fromhex(value["sealed"]), context=value["context"]) == value["json"]
        mac = VECTORS["mac"]
        assert upload.mac(mac["purpose"], mac["data"].encode()).hex() == mac["mac"]


class TestDamageToTheGoldenSegment:
    #: The third frame belongs to no run: nothing of it counts.
    DEAD = range(SEGMENT["frames"][2]["position"], SEGMENT["frames"][3]["position"])

    def test_every_truncation_is_refused(self) -> None:
        for length in range(len(BLOB)):
            file = file_of(BLOB[:length])
            with pytest.raises(Damaged):
                file.read_at(0, 1000)
            with pytest.raises(Damaged):
                file.probe()

    def test_every_flipped_bit_is_refused_or_lies_in_bytes_that_count_for_nothing(self) -> None:
        for place in range(len(BLOB) * 8):
            damaged = bytearray(BLOB)
            damaged[place // 8] ^= 1 << place % 8
            file = file_of(bytes(damaged))
            if place // 8 in self.DEAD:
                assert file.read_at(0, 1000) == PLAINTEXT
            else:
                with pytest.raises(Damaged):
                    file.read_at(0, 1000)

    def test_bytes_after_the_last_run_count_for_nothing(self) -> None:
        assert file_of(BLOB + b"half a fra").read_at(0, 1000) == PLAINTEXT

    def test_every_bit_of_the_key_counts(self) -> None:
        for place in range(256):
            key = bytearray.fromhex(KEYS["file"])
            key[place // 8] ^= 1 << place % 8
            file = file_of(BLOB, key=bytes(key))
            with pytest.raises(Damaged):
                file.read_at(0, 1000)


class TestSecondReader:
    """Written from docs/spool-format.md with `struct`, `hmac` and AES-GCM alone."""

    def test_keys(self) -> None:
        keys, wraps = unhexed(KEYS), unhexed(WRAPS)
        upload, file = IDS["upload"], IDS["file"]
        assert sealed_value(keys["kek"], wraps["upload"], f"upload|{upload}|k1") == keys["upload"]
        assert sealed_value(hkdf(keys["upload"], "files"), wraps["file"], f"file|{upload}|{file}") == keys["file"]
        records = sealed_value(keys["kek"], wraps["service_records"], "service|records|k1")
        assert records == keys["service_records"]

    def test_sealed_values_and_macs(self) -> None:
        dek = bytes.fromhex(KEYS["upload"])
        value, mac = VECTORS["value"], VECTORS["mac"]
        plaintext = sealed_value(hkdf(dek, "meta"), bytes.fromhex(value["sealed"]), value["context"])
        assert json.loads(plaintext) == value["json"]
        key = hkdf(dek, f"mac|{mac['purpose']}")
        assert hmac.digest(key, mac["data"].encode(), "sha256").hex() == mac["mac"]

    def test_header(self) -> None:
        magic, version, suite, log2, flags = struct.unpack_from(">4s4B", BLOB)
        assert (magic, version, suite, log2, flags) == (b"RPSP", 1, 1, 16, 0)
        assert [BLOB[at : at + 16].hex() for at in (8, 24, 40)] == [IDS["upload"], IDS["file"], IDS["segment"]]
        assert struct.unpack_from(">QQ", BLOB, 56) == (SEGMENT["base_offset"], SEGMENT["epoch"])
        assert BLOB[72:104] == hkdf(bytes.fromhex(KEYS["file"]), "commitment")
        assert BLOB[104:128] == bytes(24)
        assert hashlib.sha256(BLOB[:128]).hexdigest() == SEGMENT["header_digest"]

    def test_frames(self) -> None:
        cipher = AESGCM(hkdf(bytes.fromhex(KEYS["file"]), "frames"))
        result = bytearray(len(PLAINTEXT))
        for run in runs():
            at, number, offset = run.position, run.first_frame, run.start
            while offset < run.end:
                length, reserved = struct.unpack_from(">II", BLOB, at)
                assert reserved == 0
                assert 1 <= length <= FRAME_SIZE
                aad = hashlib.sha256(BLOB[:128]).digest() + struct.pack(">QQI", number, offset, length)
                end = at + 20 + length + 16
                result[offset : offset + length] = cipher.decrypt(BLOB[at + 8 : at + 20], BLOB[at + 20 : end], aad)
                at, number, offset = end, number + 1, offset + length
        assert bytes(result) == PLAINTEXT
