"""What keys mean together: the checks that no single value can make, and the values that follow from others."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from urllib.parse import urlsplit

from gateway.config.endpoint_checks import check_endpoint, check_reports
from gateway.config.endpoints import EndpointSection
from gateway.config.kinds import KIB, MIB, is_loopback
from gateway.config.model import Config, OidcSection, ServerSection
from gateway.config.routes import RouteSection
from gateway.config.telling_checks import check_audit, check_metrics, check_receivers
from gateway.errors import ConfigError

_ROLES = frozenset({"uploader", "issuer", "admin"})


def settle(config: Config, *, given: frozenset[str]) -> Config:
    """`config` checked and completed.

    :param given: dotted names of the keys that were set; what wasn't may give way.
    :raises ConfigError: naming the key and what to do.
    """
    _check_server(config.server)
    _check_addresses(config)
    _check_sizes(config)
    _check_oidc(config.oidc)
    check_metrics(config)
    check_audit(config)
    check_reports(config.dimse)
    server = config.server
    if not server.public_url:
        made = server.public_url_for(server.port) if server.port else ""
        server = replace(server, public_url=made, public_url_is_made=True)
    uploads, tokens = config.uploads, config.tokens
    uploads = replace(uploads, max_file_size_bytes=min(uploads.max_file_size_bytes, uploads.max_upload_size_bytes))
    if tokens.qr_ttl_s > tokens.qr_max_ttl_s:
        if "tokens.qr_ttl" in given:
            raise ConfigError("tokens.qr_ttl: is longer than tokens.qr_max_ttl: shorten it, or raise that")
        tokens = replace(tokens, qr_ttl_s=tokens.qr_max_ttl_s)
    endpoints = _with_default(config)
    for endpoint in endpoints.values():
        check_endpoint(endpoint, config)
    check_receivers(config)
    routes = tuple(_checked_route(config, number, route) for number, route in enumerate(config.routes, 1))
    return replace(
        config, server=server, uploads=uploads, tokens=tokens, endpoints=MappingProxyType(endpoints), routes=routes
    )


def _check_server(server: ServerSection) -> None:
    if server.workers > 1:
        raise ConfigError("server.workers: more than 1 needs PostgreSQL, which is not built yet: set it to 1")
    if bool(server.tls_cert) != bool(server.tls_key):
        missing = "tls_key" if server.tls_cert else "tls_cert"
        raise ConfigError(f"server.{missing}: is missing: tls_cert and tls_key go together")
    if not (server.tls_cert or server.trusted_proxies or is_loopback(server.host)):
        raise ConfigError(
            "server.host: plain HTTP off loopback is refused: set tls_cert and tls_key, name the TLS proxy in front "
            "in trusted_proxies, or listen on 127.0.0.1"
        )


def _check_addresses(config: Config) -> None:
    for where, url, scheme, not_built in (
        ("database.url", config.database.url, "sqlite", {"postgresql": "postgresql://", "postgres": "postgres://"}),
        ("spool.url", config.spool.url, "file", {"s3": "s3://"}),
    ):
        found = url.partition(":")[0].lower()
        if found in not_built:
            raise ConfigError(f"{where}: {not_built[found]} is not built yet: use {scheme}:/// and an absolute path")
        parts = urlsplit(url) if url.startswith(f"{scheme}://") else None
        if parts is None or parts.netloc or parts.query or parts.fragment or not parts.path.strip("/"):
            raise ConfigError(f"{where}: takes {scheme}:/// and an absolute path")
        if parts.path.strip("/") == ":memory:":
            raise ConfigError(f"{where}: must be a file: what is acknowledged has to outlive the process")


def _check_sizes(config: Config) -> None:
    if not KIB <= config.uploads.chunk_size_bytes <= 64 * MIB:
        raise ConfigError('uploads.chunk_size: takes "1KiB" to "64MiB"')
    if len(config.tokens.secret.reveal().encode()) < 16:
        raise ConfigError(
            "tokens.secret: must have at least 16 bytes: make one with `relaypacs keys new`, and keep it out of this file"
        )
    former = config.tokens.previous_secret
    if former is not None and len(former.reveal().encode()) < 16:
        raise ConfigError(
            "tokens.previous_secret: must have at least 16 bytes: it is the former tokens.secret, or nothing"
        )


def _check_oidc(oidc: OidcSection) -> None:
    if not oidc.enabled:
        if oidc.audience or oidc.roles:
            raise ConfigError("auth.oidc.issuer: is missing: name the issuer, or take the table out")
        return
    parts = urlsplit(oidc.issuer)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ConfigError("auth.oidc.issuer: must begin with https://: its keys say who may log in")
    if not oidc.audience:
        raise ConfigError("auth.oidc.audience: is missing: a token for somebody else would be taken without it")
    if not oidc.roles or not set(oidc.roles.values()) <= _ROLES:
        raise ConfigError('auth.oidc.roles: takes { "theirs" = "uploader" }, with uploader, issuer or admin as ours')


def _checked_route(config: Config, number: int, route: RouteSection) -> RouteSection:
    """The route, with those that are required. :raises ConfigError: it names what isn't there, or says two things."""
    where = f"routes.{number}"
    if not route.to:
        raise ConfigError(f"{where}.to: names no endpoint: name one")
    for name, endpoints in (("to", route.to), ("required", route.required), ("fallback", route.fallback)):
        if unknown := [one for one in endpoints if one not in config.endpoints]:
            raise ConfigError(f"{where}.{name}: there is no endpoint {unknown[0]}: use {', '.join(config.endpoints)}")
    if not set(route.required) <= set(route.to):
        raise ConfigError(f"{where}.required: names an endpoint that isn't in `to`: put it there too")
    if set(route.fallback) & set(route.to):
        raise ConfigError(f"{where}.fallback: names an endpoint that gets it anyway: take it out of `to` or of here")
    terms = route.when
    if terms.max_size_bytes and terms.max_size_bytes < terms.min_size_bytes:
        raise ConfigError(f"{where}.when.max_size: is less than min_size: no upload can fit")
    return replace(route, required=route.required or route.to)


def _with_default(config: Config) -> dict[str, EndpointSection]:
    endpoints = dict(config.endpoints)
    if not endpoints:
        raise ConfigError("endpoints: there is none: add a table [endpoints.main] with a url")
    folded: dict[str, str] = {}
    for name in endpoints:
        twin = folded.setdefault(name.lower().replace("-", "_"), name)
        if twin != name:
            raise ConfigError(f"endpoints.{name}: differs from {twin} only in case or hyphens: rename one")
    defaults = [name for name, endpoint in endpoints.items() if endpoint.default]
    if len(defaults) > 1:
        raise ConfigError(f"endpoints.{defaults[1]}.default: {defaults[0]} is the default already: leave one")
    for name, endpoint in endpoints.items():
        endpoints[name] = replace(
            endpoint,
            default=endpoint.default or len(endpoints) == 1,
            display_name=endpoint.display_name or name,
        )
    return endpoints
