"""`relaypacs purge`: the retention timer's work once, now. Works beside a running `serve` (see gateway/purge/retention.py)."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from gateway.cli.opening import configured

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.purge.report import PurgeReport


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `purge` to the command's parser."""
    parser = subparsers.add_parser("purge", help="erase what is due, now")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Purge. :returns: 1 if something that is due could not be erased."""
    import asyncio

    report = asyncio.run(_purge(configured(args)))
    print(
        f"{report.expired} uploads expired; bytes of {report.uploads} uploads erased"
        f" ({report.files} files, {report.size_bytes} bytes); {report.records} records deleted;"
        f" {report.orphans} stray blobs removed"
    )
    if report.faults:
        print(
            f"relaypacs: some of it could not be done ({', '.join(sorted(set(report.faults)))}): run it again",
            file=sys.stderr,
        )
    if not report.scrubbed:
        print("relaypacs: the database was being read: run it again to scrub deleted keys from it", file=sys.stderr)
    return 1 if report.faults else 0


async def _purge(config: Config) -> PurgeReport:
    from gateway.assembly.base import open_base
    from gateway.assembly.upkeep import open_audit_retention, open_retention
    from gateway.clock import SystemClock

    async with open_base(config, SystemClock()) as base:
        report = await open_retention(base).run_once()
        await open_audit_retention(base).run_once()
        return report
