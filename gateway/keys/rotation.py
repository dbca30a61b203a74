"""Which KEK wraps, and how everything comes under it while gateways run.

The ledger names the active KEK; whoever wraps an upload's key asks it in the same transaction (`uploads/admission.py`). So a
gateway that was started with another active key follows at once, or refuses if its configuration lacks the new one;
"unused" is true from the moment it is said.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace

from gateway.clock import Clock
from gateway.errors import ConfigError, Damaged, Unavailable
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.settings import Setting
from gateway.spool import KeyRing, service_of, upload_of

log = logging.getLogger("relaypacs.keys")

#: Uploads re-wrapped in one transaction: the ledger's writer is never held for long.
PAGE = 200


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did.

    :param unused: KEKs of the configuration that no row needs any more.
    :param needed: those that some row still needs, but for the active one.
    """

    uploads: int
    service_keys: int
    unused: list[str]
    needed: list[str]


def active_kek(tx: Transaction, ring: KeyRing) -> str:
    """The KEK that wraps new uploads. :raises Unavailable: this process doesn't have it: restart it."""
    kek_id = tx.settings.get(Setting.ACTIVE_KEK) or ring.active
    if not ring.has(kek_id):
        log.error("a key is missing: add spool.keys.%s, which became the active one, and restart", kek_id)
        raise Unavailable("the gateway takes no new uploads just now: try again later, or tell those who run it")
    return kek_id


async def serve(ledger: Ledger, ring: KeyRing, clock: Clock, actor: str) -> None:
    """Write down which KEKs the starting gateway has, and make its active one the one that wraps."""
    held = json.dumps(sorted([ring.active, *ring.others()]))
    await ledger.write(lambda tx: tx.settings.put(Setting.SERVING_KEYS, held))
    await adopt(ledger, ring, clock, actor)


async def adopt(ledger: Ledger, ring: KeyRing, clock: Clock, actor: str) -> None:
    """Make the configuration's active KEK the one that wraps."""

    def act(tx: Transaction) -> None:
        if tx.settings.get(Setting.ACTIVE_KEK) != ring.active:
            tx.settings.put(Setting.ACTIVE_KEK, ring.active)
            tx.audit.append("keys.activated", at=clock.now(), actor=actor, detail={"kek_id": ring.active})

    await ledger.write(act)


async def rotate(ledger: Ledger, ring: KeyRing, clock: Clock, actor: str, *, served: bool = False) -> Rotation:
    """Wrap every upload's key and every service key under the active KEK. May be stopped and begun again.

    :param served: a gateway runs on this ledger just now.
    :raises ConfigError: some row needs a KEK that the configuration lacks, or the running gateway lacks the active one;
        it is named, and nothing has changed.
    :raises Damaged: a wrapped key can't be opened.
    """
    ring.require(await ledger.read(lambda tx: tx.keys.kek_ids()))
    if served:
        held = await ledger.read(lambda tx: tx.settings.get(Setting.SERVING_KEYS))
        if held is not None and ring.active not in json.loads(held):
            raise ConfigError(
                f"the running gateway doesn't have spool.keys.{ring.active} and would refuse every upload: add it to its "
                "configuration and restart it, then run this again"
            )
    await adopt(ledger, ring, clock, actor)
    service_keys = await ledger.write(lambda tx: _service_keys(tx, ring))
    uploads = 0
    while done := await ledger.write(lambda tx: _uploads(tx, ring)):
        uploads += done
    needed = await ledger.write(lambda tx: _noted(tx, ring, clock.now(), actor, uploads))
    await ledger.scrub()
    return Rotation(
        uploads, service_keys, [kek for kek in ring.others() if kek not in needed], sorted(needed - {ring.active})
    )


def _uploads(tx: Transaction, ring: KeyRing) -> int:
    rows = tx.uploads.wrapped_otherwise(ring.active, PAGE)
    for row in rows:
        wrapped = tx.keys.get(row.key_id) if row.key_id is not None else None
        if row.key_id is None or wrapped is None:
            raise Damaged("the wrapped key of an upload is gone from the database: restore it from a backup")
        anew, kek_id = ring.rewrap(row.kek_id, wrapped, belongs_to=upload_of(row.upload_id))
        tx.keys.replace(row.key_id, anew)
        tx.uploads.save(replace(row, kek_id=kek_id))
    return len(rows)


def _service_keys(tx: Transaction, ring: KeyRing) -> int:
    rows = [row for row in tx.keys.service() if row.kek_id != ring.active]
    for row in rows:
        wrapped = tx.keys.get(row.key_id)
        if wrapped is None:
            raise Damaged(f"the service key {row.name} is gone from the database: restore it from a backup")
        anew, kek_id = ring.rewrap(row.kek_id, wrapped, belongs_to=service_of(row.name))
        tx.keys.replace(row.key_id, anew)
        tx.keys.insert_service(replace(row, kek_id=kek_id))
    return len(rows)


def _noted(tx: Transaction, ring: KeyRing, now: float, actor: str, uploads: int) -> set[str]:
    tx.audit.append("keys.rotated", at=now, actor=actor, detail={"kek_id": ring.active, "uploads": uploads})
    return tx.keys.kek_ids()
