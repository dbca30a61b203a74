"""Passwords: hashed with Argon2id (RFC 9106), in threads of their own, a few at a time.

Promises: the same work for a known and an unknown name; bounded queues and fair turns, so that logins take neither the
machine nor each other's place; the event loop never waits for a hash. Knows nothing of accounts.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeVar

import argon2

from gateway.errors import Unprocessable
from gateway.fair import FairTurns
from gateway.identity.bad_passwords import is_bad
from gateway.identity.unicode import composed

T = TypeVar("T")

MIN_CHARS = 8
MAX_CHARS = 1024


@dataclass(frozen=True, slots=True)
class Hashing:
    """What a hash costs: by default about 50 ms of one core and 19 MiB."""

    time_cost: int = 3
    memory_kib: int = 19 * 1024
    parallelism: int = 1
    concurrent: int = 2  #: hashes at the same time
    waiting: int = 16  #: logins under one name that may wait for a turn; more are refused


class Passwords:
    """Makes and checks password hashes (PHC strings)."""

    def __init__(self, hashing: Hashing) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=hashing.time_cost, memory_cost=hashing.memory_kib, parallelism=hashing.parallelism
        )
        self._turns = FairTurns(hashing.concurrent, waiting=hashing.waiting)
        self._threads = ThreadPoolExecutor(hashing.concurrent, thread_name_prefix="password")
        # Nobody knows what it is the hash of: it is checked where there is no account.
        self._nobody = self._hasher.hash(secrets.token_bytes(32))

    def turn(self, address: str, name: bytes) -> AbstractAsyncContextManager[None]:
        """Wait for one's turn to hash: addresses take turns, and names of one address do.

        :param name: of the account, as its digest.
        :raises TooMany: too many of these are waiting already; `retry_after_s` says when to come again.
        """
        return self._turns.turn(address, name)

    async def hash(self, password: str) -> str:
        """A fresh hash; outside a `turn`, for those who may already."""
        return await self._in_thread(self._hasher.hash, _as_bytes(password))

    async def fits(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the password of that hash; None: the same work for nobody, never true."""
        usable = len(password) <= MAX_CHARS
        against = password_hash if password_hash is not None and usable else self._nobody
        fitting = await self._in_thread(self._verify, against, _as_bytes(password if usable else ""))
        return fitting and against is not self._nobody

    def _in_thread(self, act: Callable[..., T], *args: object) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, act, *args)

    def is_current(self, password_hash: str) -> bool:
        """Whether it was made at today's cost."""
        return not self._hasher.check_needs_rehash(password_hash)

    def _verify(self, password_hash: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except argon2.exceptions.VerificationError:
            return False


def acceptable(password: str, name: str = "", *, field: str = "password") -> str:
    """The password, if it can be one of the account of that name.

    :raises Unprocessable: `invalid_field`: too short, too long, or one that is guessed first.
    """
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise Unprocessable(f"a password has {MIN_CHARS} to {MAX_CHARS} characters", code="invalid_field", field=field)
    if is_bad(password, name):
        raise Unprocessable(
            "this password is one of those that are guessed first: take another", code="invalid_field", field=field
        )
    return password


def _as_bytes(password: str) -> bytes:
    # Keyboards differ in how they compose a letter. A lone surrogate is no text, but no reason to crash either.
    return composed(password).encode("utf-8", "surrogatepass")
