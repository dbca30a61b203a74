"""The parts that a gateway is put together from. `serve` takes them as they are; a test puts its own in their place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.assembly.targets import make_target
from gateway.blobs.base import BlobStore
from gateway.blobs.local import LocalBlobs
from gateway.config import endpoints, model
from gateway.identity.passwords import Hashing
from gateway.identity.throttle import LoginLimits
from gateway.ledger.base import Ledger
from gateway.ledger.sqlite.connection import migrate
from gateway.ledger.sqlite.ledger import SqliteLedger
from hooks.checks.validate import ChildCheck
from hooks.contract import Check, Target


def scanner(validation: model.ValidationSection) -> Check:
    """What judges instances, in child processes."""
    return ChildCheck(
        workers=validation.workers,
        memory_limit_bytes=validation.memory_bytes,
        timeout_s=validation.timeout_s,
        level=validation.level,
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """How each part is made.

    :param migrate_ledger: brings an older schema to the present one; returns both.
    :param make_target: of an endpoint, and how many connections it may hold.
    :param acts_alone: what is due is done by itself: deliveries, purge, export. Else whoever opened the gateway does it.
    """

    open_ledger: Callable[[Path], Awaitable[Ledger]] = SqliteLedger.open
    migrate_ledger: Callable[[Path], tuple[int, int]] = migrate
    open_blobs: Callable[[Path], BlobStore] = LocalBlobs
    make_target: Callable[[endpoints.EndpointSection, int], Target] = make_target
    make_check: Callable[[model.ValidationSection], Check] = scanner
    hashing: Hashing = field(default_factory=Hashing)
    login_limits: LoginLimits | None = None  #: None: those of the configuration
    acts_alone: bool = True


#: What `serve` and the commands run with.
PARTS = Parts()
