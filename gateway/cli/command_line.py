"""The command line: one module per command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gateway import __version__
from gateway.cli import audit, check, demo, jobs, keys, privacy, purge, qr, receipt, send, serve, user
from gateway.errors import GatewayError

#: Named in the contract, not built yet.
NOT_BUILT: tuple[str, ...] = ()


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="relaypacs", description="The front door of a PACS.")
    top.add_argument("--version", action="version", version=f"relaypacs {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for one in (serve, demo, send, user, keys, qr, jobs, receipt, audit, privacy, purge, check):
        one.add_parser(commands)
    for name in NOT_BUILT:
        later = commands.add_parser(name, help="not built yet")
        later.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
        later.set_defaults(run=_refuse)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. :returns: its exit status; an error is one line on stderr that says what to do."""
    args = parser().parse_args(argv)
    try:
        status: int = args.run(args)
    except GatewayError as error:
        print(f"relaypacs: {error.detail}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _refuse(args: argparse.Namespace) -> int:
    print(f"relaypacs: {args.command} isn't built yet", file=sys.stderr)
    return 1
