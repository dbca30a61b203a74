"""Declared digests of a body, computed while it is stored."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from gateway.errors import ChecksumMismatch
from gateway.spool import RunningDigest


class BodyDigests:
    """Several hash objects as one.

    :param declared: hashlib name -> raw digest.
    :param others: names of hashes that are wanted besides.
    """

    def __init__(self, declared: Mapping[str, bytes], *others: str) -> None:
        self._declared = declared
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in {*declared, *others}}

    def update(self, data: Any) -> None:
        """More bytes of the body."""
        for one in self._hashes.values():
            one.update(data)

    def digest(self, name: str) -> bytes:
        """What came up to now has this digest."""
        return self._hashes[name].digest()

    def running(self, size_bytes: int) -> RunningDigest:
        """The state of SHA-256, which must be among `others`, after the first `size_bytes` of a file."""
        return RunningDigest(self._hashes["sha256"].copy(), size_bytes)

    def check(self) -> None:
        """:raises ChecksumMismatch: what came has another digest than was declared."""
        for name, declared in self._declared.items():
            if not hmac.compare_digest(self.digest(name), declared):
                raise ChecksumMismatch("the bytes don't have the declared digest")
