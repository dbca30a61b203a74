"""`GET /openapi.json` and `GET /docs`: the description, for programs and for people. They open to everybody, so they are
made once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from html import escape

from aiohttp import web

from gateway import __version__
from gateway.web.addresses import base_url
from gateway.web.api import page
from gateway.web.api.document import document
from gateway.web.api.route import Route

#: Stands where the address goes that the client which asks can reach us at.
_HERE = "https://here.invalid"


class Description:
    """Of these routes. What is made of them is made when it is first asked for."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    @cached_property
    def _json(self) -> str:
        return json.dumps(document(self._routes, version=__version__, address=_HERE))

    @cached_property
    def _html(self) -> str:
        return page.of(json.loads(self._json))

    def json(self, address: str) -> str:
        """OpenAPI 3.1."""
        return self._json.replace(_HERE, json.dumps(address)[1:-1])

    def html(self, address: str) -> str:
        """A page."""
        return self._html.replace(_HERE, escape(address))


DESCRIPTION: web.AppKey[Description] = web.AppKey("description", Description)


async def openapi(request: web.Request) -> web.StreamResponse:
    """`GET /openapi.json`; its server is this gateway as the client that asks can reach it."""
    told = request.app[DESCRIPTION].json(base_url(request))
    return web.json_response(text=told, headers={"Cache-Control": "no-cache"})


async def docs(request: web.Request) -> web.StreamResponse:
    """`GET /docs`: the same as a page, without a script."""
    told = request.app[DESCRIPTION].html(base_url(request))
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": page.POLICY}
    return web.Response(text=told, content_type="text/html", charset="utf-8", headers=headers)
