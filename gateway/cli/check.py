"""`relaypacs check`: reads the config, looks at every part, prints a table. Changes nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.cli.opening import configured

if TYPE_CHECKING:
    from gateway.assembly.site import Finding
    from gateway.config import Config


#: Keys of an endpoint that doesn't answer, by its kind.
_TO_CHECK = {
    "dicomweb": "its url, auth and ca_bundle",
    "dimse": "its host, port, called_aet and tls, and that it knows calling_aet",
    "folder": "its path, that it is there, and who may write there",
}
#: What an endpoint is asked for with `commitment = true`, by its kind.
_COMMITMENT = {
    "dicomweb": "PS3.18 chapter 13, POST /commitment-requests/{transactionUID}",
    "dimse": "Push Model, PS3.4 annex J",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `check` to the command's parser."""
    parser = subparsers.add_parser("check", help="try the config, the database, the spool, the keys, each endpoint")
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Try everything. :returns: 1 on any fault."""
    import json

    from gateway.assembly.site import Severity, findings
    from gateway.config import find_config_path

    config = configured(args)
    rows = [*findings(config, find_config_path(args.config, os.environ)), *_issuer(config), *_endpoints(config)]
    rows += _receivers(config)
    if args.json:
        print(
            json.dumps([{"part": one.part, "state": one.severity.lower(), "told": one.words} for one in rows], indent=2)
        )
    else:
        width = max(len(one.part) for one in rows)
        for one in rows:
            print(f"{one.part:<{width}}  {one.severity:<7}  {one.words}")
    return 1 if any(one.severity is Severity.FAULT for one in rows) else 0


def _issuer(config: Config) -> Iterator[Finding]:
    """Whether the OIDC issuer's keys can be had."""
    from gateway.assembly.site import Finding, Severity
    from gateway.identity.oidc import fetch_json

    oidc = config.oidc
    if not oidc.enabled:
        return
    try:
        told = fetch_json(f"{oidc.issuer}/.well-known/openid-configuration", oidc.timeout_s)
        fetch_json(told["jwks_uri"], oidc.timeout_s)
    except (OSError, ValueError, KeyError, TypeError):
        words = "its keys can't be had, nobody can log in by it: check auth.oidc.issuer, and that it is up"
        yield Finding("issuer", Severity.FAULT, words)
    else:
        yield Finding("issuer", Severity.OK, "its keys can be had")


def _receivers(config: Config) -> Iterator[Finding]:
    """Whether webhooks and the mail server can be reached; nothing is sent."""
    from gateway.assembly.site import Finding, Severity
    from gateway.assembly.telling import channels_of
    from gateway.assembly.upkeep import repository_of
    from gateway.errors import Unavailable
    from gateway.telling.messages import NotSent

    for number, channel in enumerate(channels_of(config), 1):
        part = f"webhook {number}" if channel.kind == "webhook" else channel.kind
        try:
            yield Finding(part, Severity.OK, channel.probe())
        except NotSent as error:
            words = f"{error.code}: messages will wait; check its address, its certificate and what it lets in"
            yield Finding(part, Severity.FAULT, words)
    if (repository := repository_of(config)) is not None:
        try:
            yield Finding("audit repository", Severity.OK, repository.probe())
        except Unavailable as error:
            words = f"{error.detail}: events will wait; check audit.repository, its certificate and ours"
            yield Finding("audit repository", Severity.FAULT, words)


def _endpoints(config: Config) -> Iterator[Finding]:
    from gateway.assembly.site import Finding, Severity
    from gateway.assembly.targets import make_target
    from hooks.contract import CommitmentRefused, LookupRefused, TargetError

    for name, endpoint in config.endpoints.items():
        target = make_target(endpoint, 1)
        try:
            yield Finding(f"endpoint {name}", Severity.OK, target.probe())
        except CommitmentRefused as error:
            words = (
                f"{error.code}: it has no storage commitment ({_COMMITMENT[endpoint.kind]}), or not for us: instances "
                f"get the warning not_committed; set endpoints.{name}.commitment = false"
            )
            yield Finding(f"endpoint {name}", Severity.FAULT, words)
        except LookupRefused as error:
            words = f"{error.code}: whose an upload is can't be checked, nor what arrived; check its url and page_size"
            yield Finding(f"endpoint {name}", Severity.FAULT, words)
        except TargetError as error:
            words = f"{error.code}: check {_TO_CHECK[endpoint.kind]}"
            yield Finding(f"endpoint {name}", Severity.FAULT, words)
        finally:
            target.close()
