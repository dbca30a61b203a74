"""`relaypacs keys`: master keys of the spool."""

from __future__ import annotations

import argparse
import base64
import secrets
import sys


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `keys` to the command's parser."""
    parser = subparsers.add_parser("keys", help="make a key for the spool")
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    acts.add_parser("new", help="print 32 random bytes in base64").set_defaults(run=run, rotate=False)
    acts.add_parser("rotate", help="not built yet").set_defaults(run=run, rotate=True)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say. :returns: the exit status."""
    if args.rotate:
        print("relaypacs: keys rotate isn't built yet", file=sys.stderr)
        return 1
    print(base64.b64encode(secrets.token_bytes(32)).decode())
    return 0
