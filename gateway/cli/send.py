"""`relaypacs send`: the command line of `gateway.client`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.client.access import Sender
    from gateway.client.errors import SendFault
    from gateway.client.grouping import PlannedUpload
    from gateway.client.http import GatewayHttp
    from gateway.client.link import Link
    from gateway.client.retry import RetryPolicy
    from gateway.client.run import Options
    from gateway.client.scan import Search
    from gateway.client.terms import EndpointTerms

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20, "g": 1 << 30, "gib": 1 << 30}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_EPILOG = """\
Exit status: 0 all uploads reached the PACS, 3 some did or something was left out, 4 none, 5 only uploads are left that
wait for a person at the gateway, 2 wrong use or credentials, 130 interrupted, 1 anything else: the outcome isn't known
yet. SendRun it again, and it goes on where it stopped."""
_WAIT_S = 3600.0
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_LONGEST_INPUT_CHARS = 64 * 1024


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
    who.add_argument(
        "--token", metavar="ACCESS_TOKEN", help="an access token, - to read it from stdin (default: $RELAYPACS_TOKEN)"
    )
    who.add_argument("--token-file", type=Path, metavar="FILE", help="a file that holds the access token")
    who.add_argument("--user", metavar="NAME", help="a user; the password: $RELAYPACS_PASSWORD, or asked for")
    who.add_argument("--qr", metavar="LINK", help="the link that a QR code holds, - to read it from stdin")
    parser.add_argument("--password-stdin", action="store_true", help="read the password's line from stdin")
    parser.add_argument("--endpoint", metavar="ID", help="the PACS to send to (default: the gateway's)")
    parser.add_argument(
        "--at-once",
        "--jobs",
        dest="at_once",
        type=_at_once,
        metavar="N",
        help="requests at once (default: as many as help)",
    )
    parser.add_argument(
        "--chunk", type=_size, metavar="SIZE", help="bytes per request, like 8MiB (default: what the line carries)"
    )
    parser.add_argument("--state", type=Path, metavar="FILE", help="where to remember what was sent")
    parser.add_argument(
        "--wait",
        type=_duration,
        metavar="SECONDS",
        help="for the PACS's answer, and if it is given, for people to decide on held uploads too (default: 1h)",
    )
    parser.add_argument("--receipts", type=Path, metavar="DIR", help="a folder to keep the signed receipts in")
    parser.add_argument(
        "--patience",
        type=_duration,
        default=600.0,
        metavar="SECONDS",
        help="how long nothing may move before it gives up (default: 10m)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="name every file that isn't sent or that the gateway warns of"
    )
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
    import contextlib
    import threading

    from gateway.client import state, terms
    from gateway.client.errors import EXIT_HELD, EXIT_PARTIAL, EXIT_SUCCESS, Misused, SendFault, TryAgain
    from gateway.client.grouping import group
    from gateway.client.http import GatewayHttp
    from gateway.client.link import read_link
    from gateway.client.retry import RetryPolicy
    from gateway.client.run import SendRun, first_at_once, width_for
    from gateway.client.scan import find
    from gateway.client.scouts import Scouts
    from gateway.clock import SystemClock

    clock = SystemClock()
    link = read_link(_from_stdin("link") if args.qr == "-" else args.qr) if args.qr else None
    options = _options(args, link)
    if not (args.to or (link and link.base_url)):
        raise Misused("--to is missing: give the gateway's address")
    http = GatewayHttp(args.to or (link.base_url if link else ""), clock)
    _warn_of_plain_http(http.base_url)
    sender = _sender(args, link, http, RetryPolicy(args.patience, clock, threading.Event()))
    search = find(args.paths)
    _say_left_out(search, verbose=args.verbose)
    if not search.found:
        raise _nothing_found(search)
    if sender.single_upload and len(group(search.found)) > 1:
        raise Misused(
            f"a QR code takes the files of one patient, these are of {len(group(search.found))}: send them one by one"
        )
    kept = state.StateFile(args.state or state.default_path(), clock)
    try:
        scouts, last = Scouts(http), kept.width(http.base_url)
        scouts.go(lambda: first_at_once(options, last, http))
        sender.bearer()
        asked = terms.ask_beside(
            http, RetryPolicy(args.patience, clock, threading.Event()), sender, options.endpoint_id
        )
        width = width_for(options, last, http)
        run_ = SendRun(http, kept, sender, clock, options, sys.stdout, sys.stderr, width=width, scouts=scouts)
        run_.open_ahead(group(search.found)[0])
        told = asked()
        plans, losses = _fitting(search, told)
        run_.cancel_others(plans)
        status = run_.send(plans, told.contact)
        with contextlib.suppress(SendFault, TryAgain):  # a session that isn't closed runs out by itself
            sender.leave()
    finally:
        kept.close()
        http.close()
    return EXIT_PARTIAL if losses and status in {EXIT_SUCCESS, EXIT_HELD} else status


def _options(args: argparse.Namespace, link: Link | None) -> Options:
    """:raises Misused: the folder for receipts can't be made."""
    from gateway.client.errors import Misused
    from gateway.client.run import Options

    if args.receipts is not None:
        try:
            args.receipts.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Misused(f"--receipts: the folder can't be made ({error.strerror}): name another") from None
    return Options(
        endpoint_id=_endpoint(args.endpoint, link.endpoint_id if link else None),
        at_once=args.at_once,
        chunk_bytes=args.chunk,
        wait_s=_WAIT_S if args.wait is None else args.wait,
        wait_for_held=args.wait is not None,
        patience_s=args.patience,
        quiet=args.quiet,
        verbose=args.verbose,
        receipts=args.receipts,
    )


