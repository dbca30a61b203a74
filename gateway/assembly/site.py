"""What the configuration meets on this machine: one list, for `check` and for `serve`.

Promises: looking changes nothing, whoever looks: no folder, no file, no schema; no network. A fault is what `serve`
would refuse or can't work with, a warning what it works with and somebody should know of. No secret is in the words.
"""

from __future__ import annotations

import errno
import os
import shutil
import ssl
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from gateway.config import Config
from gateway.config.kinds import is_loopback
from gateway.config.routes import RouteTerms
from gateway.errors import ConfigError, GatewayError
from gateway.ledger.sqlite.connection import is_present, open_unchanged
from gateway.ledger.sqlite.transaction import SqliteTransaction
from gateway.owners import me, name_of, why_not
from gateway.spool import KeyRing
from gateway.web.pwa import BUILT

#: A certificate that ends sooner than this is told of.
_ENDS_SOON_S = 14 * 86400.0


class Severity(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "FAULT"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `part`: what, as the table names it."""

    part: str
    severity: Severity
    words: str


def findings(config: Config, file: Path | None) -> Iterator[Finding]:
    """:param file: that the configuration was read from; None: the environment alone."""
    yield Finding("config", Severity.OK, "read and consistent")
    yield from _readable_by_others(config, file)
    yield from _lines(config)
    yield from _routes(config)
    yield from _tls(config)
    yield from _client_certificates(config)
    yield from _database(config)
    yield from _spool(config)
    yield from _audit_file(config)
    if not (BUILT / "index.html").is_file():
        words = "isn't built, GET / has none: `make install` in a clone, or install a wheel that has it"
        yield Finding("app", Severity.WARNING, words)


def require_sound(found: Iterable[Finding]) -> list[Finding]:
    """The warnings among `found`. :raises ConfigError: there is a fault; the first is named."""
    warnings = []
    for one in found:
        if one.severity is Severity.FAULT:
            raise ConfigError(f"{one.part}: {one.words}")
        if one.severity is Severity.WARNING:
            warnings.append(one)
    return warnings


def _readable_by_others(config: Config, file: Path | None) -> Iterator[Finding]:
    tokens, server = config.tokens, config.server
    secrets = [*config.spool.keys.by_name.values(), tokens.secret, tokens.previous_secret, config.metrics.token]
    secrets += [config.mail.password, *(webhook.secret for webhook in config.webhooks)]
    for endpoint in config.endpoints.values():
        secrets += [endpoint.auth.password, endpoint.auth.token, endpoint.auth.client_secret]
    inline = any(one is not None and one.source is None for one in secrets)
    paths = [one.source for one in secrets if one is not None and one.source is not None]
    tables = [table for endpoint in config.endpoints.values() for table in (endpoint.auth, endpoint.tls) if table]
    keys = [server.tls_key, config.dimse.tls_key, config.audit.repository_key, *(table.key_file for table in tables)]
    for path in dict.fromkeys([*([file] if file is not None and inline else []), *paths, *keys]):
        if path is None:
            continue
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # whoever needs it says so
        if mode & 0o004:
            words = f"{path} holds a secret and everybody on this machine can read it: chmod o-r {path}"
            yield Finding("secrets", Severity.WARNING, words)


def _lines(config: Config) -> Iterator[Finding]:
    """Who is believed, and where bytes go unencrypted."""
    for network in config.server.trusted_proxies:
        if network.prefixlen == 0:
            words = f"server.trusted_proxies has {network}: everybody may say whose address theirs is: name the proxy's"
            yield Finding("proxy", Severity.WARNING, words)
    parts = urlsplit(config.server.public_url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        words = (
            "server.public_url begins with http://: links and QR codes lead to a line that can be read: use https://"
        )
        yield Finding("public_url", Severity.WARNING, words)
    for name, endpoint in config.endpoints.items():
        parts = urlsplit(endpoint.url)
        if endpoint.kind == "dicomweb" and parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            words = "plain HTTP, as plain_http allows: whoever is on the way reads images and passwords"
            yield Finding(f"endpoint {name}", Severity.WARNING, words)
        if endpoint.kind == "dimse" and endpoint.tls is None and not is_loopback(endpoint.host):
            words = (
                "DICOM without TLS: whoever is on the way reads images: set tls, or use a line that nobody else is on"
            )
            yield Finding(f"endpoint {name}", Severity.WARNING, words)
    dimse = config.dimse
    if listens(config) and dimse.tls_cert is None and not is_loopback(dimse.host):
        words = (
            "reports of storage commitment come without TLS: whoever is on the way can change them: set dimse.tls_cert"
        )
        yield Finding("dimse", Severity.WARNING, words)
    for number, webhook in enumerate(config.webhooks, 1):
        parts = urlsplit(webhook.url)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            words = "plain HTTP, as plain_http allows: whoever is on the way reads what is told"
            yield Finding(f"webhook {number}", Severity.WARNING, words)


def listens(config: Config) -> bool:
    """It takes reports of storage commitment on associations that a PACS makes."""
    return config.dimse.port > 0 and any(one.commitment and one.kind == "dimse" for one in config.endpoints.values())


def _routes(config: Config) -> Iterator[Finding]:
    """Those that nothing can come to."""
    takes_all = next((number for number, one in enumerate(config.routes, 1) if one.when == RouteTerms()), None)
    if takes_all is not None and takes_all < len(config.routes):
        words = f"route {takes_all} fits every upload: those behind it are never asked: put it last"
        yield Finding("routes", Severity.WARNING, words)


def tls_context(config: Config) -> ssl.SSLContext | None:
    """What the gateway itself speaks TLS with; nothing without a certificate.

    :raises ConfigError: the certificate or its key can't be used.
    """
    cert, key = config.server.tls_cert, config.server.tls_key
    if cert is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_chain(context, cert, key, "server.tls_cert", "server.tls_key")
    return context


def reports_tls_context(config: Config) -> ssl.SSLContext | None:
    """What reports of storage commitment are taken with; nothing without a certificate.

    :raises ConfigError: a certificate or the key can't be used.
    """
    dimse = config.dimse
    if dimse.tls_cert is None or dimse.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_chain(context, dimse.tls_cert, dimse.tls_key, "dimse.tls_cert", "dimse.tls_key")
    if dimse.tls_ca is not None:
        try:
            context.load_verify_locations(dimse.tls_ca)
        except OSError:
            raise ConfigError(f"dimse.tls_ca: {dimse.tls_ca} can't be used: give certificates in PEM") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load_chain(context: ssl.SSLContext, cert: Path, key: Path, cert_name: str, key_name: str) -> None:
    """:raises ConfigError: the two can't be used; these are their names in the configuration."""
    try:
        # A password would be asked for on the terminal.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"{key_name}: isn't the key of {cert_name}: give the two that belong together") from None
        raise ConfigError(f"{cert_name} and {key_name} can't be used: give a PEM chain and its key") from None
    except OSError as error:
        path = next((one for one in (cert, key) if not os.access(one, os.R_OK)), cert)
        raise ConfigError(f"{cert_name}, {key_name}: {path} can't be read ({why_not(path, error)})") from None


def _client_certificates(config: Config) -> Iterator[Finding]:
    for name, endpoint in config.endpoints.items():
        table = endpoint.auth if endpoint.tls is None else endpoint.tls
        cert, key = table.cert, table.key_file
        where = f"endpoints.{name}.{'auth' if endpoint.tls is None else 'tls'}"
        if cert is None or key is None:
            continue
        try:
            _load_chain(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), cert, key, f"{where}.cert", f"{where}.key")
        except ConfigError as error:
            yield Finding(f"endpoint {name}", Severity.FAULT, error.detail)
            continue
        yield from _end_of_certificate(f"endpoint {name}", cert, f"{where}.cert", tell_good=False)


