"""The command line: one module per command."""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from gateway import __version__
from gateway.errors import GatewayError

#: Every command, in the order in which `--help` shows them. Its module (of its name) is imported when it is called.
COMMANDS = {
    "serve": "run the gateway",
    "demo": "try the whole thing with nothing to configure",
    "send": "send files and folders to a gateway",
    "user": "add, list, disable and enable accounts, change passwords",
    "keys": "make a key for the spool, or bring everything under another one",
    "qr": "make a QR code that opens one upload",
    "uploads": "list and find uploads, and what became of them",
    "route": "say where files would go, and by which route; nothing is sent",
    "jobs": "list deliveries, send one again, or end one",
    "receipt": "check a receipt's signature",
    "audit": "check the audit trail, or export it",
    "privacy": "say what is held on an upload",
    "purge": "erase what is due, now",
    "migrate": "bring the database's schema up to date, as `serve` does at its start",
    "backup": "copy ledger and spool, beside a running gateway",
    "restore": "put a backup into an empty database and spool",
    "check": "try the config, the database, the spool, the keys, each endpoint",
}

#: Commands that stand in another one's module.
_MODULES = {"restore": "backup"}


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


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The whole command line.

    :param only: the command that is called: of the others nothing but their names is made, and nothing imported.
    """
    top = Parser(prog="relaypacs", description="The front door of a PACS.")
    top.set_defaults(config=None)
    top.add_argument("--version", action="version", version=f"relaypacs {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    imported = set() if only is None else {_MODULES.get(only, only)}
    done = set()
    for name, summary in COMMANDS.items():
        module = _MODULES.get(name, name)
        if only is not None and module not in imported:
            commands.add_parser(name, help=summary)
        elif module not in done:
            importlib.import_module(f"gateway.cli.{module}").add_parser(commands)
            done.add(module)
    return top


def _called(argv: Sequence[str]) -> str:
    """The command's name, as far as it can be told before the line is parsed; empty: there is none."""
    words = iter(argv)
    for word in words:
        if word in {"-c", "--config"}:
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. :returns: its exit status; an error is one line on stderr that says what to do."""
    words = sys.argv[1:] if argv is None else argv
    args = parser(_called(words)).parse_args(words)
    try:
        status: int = args.run(args)
    except GatewayError as error:
        print(f"relaypacs: {error.detail}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if argv is None:  # all goes with the process in a moment: to look for circles once more takes a tenth of a second
        gc.freeze()
    return status
