"""The command line: one module per command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from gateway import __version__
from gateway.cli import audit, check, demo, jobs, keys, privacy, purge, qr, receipt, send, serve, user
from gateway.errors import GatewayError


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, and takes `-c/--config` before, between and behind its commands."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # argparse hands on what it was given itself
        self.add_argument(
            "-c",
            "--config",
            metavar="FILE",
            default=argparse.SUPPRESS,  # what was said further in front isn't forgotten
            help="default: $RELAYPACS_CONFIG, then ./config/relaypacs.toml",
        )

    def error(self, message: str) -> NoReturn:
        """Wrong use: exit status 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = Parser(prog="relaypacs", description="The front door of a PACS.")
    top.set_defaults(config=None)
    top.add_argument("--version", action="version", version=f"relaypacs {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for one in (serve, demo, send, user, keys, qr, jobs, receipt, audit, privacy, purge, check):
        one.add_parser(commands)
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
