"""Passwords: hashed with Argon2id (RFC 9106), in threads, a few at a time.

Promises: the same work for a known and an unknown name; a bounded queue, so that logins never take the machine; the
event loop never waits for a hash. Knows nothing of accounts.
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import argon2

from gateway.errors import TooMany, Unprocessable

MIN_CHARS = 8
MAX_CHARS = 1024


@dataclass(frozen=True, slots=True)
class Hashing:
    """What a hash costs: by default about 50 ms of one core and 19 MiB."""

    time_cost: int = 3
    memory_kib: int = 19 * 1024
    parallelism: int = 1
    concurrent: int = 2  #: hashes at the same time
    waiting: int = 16  #: who may wait for a turn; more are refused


class Passwords:
    """Makes and checks password hashes (PHC strings)."""

    def __init__(self, hashing: Hashing) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=hashing.time_cost, memory_cost=hashing.memory_kib, parallelism=hashing.parallelism
        )
        self._turns = asyncio.Semaphore(hashing.concurrent)
        self._room = hashing.concurrent + hashing.waiting
        self._present = 0
        # Nobody knows what it is the hash of: it is checked where there is no account.
        self._nobody = self._hasher.hash(secrets.token_bytes(32))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn to hash.

        :raises TooMany: too many are waiting already; `retry_after_s` says when to come again.
        """
        if self._present >= self._room:
            raise TooMany("too many logins at once: try again in a moment", retry_after_s=1)
        self._present += 1
        try:
            async with self._turns:
                yield
        finally:
            self._present -= 1

    async def hash(self, password: str) -> str:
        """A fresh hash; outside a `turn`, for those who may already."""
        return await asyncio.to_thread(self._hasher.hash, _as_bytes(password))

    async def fits(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the password of that hash; None: the same work for nobody, never true."""
        usable = len(password) <= MAX_CHARS
        against = password_hash if password_hash is not None and usable else self._nobody
        fitting = await asyncio.to_thread(self._verify, against, _as_bytes(password if usable else ""))
        return fitting and against is not self._nobody

    def is_current(self, password_hash: str) -> bool:
        """Whether it was made at today's cost."""
        return not self._hasher.check_needs_rehash(password_hash)

    def _verify(self, password_hash: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except argon2.exceptions.VerificationError:
            return False


def acceptable(password: str) -> str:
    """The password, if it can be one.

    :raises Unprocessable: `invalid_field`: too short or too long.
    """
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise Unprocessable(
            f"a password has {MIN_CHARS} to {MAX_CHARS} characters", code="invalid_field", field="password"
        )
    return password


def _as_bytes(password: str) -> bytes:
    # Keyboards differ in how they compose a letter. A lone surrogate is no text, but no reason to crash either.
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