def _tls(config: Config) -> Iterator[Finding]:
    for part, cert, name, context in (
        ("tls", config.server.tls_cert, "server.tls_cert", tls_context),
        ("dimse", config.dimse.tls_cert, "dimse.tls_cert", reports_tls_context),
    ):
        try:
            if context(config) is None or cert is None:
                continue
        except ConfigError as error:
            yield Finding(part, Severity.FAULT, error.detail)
            continue
        yield from _end_of_certificate(part, cert, name, tell_good=True)


def _end_of_certificate(part: str, cert: Path, name: str, *, tell_good: bool) -> Iterator[Finding]:
    try:
        ends_at = x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        yield Finding(part, Severity.FAULT, f"{name} can't be read: give a PEM chain")
        return
    left_s = (ends_at - datetime.now(UTC)).total_seconds()
    if left_s < _ENDS_SOON_S:
        words = (
            f"the certificate {'ends' if left_s > 0 else 'ended'} at {ends_at:%Y-%m-%dT%H:%M:%SZ}: replace it, restart"
        )
        yield Finding(part, Severity.WARNING, words)
    elif tell_good:
        yield Finding(part, Severity.OK, "certificate and key belong together")


def _database(config: Config) -> Iterator[Finding]:
    path = config.database.path
    if not path.exists():
        yield _to_be_made("database", "database.url", path.parent)
        return
    try:
        with closing(open_unchanged(path)) as db:
            present, needed = is_present(db), SqliteTransaction(db).keys.kek_ids()
    except GatewayError as error:
        yield Finding("database", Severity.FAULT, error.detail)
        return
    if not os.access(path, os.W_OK):
        yield Finding("database", Severity.FAULT, f"{path} can't be written ({why_not(path, PermissionError(13))})")
        return
    if not present:
        words = (
            "the schema is an older release's: `relaypacs migrate`, or the next start of `serve`, brings it up to date"
        )
        yield Finding("database", Severity.WARNING, words)
    yield _whose("database", path) or Finding("database", Severity.OK, "can be read and written")
    try:
        keys = config.spool.keys
        KeyRing({name: secret.reveal() for name, secret in keys.by_name.items()}, keys.active).require(needed)
    except GatewayError as error:
        yield Finding("keys", Severity.FAULT, error.detail)
    else:
        yield Finding("keys", Severity.OK, f"active: {config.spool.keys.active}")


