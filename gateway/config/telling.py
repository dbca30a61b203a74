"""The keys of what the gateway tells those outside by itself. See `model`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.config import kinds, receivers
from gateway.config.keys import REQUIRED, key
from gateway.config.kinds import Secret

#: What webhooks and mails can tell of.
EVENTS = ("upload.success", "upload.partial", "upload.failed", "upload.held", "upload.delayed")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSection:
    """A receiver of what becomes of uploads; there may be several (telling.md)."""

    url: str = key(kinds.web_url, REQUIRED, "Where a POST goes to.")
    secret: Secret[str] = key(
        kinds.secret,
        REQUIRED,
        "Signs the messages: base64 of 24 to 64 bytes, also behind `whsec_`; or at least 16 bytes of text.",
    )
    events: tuple[str, ...] = key(receivers.some_of(*EVENTS), list(EVENTS), "What is told.")
    patient_data: bool = key(
        kinds.flag, False, "What was declared of patient and uploader, and the clinical notes, are in the messages."
    )
    plain_http: bool = key(kinds.flag, False, "`http://` off loopback is refused without it.")
    ca_bundle: Path | None = key(
        kinds.existing_path, "", "Certificates (PEM) that the receiver's is checked with. Empty: the system's."
    )
    timeout_s: float = key(kinds.positive_duration, "10s", "How long each step of a request may take.", name="timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSection:
    """Mails on what becomes of uploads; no patient is named in them (telling.md)."""

    smtp: str = key(
        receivers.mail_url, "", "`smtps://user@host:465`, or `smtp://user@host:587` with STARTTLS. Empty: no mail."
    )
    sender: str = key(kinds.text, "", "Address that mails come from.", name="from")
    password: Secret[str] | None = key(kinds.optional_secret, "", "Of the user in `smtp`.")
    events: tuple[str, ...] = key(receivers.some_of(*EVENTS), list(EVENTS), "What is told.")
    to_uploaders: bool = key(kinds.flag, True, "Uploaders who gave an `email` hear of their upload.")
    ca_bundle: Path | None = key(
        kinds.existing_path, "", "Certificates (PEM) that the server's is checked with. Empty: the system's."
    )
    timeout_s: float = key(kinds.positive_duration, "30s", "How long each step may take.", name="timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsSection:
    """What is told because it takes too long."""

    stat_after_s: float = key(
        kinds.duration,
        "15m",
        "A complete upload with priority `stat` that isn't delivered after so long is `upload.delayed`. 0: never.",
        name="stat_after",
    )
