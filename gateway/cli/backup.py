"""`relaypacs backup` and `relaypacs restore`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.opening import ACTOR, configured

if TYPE_CHECKING:
    from gateway.assembly.backup.folder import Manifest
    from gateway.config import Config

_REVIVED = """\
note: it is as it was at {made_at}: QR codes spent and sessions ended since then are good again, accounts changed since
note: then are as they were, and uploads erased since then can be read again until the purge erases them anew"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `backup` and `restore` to the command's parser."""
    backup = subparsers.add_parser("backup", help="copy ledger and spool, beside a running gateway")
    backup.add_argument("folder", type=Path, metavar="DIR", help="a new folder, or an empty one")
    backup.set_defaults(run=_backup)
    restore = subparsers.add_parser("restore", help="put a backup into an empty database and spool")
    restore.add_argument("folder", type=Path, metavar="DIR", help="what `relaypacs backup` made")
    restore.set_defaults(run=_restore)


def _backup(args: argparse.Namespace) -> int:
    import asyncio

    made = asyncio.run(_make(configured(args), args.folder))
    print(
        f"{args.folder}: {made.uploads} uploads, {made.blobs} blobs, {made.size_bytes} sealed bytes, as of {made.made_at}"
    )
    print(f"needs the master keys {', '.join(made.keys)}, which are not in it")
    return 0


async def _make(config: Config, folder: Path) -> Manifest:
    from gateway import __version__
    from gateway.assembly.backup.make import make
    from gateway.assembly.base import open_base
    from gateway.clock import SystemClock

    async with open_base(config, SystemClock()) as base:
        return await make(
            base.ledger,
            base.clock,
            folder,
            database=config.database.path,
            spool=config.spool.path,
            audit_file=config.audit.file,
            version=__version__,
            actor=ACTOR,
        )


def _restore(args: argparse.Namespace) -> int:
    import asyncio

    from gateway.assembly.backup.restore import restore
    from gateway.assembly.base import make_folder
    from gateway.assembly.gateway import alone
    from gateway.spool import KeyRing

    config = configured(args)
    keys = config.spool.keys
    ring = KeyRing({name: secret.reveal() for name, secret in keys.by_name.items()}, keys.active)
    make_folder(config.spool.path)
    database, spool, audit_file = config.database.path, config.spool.path, config.audit.file
    with alone(database):
        made, with_files = restore(args.folder, ring, database=database, spool=spool, audit_file=audit_file)
        asyncio.run(_note(config, made))
    print(f"{made.uploads} uploads and {made.blobs} blobs of {made.made_at} are back")
    print(_REVIVED.format(made_at=made.made_at))
    if not with_files:
        print(
            f"relaypacs: {audit_file} was left as it is: it may tell what happened after the backup; move it away, and"
            f" copy {args.folder}/audit to its place",
            file=sys.stderr,
        )
    return 0


async def _note(config: Config, made: Manifest) -> None:
    """Into the trail of the restored ledger, if this release can write it before it is migrated."""
    from contextlib import closing

    from gateway.assembly.base import open_base
    from gateway.clock import SystemClock
    from gateway.ledger.sqlite.connection import is_present, open_unchanged

    with closing(open_unchanged(config.database.path)) as db:
        if not is_present(db):
            return
    async with open_base(config, SystemClock()) as base:
        detail = {"made_at": made.made_at, "head": made.audit_head}
        now = base.clock.now()
        await base.ledger.write(lambda tx: tx.audit.append("backup.restored", at=now, actor=ACTOR, detail=detail))
