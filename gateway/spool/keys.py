"""The key hierarchy: KEK (configuration) > an upload's key (DEK) > a file's key; and the service keys.

Deleting a wrapped key makes everything below it unreadable. Every wrap and every sealed value is AES-256-GCM with a
random nonce; its associated data says what it belongs to, so that none can stand in for another. No key and no
plaintext is in a repr or an error. Knows no ledger: wrapped keys come and go as bytes (docs/spool-format.md).
"""

from __future__ import annotations

import hmac
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import ConfigError, Damaged

KEY_SIZE = 32
NONCE_SIZE = 12
SEALED_OVERHEAD = 1 + 12 + 16  #: form, nonce, tag

#: What the gateway keeps for itself; see `ServiceKeys`.
SERVICE_KEY_NAMES = ("records", "index", "receipt", "audit")

_FORM = b"\x01"  #: AES-256-GCM, 96-bit random nonce, tag at the end
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_NO_SALT = bytes(32)  #: as RFC 5869 has it: as many zeros as the hash has bytes
_ID = re.compile(r"[0-9a-f]{32}")


class Fresh:
    """Random bytes for one act, drawn from the system together: each drawing lets other threads have Python's lock. None is
    given twice; what isn't wanted after all is thrown away with the act.

    :param size: bytes that the act wants; what it takes beyond them is drawn then.
    """

    __slots__ = ("_at", "_drawn")

    def __init__(self, size: int) -> None:
        self._drawn = os.urandom(size)
        self._at = 0

    def take(self, size: int) -> bytes:
        """So many of them."""
        at, self._at = self._at, self._at + size
        return self._drawn[at : self._at] if self._at <= len(self._drawn) else os.urandom(size)


class Sealer:
    """Seals small values under one key. Safe in several threads.

    :param key: 32 bytes.
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(_checked(key))

    def seal(self, plaintext: bytes, *, context: str, fresh: Fresh | None = None) -> bytes:
        """:param context: what the value is, as `table|column|row`; it must be the same to open it.
        :param fresh: of the act that it belongs to.
        """
        # Never drawn ahead: a machine that is set back to a snapshot of its memory would use such nonces twice.
        nonce = os.urandom(NONCE_SIZE) if fresh is None else fresh.take(NONCE_SIZE)
        return _FORM + nonce + self._cipher.encrypt(nonce, plaintext, _FORM + context.encode())

    def open(self, blob: bytes, *, context: str) -> bytes:
        """:raises Damaged: not what was sealed under this key for this context."""
        if blob[:1] != _FORM or len(blob) < SEALED_OVERHEAD:
            raise Damaged("a sealed value is of a form that isn't read here")
        try:
            return self._cipher.decrypt(blob[1:13], blob[13:], _FORM + context.encode())
        except InvalidTag:
            raise Damaged("a sealed value can't be opened") from None

    def seal_json(self, value: Any, *, context: str, fresh: Fresh | None = None) -> bytes:
        """`seal` of a value as compact JSON in UTF-8."""
        text = _COMPACT.encode(value)
        return self.seal(text.encode("utf-8", "surrogatepass"), context=context, fresh=fresh)

    def open_json(self, blob: bytes, *, context: str) -> Any:
        """What `seal_json` took. :raises Damaged: see `open`."""
        return json.loads(self.open(blob, context=context).decode("utf-8", "surrogatepass"))


class KeyRing:
    """The master keys (KEKs) of the configuration.

    :param keks: key id -> 32 bytes.
    :param active: the id of the one that wraps; the others only unwrap.
    :raises ConfigError: a key isn't 32 bytes, or the active one isn't there.
    """

    __slots__ = ("_sealers", "active")

    def __init__(self, keks: Mapping[str, bytes], active: str) -> None:
        for kek_id, kek in keks.items():
            if len(kek) != KEY_SIZE:
                raise ConfigError(f"spool.keys.{kek_id} must be 32 bytes in base64; `relaypacs keys new` makes one")
        if active not in keks:
            raise ConfigError(f"spool.keys.active names {active}, and there is no spool.keys.{active}")
        self.active = active
        self._sealers = {kek_id: Sealer(kek) for kek_id, kek in keks.items()}

    def has(self, kek_id: str) -> bool:
        """The configuration has this KEK."""
        return kek_id in self._sealers

    def others(self) -> list[str]:
        """Every KEK of the configuration but the active one, sorted."""
        return sorted(set(self._sealers) - {self.active})

    def wrap(self, key: bytes, *, belongs_to: str, kek_id: str | None = None) -> tuple[bytes, str]:
        """A key wrapped under a KEK, the active one unless said otherwise, and that KEK's id.

        :param belongs_to: what the key is of, such as `upload|<id>`.
        :raises ConfigError: the configuration has no such KEK.
        """
        by = self.active if kek_id is None else kek_id
        self.require([by])
        return self._sealers[by].seal(_checked(key), context=f"{belongs_to}|{by}"), by

    def rewrap(self, kek_id: str, wrapped: bytes, *, belongs_to: str) -> tuple[bytes, str]:
        """A wrapped key, wrapped anew under the active KEK, and that KEK's id. :raises ConfigError, Damaged: as `unwrap`."""
        return self.wrap(self.unwrap(kek_id, wrapped, belongs_to=belongs_to), belongs_to=belongs_to)

    def unwrap(self, kek_id: str, wrapped: bytes, *, belongs_to: str) -> bytes:
        """The key.

        :raises ConfigError: the configuration has no such KEK.
        :raises Damaged: not wrapped for this, or not by this KEK.
        """
        self.require([kek_id])
        try:
            return _checked(self._sealers[kek_id].open(wrapped, context=f"{belongs_to}|{kek_id}"))
        except Damaged:
            raise Damaged(
                f"a wrapped key can't be opened: it is damaged, or spool.keys.{kek_id} isn't the key that wrapped it"
            ) from None

    def require(self, kek_ids: Iterable[str]) -> None:
        """:raises ConfigError: one of these KEKs isn't in the configuration; the message names it."""
        for kek_id in sorted(kek_ids):
            if kek_id not in self._sealers:
                raise ConfigError(
                    f"spool.keys.{kek_id} is missing from the configuration: stored uploads or service keys need it"
                )


