"""What handlers may call, under typed keys of the application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from aiohttp import web

from gateway.audit.events import Refusals
from gateway.clock import Clock
from gateway.fair import FairTurns
from gateway.identity.accounts import Accounts
from gateway.identity.oidc_accounts import ForeignAccounts
from gateway.identity.principal import Principal
from gateway.identity.tokens import TokenMint
from gateway.identity.wipe import Wiping
from gateway.ledger.base import Ledger
from gateway.telling.metrics import Metrics
from gateway.uploads.administration import Administration
from gateway.uploads.chunks import Chunks
from gateway.uploads.destinations import Destinations
from gateway.uploads.qr import QrSessions
from gateway.uploads.submissions import Submissions
from gateway.uploads.tail import Files
from gateway.uploads.views import Views
from gateway.web.connections import ConnectionLimits
from gateway.web.pace import RefusalPace
from gateway.web.shares import Shares

AdminAct = Callable[[str, str, str], Awaitable[None]]


class InFlight:
    """Requests that are being answered."""

    def __init__(self) -> None:
        self._count = 0
        self.none = asyncio.Event()
        self.none.set()

    def __enter__(self) -> None:
        self._count += 1
        self.none.clear()

    def __exit__(self, *_error: object) -> None:
        self._count -= 1
        if not self._count:
            self.none.set()


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the faces.

    :param endpoints: what `GET /endpoints` tells of each, by endpoint_id.
    :param endpoint_states: endpoint_id -> a short word on how its delivery fares.
    :param probes: name -> a question that raises where the part doesn't work; for `readyz`.
    :param app_terms: what `GET /app/config` tells.
    :param scrape: `Accept` -> the answer of `GET /metrics` and its Content-Type.
    :param release, retry: acts of an admin on (upload_id, actor, reason).
    """

    clock: Clock
    ledger: Ledger
    mint: TokenMint
    accounts: Accounts
    uploads: Files
    chunks: Chunks
    submissions: Submissions
    qr: QrSessions
    public_url: str  #: empty: only the socket knows its port, and requests say how they came here
    hosts: (
        tuple[str, ...] | None
    )  #: names beside it under which clients may ask; None: nobody said, every name is taken
    records: Views
    endpoints: Mapping[str, Mapping[str, Any]]
    destinations: Destinations
    endpoint_states: Callable[[], Mapping[str, str]]
    jwks: Callable[[], Awaitable[Mapping[str, Any]]]
    probes: Mapping[str, Callable[[], Awaitable[None]]]
    metrics: Metrics
    scrape: Callable[[str], Awaitable[tuple[bytes, str]]]
    release: AdminAct
    retry: AdminAct
    refusals: Refusals
    administration: Administration
    wiping: Wiping
    app_terms: Mapping[str, Any]
    max_file_size: int
    chunk_size: int
    json_timeout_s: float = 10.0
    room_again_s: float = 60.0  #: after which somebody asks again for room in a full spool
    metrics_token: bytes | None = None  #: opens `GET /metrics`, and nothing else
    metrics_apart: bool = False  #: they have a port of their own
    #: Large JSON bodies are parsed one at a time.
    parsing: FairTurns = field(default_factory=lambda: FairTurns(1, waiting=64))
    pace: RefusalPace = field(default_factory=RefusalPace)
    shares: Shares = field(default_factory=lambda: Shares(64 << 20))
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    oidc: ForeignAccounts | None = None
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    proxies_pass_interim: bool = False
    draining: list[bool] = field(default_factory=list)  #: not empty: no new request is taken
    in_flight: InFlight = field(default_factory=InFlight)


SERVICES: web.AppKey[Services] = web.AppKey("services", Services)
REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
PRINCIPAL: web.RequestKey[Principal] = web.RequestKey("principal", Principal)
#: The code of the problem that a request is answered with.
PROBLEM_CODE: web.RequestKey[str] = web.RequestKey("problem_code", str)
#: The upload that the request opened or is about, where neither token nor path names it; for the log.
ABOUT_UPLOAD: web.RequestKey[str] = web.RequestKey("about_upload", str)
#: When the signed token ends, unix seconds.
EXPIRES_AT: web.RequestKey[float] = web.RequestKey("expires_at", float)
SESSION_ID: web.RequestKey[str] = web.RequestKey("session_id", str)
#: Keyed name of the account that a login is for.
CLAIMED: web.RequestKey[str] = web.RequestKey("claimed", str)
#: Headers of the answer, whatever that will be.
ALSO: web.RequestKey[dict[str, str]] = web.RequestKey("also", dict)
_BOUND: web.RequestKey[Services] = web.RequestKey("services", Services)
RAW_TOKEN: web.RequestKey[str] = web.RequestKey("raw_token", str)


def services(request: web.Request) -> Services:
    """The services of the application that a request came to, from `bind` on: one request asks for them thirty times."""
    return request[_BOUND]


def bind(request: web.Request) -> Services:
    """As `services`, where a request begins."""
    everything = request[_BOUND] = request.app[SERVICES]
    return everything
