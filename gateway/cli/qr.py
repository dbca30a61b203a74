"""`relaypacs qr`: a QR code, drawn in the terminal."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.opening import configured
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.uploads.qr import QrCode


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `qr` to the command's parser."""
    parser = subparsers.add_parser("qr", help="make a QR code that opens one upload")
    parser.add_argument("--endpoint", required=True, metavar="ID", help="the PACS that the upload goes to")
    parser.add_argument("--ttl", type=_duration, metavar="15m", help="how long it opens (default: tokens.qr_ttl)")
    parser.add_argument("--user", metavar="NAME", help="whose code it is (default: the oldest issuer or admin)")
    parser.add_argument("--png", type=Path, metavar="FILE", help="write a picture instead of drawing it here")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make a code. :returns: 0."""
    import asyncio

    from gateway.clock import rfc3339
    from gateway.web import qr_picture

    config = configured(args)
    if not config.server.public_url:
        raise ConfigError("server.port is 0: give server.public_url, for a code's link has the address in it")
    code = asyncio.run(_create(config, args.endpoint, args.ttl, args.user))
    link = code.link(config.server.public_url)
    if args.png is not None:
        try:
            with os.fdopen(os.open(args.png, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as picture:
                picture.write(qr_picture.png(link))
        except OSError as error:
            raise ConfigError(f"the picture can't be written ({error.strerror}): name another file") from None
    else:
        print(qr_picture.text(link))
    print(link)
    print(f"opens one upload to {code.row.endpoint_id} until {rfc3339(code.row.expires_at)}; qr_id {code.row.qr_id}")
    return 0


async def _create(config: Config, endpoint_id: str, ttl_s: int | None, user: str | None) -> QrCode:
    from gateway.assembly.base import open_base
    from gateway.assembly.gateway import open_qr
    from gateway.clock import SystemClock
    from gateway.identity.account_rules import Role
    from gateway.identity.accounts import Accounts
    from gateway.identity.principal import Principal
    from gateway.protocol.rest import QrWish

    async with open_base(config, SystemClock()) as base:
        accounts = await Accounts(base.ledger, base.keys, base.clock).all()
        able = [one for one in accounts if one.role in (Role.ISSUER, Role.ADMIN) and one.disabled_at is None]
        named = [one for one in able if user in (None, one.name)]
        if not named:
            raise ConfigError("no account may make QR codes: add one with `relaypacs user add NAME --role issuer`")
        issuer = min(named, key=lambda one: one.created_at)
        wish = QrWish(endpoint_id, ttl_s, "", None, None, {})
        return await open_qr(base).create(Principal(issuer.account_id, str(issuer.role)), wish)


def _duration(text: str) -> int:
    number, unit = (text[:-1], text[-1]) if text[-1:] in _SECONDS else (text, "s")
    if not number.isascii() or not number.isdigit() or not 0 < int(number) < 10**7:
        raise argparse.ArgumentTypeError("takes 90s, 15m, 2h or 3d")
    return int(number) * _SECONDS[unit]
