"""`python -m bench`: the gateway beside other tus servers, and beside STOW-RS straight into the archive.

Runs are interleaved (A B A B ..) on one disk with one client; tables show medians. A server that syncs nothing is
shown again with the time that writing its bytes to the disk takes (syncfs after the run) added.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

from bench import app, client, delivery, logins, machine, report, rounds, starts
from bench.measure import sync_file_system
from bench.payload import Payload
from bench.report import Column, Comparison, brief
from bench.rounds import MIB, Sizes
from bench.servers import Gateway, Missing, Orthanc

LOADS = ("stream", "pieces", "study", "cwu", "cwu-dicom", "slow", "delivery", "login", "start", *app.LOADS)

_DELIVERY = (
    Column("instances_s", "instances/s"),
    Column("wall_s", "first byte to verified s", 2),
    Column("after_last_byte_s", "of it after the last byte s", 2),
    Column("cpu_s", "gateway CPU s", 2),
    Column("pacs_cpu_s", "archive CPU s", 2),
    Column("rss_peak_mib", "gateway RSS peak MiB"),
    Column("client_cpu_s", "client CPU s", 2),
)


_APP = {
    "app-ingest": (
        Column("mb_s", "MB/s"),
        Column("files_s", "files/s"),
        Column("longest_task_ms", "longest task of the page ms (0: none over 50)"),
        Column("list_ms", "list of the files ms", 1),
    ),
    "app-upload": (
        Column("mb_s", "MB/s"),
        Column("files_s", "files/s"),
        Column("longest_task_ms", "longest task of the page ms (0: none over 50)"),
    ),
    "app-many": (
        Column("files_s", "files/s"),
        Column("longest_task_ms", "longest task of the page ms (0: none over 50)"),
        Column("list_ms", "list of the files ms", 1),
    ),
}
#: So many times the files of a study, and small ones.
_MANY, _MANY_SIZE = 10, 16 << 10
_LOGIN = (Column("refused_ms", "until it is refused ms", 1),)
_START = (Column("start_ms", "ms", 1),)


FULL = Sizes(rounds=5, stream=1024 * MIB, files=500, slow=1000, slow_pieces=15, instances=500)
QUICK = Sizes(rounds=3, stream=256 * MIB, files=200, slow=200, slow_pieces=6, instances=100)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for. :returns: 0; 1: something is missing, or a load failed."""
    args = _arguments(argv)
    if args.write is not None:
        report.write_into(args.write, "")  # tells at once whether it has a place
    sizes = _sizes(args)
    _allow_many_files()
    folder = Path(tempfile.mkdtemp(prefix="relaypacs-bench-", dir=args.dir))
    payload = Payload()
    done: list[Comparison] = []
    about = machine.describe(folder)
    load = machine.load_average()
    _say(f"{about}; load average {load:.2f}")
    try:
        done.extend(rounds.tus_loads(folder, payload, sizes, args.loads, _say))
        if "slow" in args.loads:
            done.append(rounds.slow(folder, payload, sizes, _say))
        if "delivery" in args.loads:
            done.append(_deliveries(folder, payload, sizes))
        if "login" in args.loads:
            done.append(_logins(folder, payload))
        if "start" in args.loads:
            done.append(_starts())
        done.extend(_app(folder, payload, sizes, [name for name in args.loads if name in app.LOADS]))
    except (Missing, client.Refused, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    settings = f"{sizes} Load average before: {load:.2f}."
    text = report.markdown(about, settings, done)
    print(text)
    if args.json is not None:
        with args.json.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for comparison in done for line in comparison.json_lines())
    if args.write is not None:
        report.write_into(args.write, text)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds of smaller loads")
    parser.add_argument("--rounds", type=int, help="runs per server and load")
    parser.add_argument("--loads", type=_loads, default=list(LOADS), help=f"some of {','.join(LOADS)}")
    parser.add_argument("--stream-mib", type=int, help="size of the stream")
    parser.add_argument("--files", type=int, help="files of a study, and instances delivered")
    parser.add_argument("--slow", type=int, help="slow bodies")
    parser.add_argument("--dir", default="/var/tmp", help="where all stores lie (default: /var/tmp)")
    parser.add_argument("--keep", action="store_true", help="leave the stores and logs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append every run as lines of JSON")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    return parser.parse_args(argv)


