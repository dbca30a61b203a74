"""The keys of what the gateway tells those outside by itself. See `model`."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config import kinds
from gateway.config.keys import key
from gateway.config.kinds import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSection:
    """Numbers for Prometheus, at `GET /metrics` (metrics.md)."""

    host: str = key(
        kinds.text, "127.0.0.1", "Address of a port of its own. Off loopback it needs `tls_cert` and `token`."
    )
    port: int = key(
        kinds.integer(0, 65535), 0, "Port of its own; 0: the gateway's own port, for admins and whoever has `token`."
    )
    token: Secret[str] | None = key(
        kinds.optional_secret, "", "Bearer token for Prometheus, at least 16 bytes. Empty: none."
    )
