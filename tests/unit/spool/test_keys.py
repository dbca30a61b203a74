from __future__ import annotations

import os
import re

import pytest

from gateway.errors import ConfigError, Damaged
from gateway.spool import (
    SERVICE_KEY_NAMES,
    FileKey,
    KeyRing,
    Sealer,
    ServiceKeys,
    UploadKey,
    new_service_key,
    unwrap_service_key,
)
from tests.unit.spool.support import new_id

K1, K2 = os.urandom(32), os.urandom(32)


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing({"k1": K1, "k2": K2}, "k1")


def same(one: FileKey, two: FileKey) -> bool:
    nonce = bytes(12)
    return one.commitment == two.commitment and one.frames.encrypt(nonce, b"", b"") == two.frames.encrypt(
        nonce, b"", b""
    )


class TestKeyRing:
    def test_a_wrapped_key_comes_back(self, ring: KeyRing) -> None:
        wrapped, kek_id = ring.wrap(K2, belongs_to="upload|x")
        assert kek_id == ring.active == "k1"
        assert K2 not in wrapped
        assert ring.unwrap("k1", wrapped, belongs_to="upload|x") == K2

    def test_the_same_key_is_never_wrapped_alike(self, ring: KeyRing) -> None:
        assert len({ring.wrap(K2, belongs_to="x")[0] for _ in range(100)}) == 100

    def test_a_key_opens_for_its_owner_and_under_its_kek_only(self, ring: KeyRing) -> None:
        wrapped, _ = ring.wrap(K2, belongs_to="upload|x")
        with pytest.raises(Damaged):
            ring.unwrap("k1", wrapped, belongs_to="upload|y")
        with pytest.raises(Damaged, match=re.escape("spool.keys.k2 isn't the key")):
            ring.unwrap("k2", wrapped, belongs_to="upload|x")
        with pytest.raises(Damaged):
            KeyRing({"k1": K1, "k2": K1}, "k1").unwrap("k2", wrapped, belongs_to="upload|x")

    def test_every_bit_of_a_wrapped_key_counts(self, ring: KeyRing) -> None:
        wrapped, _ = ring.wrap(K2, belongs_to="x")
        for place in range(len(wrapped) * 8):
            damaged = bytearray(wrapped)
            damaged[place // 8] ^= 1 << place % 8
            with pytest.raises(Damaged):
                ring.unwrap("k1", bytes(damaged), belongs_to="x")
        for length in range(len(wrapped)):
            with pytest.raises(Damaged):
                ring.unwrap("k1", wrapped[:length], belongs_to="x")

    def test_a_missing_kek_is_named(self, ring: KeyRing) -> None:
        wrapped, _ = ring.wrap(K2, belongs_to="x")
        with pytest.raises(ConfigError, match=re.escape("spool.keys.k1")):
            KeyRing({"k2": K2}, "k2").unwrap("k1", wrapped, belongs_to="x")
        with pytest.raises(ConfigError, match=re.escape("spool.keys.k9")):
            ring.require({"k1", "k9"})
        ring.require({"k1", "k2"})

    def test_a_ring_needs_its_active_key_and_32_bytes_each(self) -> None:
        with pytest.raises(ConfigError, match="k2"):
            KeyRing({"k1": K1}, "k2")
        with pytest.raises(ConfigError, match=re.escape("spool.keys.k1")):
            KeyRing({"k1": K1[:31]}, "k1")


class TestSealer:
    def test_a_value_opens_in_its_context_only(self) -> None:
        sealer = Sealer(K1)
        blob = sealer.seal(b"DOE^JANE", context="uploads|meta|1")
        assert b"DOE" not in blob
        assert sealer.open(blob, context="uploads|meta|1") == b"DOE^JANE"
        with pytest.raises(Damaged):
            sealer.open(blob, context="uploads|meta|2")
        with pytest.raises(Damaged):
            Sealer(K2).open(blob, context="uploads|meta|1")

    def test_every_bit_and_every_length_counts(self) -> None:
        sealer = Sealer(K1)
        blob = sealer.seal(b"ab", context="c")
        for place in range(len(blob) * 8):
            damaged = bytearray(blob)
            damaged[place // 8] ^= 1 << place % 8
            with pytest.raises(Damaged):
                sealer.open(bytes(damaged), context="c")
        for length in range(len(blob)):
            with pytest.raises(Damaged):
                sealer.open(blob[:length], context="c")

    def test_an_error_says_nothing_of_the_value(self) -> None:
        blob = Sealer(K1).seal(b"DOE^JANE", context="files|name|DOE")
        with pytest.raises(Damaged) as caught:
            Sealer(K2).open(blob, context="files|name|DOE")
        assert "DOE" not in str(caught.value)
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize("value", [None, {}, [], "ä\u2028\ud800", {"a": [1, 2.5, True]}, {"Ünicode": "名前"}])
    def test_json_comes_back(self, value: object) -> None:
        sealer = Sealer(K1)
        assert sealer.open_json(sealer.seal_json(value, context="c"), context="c") == value


class TestUploadKey:
    def test_what_is_unwrapped_is_what_was_made(self, ring: KeyRing) -> None:
        upload_id, file_id = new_id(), new_id()
        made, wrapped, kek_id = UploadKey.create(ring, upload_id)
        again = UploadKey.unwrap(ring, upload_id, kek_id, wrapped)
        assert again.meta.open(made.meta.seal(b"x", context="c"), context="c") == b"x"
        assert again.mac("file", b"1") == made.mac("file", b"1")
        file_key, file_wrapped = made.new_file_key(file_id)
        assert same(again.file_key(file_id, file_wrapped), file_key)

    def test_wrapped_keys_of_uploads_can_not_be_exchanged(self, ring: KeyRing) -> None:
        one, two = new_id(), new_id()
        _, wrapped, kek_id = UploadKey.create(ring, one)
        with pytest.raises(Damaged):
            UploadKey.unwrap(ring, two, kek_id, wrapped)

    def test_wrapped_keys_of_files_can_not_be_exchanged(self, ring: KeyRing) -> None:
        upload_id, file_id, other_id = new_id(), new_id(), new_id()
        upload = UploadKey.create(ring, upload_id)[0]
        _, wrapped = upload.new_file_key(file_id)
        with pytest.raises(Damaged):
            upload.file_key(other_id, wrapped)
        with pytest.raises(Damaged):
            UploadKey.create(ring, upload_id)[0].file_key(file_id, wrapped)
        with pytest.raises(Damaged):
            upload.meta.open(wrapped, context=f"file|{upload_id}|{file_id}")

    def test_every_upload_and_every_file_has_a_key_of_its_own(self, ring: KeyRing) -> None:
        upload_id, file_id = new_id(), new_id()
        uploads = [UploadKey.create(ring, upload_id)[0] for _ in range(20)]
        assert len({upload.mac("p", b"x") for upload in uploads}) == 20
        assert len({uploads[0].new_file_key(file_id)[0].commitment for _ in range(20)}) == 20

    def test_macs_of_other_purposes_and_other_uploads_differ(self, ring: KeyRing) -> None:
        one, two = (UploadKey.create(ring, new_id())[0] for _ in range(2))
        assert len({one.mac("file", b"1"), one.mac("chunk", b"1"), one.mac("file", b"2"), two.mac("file", b"1")}) == 4

    @pytest.mark.parametrize("bad", ["", "x" * 32, "AA" * 16, "aa" * 15])
    def test_ids_are_32_hex_digits(self, ring: KeyRing, bad: str) -> None:
        with pytest.raises(ValueError):
            UploadKey.create(ring, bad)
        with pytest.raises(ValueError):
            UploadKey.create(ring, new_id())[0].new_file_key(bad)


class TestServiceKeys:
    def test_each_comes_back_under_its_own_name_only(self, ring: KeyRing) -> None:
        for name in SERVICE_KEY_NAMES:
            raw, wrapped, kek_id = new_service_key(ring, name)
            assert unwrap_service_key(ring, name, kek_id, wrapped) == raw
            for other in set(SERVICE_KEY_NAMES) - {name}:
                with pytest.raises(Damaged):
                    unwrap_service_key(ring, other, kek_id, wrapped)

    def test_an_unknown_name_is_a_mistake(self, ring: KeyRing) -> None:
        with pytest.raises(ValueError):
            new_service_key(ring, "spare")

    def test_they_do_what_they_are_for(self) -> None:
        raw = {name: os.urandom(32) for name in SERVICE_KEY_NAMES}
        one, two = ServiceKeys.from_raw(raw), ServiceKeys.from_raw(raw)
        assert two.records.open(one.records.seal(b"x", context="c"), context="c") == b"x"
        assert one.index_mac(b"a") == two.index_mac(b"a") != one.index_mac(b"b")
        assert (one.receipt_seed, one.audit_mac_key) == (raw["receipt"], raw["audit"])


def test_no_key_shows_in_a_repr(ring: KeyRing) -> None:
    raw = dict.fromkeys(SERVICE_KEY_NAMES, K1)
    upload = UploadKey(K1, new_id())
    for thing in (ring, upload, FileKey(K1), Sealer(K1), ServiceKeys.from_raw(raw)):
        text = repr(thing)
        assert repr(K1)[2:20] not in text
        assert K1.hex() not in text
