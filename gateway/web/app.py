"""The application: routes, and what every answer has in common."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from random import getrandbits

from aiohttp import hdrs, web

from gateway.errors import MethodNotAllowed, NotFound, Unavailable
from gateway.fair import CLIENT
from gateway.protocol.headers import single
from gateway.web import access_log, observed
from gateway.web.addresses import client_of, is_secure, public_path
from gateway.web.api.operation import OPERATION
from gateway.web.api.route import Route
from gateway.web.api.served import DESCRIPTION, Description
from gateway.web.bearer import admitted
from gateway.web.body import check_codings, keep_silent
from gateway.web.errors import Handler, answered
from gateway.web.routes import METRICS, NOBODY_NEEDED, ROUTES
from gateway.web.services import ALSO, PRINCIPAL, REQUEST_ID, SERVICES, Services, bind, services

#: (canonical path, method) -> handler.
_BY_METHOD: web.AppKey[dict[tuple[str, str], Handler]] = web.AppKey("by_method", dict)

_REQUEST_ID = re.compile(r"[0-9a-f-]{16,64}")  # no room for a name
#: Of every answer, the parser's too.
COMMON_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Server": "RelayPACS",  # else it would name the version of Python
}
_ALLOW_METHODS = "POST, PUT, HEAD, PATCH, DELETE, OPTIONS, GET"
_ALLOW_HEADERS = (
    "Authorization, Content-Type, Tus-Resumable, Upload-Length, Upload-Offset, Upload-Metadata, Upload-Defer-Length, "
    "Upload-Concat, Upload-Checksum, X-HTTP-Method-Override, X-Request-ID, Idempotency-Key, Prefer, Upload-Complete, "
    "Upload-Incomplete, Upload-Draft-Interop-Version, Content-Disposition, Repr-Digest, Content-Digest, Want-Repr-Digest"
)
_EXPOSE_HEADERS = (
    "Location, Upload-Offset, Upload-Length, Upload-Metadata, Upload-Expires, Upload-Defer-Length, Upload-Concat, "
    "Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, Upload-Limit, Upload-Complete, "
    "Upload-Incomplete, Upload-Draft-Interop-Version, Retry-After, Preference-Applied, Repr-Digest, WWW-Authenticate, "
    "X-Request-ID"
)


def create_app(everything: Services) -> web.Application:
    """The application over its services; used alike by the command and by tests."""
    return _app(everything, [route for route in ROUTES if not (everything.metrics_apart and route is METRICS)])


def create_metrics_app(everything: Services) -> web.Application:
    """For a port of its own: `GET /metrics` alone; without a token in the configuration for whoever reaches it."""
    opens = METRICS.opens if everything.metrics_token is not None else NOBODY_NEEDED
    return _app(everything, [replace(METRICS, opens=opens)])


def _app(everything: Services, routes: Sequence[Route]) -> web.Application:
    # Bodies are streamed and counted by those who read them: aiohttp's own limit would bound nothing.
    app = web.Application(middlewares=[_envelope])
    app[SERVICES] = everything
    app.on_response_prepare.append(_dress_stream)
    app[DESCRIPTION] = Description(routes)
    by_method: dict[tuple[str, str], Handler] = {}
    have_their_own = {route.path for route in routes if route.method == hdrs.METH_HEAD}
    prefixes = dict.fromkeys(("", public_path(everything)))
    for route in routes:
        methods = [route.method]
        if route.method == hdrs.METH_GET and route.path not in have_their_own:
            methods.append(hdrs.METH_HEAD)  # RFC 9110 9.1: as GET, without its content
        for method in methods:
            handler = guarded(route)
            for prefix in prefixes:
                added = app.router.add_route(method, prefix + route.path, handler, expect_handler=keep_silent)
                if added.resource is not None:
                    by_method[added.resource.canonical, method] = handler
    app[_BY_METHOD] = by_method
    return app


def guarded(route: Route) -> Handler:
    """The handler behind its door."""

    async def behind(request: web.Request) -> web.StreamResponse:
        request[OPERATION] = route.does
        await admitted(request, route.opens)
        check_codings(request)
        client = client_of(request)
        CLIENT.set(client)
        if PRINCIPAL not in request:  # its connections are bounded
            return await route.handler(request)
        with services(request).pace.one_more(client):
            return await route.handler(request)

    return behind


@web.middleware
async def _envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Request id, errors, common headers and one line of log for every request."""
    given = request.headers.get("X-Request-ID", "")
    request[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else f"{getrandbits(64):016x}"
    begun = time.perf_counter()
    with bind(request).in_flight:
        response = await answered(request, _chosen(handler), request[REQUEST_ID])
    if not response.prepared:
        _dress(request, response)
    access_log.note(request, response, round((time.perf_counter() - begun) * 1000))
    observed.note(request, response)
    return response


def _chosen(handler: Handler) -> Handler:
    """The handler, or what takes its place."""

    def act(request: web.Request) -> Awaitable[web.StreamResponse]:
        return _unless_draining(request, handler)(request)

    return act


def _unless_draining(request: web.Request, handler: Handler) -> Handler:
    async def refuse(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 - the shape of a handler
        raise Unavailable("the gateway is stopping", code="draining", retry_after_s=5)

    if services(request).draining:
        return refuse
    if request.method == hdrs.METH_OPTIONS and not _speaks_tus(request):
        return _options
    return _overridden(request) or handler


def _overridden(request: web.Request) -> Handler | None:
    """What a POST to `/files/` means that names another method (tus, Core: the actual method is ignored).

    :raises MethodNotAllowed: that method isn't offered there.
    """
    resource = request.match_info.route.resource
    by_method = request.app[_BY_METHOD]
    if request.method != hdrs.METH_POST or resource is None or (resource.canonical, hdrs.METH_OPTIONS) not in by_method:
        return None
    meant = single(request.headers, "X-HTTP-Method-Override")
    if meant is None:
        return None
    found = by_method.get((resource.canonical, meant.upper()))
    if found is None:
        allowed = ", ".join(sorted(method for path, method in by_method if path == resource.canonical))
        raise MethodNotAllowed("this method isn't offered here", allow=allowed)
    return found


def _speaks_tus(request: web.Request) -> bool:
    return request.path.removeprefix(public_path(services(request))).startswith("/files")


async def _options(request: web.Request) -> web.StreamResponse:
    """OPTIONS of what speaks no tus: the methods that are there; a page's browser asks before the page does."""
    missed = request.match_info.http_exception
    if isinstance(missed, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(missed.allowed_methods | {hdrs.METH_OPTIONS}))
        return web.Response(status=204, headers={hdrs.ALLOW: allowed})
    raise NotFound("there is no such resource")


async def _dress_stream(request: web.Request, response: web.StreamResponse) -> None:
    """A stream begins inside its handler: it is dressed then, or never."""
    if not isinstance(response, web.Response) and REQUEST_ID in request:
        _dress(request, response)


def _dress(request: web.Request, response: web.StreamResponse) -> None:
    headers = response.headers
    for name, value in COMMON_HEADERS.items():
        headers.setdefault(name, value)
    headers["X-Request-ID"] = request[REQUEST_ID]
    for name, value in request.get(ALSO, {}).items():
        headers.setdefault(name, value)
    if _speaks_tus(request):
        headers["Tus-Resumable"] = "1.0.0"
    if is_secure(request):
        headers["Strict-Transport-Security"] = "max-age=31536000"
    if services(request).draining or not request.content.is_eof():
        # A proxy that used this line again would have another's request taken for the rest of this body; and who waits
        # for leave to send may send or not: nobody could tell what comes next (RFC 9112 9.3).
        response.force_close()
    _cors(request, response)


def _cors(request: web.Request, response: web.StreamResponse) -> None:
    origins = services(request).cors_origins
    if not origins:
        return
    response.headers.add(hdrs.VARY, "Origin")
    if request.headers.get(hdrs.ORIGIN) not in origins:
        return
    response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
    response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSE_HEADERS
    if request.method == hdrs.METH_OPTIONS:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = _ALLOW_METHODS
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = _ALLOW_HEADERS
        response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = "86400"
