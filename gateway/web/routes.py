"""The one table of routes: what there is, and who it opens to."""

from __future__ import annotations

from gateway.web import accounts, admin, events, files, ops, pwa, qr, rest
from gateway.web.api import calls, file_calls, served
from gateway.web.api.route import Route
from gateway.web.bearer import Opens

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

#: On the gateway's own port, or on one of its own.
METRICS = Route("GET", "/metrics", ops.metrics, frozenset({Opens.ADMIN, Opens.METRICS}), calls.METRICS)

ROUTES: tuple[Route, ...] = (
    Route("POST", "/auth/login", accounts.login, NOBODY_NEEDED, calls.LOGIN),
    Route("POST", "/auth/refresh", accounts.refresh, REFRESH, calls.REFRESH),
    Route("POST", "/auth/logout", accounts.logout, REFRESH_OR_ACCESS, calls.LOGOUT),
    Route("POST", "/auth/password", accounts.change_password, ACCESS_OR_PASSWORD, calls.PASSWORD),
    Route("GET", "/endpoints", accounts.endpoints, ACCESS, calls.ENDPOINTS),
    Route("GET", "/app/config", ops.app_config, NOBODY_NEEDED, calls.APP_CONFIG),
    Route("POST", "/upload/init", rest.init, ACCESS_OR_QR, calls.INIT),
    Route("PUT", f"{_UPLOAD}/chunk", rest.chunk, UPLOAD, calls.CHUNK),
    Route("POST", f"{_UPLOAD}/complete", rest.complete, UPLOAD, calls.COMPLETE),
    Route("GET", f"{_UPLOAD}/status", rest.status, UPLOAD_OR_ACCESS, calls.STATUS),
    Route("GET", f"{_UPLOAD}/files", rest.files, UPLOAD_OR_ACCESS, calls.FILES),
    Route("GET", f"{_UPLOAD}/events", events.events, UPLOAD_OR_ACCESS, calls.EVENTS),
    Route("POST", f"{_UPLOAD}/token", rest.renew, REFRESH_OR_ACCESS, calls.RENEW),
    Route("GET", f"{_UPLOAD}/receipt", rest.receipt, UPLOAD_OR_ACCESS, calls.RECEIPT),
    Route("DELETE", f"{_UPLOAD}/files/{{file_id:[^/]+}}", rest.remove_file, UPLOAD, calls.REMOVE_FILE),
    Route("DELETE", _UPLOAD, rest.cancel, UPLOAD_OR_ACCESS, calls.CANCEL),
    Route("OPTIONS", "/files/", files.options, NOBODY_NEEDED, file_calls.OPTIONS_ROOT),
    Route("POST", "/files/", files.create, UPLOAD_OR_ACCESS, file_calls.CREATE),
    Route("OPTIONS", "/files", files.options, NOBODY_NEEDED, file_calls.OPTIONS_BARE),
    Route("POST", "/files", files.create, UPLOAD_OR_ACCESS, file_calls.CREATE_BARE),
    Route("OPTIONS", _FILE, files.options, NOBODY_NEEDED, file_calls.OPTIONS_FILE),
    Route("HEAD", _FILE, files.head, UPLOAD_OR_ACCESS, file_calls.HEAD),
    Route("PATCH", _FILE, files.patch, UPLOAD_OR_ACCESS, file_calls.PATCH),
    Route("DELETE", _FILE, files.delete, UPLOAD_OR_ACCESS, file_calls.DELETE),
    Route("POST", _FILE, files.no_post, UPLOAD_OR_ACCESS, file_calls.POST),
    Route("GET", _FILE, files.get, UPLOAD_OR_ACCESS, file_calls.GET),
    Route("POST", "/qr", qr.create, ISSUER, calls.QR_CREATE),
    Route("GET", "/qr", qr.listing, ISSUER, calls.QR_LIST),
    Route("POST", "/qr/inspect", qr.inspect, QR, calls.QR_INSPECT),
    Route("DELETE", "/qr/{qr_id:[^/]+}", qr.revoke, ISSUER, calls.QR_REVOKE),
    Route("POST", "/admin/uploads/{upload_id:[^/]+}/qr", qr.reopen, ADMIN, calls.QR_REOPEN),
    Route("GET", "/healthz", ops.healthz, NOBODY_NEEDED, calls.HEALTHZ),
    Route("GET", "/readyz", ops.readyz, NOBODY_NEEDED, calls.READYZ),
    METRICS,
    Route("GET", "/.well-known/jwks.json", ops.jwks, NOBODY_NEEDED, calls.JWKS),
    Route("GET", "/admin/uploads", admin.uploads, ADMIN, calls.ADMIN_UPLOADS),
    Route("POST", "/admin/uploads/find", admin.find, ADMIN, calls.ADMIN_FIND),
    Route("GET", "/admin/uploads/{upload_id:[^/]+}", admin.upload, ADMIN, calls.ADMIN_UPLOAD),
    Route("GET", "/admin/endpoints", admin.endpoints, ADMIN, calls.ADMIN_ENDPOINTS),
    Route("GET", "/admin/audit", admin.audit, ADMIN, calls.ADMIN_AUDIT),
    Route("POST", "/admin/uploads/{upload_id:[^/]+}/reveal", admin.reveal, ADMIN, calls.REVEAL),
    Route("POST", "/admin/uploads/{upload_id:[^/]+}/release", ops.release, ADMIN, calls.RELEASE),
    Route("POST", "/admin/uploads/{upload_id:[^/]+}/retry", ops.retry, ADMIN, calls.RETRY),
    Route("POST", "/admin/uploads/{upload_id:[^/]+}/drop", ops.drop, ADMIN, calls.DROP),
    Route("GET", "/openapi.json", served.openapi, NOBODY_NEEDED, calls.OPENAPI),
    Route("GET", "/docs", served.docs, NOBODY_NEEDED, calls.DOCS),
    Route("GET", "/", pwa.shell, NOBODY_NEEDED, calls.SHELL),
    Route("GET", "/assets/{name}", pwa.asset, NOBODY_NEEDED, calls.asset("app_asset", *calls.ASSETS)),
    Route("GET", "/icons/{name}", pwa.asset, NOBODY_NEEDED, calls.asset("app_icon", "image/png", "image/svg+xml")),
    Route("GET", "/sw.js", pwa.asset, NOBODY_NEEDED, calls.asset("app_worker", "text/javascript")),
    Route(
        "GET",
        "/manifest.webmanifest",
        pwa.asset,
        NOBODY_NEEDED,
        calls.asset("app_manifest", "application/manifest+json"),
    ),
)