class FileKey:
    """The key of one file's bytes. What is derived from it is made when it is needed."""

    def __init__(self, key: bytes) -> None:
        self._key = _checked(key)

    @cached_property
    def _extracted(self) -> bytes:
        return _extracted(self._key)

    @property
    def frames(self) -> AESGCM:
        """The cipher of its frames, made anew: it holds 2.4 KiB, and a body that waits for its next bytes needs none."""
        return AESGCM(_expanded(self._extracted, "frames"))

    @cached_property
    def commitment(self) -> bytes:
        """32 bytes for segment headers that only this key gives (AES-GCM alone commits to no key)."""
        return _expanded(self._extracted, "commitment")

    def whole(self) -> Sealer:
        """Seals all bytes of a small file at once, for its row."""
        return Sealer(derive(self._key, "whole"))

    def seal_sources(self, keys: Mapping[str, FileKey], *, context: str) -> bytes:
        """Keys of other files whose entries this one's runs name, by their ids: who can read this one can read those."""
        raw = {source_id: source._key.hex() for source_id, source in keys.items()}  # noqa: SLF001 - of its own kind
        return Sealer(derive(self._key, "sources")).seal_json(raw, context=context)

    def open_sources(self, sealed: bytes, *, context: str) -> dict[str, FileKey]:
        """What `seal_sources` took. :raises Damaged: it isn't this file's."""
        raw: dict[str, str] = Sealer(derive(self._key, "sources")).open_json(sealed, context=context)
        return {source_id: FileKey(bytes.fromhex(key)) for source_id, key in raw.items()}


