"""Opens the gateway's own keys at the start, and makes those that are missing.

Promises: keys are made once, also when two processes start at the same moment; nothing is written while a wrapping
key that some row needs is absent; the audit trail's first event is the making of the keys.
"""

from __future__ import annotations

from gateway.clock import Clock
from gateway.errors import Damaged
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import ServiceKeyRow
from gateway.spool.keys import SERVICE_KEY_NAMES, KeyRing, ServiceKeys, new_service_key, unwrap_service_key

#: Who acts when nobody asked.
ACTOR = "gateway"


async def open_service_keys(ledger: Ledger, ring: KeyRing, clock: Clock) -> ServiceKeys:
    """The service keys, unwrapped; from here on the ledger can write audit events.

    :raises ConfigError: some row needs a KEK that the configuration lacks; it is named and nothing has changed.
    :raises Damaged: a key can't be unwrapped.
    """
    wrapped, noted = await ledger.read(lambda tx: (_present(tx, ring), _is_noted(tx)))
    if missing := [name for name in SERVICE_KEY_NAMES if name not in wrapped]:
        now = clock.now()
        wrapped = await ledger.write(lambda tx: _completed(tx, ring, missing, now))
    keys = {name: unwrap_service_key(ring, name, kek_id, blob) for name, (kek_id, blob) in wrapped.items()}
    opened = ServiceKeys.from_raw(keys)
    ledger.use_audit_key(opened.audit_mac_key)
    if not noted:
        # The trail could not be written before its key was there, hence a transaction of its own; a process that
        # dies in between leaves it to the next one.
        await ledger.write(lambda tx: _note(tx, clock.now(), ring.active))
    return opened


def _present(tx: Transaction, ring: KeyRing) -> dict[str, tuple[str, bytes]]:
    """Name -> KEK and wrapped key, of those that are there."""
    ring.require(tx.keys.kek_ids())
    present = {}
    for row in tx.keys.service():
        wrapped = tx.keys.get(row.key_id)
        if wrapped is None:
            raise Damaged(f"the service key {row.name} is gone from the database: restore it from a backup")
        if row.name in SERVICE_KEY_NAMES:
            present[row.name] = row.kek_id, wrapped
    return present


def _completed(tx: Transaction, ring: KeyRing, missing: list[str], now: float) -> dict[str, tuple[str, bytes]]:
    present = _present(tx, ring)  # another process may have been quicker
    for name in missing:
        if name not in present:
            _, wrapped, kek_id = new_service_key(ring, name)
            tx.keys.insert_service(ServiceKeyRow(name, kek_id, tx.keys.insert(wrapped), now))
            present[name] = kek_id, wrapped
    return present


def _is_noted(tx: Transaction) -> bool:
    return tx.audit.head()[0] > 0


def _note(tx: Transaction, now: float, kek_id: str) -> None:
    if not _is_noted(tx):
        tx.audit.append("keys.created", at=now, actor=ACTOR, detail={"kek_id": kek_id})
