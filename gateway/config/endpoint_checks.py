"""What the keys of one endpoint mean together, by its kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config.endpoints import AuthSection, DimseSection, EndpointSection
from gateway.config.keys import keys_of
from gateway.config.kinds import is_loopback
from gateway.config.model import Config
from gateway.errors import ConfigError
from hooks.layout import check_layout

#: Keys that only this kind reads.
OF_KIND: Mapping[str, tuple[str, ...]] = {
    "dicomweb": ("url", "plain_http", "page_size", "ca_bundle", "auth"),
    "dimse": ("host", "port", "called_aet", "calling_aet", "associations", "tls"),
    "folder": ("path", "layout"),
}
#: What a kind of auth needs, and what it may have besides.
_AUTH: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "none": (frozenset(), frozenset()),
    "basic": (frozenset({"username", "password"}), frozenset()),
    "bearer": (frozenset({"token"}), frozenset()),
    "oauth2": (frozenset({"token_url", "client_id", "client_secret"}), frozenset({"scope", "ca_bundle"})),
    "mtls": (frozenset({"cert", "key"}), frozenset()),
}


def check_reports(dimse: DimseSection) -> None:
    """Of `[dimse]`. :raises ConfigError: naming the key and what to do."""
    if not dimse.aet:
        raise ConfigError("dimse.aet: is empty: give the AE title that the PACS calls")
    if bool(dimse.tls_cert) != bool(dimse.tls_key):
        missing = "tls_key" if dimse.tls_cert else "tls_cert"
        raise ConfigError(f"dimse.{missing}: is missing: tls_cert and tls_key go together")
    if dimse.tls_ca and not dimse.tls_cert:
        raise ConfigError("dimse.tls_cert: is missing: tls_ca is of the PACS's certificate, give tls_cert and tls_key")


def check_endpoint(endpoint: EndpointSection, config: Config) -> None:
    """:raises ConfigError: naming the key and what to do."""
    where = f"endpoints.{endpoint.endpoint_id}"
    _check_foreign_keys(endpoint, where)
    if endpoint.commitment and endpoint.kind == "folder":
        raise ConfigError(f'{where}.commitment: is not used by kind "folder": take it out, or set the kind')
    if endpoint.kind == "dicomweb":
        if not endpoint.url:
            raise ConfigError(f"{where}.url: is missing and has no default: set it")
        _check_auth(endpoint.auth, f"{where}.auth")
        _check_line(endpoint, where)
        _check_credentials(endpoint, where)
    elif endpoint.kind == "dimse":
        _check_dimse(endpoint, where)
    else:
        _check_folder(endpoint, config, where)


def _check_foreign_keys(endpoint: EndpointSection, where: str) -> None:
    """What another kind reads says that something else was meant."""
    defaults = {field.name: field.default for field in dataclasses.fields(endpoint)}
    for kind, names in OF_KIND.items():
        for name in names:
            if kind != endpoint.kind and getattr(endpoint, name) != defaults[name]:
                raise ConfigError(
                    f'{where}.{name}: is not used by kind "{endpoint.kind}": take it out, or set the kind'
                )


def _check_auth(auth: AuthSection, where: str) -> None:
    needs, may = _AUTH[auth.kind]
    has = {key.name for key in keys_of(AuthSection) if key.name != "kind" and getattr(auth, key.field)}
    for name in sorted(needs - has):
        raise ConfigError(f'{where}.{name}: is missing: kind "{auth.kind}" needs it')
    for name in sorted(has - needs - may):
        raise ConfigError(f'{where}.{name}: is not used by kind "{auth.kind}": take it out, or set the kind')


def _check_line(endpoint: EndpointSection, where: str) -> None:
    parts = urlsplit(endpoint.url)
    if parts.scheme != "https" and not (endpoint.plain_http or is_loopback(parts.hostname or "")):
        raise ConfigError(
            f"{where}.url: plain HTTP off loopback is refused: images and passwords would be "
            "read on the way: use https://, or set plain_http = true on a line that nobody else is on"
        )


def _check_credentials(endpoint: EndpointSection, where: str) -> None:
    auth, parts = endpoint.auth, urlsplit(endpoint.auth.token_url)
    if auth.kind == "oauth2" and parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ConfigError(f"{where}.auth.token_url: must begin with https://: the secret would be read on the way")
    if auth.kind == "mtls" and urlsplit(endpoint.url).scheme != "https":
        raise ConfigError(f"{where}.url: must begin with https://: a client certificate is shown in TLS only")


def _check_dimse(endpoint: EndpointSection, where: str) -> None:
    for name in ("host", "called_aet", "calling_aet"):
        if not getattr(endpoint, name):
            raise ConfigError(f"{where}.{name}: is missing and has no default: set it")
    tls = endpoint.tls
    if tls is not None and bool(tls.cert) != bool(tls.key_file):
        raise ConfigError(f"{where}.tls.{'key' if tls.cert else 'cert'}: is missing: cert and key go together")


def _check_folder(endpoint: EndpointSection, config: Config, where: str) -> None:
    if endpoint.path is None:
        raise ConfigError(f"{where}.path: is missing and has no default: set it")
    try:
        check_layout(endpoint.layout)
    except ValueError as error:
        raise ConfigError(f"{where}.layout: {error}") from None
    for key, own in (("spool.url", config.spool.path), ("database.url", config.database.path.parent)):
        if _is_within(endpoint.path, own) or _is_within(own, endpoint.path):
            raise ConfigError(f"{where}.path: is in one place with {key}, the gateway's own: name another folder")


def _is_within(path: Path, other: Path) -> bool:
    return path == other or other in path.parents
