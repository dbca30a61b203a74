"""Refused logins: a name that there is against names that there aren't. Both should take the same time."""

from __future__ import annotations

import contextlib
import time

from bench.client import Refused
from bench.loads import Figures
from bench.servers import ACCOUNT, Gateway

#: Of one name in five minutes; one more would be 429 (gateway/identity/throttle.py).
TRIES = 9


def refused(gateway: Gateway, name: str) -> Figures:
    """One refused login; milliseconds."""
    began = time.perf_counter()
    with contextlib.suppress(Refused):
        gateway.call("POST", "/auth/login", None, {"username": name, "password": "not the password"})
    return {"refused_ms": (time.perf_counter() - began) * 1000}


def both(gateway: Gateway) -> list[tuple[str, Figures]]:
    """Known and unknown names in turn; one of each first that isn't counted."""
    refused(gateway, "nobody at all")
    runs: list[tuple[str, Figures]] = []
    for number in range(TRIES):
        runs.append(("known name", refused(gateway, ACCOUNT)))
        runs.append(("unknown name", refused(gateway, f"nobody {number}")))
    return runs
