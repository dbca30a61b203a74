"""`relaypacs receipt`: is this receipt genuine, and what does it say?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.opening import configured
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config import Config


MAX_BYTES = 64 << 20
TIMEOUT_S = 15.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `receipt` to the command's parser."""
    parser = subparsers.add_parser("receipt", help="check a receipt's signature")
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    one = acts.add_parser("verify", help="check its signature, and say what it proves")
    one.add_argument("file", type=Path, metavar="FILE", help="the receipt as the gateway gave it out (compact JWS)")
    keys = one.add_mutually_exclusive_group()
    keys.add_argument("--jwks", type=Path, metavar="FILE", help="the gateway's public keys, in a file")
    keys.add_argument("--gateway", metavar="URL", help="fetch them from this gateway")
    one.add_argument("--json", action="store_true", help="print all that it says")
    one.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check it. :returns: 0: it is genuine."""
    import json
    from collections import Counter

    from gateway.receipts.document import verify

    jws = _read(args.file, "receipt").decode("ascii", "replace").strip()
    payload = verify(jws, _keys(args))
    if args.json:
        print(json.dumps(payload, indent=2))
        return 0
    print("genuine: signed by this gateway")
    for name in ("pacs_receipt_id", "upload_id", "endpoint_id", "created_at", "delivered_at", "verification"):
        print(f"{name:16} {payload.get(name, '')}")
    outcomes = Counter(str(one.get("outcome")) for one in payload.get("instances", ()) if isinstance(one, dict))
    for outcome, count in sorted(outcomes.items()):
        print(f"{outcome:16} {count}")
    return 0


def _keys(args: argparse.Namespace) -> dict[str, Any]:
    import asyncio

    if args.jwks is not None:
        return _jwks(_read(args.jwks, "key set"))
    if args.gateway is not None:
        return _jwks(_fetch(f"{args.gateway.rstrip('/')}/.well-known/jwks.json"))
    return asyncio.run(_own(configured(args)))


async def _own(config: Config) -> dict[str, Any]:
    from gateway.assembly.base import open_base
    from gateway.clock import SystemClock
    from gateway.receipts.document import Signer
    from gateway.receipts.keys import jwks

    async with open_base(config, SystemClock()) as base:
        return await jwks(base.ledger, Signer(base.keys.receipt_seed))


def _jwks(raw: bytes) -> dict[str, Any]:
    import json

    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
        raise ConfigError("this is no JWK set: it is what GET /.well-known/jwks.json answers")
    return found


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise ConfigError(f"the {what} {path} can't be read: {error.strerror}") from None


def _fetch(url: str) -> bytes:
    import ssl
    import urllib.request

    if not url.startswith(("https://", "http://")):
        raise ConfigError("--gateway takes an address that begins with https://")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 # the scheme is looked at above
            raw: bytes = answer.read(1 << 20)
            return raw
    except urllib.error.HTTPError as error:
        raise ConfigError(f"the gateway answered {error.code}: is its address right?") from None
    except (OSError, ssl.SSLError, ValueError):
        raise ConfigError("the gateway can't be reached: give its address, or its keys with --jwks") from None
