"""One line for each request: who to look for when somebody complains, and nothing that a client said.

`code` is the problem's, `upload` and `account` are ids of ours, `bytes` is what came of the body. Healthy answers are
`info`, those of probes `debug`; what the gateway couldn't do is `warning`, what nobody foresaw `error`.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from ipaddress import ip_address

from aiohttp import web

from gateway.web.addresses import client_address
from gateway.web.services import ABOUT_UPLOAD, PRINCIPAL, PROBLEM_CODE, REQUEST_ID

log = logging.getLogger("relaypacs.access")

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
#: Ids of ours: nothing else of a path may be in a log.
_OURS = re.compile(r"[0-9a-f]{16,64}")
#: Whose answers give away an id that isn't the caller's.
_NOT_ADMITTED = frozenset({401, 403, 404})


def note(request: web.Request, response: web.StreamResponse, ms: int) -> None:
    """Write the line of a request that was answered."""
    route = route_of(request) or "-"
    log.log(
        _level(route, response.status),
        "method=%s route=%s status=%d code=%s upload=%s account=%s address=%s bytes=%d ms=%d request_id=%s",
        request.method if request.method.isalpha() else "?",
        route,
        response.status,
        request.get(PROBLEM_CODE, "-"),
        _upload(request, response.status),
        _account(request),
        _address(request),
        getattr(request.content, "total_bytes", 0),
        ms,
        request[REQUEST_ID],
    )


def route_of(request: web.Request) -> str:
    """The pattern of the request's route; empty: there is no such."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _level(route: str, status: int) -> int:
    if status == 500:
        return logging.ERROR
    if status > 500 and status != 501:
        return logging.WARNING
    return logging.DEBUG if route in PROBES and status == 200 else logging.INFO


def _upload(request: web.Request, status: int) -> str:
    who = request.get(PRINCIPAL)
    if who is not None and who.upload_id is not None:
        return str(who.upload_id)
    if (about := request.get(ABOUT_UPLOAD)) is not None:
        return str(about)
    named = request.match_info.get("upload_id", "")
    return named if status not in _NOT_ADMITTED and _OURS.fullmatch(named) else "-"


def _account(request: web.Request) -> str:
    who = request.get(PRINCIPAL)
    return "-" if who is None else str(who.account_id)


def _address(request: web.Request) -> str:
    return _written(client_address(request))


@lru_cache(maxsize=4096)
def _written(address: str) -> str:
    try:
        return str(ip_address(address))  # a proxy passes on what it was told
    except ValueError:
        return "-"
