"""`relaypacs demo --lan`: what a phone on the same network needs beside the demo itself."""

from __future__ import annotations

import argparse
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.demo.local_ca import Address, Authority
    from gateway.demo.trust_page import Offer


@dataclass(frozen=True, slots=True)
class Lan:
    """The demo on the local network: where, and who vouches for it."""

    host: Address
    others: tuple[Address, ...]  #: addresses that it doesn't listen on
    authority: Authority
    is_new: bool  #: phones have to trust it first
    certificate: Path  #: PEM with the server's key and certificate
    authority_certificate: Path  #: PEM

    def offer(self, app_url: str) -> Offer:
        """What phones get at the plain-HTTP address."""
        from gateway.demo.trust_page import Offer

        return Offer(self.authority.name, self.authority.fingerprint, self.authority.der, app_url)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--lan` and what goes with it."""
    parser.add_argument(
        "--lan", action="store_true", help="for phones on the local network: HTTPS with a certificate made on the spot"
    )
    parser.add_argument(
        "--host", type=_address, metavar="ADDRESS", help="with --lan: the address to listen on, where there are several"
    )
    parser.add_argument(
        "--ca-port",
        type=int,
        metavar="N",
        help="with --lan: port of the page that hands out the certificate (default: the one after --port)",
    )


def open_lan(args: argparse.Namespace, root: Path, clock: Clock) -> Lan | None:
    """The authority of this folder and a fresh certificate for this machine; nothing without `--lan`.

    :raises ConfigError: there is no address that a phone could reach, or the authority can't be read.
    """
    from datetime import UTC, datetime

    from gateway.demo.lan import hostnames, lan_addresses
    from gateway.demo.local_ca import UnusableAuthority, open_authority, write_private

    if not args.lan:
        if args.host is not None or args.ca_port is not None:
            raise ConfigError("--host and --ca-port go with --lan: the plain demo stays on this machine")
        return None
    found = lan_addresses()
    host = args.host or next(iter(found), None)
    if host is None:
        raise ConfigError(
            "this machine has no address that a phone could reach: connect it to a network, or name one with --host"
        )
    if not _is_ours(host):
        ours = ", ".join(map(str, found)) or "none was found"
        raise ConfigError(f"--host {host} is no address of this machine: name one of its own ({ours})")
    hosts, now = hostnames(socket.gethostname()), datetime.fromtimestamp(clock.now(), UTC)
    try:
        authority, is_new = open_authority(root / "ca.pem", hosts, host, now)
    except UnusableAuthority:
        raise ConfigError(f"{root / 'ca.pem'} is damaged: delete it, and let phones trust the new one") from None
    certificate, public = root / "server.pem", root / "ca.crt"
    addresses = dict.fromkeys((host, *found, IPv4Address("127.0.0.1")))
    write_private(certificate, authority.issue(hosts, addresses, now))
    public.write_bytes(authority.pem)
    return Lan(host, tuple(one for one in found if one != host), authority, is_new, certificate, public)


def _is_ours(host: Address) -> bool:
    family = socket.AF_INET6 if host.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trying:
        try:
            trying.bind((str(host), 0))
        except OSError:
            return False
    return not (host.is_unspecified or host.is_multicast)


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError:
        raise argparse.ArgumentTypeError("takes an IP address of this machine, like 192.168.1.20") from None


def instructions(lan: Lan, page_url: str) -> str:
    """How a phone gets there, with the page's address as a QR code."""
    from gateway.web import qr_picture

    trusted = "phones have to trust it first" if lan.is_new else "phones that trusted it before go straight to the app"
    others, digest = ", ".join(map(str, lan.others)), lan.authority.fingerprint
    said = [
        f"  on a phone  {page_url}   (its certificate, and how to trust it; plain HTTP, nothing else is there)",
        f"  authority   {lan.authority.name}: {trusted}",
        f"  SHA-256     {digest[:48]}",
        f"              {digest[48:]}",
        *([f"  not on      {others}   (--host chooses another address)"] if lan.others else []),
        "",
        "This is for trying out on a network that you trust, not for patients' data. Scan with the phone's camera:",
        "",
        qr_picture.text(page_url),
    ]
    return "\n".join(said)
