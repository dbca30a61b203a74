"""`relaypacs route`: where files would go, and by which route. Nothing is sent, no endpoint and no database is asked."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.opening import configured, printable
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.delivery.routes import FileKind


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `route` to the command's parser."""
    parser = subparsers.add_parser("route", help="say where files would go, and by which route; nothing is sent")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="together they are one upload, too")
    parser.add_argument("--endpoint", default="", metavar="ID", help="the endpoint that the client names")
    parser.add_argument("--account", default="", metavar="NAME", help="who sends it")
    parser.add_argument(
        "--declare", action="append", default=[], metavar="FIELD=VALUE", help="of study_metadata; as often as needed"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Say it. :returns: 1: a file would not be sent."""
    import json

    from gateway.assembly.judging import judged
    from gateway.delivery.routes import FileKind

    config = configured(args)
    known = [(path, *found) for path, found in zip(args.files, judged(config, args.files), strict=True)]
    rows, kinds, size = [], list[FileKind](), 0
    for path, size_bytes, told in known:
        if isinstance(told, str):
            rows.append({"file": str(path), "refused": told})
            continue
        kind = FileKind(told.modality, told.sop_class_uid, told.station_name)
        rows.append({"file": str(path)} | _where(config, args, [kind], size_bytes))
        kinds, size = [*kinds, kind], size + size_bytes
    together = _where(config, args, kinds, size)
    if args.json:
        print(json.dumps({"files": rows, "together": together}, indent=2))
    else:
        _table(rows if len(rows) == 1 else [*rows, {"file": "together"} | together])
    return 1 if len(kinds) < len(rows) else 0


def _where(config: Config, args: argparse.Namespace, kinds: Sequence[FileKind], size_bytes: int) -> dict[str, Any]:
    """Of an upload of such files."""
    from gateway.assembly.routes import routes_of
    from gateway.delivery.routes import Submission, choose

    if args.endpoint and args.endpoint not in config.endpoints:
        raise ConfigError(f"there is no endpoint {args.endpoint}: use {', '.join(config.endpoints)}")
    submission = Submission(kinds, args.account, _declared(args.declare), size_bytes)
    route = choose(routes_of(config), submission, None)
    if route is not None:
        return {
            "route": route.number,
            "to": list(route.to),
            "required": list(route.required),
            "fallback": list(route.fallback),
        }
    default = config.default_endpoint
    name = args.endpoint or ("" if default is None else default.endpoint_id)
    to = [name] if name else []
    return {"route": None, "to": to, "required": to, "fallback": []}


def _declared(given: Iterable[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise ConfigError("--declare takes FIELD=VALUE, like priority=stat")
        found[name] = value
    return found


def _table(rows: Sequence[dict[str, Any]]) -> None:
    table: list[tuple[str, ...]] = [("FILE", "ROUTE", "TO", "REQUIRED", "FALLBACK")]
    for row in rows:
        if "refused" in row:
            table.append((printable(row["file"]), "-", f"not sent: {row['refused']}", "-", "-"))
            continue
        to, required, fallback = (",".join(row[name]) or "-" for name in ("to", "required", "fallback"))
        route = "none" if row["route"] is None else str(row["route"])
        table.append((printable(row["file"]), route, to, required, fallback))
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
