"""`relaypacs check`: reads the config, tries every part, prints a table."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gateway.cli.opening import configured
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.config import Config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `check` to the command's parser."""
    parser = subparsers.add_parser("check", help="try the config, the database, the spool, the keys, each endpoint")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Try everything. :returns: 1 on any fault."""
    import asyncio

    config = configured(args)
    rows = [("config", "ok", "read and consistent"), *asyncio.run(_base(config)), *_endpoints(config)]
    width = max(len(name) for name, _, _ in rows)
    for name, state, told in rows:
        print(f"{name:<{width}}  {state:<5}  {told}")
    return 0 if all(state == "ok" for _, state, _ in rows) else 1


async def _base(config: Config) -> list[tuple[str, str, str]]:
    from gateway.assembly.base import open_base
    from gateway.clock import SystemClock

    try:
        async with open_base(config, SystemClock()) as base:
            needed = await base.ledger.read(lambda tx: tx.keys.kek_ids())
            base.ring.require(needed)
            active = config.spool.keys.active
            rows = [("database", "ok", "opened, at the present schema"), ("keys", "ok", f"active: {active}")]
    except GatewayError as error:
        return [("database, keys", "FAULT", error.detail)]
    return [*rows, _spool(config)]


def _spool(config: Config) -> tuple[str, str, str]:
    """Write, sync and delete a blob of random bytes."""
    import secrets

    from gateway.blobs.local import LocalBlobs

    try:
        blobs, name = LocalBlobs(config.spool.path), secrets.token_hex(16)
        writer = blobs.create(name)
        try:
            writer.append([secrets.token_bytes(4096)])
            writer.sync()
        finally:
            writer.close()
            blobs.delete([name])
        free_bytes = blobs.free_bytes()
    except OSError as error:
        return ("spool", "FAULT", f"can't be written ({error.strerror}): check spool.url and its permissions")
    return ("spool", "ok", f"written and synced, {free_bytes >> 20} MiB free")


def _endpoints(config: Config) -> list[tuple[str, str, str]]:
    from gateway.assembly.targets import make_target
    from hooks.contract import TargetError

    rows: list[tuple[str, str, str]] = []
    for name, endpoint in config.endpoints.items():
        target = make_target(endpoint, 1)
        try:
            rows.append((f"endpoint {name}", "ok", target.probe()))
        except TargetError as error:
            rows.append((f"endpoint {name}", "FAULT", f"{error.code}: check its url, auth and ca_bundle"))
        finally:
            target.close()
    return rows
