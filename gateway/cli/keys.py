"""`relaypacs keys`: master keys of the spool."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gateway.cli.opening import ACTOR, configured

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.keys.rotation import Rotation


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `keys` to the command's parser."""
    parser = subparsers.add_parser("keys", help="make a key for the spool, or bring everything under another one")
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    acts.add_parser("new", help="print 32 random bytes in base64").set_defaults(run=_new)
    turning = acts.add_parser(
        "rotate", help="make spool.keys.active the wrapping key of everything, while gateways run"
    )
    turning.add_argument(
        "--receipts", action="store_true", help="make another key that signs receipts instead; former ones stay known"
    )
    turning.set_defaults(run=_rotate)


def _new(_args: argparse.Namespace) -> int:
    import base64
    import secrets

    print(base64.b64encode(secrets.token_bytes(32)).decode())
    return 0


def _rotate(args: argparse.Namespace) -> int:
    import asyncio

    config = configured(args)
    if args.receipts:
        print(f"{asyncio.run(_rotate_receipts(config))} signs receipts from the next start of `serve` on")
        return 0
    done = asyncio.run(_run(config))
    active = config.spool.keys.active
    print(
        f"{active} wraps everything now: {done.uploads} uploads and {done.service_keys} service keys were wrapped anew"
    )
    for kek_id in done.unused:
        print(f"{kek_id} is unused: take it out of the configuration; destroy it, and old backups can't be read")
    for kek_id in done.needed:
        print(f"{kek_id} is still needed: run this again")
    return 1 if done.needed else 0


async def _rotate_receipts(config: Config) -> str:
    from gateway.assembly.base import open_base
    from gateway.clock import SystemClock
    from gateway.receipts import keys
    from gateway.receipts.document import Signer

    async with open_base(config, SystemClock()) as base:
        await keys.note_key(base.ledger, Signer(base.keys.receipt_seed))
        return await keys.rotate(base.ledger, base.ring, base.clock, ACTOR)


async def _run(config: Config) -> Rotation:
    from gateway.assembly.base import open_base
    from gateway.assembly.gateway import is_served
    from gateway.clock import SystemClock
    from gateway.keys.rotation import rotate

    async with open_base(config, SystemClock()) as base:
        return await rotate(base.ledger, base.ring, base.clock, ACTOR, served=is_served(config.database.path))
