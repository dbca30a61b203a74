"""`relaypacs uploads`: what came, from whom, what became of it; no names. Works beside a running `serve`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from gateway.cli.opening import ACTOR, configured, printable
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.uploads.administration import Administration

PAGE = 500
#: Filters as options, in the order in which `--help` shows them: what each takes, and what it says.
_PLAIN = {
    "state": ("STATES", "comma list of states"),
    "endpoint_id": ("ID", "to this endpoint"),
    "account": ("NAME", "from this account, by its name or its id"),
    "since": ("TIME", "opened then or later: 2027-01-31T12:00:00Z, or a date (UTC)"),
    "until": ("TIME", "opened before"),
}
_MORE = {
    "upload_id": ("ID", "this one"),
    "pacs_receipt_id": ("ID", "the one of this receipt"),
    "study_instance_uid": ("UID", "with this study; `-`: read it from stdin"),
    "accession_number": ("NUMBER", "with this accession number; `-`: read it from stdin"),
}
_HEADING: tuple[str, ...] = ("UPLOAD", "STATE", "ENDPOINT", "ACCOUNT", "OPENED", "FILES", "RECEIPT", "WHY")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `uploads` to the command's parser."""
    parser = subparsers.add_parser("uploads", help="list and find uploads, and what became of them")
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    for name, act, text, filters in (
        ("list", _list, "every upload", _PLAIN),
        ("find", _list, "those that fit every filter", _MORE | _PLAIN),
        ("show", _show, "one upload", {}),
    ):
        one = acts.add_parser(name, help=text)
        if name == "show":
            one.add_argument("upload_id", metavar="UPLOAD_ID")
        for key, (value, says) in filters.items():
            also = ["--endpoint"] if key == "endpoint_id" else []  # as other commands call it
            one.add_argument(f"--{key.replace('_', '-')}", *also, dest=key, default="", metavar=value, help=says)
        one.add_argument("--json", action="store_true", help="print JSON")
        one.set_defaults(run=run, uploads_act=act, filters=tuple(filters))


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say. :returns: the exit status."""
    import asyncio

    act: Callable[[Administration, argparse.Namespace], Awaitable[None]] = args.uploads_act
    asyncio.run(_with_administration(args, act))
    return 0


async def _with_administration(
    args: argparse.Namespace, act: Callable[[Administration, argparse.Namespace], Awaitable[None]]
) -> None:
    from gateway.assembly.base import open_base
    from gateway.assembly.upkeep import open_administration
    from gateway.clock import SystemClock

    async with open_base(configured(args), SystemClock()) as base:
        await act(open_administration(base), args)


async def _list(administration: Administration, args: argparse.Namespace) -> None:
    found = [one async for one in _found(administration, _filters(args))]
    if args.json:
        print(json.dumps(found, indent=2))
        return
    table = [_HEADING, *map(_line, found)]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _filters(args: argparse.Namespace) -> dict[str, str]:
    """:raises ConfigError: `find` without a filter, or two from one stdin."""
    given: dict[str, str] = {name: getattr(args, name) for name in args.filters if getattr(args, name)}
    if args.act == "find" and not given:
        raise ConfigError("say what to find: `relaypacs uploads find --help` has the filters; `list` shows all")
    from_stdin = [name for name, value in given.items() if value == "-"]
    if len(from_stdin) > 1:
        raise ConfigError("only one filter can be read from stdin")
    return given | {name: sys.stdin.readline().strip() for name in from_stdin}


async def _found(administration: Administration, filters: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
    from gateway.uploads.search import UploadFilter

    wanted, cursor = UploadFilter.read(filters), ""
    while True:
        page = await administration.uploads(wanted, cursor, PAGE, actor=ACTOR)
        for one in page["uploads"]:
            yield one
        if page["cursor"] is None:
            return
        cursor = page["cursor"]


def _line(one: dict[str, Any]) -> tuple[str, ...]:
    delivery = one["delivery"] or {}
    why = ",".join(one["held_reasons"] or one["warnings"]) or delivery.get("last_code") or ""
    files = f"{one['files']['whole']}/{one['files']['expected']}"
    endpoints = ",".join(delivery["endpoint_id"] for delivery in one.get("deliveries", ())) or one["endpoint_id"]
    return (
        one["upload_id"],
        one["state"],
        endpoints,
        one["owner_id"],
        one["created_at"],
        files,
        one["pacs_receipt_id"] or "",
        printable(why),
    )


async def _show(administration: Administration, args: argparse.Namespace) -> None:
    found = await administration.upload(args.upload_id)
    if args.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        shown = value if isinstance(value, str) else json.dumps(value)
        print(f"{name + ':':17}{printable(shown)}")
