"""`relaypacs migrate`: the database's schema, brought up to date while no gateway runs."""

from __future__ import annotations

import argparse

from gateway.cli.opening import configured


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `migrate` to the command's parser."""
    parser = subparsers.add_parser(
        "migrate", help="bring the database's schema up to date, as `serve` does at its start"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Migrate. :returns: 0."""
    from contextlib import closing

    from gateway.assembly.gateway import alone
    from gateway.ledger.sqlite.connection import is_present, migrate, open_unchanged

    path = configured(args).database.path
    if path.exists():
        with closing(open_unchanged(path)) as db:
            if is_present(db):
                print(f"{path} has the present schema")
                return 0
    with alone(path):
        before, now = migrate(path)
    print(f"{path} has schema {now} now" + (f", it had {before}" if before else ", it is new"))
    return 0
