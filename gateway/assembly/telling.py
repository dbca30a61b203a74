"""The composition root's third part: what the gateway tells those outside by itself. See `gateway.py`."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from gateway import __version__
from gateway.assembly.base import Base
from gateway.config import Config
from gateway.config.kinds import is_loopback
from gateway.delivery.service import Delivery
from gateway.jobs.backoff import Backoff
from gateway.telling.delays import Delays
from gateway.telling.mail import Mail
from gateway.telling.messages import Announcer, Channel, Messenger
from gateway.telling.metrics import Metrics
from gateway.telling.scrape import Beside, Scrape, watch_lag
from gateway.telling.trail import TrailCounts
from gateway.telling.webhook import Webhook, key_of

SMTP, SMTPS = 25, 465


@dataclass(frozen=True, slots=True)
class Telling:
    """What tells."""

    metrics: Metrics
    trail: TrailCounts
    announcer: Announcer
    messenger: Messenger
    delays: Delays

    def timers(self) -> Iterator[Coroutine[object, object, None]]:
        """What runs by itself for as long as the gateway does."""
        yield self.trail.run()
        yield self.delays.run()
        yield watch_lag(self.metrics)


async def open_telling(base: Base) -> Telling:
    """Counters that begin now, and the receivers of the configuration."""
    config, metrics, channels = base.config, Metrics(__version__, base.config.endpoints), channels_of(base.config)
    base.ledger.time_commits(metrics.committed)
    number, _ = await base.ledger.read(lambda tx: tx.audit.head())
    tell_notes = {name for name, endpoint in config.endpoints.items() if endpoint.notes == "webhook"}
    announcer = Announcer(base.ring, base.keys, channels, tell_notes)
    backoff, retry_for_s = Backoff(config.delivery.retry_base_s), config.delivery.retry_for_s
    return Telling(
        metrics,
        TrailCounts(base.ledger, metrics, number),
        announcer,
        Messenger(base.ledger, base.keys, channels, base.clock, backoff, retry_for_s, metrics.told),
        Delays(base.ledger, base.clock, announcer, config.alerts.stat_after_s),
    )


def channels_of(config: Config) -> list[Channel]:
    """Every receiver that the configuration names."""
    found: list[Channel] = [
        Webhook(
            one.url,
            key_of(one.secret.reveal()),
            one.events,
            with_patient_data=one.patient_data,
            ca_bundle=None if one.ca_bundle is None else str(one.ca_bundle),
            timeout_s=one.timeout_s,
        )
        for one in config.webhooks
    ]
    return found + ([_mail(config)] if config.mail.smtp else [])


def _mail(config: Config) -> Mail:
    mail, parts = config.mail, urlsplit(config.mail.smtp)
    host, tls = parts.hostname or "", parts.scheme == "smtps"
    return Mail(
        host,
        parts.port or (SMTPS if tls else SMTP),
        tls=tls,
        sender=mail.sender,
        events=mail.events,
        by_endpoint={name: endpoint.mail for name, endpoint in config.endpoints.items()},
        to_uploaders=mail.to_uploaders,
        user=unquote(parts.username or ""),
        password="" if mail.password is None else mail.password.reveal(),
        plain=is_loopback(host),
        ca_bundle=None if mail.ca_bundle is None else str(mail.ca_bundle),
        timeout_s=mail.timeout_s,
    )


def open_scrape(base: Base, telling: Telling, delivery: Delivery) -> Scrape:
    """The answer to Prometheus."""
    site = Beside(
        conditions=lambda: {name: one.name.lower() for name, (one, _) in delivery.conditions().items()},
        free_bytes=base.spool.free_bytes,
        spool_max_bytes=base.config.spool.max_bytes,
        exports=base.config.audit.file is not None,
        sends=bool(base.config.audit.repository),
    )
    return Scrape(base.ledger, base.clock, telling.metrics, telling.trail, site)
