"""The keys that receipts are signed with, over time: one signs, all that ever did stay known.

Promises: a receipt can be checked for as long as anybody has it: a public key is never forgotten, and a new key is
known before it signs; a former private key is destroyed when it is replaced. A gateway that runs signs with the key
that it was started with until it is started again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from gateway.clock import Clock
from gateway.errors import Damaged
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.settings import Setting
from gateway.receipts.document import Signer
from gateway.spool import KeyRing, new_service_key

NAME = "receipt"


async def note_key(ledger: Ledger, signer: Signer) -> None:
    """Make the signing key known; for whoever is going to sign."""
    if signer.kid not in {key["kid"] for key in await ledger.read(_known)}:
        await ledger.write(lambda tx: _add(tx, signer))


async def jwks(ledger: Ledger, signer: Signer) -> dict[str, Any]:
    """All keys as a JWK Set (RFC 7517 5), the newest first."""
    known = await ledger.read(_known)
    return {"keys": [*(key for key in signer.jwks()["keys"] if key not in known), *reversed(known)]}


async def rotate(ledger: Ledger, ring: KeyRing, clock: Clock, actor: str) -> str:
    """Make another key sign from the next start on. Returns its `kid`.

    :raises Damaged: the present key is gone.
    """
    now = clock.now()
    raw, wrapped, kek_id = new_service_key(ring, NAME)
    signer = Signer(raw)

    def act(tx: Transaction) -> None:
        row = next((row for row in tx.keys.service() if row.name == NAME), None)
        if row is None:
            raise Damaged("the key that signs receipts is gone from the database: restore it from a backup")
        tx.keys.replace(row.key_id, wrapped)
        tx.keys.insert_service(replace(row, kek_id=kek_id, created_at=now))
        _add(tx, signer)
        tx.audit.append("receipt_key.rotated", at=now, actor=actor, detail={"kid": signer.kid})

    await ledger.write(act)
    await ledger.scrub()
    return signer.kid


def _known(tx: Transaction) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(tx.settings.get(Setting.RECEIPT_JWKS) or "[]")
    return found


def _add(tx: Transaction, signer: Signer) -> None:
    known = _known(tx)
    if signer.kid not in {key["kid"] for key in known}:
        tx.settings.put(Setting.RECEIPT_JWKS, json.dumps([*known, *signer.jwks()["keys"]]))
