"""`relaypacs user`: accounts. Works beside a running `serve`, which asks the ledger at each request."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from gateway.cli.opening import ACTOR, configured, printable, seconds
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.identity.accounts import Account, Accounts


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `user` to the command's parser."""
    parser = subparsers.add_parser("user", help="add, list, disable and enable accounts, change passwords")
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    for name, act, text in (
        ("add", _add, "a new account"),
        ("list", _list, "every account"),
        ("disable", _disable, "let it in no more; what it holds ends at once"),
        ("enable", _enable, "let it in again"),
        ("limit", _limit, "say which endpoints it may send to"),
        ("token", _token, "print a long-lived access token for a machine, or end those it has"),
        ("password", _password, "give it another password; it must log in anew everywhere"),
        ("role", _role, "give it another role; it must log in anew everywhere"),
        ("delete", _delete, "end it for good; what it sent stays"),
    ):
        one = acts.add_parser(name, help=text)
        if name != "list":
            one.add_argument("name", metavar="NAME")
        if name == "list":
            one.add_argument("--json", action="store_true", help="print a list of objects")
        if name == "role":
            one.add_argument("role", metavar="ROLE", help="uploader, issuer or admin")
        if name == "add":
            one.add_argument("--role", required=True, metavar="ROLE", help="uploader, issuer or admin")
        if name in {"add", "limit"}:
            one.add_argument(
                "--endpoint", action="append", default=[], metavar="ID", dest="endpoints",
                help="it may send there; may be given several times; without it: to every endpoint",
            )  # fmt: skip
        if name == "disable":
            one.add_argument("--wipe", action="store_true", help="its devices delete what it left there")
        if name in {"add", "password"}:
            one.add_argument("--password-stdin", action="store_true", help="read the password's line from stdin")
            one.add_argument("--must-change", action="store_true", help="it is for once: its owner sets another first")
        if name == "token":
            one.add_argument("--ttl", type=seconds, default=seconds("90d"), metavar="90d", help="how long it lives")
            one.add_argument("--revoke", action="store_true", help="end every token of the account instead")
        one.set_defaults(run=run, user_act=act)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say. :returns: the exit status."""
    import asyncio

    act: Callable[[Accounts, argparse.Namespace], Awaitable[None]] = args.user_act
    asyncio.run(_with_accounts(args, act))
    return 0


async def _with_accounts(
    args: argparse.Namespace, act: Callable[[Accounts, argparse.Namespace], Awaitable[None]]
) -> None:
    from gateway.assembly.base import open_base
    from gateway.clock import SystemClock
    from gateway.identity.accounts import Accounts

    clock = SystemClock()
    async with open_base(configured(args), clock) as base:
        await act(Accounts(base.ledger, base.keys, clock), args)


async def _token(accounts: Accounts, args: argparse.Namespace) -> None:
    from gateway.clock import SystemClock
    from gateway.identity.tokens import TokenMint

    if args.revoke:
        await accounts.revoke_tokens(args.name, actor=ACTOR)
        print(f"every token of {args.name} is over")
        return
    tokens, clock = configured(args).tokens, SystemClock()
    row, session_id = await accounts.service_session(args.name, args.ttl, actor=ACTOR)
    mint = TokenMint(
        tokens.secret.reveal().encode(), clock, access_ttl_s=tokens.access_ttl_s, upload_ttl_s=tokens.upload_ttl_s
    )
    print(mint.service(row.account_id, row.role, session_id, args.ttl).token)


async def _add(accounts: Accounts, args: argparse.Namespace) -> None:
    endpoints = _endpoints(args)
    password = _read_password(args)
    row = await accounts.add(
        args.name, args.role, password, endpoints=endpoints, actor=ACTOR, must_change=args.must_change
    )
    sends_to = f" and send to {', '.join(endpoints)}" if endpoints else ""
    print(f"{args.name} may log in as {row.role}{sends_to}{_once(args)}")


async def _limit(accounts: Accounts, args: argparse.Namespace) -> None:
    endpoints = _endpoints(args)
    await accounts.limit(args.name, endpoints, actor=ACTOR)
    print(f"{args.name} may send to {', '.join(endpoints) or 'every endpoint'}")


def _endpoints(args: argparse.Namespace) -> list[str]:
    """:raises ConfigError: the configuration has no such endpoint."""
    known = configured(args).endpoints
    for name in args.endpoints:
        if name not in known:
            raise ConfigError(f"there is no endpoint {name}: the configuration has {', '.join(known) or 'none'}")
    return list(dict.fromkeys(args.endpoints))


async def _role(accounts: Accounts, args: argparse.Namespace) -> None:
    await accounts.set_role(args.name, args.role, actor=ACTOR)
    print(f"{args.name} is {args.role} now")


async def _delete(accounts: Accounts, args: argparse.Namespace) -> None:
    await accounts.delete(args.name, actor=ACTOR)
    print(f"{args.name} is deleted")


async def _list(accounts: Accounts, args: argparse.Namespace) -> None:
    import json

    from gateway.clock import rfc3339

    found = await accounts.all()
    if args.json:
        print(json.dumps([_object(one) for one in found], indent=2, ensure_ascii=False))
        return
    rows = [("NAME", "ROLE", "STATE", "SINCE", "SENDS TO", "ID")]
    for one in found:
        state = "active" if one.disabled_at is None else f"disabled {rfc3339(one.disabled_at)}"
        sends_to = ", ".join(one.endpoints) or "all"
        rows.append((printable(one.name), one.role, state, rfc3339(one.created_at), sends_to, one.account_id))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _object(one: Account) -> dict[str, Any]:
    from gateway.clock import rfc3339

    return {
        "name": one.name,
        "role": str(one.role),
        "disabled_at": None if one.disabled_at is None else rfc3339(one.disabled_at),
        "created_at": rfc3339(one.created_at),
        "endpoints": list(one.endpoints),
        "account_id": one.account_id,
    }


async def _disable(accounts: Accounts, args: argparse.Namespace) -> None:
    await accounts.disable(args.name, wipe=args.wipe, actor=ACTOR)
    print(f"{args.name} is disabled" + ("; its devices are told to delete what it left there" if args.wipe else ""))


async def _enable(accounts: Accounts, args: argparse.Namespace) -> None:
    await accounts.enable(args.name, actor=ACTOR)
    print(f"{args.name} may log in again")


async def _password(accounts: Accounts, args: argparse.Namespace) -> None:
    await accounts.set_password(args.name, _read_password(args), actor=ACTOR, must_change=args.must_change)
    print(f"{args.name} has another password{_once(args)}")


def _once(args: argparse.Namespace) -> str:
    return ", and must set another one at the next login" if args.must_change else ""


def _read_password(args: argparse.Namespace) -> str:
    """:raises ConfigError: nobody is there to ask, or the two readings differ."""
    import getpass

    if args.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask for the password: give it by --password-stdin")
    password = getpass.getpass("password: ")
    if getpass.getpass("again: ") != password:
        raise ConfigError("these are two different passwords: try again")
    return password
