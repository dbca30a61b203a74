"""The one table of routes: what there is, who it opens to, and what is refused by name until it is built."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from gateway.errors import NotBuilt
from gateway.web import accounts, admin, events, files, ops, pwa, qr, rest
from gateway.web.bearer import Opens
from gateway.web.errors import Handler

NOBODY_NEEDED = frozenset({Opens.NONE})
ACCESS = frozenset({Opens.ACCESS})
UPLOAD = frozenset({Opens.UPLOAD})
UPLOAD_OR_ACCESS = frozenset({Opens.UPLOAD, Opens.ACCESS})
REFRESH = frozenset({Opens.REFRESH})
REFRESH_OR_ACCESS = frozenset({Opens.REFRESH, Opens.ACCESS})
ISSUER = frozenset({Opens.ISSUER})
ADMIN = frozenset({Opens.ADMIN})
QR = frozenset({Opens.QR})
ACCESS_OR_PASSWORD = frozenset({Opens.ACCESS, Opens.PASSWORD})
ACCESS_OR_QR = frozenset({Opens.ACCESS, Opens.QR})

#: Ids of ours; what has another form isn't there.
_UPLOAD = "/upload/{upload_id:[^/]+}"
_FILE = "/files/{file_id:[^/]+}"


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table."""

    method: str
    path: str
    handler: Handler
    opens: frozenset[Opens]


ROUTES: tuple[Route, ...] = (
    Route("POST", "/auth/login", accounts.login, NOBODY_NEEDED),
    Route("POST", "/auth/refresh", accounts.refresh, REFRESH),
    Route("POST", "/auth/logout", accounts.logout, REFRESH_OR_ACCESS),
    Route("POST", "/auth/password", accounts.change_password, ACCESS_OR_PASSWORD),
    Route("GET", "/endpoints", accounts.endpoints, ACCESS),
    Route("GET", "/app/config", ops.app_config, NOBODY_NEEDED),
    Route("POST", "/upload/init", rest.init, ACCESS_OR_QR),
    Route("PUT", f"{_UPLOAD}/chunk", rest.chunk, UPLOAD),
    Route("POST", f"{_UPLOAD}/complete", rest.complete, UPLOAD),
    Route("GET", f"{_UPLOAD}/status", rest.status, UPLOAD_OR_ACCESS),
    Route("GET", f"{_UPLOAD}/files", rest.files, UPLOAD_OR_ACCESS),
    Route("GET", f"{_UPLOAD}/events", events.events, UPLOAD_OR_ACCESS),
    Route("POST", f"{_UPLOAD}/token", rest.renew, REFRESH_OR_ACCESS),
    Route("GET", f"{_UPLOAD}/receipt", rest.receipt, UPLOAD_OR_ACCESS),
    Route("DELETE", f"{_UPLOAD}/files/{{file_id:[^/]+}}", rest.remove_file, UPLOAD),
    Route("DELETE", _UPLOAD, rest.cancel, UPLOAD_OR_ACCESS),
    Route("OPTIONS", "/files/", files.options, NOBODY_NEEDED),
    Route("POST", "/files/", files.create, UPLOAD_OR_ACCESS),
    Route("OPTIONS", "/files", files.options, NOBODY_NEEDED),
    Route("POST", "/files", files.create, UPLOAD_OR_ACCESS),
    Route("OPTIONS", _FILE, files.options, NOBODY_NEEDED),
    Route("HEAD", _FILE, files.head, UPLOAD_OR_ACCESS),
    Route("PATCH", _FILE, files.patch, UPLOAD_OR_ACCESS),
    Route("DELETE", _FILE, files.delete, UPLOAD_OR_ACCESS),
    Route("POST", _FILE, files.no_post, UPLOAD_OR_ACCESS),
    Route("GET", _FILE, files.get, UPLOAD_OR_ACCESS),
    Route("POST", "/qr", qr.create, ISSUER),
    Route("GET", "/qr", qr.listing, ISSUER),
    Route("POST", "/qr/inspect", qr.inspect, QR),
    Route("DELETE", "/qr/{qr_id:[^/]+}", qr.revoke, ISSUER),
    Route("POST", "/admin/uploads/{upload_id:[^/]+}/qr", qr.reopen, ADMIN),
    Route("GET", "/healthz", ops.healthz, NOBODY_NEEDED),
    Route("GET", "/readyz", ops.readyz, NOBODY_NEEDED),
    Route("GET", "/.well-known/jwks.json", ops.jwks, NOBODY_NEEDED),
    Route("GET", "/admin/uploads", admin.uploads, ADMIN),
    Route("POST", "/admin/uploads/find", admin.find, ADMIN),
    Route("GET", "/admin/uploads/{upload_id:[^/]+}", admin.upload, ADMIN),
    Route("GET", "/admin/endpoints", admin.endpoints, ADMIN),
    Route("GET", "/admin/audit", admin.audit, ADMIN),
    Route("POST", "/admin/uploads/{upload_id:[^/]+}/reveal", admin.reveal, ADMIN),
    Route("POST", "/admin/uploads/{upload_id:[^/]+}/release", ops.release, ADMIN),
    Route("POST", "/admin/uploads/{upload_id:[^/]+}/retry", ops.retry, ADMIN),
    Route("POST", "/admin/uploads/{upload_id:[^/]+}/drop", ops.drop, ADMIN),
    Route("GET", "/", pwa.shell, NOBODY_NEEDED),
    Route("GET", "/assets/{name}", pwa.asset, NOBODY_NEEDED),
    Route("GET", "/icons/{name}", pwa.asset, NOBODY_NEEDED),
    Route("GET", "/sw.js", pwa.asset, NOBODY_NEEDED),
    Route("GET", "/manifest.webmanifest", pwa.asset, NOBODY_NEEDED),
)

#: Named in the contract, not built yet: refused by name.
NOT_BUILT: tuple[tuple[str, str, str], ...] = (
    ("GET", "/metrics", "metrics"),
    ("GET", "/openapi.json", "the OpenAPI description"),
    ("GET", "/docs", "the API's documentation page"),
)


def not_built(what: str) -> Handler:
    """A handler that refuses by name."""

    async def refuse(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 - the shape of a handler
        raise NotBuilt(f"{what}: not built yet")

    return refuse
