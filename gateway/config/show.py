"""The configuration as text: what is in effect, and the reference of every key. Never a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.config import kinds
from gateway.config.endpoints import AuthSection, EndpointSection, TlsSection
from gateway.config.keys import REQUIRED, Key, keys_of
from gateway.config.model import PLAIN_TABLES, Config, OidcSection, SpoolKeysSection
from gateway.config.routes import RouteSection, RouteTerms
from gateway.config.telling import WebhookSection

_REFERENCE: tuple[tuple[str, type], ...] = (
    *((name, table) for name, table in PLAIN_TABLES.items()),
    ("spool.keys", SpoolKeysSection),
    ("auth.oidc", OidcSection),
    ("[webhooks]", WebhookSection),
    ("[routes]", RouteSection),
    ("routes.when", RouteTerms),
    ("endpoints.ID", EndpointSection),
    ("endpoints.ID.auth", AuthSection),
    ("endpoints.ID.tls", TlsSection),
)


def effective(config: Config) -> str:
    """`config` as TOML, defaults filled in, every secret as `***`."""
    lines: list[str] = []
    for name in PLAIN_TABLES:
        lines += _table(name, getattr(config, name))
    lines += _table("spool.keys", config.spool.keys)
    lines[-1:] = [*(f'{name} = "***"' for name in config.spool.keys.by_name), ""]
    lines += _table("auth.oidc", config.oidc)
    for webhook in config.webhooks:
        lines += _table("[webhooks]", webhook)
    for route in config.routes:
        lines += _table("[routes]", route)
        lines += _table("routes.when", route.when)
    for name, endpoint in config.endpoints.items():
        lines += _table(f"endpoints.{name}", endpoint)
        lines += _table(f"endpoints.{name}.auth", endpoint.auth)
        if endpoint.tls is not None:
            lines += _table(f"endpoints.{name}.tls", endpoint.tls)
    return "\n".join(lines)


def _table(name: str, table: Any) -> Iterator[str]:
    yield f"[{name}]"
    for key in keys_of(type(table)):
        value = getattr(table, key.field)
        if key.kind is not kinds.secret or value is not None:
            yield f"{key.name} = {key.kind.show(value)}"
    yield ""


def reference() -> str:
    """Every key with its kind, default and meaning, in Markdown: the body of docs/configuration.md."""
    lines: list[str] = []
    for name, table in _REFERENCE:
        assert table.__doc__
        lines += [f"### `[{name}]`", "", table.__doc__.splitlines()[0], ""]
        lines += ["| key | takes | default | |", "|---|---|---|---|"]
        lines += [f"| `{key.name}` | {key.kind.name} | {_default(key)} | {key.help} |" for key in keys_of(table)]
        if table is SpoolKeysSection:
            lines.append("| any other name | secret | | A key: 32 bytes in base64. |")
        lines.append("")
    return "\n".join(lines)


def _default(key: Key) -> str:
    if key.default is REQUIRED:
        return "required"
    if key.default is None:
        return ""
    if isinstance(key.default, dict) and key.kind is not kinds.secret:
        return "" if not key.default else f"`{key.kind.show(key.default)}`"
    if isinstance(key.default, dict):
        ((source, name),) = key.default.items()
        return f'`{{ {source} = "{name}" }}`'
    if isinstance(key.default, list):
        return f"`{key.kind.show(tuple(key.default))}`"
    if isinstance(key.default, str):
        return f"`{kinds.quoted(key.default)}`"
    return f"`{str(key.default).lower() if isinstance(key.default, bool) else key.default}`"
