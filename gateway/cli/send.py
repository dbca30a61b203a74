"""`relaypacs send`: the command line of `gateway.client`."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from gateway.client.access import Sender
    from gateway.client.http import GatewayHttp
    from gateway.client.retry import RetryPolicy
    from gateway.client.scan import Search

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20, "g": 1 << 30, "gib": 1 << 30}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_EPILOG = """\
Exit status: 0 all uploads reached the PACS, 3 some did, 4 none, 2 wrong use or credentials, 130 interrupted,
1 anything else: the outcome isn't known yet. Run it again, and it goes on where it stopped."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `send` to the command's parser."""
    parser = subparsers.add_parser(
        "send",
        help="send files and folders to a gateway",
        description="Sends DICOM files and folders to a gateway, one upload per patient, several files at once.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file, or a folder to look through")
    parser.add_argument("--to", metavar="URL", help="the gateway; with --qr the link's own unless given")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--token", metavar="ACCESS_TOKEN", help="an access token (default: $RELAYPACS_TOKEN)")
    who.add_argument("--user", metavar="NAME", help="a user; the password: $RELAYPACS_PASSWORD, or asked for")
    who.add_argument("--qr", metavar="LINK", help="the link that a QR code holds")
    parser.add_argument("--password-stdin", action="store_true", help="read the password's line from stdin")
    parser.add_argument("--endpoint", metavar="ID", help="the PACS to send to (default: the gateway's)")
    parser.add_argument("--jobs", type=_jobs, default=4, metavar="N", help="files sent at once (default: 4)")
    parser.add_argument(
        "--chunk", type=_size, metavar="SIZE", help="bytes per request, like 8MiB (default: what the line carries)"
    )
    parser.add_argument("--state", type=Path, metavar="FILE", help="where to remember what was sent")
    parser.add_argument(
        "--wait", type=_duration, default=3600.0, metavar="SECONDS", help="for the PACS's answer (default: 1h)"
    )
    parser.add_argument(
        "--patience",
        type=_duration,
        default=600.0,
        metavar="SECONDS",
        help="how long nothing may move before it gives up (default: 10m)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.add_argument("-v", "--verbose", action="store_true", help="name the files that aren't sent")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Send; every trouble is one line on stderr.

    :returns: the exit status.
    """
    from gateway.client.errors import EXIT_INTERRUPTED, SendFault

    try:
        return _send(args)
    except SendFault as fault:
        print(f"relaypacs send: {fault}", file=sys.stderr)
        return fault.exit_status
    except KeyboardInterrupt:
        print("\nrelaypacs send: interrupted; run it again, and it goes on where it stopped", file=sys.stderr)
        return EXIT_INTERRUPTED


def _send(args: argparse.Namespace) -> int:
    from gateway.client import state
    from gateway.client.access import qr_token
    from gateway.client.errors import EXIT_PARTIAL, EXIT_SUCCESS, Misused, SendFault, TryAgain
    from gateway.client.grouping import group
    from gateway.client.http import GatewayHttp
    from gateway.client.retry import RetryPolicy
    from gateway.client.run import Options, SendRun
    from gateway.client.scan import LeftOut, find
    from gateway.clock import SystemClock

    clock = SystemClock()
    link = qr_token(args.qr) if args.qr else None
    options = Options(
        endpoint_id=_endpoint(args.endpoint, link[1] if link else None),
        jobs=args.jobs,
        chunk_bytes=args.chunk,
        wait_s=args.wait,
        patience_s=args.patience,
        quiet=args.quiet,
    )
    if not (args.to or link):
        raise Misused("--to is missing: give the gateway's address")
    http = GatewayHttp(args.to or (link[0] if link else ""), clock)
    _warn_of_plain_http(http.base_url)
    sender = _sender(args, link[2] if link else "", http, RetryPolicy(args.patience, clock, threading.Event()))
    search = find(args.paths)
    _say_left_out(search, verbose=args.verbose)
    plans = group(search.found)
    if not plans:
        raise Misused("there is no DICOM file at the given paths: nothing was sent")
    if sender.single_upload and len(plans) > 1:
        raise Misused(f"a QR code takes the files of one patient, these are of {len(plans)}: send them one by one")
    kept = state.StateFile(args.state or state.default_path(), clock)
    try:
        status = SendRun(http, kept, sender, clock, options, sys.stdout, sys.stderr).send(plans)
        with contextlib.suppress(SendFault, TryAgain):  # a session that isn't closed runs out by itself
            sender.leave()
    finally:
        kept.close()
        http.close()
    unreadable = any(reason is LeftOut.UNREADABLE for _, reason in search.left_out)
    return EXIT_PARTIAL if status == EXIT_SUCCESS and unreadable else status


def _sender(args: argparse.Namespace, qr_upload_token: str, http: GatewayHttp, retry: RetryPolicy) -> Sender:
    """Who sends, as the flags and the environment say.

    :raises Misused: nobody.
    """
    from gateway.client.access import AccountSender, QrSender, TokenSender
    from gateway.client.errors import Misused

    if args.password_stdin and not args.user:
        raise Misused("--password-stdin needs --user")
    if qr_upload_token:
        return QrSender(qr_upload_token)
    if args.user:
        return AccountSender(http, retry, args.user, _password(from_stdin=args.password_stdin))
    token = args.token or os.environ.get("RELAYPACS_TOKEN", "")
    if not token:
        raise Misused("say who sends: --user NAME, --token ACCESS_TOKEN or --qr LINK")
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token):
        raise Misused("the access token has characters that no token has: check how it was copied")
    return TokenSender(token)


def _password(*, from_stdin: bool) -> str:
    from gateway.client.errors import Misused

    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif "RELAYPACS_PASSWORD" in os.environ:
        password = os.environ["RELAYPACS_PASSWORD"]
    elif sys.stdin.isatty():
        password = getpass.getpass("Password: ")
    else:
        raise Misused("there is no password: use --password-stdin, or set RELAYPACS_PASSWORD")
    if not password:
        raise Misused("the password is empty")
    return password


def _endpoint(wanted: str | None, linked: str | None) -> str | None:
    from gateway.client.errors import Misused

    if wanted and linked and wanted != linked:
        raise Misused("the QR code is for another endpoint: leave --endpoint out")
    return wanted or linked


def _warn_of_plain_http(url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http" and not (host in {"localhost", "::1"} or host.startswith("127.")):
        print("relaypacs send: warning: plain HTTP: whoever is on the way can read all of it", file=sys.stderr)


def _say_left_out(search: Search, *, verbose: bool) -> None:
    """Counts; names only if the user asks for them: they often hold patients' names, and stderr is often a log."""
    if not search.left_out:
        return
    more = "" if verbose else " (-v names them)"
    print(f"not sent: {search.left_out_words()}{more}", file=sys.stderr)
    if verbose:
        for path, reason in search.left_out:
            shown = "".join(char if char.isprintable() else "?" for char in str(path))
            print(f"  {shown}: {reason}", file=sys.stderr)


def _jobs(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,2}", text, re.ASCII) or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError("a number from 1 to 64")
    return int(text)


def _size(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,12}) ?([A-Za-z]{0,3})", text, re.ASCII)
    size = int(match[1]) * _UNITS.get(match[2].lower(), 0) if match else 0
    if size < 1:
        raise argparse.ArgumentTypeError("a size like 8MiB")
    return size


def _duration(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)([smh]?)", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError("seconds, or a number with s, m or h")
    return float(match[1]) * _SECONDS[match[2]]