def _spool(config: Config) -> Iterator[Finding]:
    path = config.spool.path
    if not path.exists():
        yield _to_be_made("spool", "spool.url", path)
        return
    try:
        _write_nameless(path)
        disk = shutil.disk_usage(path)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            # It must start all the same: what is there is delivered and purged, and that makes room.
            yield Finding("spool", Severity.WARNING, f"{path} has no room left: uploads are refused until it has")
            return
        yield Finding("spool", Severity.FAULT, f"{path} can't be written ({why_not(path, error)})")
        return
    if config.spool.max_bytes > disk.total:
        words = (
            f"spool.max_bytes is more than the disk's {disk.total >> 20} MiB: uploads will fail before it is reached"
        )
        yield Finding("spool", Severity.WARNING, words)
    yield _whose("spool", path) or Finding("spool", Severity.OK, f"written and synced, {disk.free >> 20} MiB free")


def _write_nameless(folder: Path) -> None:
    """Write and sync a file that never has a name. :raises OSError: that isn't possible."""
    if not hasattr(os, "O_TMPFILE"):
        return
    try:
        handle = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        if os.access(folder, os.W_OK | os.X_OK) and folder.is_dir():
            return  # a file system that can't do that
        raise
    try:
        os.write(handle, bytes(4096))
        os.fsync(handle)
    finally:
        os.close(handle)


def _audit_file(config: Config) -> Iterator[Finding]:
    path = config.audit.file
    if path is None:
        return
    if path.is_dir():
        yield Finding("audit", Severity.FAULT, f"audit.file: {path} is a folder: name a file")
    elif not path.parent.exists():
        yield _to_be_made("audit", "audit.file", path.parent)
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        known = path if path.exists() else path.parent
        yield Finding("audit", Severity.FAULT, f"{known} can't be written ({why_not(known, PermissionError(13))})")
    else:
        yield Finding("audit", Severity.OK, "can be written")


def _to_be_made(part: str, key: str, folder: Path) -> Finding:
    """Of what isn't there yet: `serve` makes it, if it can; a mistyped path looks the same."""
    known = folder
    while not known.exists():
        known = known.parent
    if not known.is_dir():
        return Finding(part, Severity.FAULT, f"{key}: {known} is no folder: name another place")
    if not os.access(known, os.W_OK | os.X_OK):
        words = f"{key}: {folder} can't be made: {known} belongs to {name_of(known.stat().st_uid)}, this runs as {me()}"
        return Finding(part, Severity.FAULT, words)
    if known == folder:
        return Finding(part, Severity.OK, "not there yet: `serve` makes it")
    return Finding(part, Severity.WARNING, f"{key}: {folder} isn't there yet: `serve` makes it, if it isn't mistyped")


def _whose(part: str, path: Path) -> Finding | None:
    """What another user than its folder's owns: made by root, most likely, and closed to the service."""
    owner, folder_owner = path.stat().st_uid, path.parent.stat().st_uid
    if folder_owner in (owner, 0):
        return None
    words = f"{path} belongs to {name_of(owner)}, its folder to {name_of(folder_owner)}: chown it if the service can't open it"
    return Finding(part, Severity.WARNING, words)
