"""What the keys of metrics, webhooks and mail mean together. See `checks`."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.config.kinds import is_loopback
from gateway.config.model import Config
from gateway.config.telling import MailSection, WebhookSection
from gateway.errors import ConfigError


def check_metrics(config: Config) -> None:
    """:raises ConfigError: they could be read by others, or asked by everybody."""
    metrics = config.metrics
    if metrics.token is not None and len(metrics.token.reveal().encode()) < 16:
        raise ConfigError("metrics.token: must have at least 16 bytes: make one with `relaypacs keys new`")
    if not metrics.port or is_loopback(metrics.host):
        return
    if not config.server.tls_cert:
        raise ConfigError(
            "metrics.host: plain HTTP off loopback is refused: set server.tls_cert and server.tls_key, or ask on the "
            "gateway's own port (metrics.port = 0)"
        )
    if metrics.token is None:
        raise ConfigError("metrics.token: is missing: off loopback everybody could ask without it")


def check_receivers(config: Config) -> None:
    """:raises ConfigError: a receiver can't be told so, or clinical notes would reach nobody."""
    urls = [webhook.url for webhook in config.webhooks]
    for number, webhook in enumerate(config.webhooks, 1):
        _check_webhook(webhook, f"webhooks.{number}")
        if webhook.url in urls[: number - 1]:
            raise ConfigError(f"webhooks.{number}.url: is the one of another: give one of them all the events")
    _check_mail(config.mail)
    for name, endpoint in config.endpoints.items():
        if endpoint.mail and not config.mail.smtp:
            raise ConfigError(f"endpoints.{name}.mail: needs a mail server: set mail.smtp, or take it out")
        wanted = {"upload.success", "upload.partial"}
        if endpoint.notes == "webhook" and not any(
            one.patient_data and wanted <= set(one.events) for one in config.webhooks
        ):
            raise ConfigError(
                f"endpoints.{name}.notes: nobody would hear of them: a webhook with patient_data = true and the events "
                "upload.success and upload.partial is needed"
            )


def check_audit(config: Config) -> None:
    """:raises ConfigError: a certificate without its key, or the other way round."""
    audit = config.audit
    if bool(audit.repository_cert) != bool(audit.repository_key):
        missing = "repository_key" if audit.repository_cert else "repository_cert"
        raise ConfigError(f"audit.{missing}: is missing: repository_cert and repository_key go together")


def _check_webhook(webhook: WebhookSection, where: str) -> None:
    if len(webhook.secret.reveal().encode()) < 16:
        raise ConfigError(f"{where}.secret: must have at least 16 bytes: make one with `relaypacs keys new`")
    parts = urlsplit(webhook.url)
    if parts.scheme != "https" and not (webhook.plain_http or is_loopback(parts.hostname or "")):
        raise ConfigError(
            f"{where}.url: plain HTTP off loopback is refused: use https://, or set plain_http = true on a line that "
            "nobody else is on"
        )


def _check_mail(mail: MailSection) -> None:
    if not mail.smtp:
        return
    if "@" not in mail.sender:
        raise ConfigError("mail.from: is missing: an address that mails may come from")
    user = urlsplit(mail.smtp).username
    if bool(user) != (mail.password is not None):
        raise ConfigError(
            "mail.password: is missing: the user in mail.smtp needs one"
            if user
            else "mail.password: is of nobody: name the user in mail.smtp, like smtps://user@host:465"
        )
