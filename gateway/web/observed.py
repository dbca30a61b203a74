"""What the metrics hear of each request: its route, how it was answered, how much came."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from gateway.web.access_log import route_of
from gateway.web.services import services

#: How a login is answered -> what the metrics call that.
_LOGINS: Mapping[int, str] = {200: "success", 401: "failed", 429: "refused"}


def note(request: web.Request, response: web.StreamResponse) -> None:
    """Count a request that was answered."""
    metrics, route = services(request).metrics, route_of(request)
    metrics.answered(route, request.method, response.status, getattr(request.content, "total_bytes", 0))
    if route.endswith("/auth/login") and response.status in _LOGINS:
        metrics.login(_LOGINS[response.status])