def _fitting(search: Search, told: EndpointTerms) -> tuple[list[PlannedUpload], bool]:
    """What the gateway takes, an upload each; what it doesn't is named. True: something is left out that shouldn't be.

    :raises Refused: it takes nothing of it.
    """
    from gateway.client.errors import Refused, plain
    from gateway.client.grouping import group
    from gateway.client.meter import size_words
    from gateway.client.scan import LeftOut
    from gateway.client.terms import sort_out

    small = [file for file in search.found if told.takes(file)]
    for file in search.found:
        if not told.takes(file):
            print(f"not sent: {plain(file.path)}: {LeftOut.TOO_LARGE} ({size_words(file.size_bytes)})", file=sys.stderr)
    plans, refused = sort_out(group(small), told)
    for words in refused:
        print(f"not sent: {words}", file=sys.stderr)
    if not plans:
        raise Refused("the gateway takes none of these files: nothing was sent")
    return plans, bool(search.losses or refused or len(small) < len(search.found))


def _nothing_found(search: Search) -> SendFault:
    from gateway.client.errors import Misused, Unreadable

    if search.losses:
        return Unreadable("none of what is there can be read: nothing was sent")
    return Misused("there is no DICOM file at the given paths: nothing was sent")


def _sender(args: argparse.Namespace, link: Link | None, http: GatewayHttp, retry: RetryPolicy) -> Sender:
    """Who sends, as the flags and the environment say.

    :raises Misused: nobody.
    """
    from gateway.client.access import AccountSender, QrSender, TokenSender
    from gateway.client.errors import Misused

    if args.password_stdin and not args.user:
        raise Misused("--password-stdin needs --user")
    if link is not None:
        return QrSender(link.upload_token)
    if args.user:
        return AccountSender(http, retry, args.user, _password(from_stdin=args.password_stdin))
    token = _access_token(args)
    if not token:
        raise Misused("say who sends: --user NAME, --token-file FILE, --token ACCESS_TOKEN or --qr LINK")
    if not _TOKEN.fullmatch(token):
        raise Misused("the access token has characters that no token has: check how it was copied")
    return TokenSender(token)


def _access_token(args: argparse.Namespace) -> str:
    from gateway.client.errors import Misused

    if args.token == "-":  # noqa: S105 - no password: where to read it
        return _from_stdin("access token")
    if args.token_file is None:
        return args.token or os.environ.get("RELAYPACS_TOKEN", "")
    try:
        with args.token_file.open(encoding="ascii") as file:
            return str(file.read(_LONGEST_INPUT_CHARS).strip())
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Misused(f"--token-file can't be read ({why}): name the file that holds the access token") from None


def _from_stdin(what: str) -> str:
    from gateway.client.errors import Misused

    if sys.stdin.isatty():
        print(f"{what}, ended by an empty line or Ctrl-D:", file=sys.stderr)
        lines = list(iter(sys.stdin.readline, "\n"))[:64] if what == "link" else [sys.stdin.readline()]
        text = "".join(lines)
    else:
        text = sys.stdin.read(_LONGEST_INPUT_CHARS)
    if not text.strip():
        raise Misused(f"there is no {what} on stdin")
    return text.strip()


def _password(*, from_stdin: bool) -> str:
    import getpass

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
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http" and not (host in {"localhost", "::1"} or host.startswith("127.")):
        print("relaypacs send: warning: plain HTTP: whoever is on the way can read all of it", file=sys.stderr)


def _say_left_out(search: Search, *, verbose: bool) -> None:
    """What may have had to be sent is named; the rest is counted, and named if the user asks for it."""
    from gateway.client.errors import plain

    for path, reason in search.losses:
        print(f"not sent: {plain(path)}: {reason}", file=sys.stderr)
    words = search.left_out_words()
    if words:
        print(f"not sent: {words}{'' if verbose else ' (-v names them)'}", file=sys.stderr)
    for path, reason in search.left_out if verbose else ():
        if not reason.is_loss:
            print(f"  {plain(path)}: {reason}", file=sys.stderr)


def _at_once(text: str) -> int:
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
