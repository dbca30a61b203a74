"""From the file and the environment to a `Config`: reading, overriding, parsing. What keys mean together is in `checks`."""

from __future__ import annotations

import base64
import binascii
import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from gateway.config import checks, kinds
from gateway.config.endpoints import AuthSection, EndpointSection, TlsSection
from gateway.config.keys import REQUIRED, keys_of
from gateway.config.kinds import Secret, Surroundings
from gateway.config.model import PLAIN_TABLES, Config, OidcSection, SpoolKeysSection, SpoolSection
from gateway.config.routes import RouteSection, RouteTerms
from gateway.config.telling import WebhookSection
from gateway.errors import ConfigError

PREFIX = "RELAYPACS__"
DEFAULT_PATH = "config/relaypacs.toml"

T = TypeVar("T")
Raw = dict[str, Any]

_TABLES = (*PLAIN_TABLES, "auth", "endpoints", "routes", "webhooks")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]|_(?!_)){0,62}", re.ASCII)


def find_config_path(cli: str | None, environ: Mapping[str, str]) -> Path:
    """The file to load: `--config`, else `$RELAYPACS_CONFIG`, else ./config/relaypacs.toml. It may not be there."""
    return Path(cli or environ.get("RELAYPACS_CONFIG") or DEFAULT_PATH)


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration of `path` (none: the environment alone) with `environ` over it.

    :raises ConfigError: one line that names the key and what to do.
    """
    raw = _read(path) if path else {}
    overridden = _override(raw, environ)
    folder = (path.parent if path else Path()).absolute()
    try:
        return _build(raw, Surroundings(environ, folder))
    except ConfigError as error:
        for key, variable in overridden.items():
            if error.detail.startswith(f"{key}:"):
                raise ConfigError(f"{error.detail} (set by {variable})") from None
        raise


def _read(path: Path) -> Raw:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(
            f"no configuration at {path}: copy config/relaypacs.example.toml there, or name one with --config"
        ) from None
    except OSError as error:
        raise ConfigError(f"the configuration {path} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        where = re.search(r"\(at [^()]*\)", str(error))  # the rest of the message may quote a secret
        raise ConfigError(f"the configuration {path} is no TOML {where[0] if where else ''}".rstrip()) from None


# --- the environment over the file ---------------------------------------------------------------------------------


def _override(raw: Raw, environ: Mapping[str, str]) -> dict[str, str]:
    """Put the variables of the environment into `raw`; returns which key was set by which."""
    overridden = {}
    for variable in sorted(environ):
        if variable.startswith(PREFIX):
            try:
                key = _override_one(raw, variable.removeprefix(PREFIX).lower().split("__"), environ[variable])
            except ConfigError as error:
                raise ConfigError(f"{variable}: {error.detail}") from None
            overridden[key] = variable
    return overridden


def _override_one(raw: Raw, parts: list[str], value: str) -> str:
    match parts:
        case [str(table), str(name)] if table in PLAIN_TABLES:
            return _set(raw, (table,), PLAIN_TABLES[table], name, value)
        case ["auth", "oidc", str(name)]:
            return _set(raw, ("auth", "oidc"), OidcSection, name, value)
        case ["spool", "keys", "active"]:
            return _set(raw, ("spool", "keys"), SpoolKeysSection, "active", value)
        case ["spool", "keys", str(name)]:
            keys = _child(_child(raw, "spool", "spool"), "keys", "spool.keys")
            name = _spelling(name, keys)
            keys[name] = kinds.secret.from_text(value)
            return f"spool.keys.{name}"
        case ["endpoints", str(name), "auth"]:
            auth = kinds.secret.from_text(value)
            where = _endpoint(raw, name)
            _child(_child(raw, "endpoints", "endpoints"), where[1], ".".join(where))["auth"] = auth
            return ".".join((*where, "auth"))
        case ["endpoints", str(name), str(key)]:
            return _set(raw, _endpoint(raw, name), EndpointSection, key, value)
        case ["endpoints", str(name), "auth", str(key)]:
            return _set(raw, (*_endpoint(raw, name), "auth"), AuthSection, key, value)
        case ["endpoints", str(name), "tls", str(key)]:
            return _set(raw, (*_endpoint(raw, name), "tls"), TlsSection, key, value)
        case [str(table)] if table in _TABLES:
            raise ConfigError(f"names a whole table: set its keys, like {PREFIX}{table.upper()}__NAME")
        case [str(table), *_] if table and table not in _TABLES:
            raise _unknown(table, "", _TABLES)
    raise ConfigError(f"names no key: it is {PREFIX}TABLE__KEY")


def _set(raw: Raw, where: tuple[str, ...], table: type, name: str, value: str) -> str:
    keys = {key.name: key for key in keys_of(table)}
    dotted = ".".join(where)
    if name not in keys:
        raise _unknown(name, dotted, keys)
    for depth, part in enumerate(where):
        raw = _child(raw, part, ".".join(where[: depth + 1]))
    raw[name] = keys[name].kind.from_text(value)
    return f"{dotted}.{name}"


def _endpoint(raw: Raw, name: str) -> tuple[str, str]:
    return "endpoints", _spelling(name, _child(raw, "endpoints", "endpoints"))


def _spelling(name: str, known: Iterable[str]) -> str:
    """A name of the environment as the file spells it: variables have neither case nor hyphens."""
    return next((given for given in known if given.lower().replace("-", "_") == name.replace("-", "_")), name)


def _child(raw: Raw, name: str, where: str) -> Raw:
    child = raw.setdefault(name, {})
    if not isinstance(child, dict):
        raise ConfigError(f"{where}: must be a table, written [{where}]")
    return child


# --- parsing -------------------------------------------------------------------------------------------------------


def _build(raw: Raw, around: Surroundings) -> Config:
    for name in raw:
        if name not in _TABLES:
            raise _unknown(name, "", _TABLES)
    tables: Raw = {
        name: _table(table, _child(raw, name, name), name, around)
        for name, table in PLAIN_TABLES.items()
        if table is not SpoolSection
    }
    auth = _child(raw, "auth", "auth")
    for name in auth:
        if name != "oidc":
            raise _unknown(name, "auth", ["oidc"])
    tables["oidc"] = _table(OidcSection, _child(auth, "oidc", "auth.oidc"), "auth.oidc", around)
    spool = dict(_child(raw, "spool", "spool"))
    keys = _spool_keys(_child(spool, "keys", "spool.keys"), around)
    tables["spool"] = _table(SpoolSection, spool, "spool", around, keys=keys)
    tables["webhooks"] = _webhooks(raw.get("webhooks", []), around)
    tables["routes"] = _routes(raw.get("routes", []), around)
    tables["endpoints"] = _endpoints(_child(raw, "endpoints", "endpoints"), around)
    return checks.settle(Config(**tables), given=frozenset(_leaves(raw)))


def _table(table: type[T], raw: Raw, where: str, around: Surroundings, **ready: object) -> T:
    keys = {key.name: key for key in keys_of(table)}

    def parsed(name: str, value: object) -> object:
        try:
            return keys[name].kind.parse(value, around)
        except ValueError as error:
            raise ConfigError(f"{where}.{name}: {error}") from None

    for name in raw:
        if name not in keys and name not in ready:
            raise _unknown(name, where, [*keys, *ready])
    values = dict(ready)
    for name, key in keys.items():
        value = raw.get(name, key.default)
        if value is REQUIRED:
            raise ConfigError(f"{where}.{name}: is missing and has no default: set it")
        if value is not None:
            values[key.field] = parsed(name, value)
    return table(**values)


def _spool_keys(raw: Raw, around: Surroundings) -> SpoolKeysSection:
    named = {name: value for name, value in raw.items() if name != "active"}
    if not named:
        raise ConfigError(
            "spool.keys: holds no key: make one with `relaypacs keys new` and name it here and in `active`"
        )
    by_name = {}
    for name, value in named.items():
        where = f"spool.keys.{name}"
        _check_name(name, where)
        try:
            by_name[name] = _master_key(kinds.secret.parse(value, around))
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None
    own = {"active": raw["active"]} if "active" in raw else {}
    keys = _table(SpoolKeysSection, own, "spool.keys", around, by_name=MappingProxyType(by_name))
    if keys.active not in by_name:
        raise ConfigError(f"spool.keys.active: names none of the keys here: use one of {', '.join(sorted(by_name))}")
    return keys


def _master_key(secret: Secret[str]) -> Secret[bytes]:
    text = secret.reveal().strip().replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ValueError("must be 32 bytes in base64: make one with `relaypacs keys new`")
    return Secret(key, secret.source)


def _endpoints(raw: Raw, around: Surroundings) -> Mapping[str, EndpointSection]:
    endpoints = {}
    for name in raw:
        where = f"endpoints.{name}"
        _check_name(name, where)
        table = dict(_child(raw, name, where))
        auth = _table(AuthSection, _child(table, "auth", f"{where}.auth"), f"{where}.auth", around)
        tls = None
        if "tls" in table:
            tls = _table(TlsSection, _child(table, "tls", f"{where}.tls"), f"{where}.tls", around)
        endpoints[name] = _table(EndpointSection, table, where, around, auth=auth, tls=tls, endpoint_id=name)
    return MappingProxyType(endpoints)


def _listed(name: str, raw: object) -> list[Raw]:
    """:raises ConfigError: it is no array of tables."""
    if not isinstance(raw, list) or not all(isinstance(one, dict) for one in raw):
        raise ConfigError(f"{name}: must be tables, each written [[{name}]]")
    return raw


def _webhooks(raw: object, around: Surroundings) -> tuple[WebhookSection, ...]:
    tables = enumerate(_listed("webhooks", raw), 1)
    return tuple(_table(WebhookSection, one, f"webhooks.{number}", around) for number, one in tables)


def _routes(raw: object, around: Surroundings) -> tuple[RouteSection, ...]:
    found = []
    for number, one in enumerate(_listed("routes", raw), 1):
        where = f"routes.{number}"
        when = _table(RouteTerms, _child(dict(one), "when", f"{where}.when"), f"{where}.when", around)
        found.append(_table(RouteSection, one, where, around, when=when))
    return tuple(found)


def _check_name(name: str, where: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: a name has 1 to 63 letters, digits, hyphens and single underscores")


def _leaves(raw: Raw, prefix: str = "") -> Iterable[str]:
    for name, value in raw.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _unknown(name: str, where: str, known: Iterable[str]) -> ConfigError:
    """The error for `name` in the table `where`, with the nearest key: of this table, or its namesake in another."""
    dotted = f"{where}.{name}" if where else name
    namesakes = [f"{other}.{name}" for other, table in PLAIN_TABLES.items() if name in {k.name for k in keys_of(table)}]
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    if not near and namesakes:
        return ConfigError(f"{dotted}: unknown key; did you mean {namesakes[0]}?")
    best = near[0] if near else max(known, key=lambda other: difflib.SequenceMatcher(None, name, other).ratio())
    return ConfigError(f"{dotted}: unknown key; did you mean {f'{where}.{best}' if where else best}?")
