"""`relaypacs audit`: the trail checked, and exported. Works beside a running `serve`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.opening import ACTOR, configured
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.audit.check import TrailReport
    from gateway.config import Config
    from gateway.ledger.base import Ledger
    from gateway.ledger.rows import AuditRow


PAGE = 500


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `audit` to the command's parser."""
    parser = subparsers.add_parser("audit", help="check the audit trail, or export it")
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    verify = acts.add_parser("verify", help="check the ledger's chain, and the exported files against it")
    verify.add_argument(
        "--file", action="append", type=Path, metavar="FILE", help="an exported file that was moved away; repeatable"
    )
    verify.set_defaults(run=_verify)
    export = acts.add_parser("export", help="write events as JSON lines or as DICOM audit messages")
    export.add_argument("--format", choices=("json", "dicom"), default="json", help="default: json")
    export.add_argument("--to", type=Path, metavar="PATH", help="a file (json; default stdout) or a folder (dicom)")
    export.add_argument("--after", type=int, default=0, metavar="N", help="only events behind this number")
    export.set_defaults(run=_export)


def _verify(args: argparse.Namespace) -> int:
    import asyncio

    report = asyncio.run(_check(configured(args), args.file or []))
    files = f"{report.file_events} events in {report.files} files"
    print(f"ledger: events {report.first} to {report.last}; {files}")
    for note in report.notes:
        print(f"note: {note}")
    for fault in report.faults:
        print(f"relaypacs: {fault}", file=sys.stderr)
    print("the trail is NOT whole" if report.faults else "the trail is whole")
    return 1 if report.faults else 0


async def _check(config: Config, more: list[Path]) -> TrailReport:
    from gateway.assembly.base import open_base
    from gateway.audit.check import check_trail
    from gateway.audit.files import former_files
    from gateway.clock import SystemClock

    path = config.audit.file
    for one in more:
        if not one.is_file():
            raise ConfigError(f"{one} isn't there: name an exported file")
    async with open_base(config, SystemClock()) as base:
        listed = former_files(path) if path is not None else []
        files = None if path is None and not more else [*more, *listed, *([path] if path is not None else [])]
        try:
            report = await check_trail(base.ledger, base.keys.audit_mac_key, files)
            if report.faults and path is not None and former_files(path) != listed:
                # A month began meanwhile, and the gateway moved its file: look again.
                files = [*more, *former_files(path), path]
                report = await check_trail(base.ledger, base.keys.audit_mac_key, files)
        except OSError as error:
            raise ConfigError(f"an audit file can't be read ({error.strerror}): run this as its owner") from None
        now, detail = base.clock.now(), {"up_to": report.last, "faults": len(report.faults)}
        await base.ledger.write(lambda tx: tx.audit.append("audit.verified", at=now, actor=ACTOR, detail=detail))
    return report


def _export(args: argparse.Namespace) -> int:
    import asyncio

    if args.format == "dicom" and args.to is None:
        raise ConfigError("--format dicom writes a file for each event: name a folder with --to")
    try:
        if args.format == "dicom":
            args.to.mkdir(mode=0o700, parents=True, exist_ok=True)
        return asyncio.run(_write(configured(args), args))
    except OSError as error:
        raise ConfigError(f"the export can't be written ({error.strerror}): name another place") from None


async def _write(config: Config, args: argparse.Namespace) -> int:
    from gateway.assembly.base import open_base
    from gateway.clock import SystemClock
    from gateway.ledger.chain import to_line

    async with open_base(config, SystemClock()) as base:
        now, detail = base.clock.now(), {"after": args.after, "format": args.format}
        await base.ledger.write(lambda tx: tx.audit.append("audit.exported", at=now, actor=ACTOR, detail=detail))
        rows = _rows(base.ledger, args.after)
        if args.format == "dicom":
            count = await _write_messages(rows, args.to, config.server.public_url_for(config.server.port))
            print(f"{count} messages in {args.to}")
        elif args.to is not None:
            with os.fdopen(os.open(args.to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                async for row in rows:
                    file.write(to_line(row))
        else:
            await _print(rows)
    return 0


async def _print(rows: AsyncIterator[AuditRow]) -> None:
    """To stdout, until whoever reads it has enough."""
    from gateway.ledger.chain import to_line

    try:
        async for row in rows:
            sys.stdout.buffer.write(to_line(row))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Python would complain once more when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())


async def _write_messages(rows: AsyncIterator[AuditRow], folder: Path, source_id: str) -> int:
    """One file each, named by number: what is there already is written over with the same."""
    from gateway.audit.dicom import to_xml

    count = 0
    async for row in rows:
        (folder / f"{row.number:012}.xml").write_bytes(to_xml(row, source_id=source_id))
        count += 1
    return count


async def _rows(ledger: Ledger, after: int) -> AsyncIterator[AuditRow]:
    """The events from `after` on that are there now."""
    last = (await ledger.read(lambda tx: tx.audit.head()))[0]
    while after < last:
        page = [row for row in await _page(ledger, after) if row.number <= last]
        if not page:
            return
        for row in page:
            yield row
        after = page[-1].number


async def _page(ledger: Ledger, after: int) -> list[AuditRow]:
    return await ledger.read(lambda tx: tx.audit.after(after, PAGE))
