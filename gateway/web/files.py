"""`/files/`: which of the two protocols a request speaks (CONTRACT 2.3, 2.4). They may alternate on one file."""

from __future__ import annotations

from collections.abc import Awaitable

from aiohttp import hdrs, web

from gateway.errors import MethodNotAllowed
from gateway.protocol import ietf as draft
from gateway.protocol import tus as protocol
from gateway.web import ietf, tus
from gateway.web.errors import Handler
from gateway.web.services import services

#: Requests of the draft that need not say so: without a version of tus they can mean nothing else.
_UNMARKED = (hdrs.METH_HEAD, hdrs.METH_DELETE)


def either(tus_handler: Handler, ietf_handler: Handler) -> Handler:
    """The handler of the protocol that is spoken."""

    def act(request: web.Request) -> Awaitable[web.StreamResponse]:
        told = draft.spoken(request.headers)
        unmarked = request.method in _UNMARKED and "Tus-Resumable" not in request.headers
        return (ietf_handler if told or unmarked else tus_handler)(request)

    return act


async def options(request: web.Request) -> web.StreamResponse:
    """OPTIONS: what is spoken here."""
    max_size = services(request).max_file_size
    limit = draft.limits(draft.version_of(request.headers), max_size)
    return web.Response(status=204, headers=protocol.options_headers(max_size) | {"Upload-Limit": limit})


create = either(tus.create, ietf.create)
head = either(tus.head, ietf.look)
patch = either(tus.patch, ietf.append)
delete = either(tus.delete, ietf.delete)


async def no_post(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 - the shape of a handler
    """POST to a file, which names no other method by `X-HTTP-Method-Override`."""
    raise MethodNotAllowed("POST isn't offered here", allow="OPTIONS, HEAD, PATCH, DELETE")


async def get(request: web.Request) -> web.StreamResponse:
    """GET: the gateway only takes in; the newest drafts ask for the offset with it, too."""
    if draft.spoken(request.headers) and draft.version_of(request.headers).get:
        return await ietf.look(request)
    raise MethodNotAllowed("the gateway only takes in", allow="OPTIONS, HEAD, PATCH, DELETE")