class UploadKey:
    """The data key (DEK) of one upload. Safe in several threads. What is derived from it is made when it is needed."""

    def __init__(self, key: bytes, upload_id: str) -> None:
        self._key = _checked(key)
        self.upload_id = _id(upload_id)
        self._macs: dict[str, bytes] = {}

    @cached_property
    def meta(self) -> Sealer:
        """For the upload's patient fields."""
        return Sealer(derive(self._key, "meta"))

    @cached_property
    def _wrapper(self) -> Sealer:
        return Sealer(derive(self._key, "files"))

    @classmethod
    def create(cls, ring: KeyRing, upload_id: str, *, kek_id: str | None = None) -> tuple[UploadKey, bytes, str]:
        """A new key, the same wrapped, and the id of the KEK that wrapped it: the active one unless said otherwise."""
        key = os.urandom(KEY_SIZE)
        wrapped, by = ring.wrap(key, belongs_to=upload_of(upload_id), kek_id=kek_id)
        return cls(key, upload_id), wrapped, by

    @classmethod
    def unwrap(cls, ring: KeyRing, upload_id: str, kek_id: str, wrapped: bytes) -> UploadKey:
        """:raises ConfigError, Damaged: see `KeyRing.unwrap`."""
        return cls(ring.unwrap(kek_id, wrapped, belongs_to=upload_of(upload_id)), upload_id)

    def new_file_key(self, file_id: str, fresh: Fresh | None = None) -> tuple[FileKey, bytes]:
        """A new key for a file of this upload, and the same wrapped under this key. :param fresh: of the act."""
        fresh = fresh or Fresh(KEY_SIZE + NONCE_SIZE)
        key = fresh.take(KEY_SIZE)
        return FileKey(key), self._wrapper.seal(key, context=self._file_context(file_id), fresh=fresh)

    def file_key(self, file_id: str, wrapped: bytes) -> FileKey:
        """:raises Damaged: not the wrapped key of this file of this upload."""
        return FileKey(self._wrapper.open(wrapped, context=self._file_context(file_id)))

    def wrap_file_key(self, file_id: str, key: FileKey) -> bytes:
        """The key of a file that joins this upload, wrapped under this key."""
        return self._wrapper.seal(key._key, context=self._file_context(file_id))  # noqa: SLF001 - only here keys are wrapped

    def mac(self, purpose: str, data: bytes) -> bytes:
        """HMAC-SHA256 of `data` under a key for this purpose: look-ups within the upload, digests of its chunks."""
        key = self._macs.get(purpose)
        if key is None:
            key = self._macs[purpose] = derive(self._key, f"mac|{purpose}")
        return hmac.new(key, data, "sha256").digest()

    def _file_context(self, file_id: str) -> str:
        return f"file|{self.upload_id}|{_id(file_id)}"


@dataclass(frozen=True, slots=True)
class ServiceKeys:
    """The gateway's own keys, which outlive every upload."""

    records: Sealer = field(repr=False)  #: receipts, outcomes and accounts
    index_key: bytes = field(repr=False)
    receipt_seed: bytes = field(repr=False)  #: private seed of the Ed25519 key that signs receipts
    audit_mac_key: bytes = field(repr=False)  #: chains the audit trail

    @classmethod
    def from_raw(cls, raw: Mapping[str, bytes]) -> ServiceKeys:
        """:param raw: every name of `SERVICE_KEY_NAMES` -> 32 bytes."""
        records, index, receipt, audit = (_checked(raw[name]) for name in SERVICE_KEY_NAMES)
        return cls(Sealer(derive(records, "records")), derive(index, "index"), receipt, audit)

    def index_mac(self, data: bytes) -> bytes:
        """HMAC-SHA256 for look-ups across uploads."""
        return hmac.new(self.index_key, data, "sha256").digest()


def new_service_key(ring: KeyRing, name: str) -> tuple[bytes, bytes, str]:
    """A new service key: raw, wrapped, and the id of the KEK that wrapped it."""
    raw = os.urandom(KEY_SIZE)
    wrapped, kek_id = ring.wrap(raw, belongs_to=service_of(name))
    return raw, wrapped, kek_id


def unwrap_service_key(ring: KeyRing, name: str, kek_id: str, wrapped: bytes) -> bytes:
    """The raw service key. :raises ConfigError, Damaged: see `KeyRing.unwrap`."""
    return ring.unwrap(kek_id, wrapped, belongs_to=service_of(name))


def derive(key: bytes, purpose: str) -> bytes:
    """32 bytes of HKDF-SHA256 (RFC 5869), no salt, info `relaypacs|1|<purpose>`."""
    return _expanded(_extracted(key), purpose)


def _extracted(key: bytes) -> bytes:
    """RFC 5869, 2.2, without a salt. By the standard library: an object of a library's own costs ten times as much."""
    return hmac.new(_NO_SALT, key, "sha256").digest()


def _expanded(extracted: bytes, purpose: str) -> bytes:
    """RFC 5869, 2.3: the first block, which is all that is wanted."""
    return hmac.new(extracted, f"relaypacs|1|{purpose}\x01".encode(), "sha256").digest()


def upload_of(upload_id: str) -> str:
    """What an upload's wrapped key belongs to."""
    return f"upload|{_id(upload_id)}"


def service_of(name: str) -> str:
    """What a service key's wrapped form belongs to."""
    if name not in SERVICE_KEY_NAMES:
        raise ValueError("no such service key")
    return f"service|{name}"


def _checked(key: bytes) -> bytes:
    if len(key) != KEY_SIZE:
        raise ValueError("a key is 32 bytes")
    return key


def _id(text: str) -> str:
    if _ID.fullmatch(text) is None:
        raise ValueError("an id is 32 hex digits")
    return text