def _loads(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in LOADS:
            raise argparse.ArgumentTypeError(f"no such load; there are {', '.join(LOADS)}")
    return names


def _sizes(args: argparse.Namespace) -> Sizes:
    base = QUICK if args.quick else FULL
    return Sizes(
        rounds=args.rounds or base.rounds,
        stream=args.stream_mib * MIB if args.stream_mib else base.stream,
        files=args.files or base.files,
        slow=args.slow or base.slow,
        slow_pieces=base.slow_pieces,
        instances=args.files or base.instances,
    )


def _logins(folder: Path, payload: Payload) -> Comparison:
    """Whether the time of a refusal tells that a name exists."""
    comparison = Comparison("login", "A login with a wrong password", _LOGIN, "refused_ms", "known name")
    gateway = Gateway(folder / "logins", payload)
    try:
        for name, figures in logins.both(gateway):
            comparison.add(name, figures)
    finally:
        gateway.stop()
    return comparison


def _starts() -> Comparison:
    """The command line, before it does anything."""
    comparison = Comparison("start", f"A command's start, medians of {starts.RUNS}", _START, "start_ms", starts.PLAIN)
    for name, figures in starts.runs():
        comparison.add(name, figures)
    return comparison


def _app(folder: Path, payload: Payload, sizes: Sizes, names: Sequence[str]) -> list[Comparison]:
    """The app in a browser, beside the least that a page can do."""
    if not names:
        return []
    per = f"{sizes.files} files of {sizes.file_size >> 10} KiB"
    tables = {
        "app-ingest": Comparison(
            "app-ingest", f"{per} copied into the browser, encrypted, by the app", _APP["app-ingest"], "mb_s", "plain"
        ),
        "app-upload": Comparison(
            "app-upload", f"{per} sent from there, four at a time", _APP["app-upload"], "mb_s", "sink"
        ),
        "app-many": Comparison(
            "app-many",
            f"{sizes.files * _MANY} files of {_MANY_SIZE >> 10} KiB copied",
            _APP["app-many"],
            "files_s",
            "app",
        ),
    }
    gateway = Gateway(folder / "app", payload)
    try:
        wish = app.Wish(sizes.files, sizes.file_size, sizes.rounds)
        many = app.Wish(sizes.files * _MANY, _MANY_SIZE, 0)
        for load, name, figures in chain(
            app.runs(gateway, payload, folder / "study", wish, [name for name in names if name != "app-many"]),
            app.runs(gateway, payload, folder / "many", many, [name for name in names if name == "app-many"]),
        ):
            tables[load].add(name, figures)
            _say(f"{load} {name} " + brief(figures))
    finally:
        gateway.stop()
    return [tables[name] for name in names]


def _deliveries(folder: Path, payload: Payload, sizes: Sizes) -> Comparison:
    columns = _DELIVERY
    title = f"{sizes.instances} instances of {sizes.file_size >> 10} KiB, first byte to all verified in the archive"
    comparison = Comparison("delivery", title, columns, "instances_s", "stow:10", ["stow:10x1"])
    wish = delivery.Wish(sizes.instances, sizes.file_size)
    with ExitStack() as stack:
        orthanc = Orthanc(folder / "orthanc")
        stack.callback(orthanc.stop)
        gateway = Gateway(folder / "delivering", payload, orthanc.dicomweb_url, orthanc.gateway_auth)
        stack.callback(gateway.stop)
        ways: list[delivery.Way] = [
            delivery.Through(gateway, orthanc, payload),
            delivery.Straight(10, orthanc, payload),
            delivery.Straight(50, orthanc, payload),
            delivery.Straight(10, orthanc, payload, connections=1),
        ]
        for number in range(-1, sizes.rounds):
            for way in ways:
                sync_file_system(folder)
                figures = way(wish)
                orthanc.clear()
                gateway.clear()
                if number >= 0:
                    comparison.add(way.name, figures)
                    _say(f"delivery {way.name} " + brief(figures))
    return comparison


def _allow_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
