"""The composition root's other half: what runs beside the requests, and what administers. See `gateway.py`."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Coroutine, Iterator
from dataclasses import asdict
from functools import partial
from urllib.parse import urlsplit

from gateway.assembly.base import Base
from gateway.audit.events import Refusals, note_stop
from gateway.audit.export import AuditExport
from gateway.audit.repository import AuditRepository
from gateway.audit.retention import AuditRetention
from gateway.audit.syslog import SyslogReceiver
from gateway.config import Config, effective
from gateway.delivery.items import open_judgement
from gateway.delivery.service import Delivery
from gateway.errors import GatewayError
from gateway.identity.accounts import Accounts
from gateway.identity.oidc import OidcIssuer, Terms
from gateway.identity.oidc_accounts import ForeignAccounts
from gateway.purge.erasure import Erasure
from gateway.purge.retention import Retention, Times
from gateway.purge.turn import lock_beside, purging
from gateway.spool import UploadKey
from gateway.uploads.administration import Administration, EndpointState
from gateway.uploads.compaction import Compaction
from gateway.uploads.intake import Intake
from gateway.uploads.leases import Leases
from gateway.uploads.reservations import Lapsing
from gateway.uploads.views import Views

log = logging.getLogger("relaypacs.gateway")

#: How often is looked for room for the ledger's reserve.
RESERVE_EVERY_S = 1.0
#: RFC 5425 4.1.
SYSLOG_TLS = 6514
#: After a fault of the audit file, how long until it is tried again.
EXPORT_AGAIN_S = 5.0


def open_retention(base: Base, intake: Intake | None = None) -> Retention:
    """The purge. :param intake: of the process that takes bytes; a command beside it has none."""
    times = base.config.retention
    erasure = Erasure(
        base.ledger,
        base.spool,
        intake.leases if intake is not None else Leases(base.clock),
        base.clock,
        close_tail=intake.tails.close if intake is not None else lambda _file_id: None,
        retire=intake.sharing.retire_idle if intake is not None else None,
        settle=_compaction(base, intake).settle if intake is not None else None,
    )
    return Retention(
        base.ledger,
        erasure,
        base.clock,
        Times(
            interval_s=times.interval_s,
            delivered_s=times.delivered_s,
            failed_s=times.failed_s,
            records_s=times.records_s,
            expires_s=base.config.uploads.expires_s,
        ),
        orphans=base.spool.sweep_candidates,
        delete=base.spool.delete,
        turn=partial(purging, lock_beside(base.config.database.path)),
    )


def _compaction(base: Base, intake: Intake) -> Compaction:
    return Compaction(base.ledger, base.spool, intake.sharing.session_id, base.clock)


def open_audit_retention(base: Base) -> AuditRetention:
    """The audit trail's own purge."""
    audit = base.config.audit
    return AuditRetention(base.ledger, base.clock, audit.retention_s, audit.file, repository=bool(audit.repository))


def timers(base: Base, retention: Retention, export: AuditExport | None) -> Iterator[Coroutine[object, object, None]]:
    """What runs by itself for as long as the gateway does."""
    yield retention.run(asyncio.Event())
    yield open_audit_retention(base).run()
    yield _keep_reserve(base)
    yield Lapsing(base.ledger, base.clock, base.config.limits.empty_upload_s).run()
    if export is not None:
        yield _exporting(export, "exported")
    if (repository := open_repository(base)) is not None:
        yield _exporting(repository, "sent to its repository")


def open_export(base: Base) -> AuditExport | None:
    """The trail's way into its files; None: no file is configured."""
    path = base.config.audit.file
    if path is None:
        return None
    return AuditExport(base.ledger, path, base.keys.audit_mac_key)


def repository_of(config: Config) -> SyslogReceiver | None:
    """The configuration's audit record repository; None: there is none."""
    audit, parts = config.audit, urlsplit(config.audit.repository)
    if not audit.repository:
        return None
    return SyslogReceiver(
        parts.hostname or "",
        parts.port or SYSLOG_TLS,
        ca=audit.repository_ca,
        cert=audit.repository_cert,
        key=audit.repository_key,
    )


def open_repository(base: Base) -> AuditRepository | None:
    """The trail's way into it."""
    receiver, server = repository_of(base.config), base.config.server
    return None if receiver is None else AuditRepository(base.ledger, receiver, server.public_url_for(server.port))


async def _keep_reserve(base: Base) -> None:
    """The ledger's reserve is made again as soon as there is room."""
    while True:
        await asyncio.to_thread(base.ledger.reserve.hold)
        await asyncio.sleep(RESERVE_EVERY_S)


async def _exporting(export: AuditExport | AuditRepository, how: str) -> None:
    """Export the trail; what hinders it is said, and tried again: no event is lost meanwhile."""
    while True:
        try:
            await export.run()
        except GatewayError as error:
            log.error("the audit trail can't be %s: %s", how, error.code)  # noqa: TRY400 # a fault outside, no bug
            await asyncio.sleep(EXPORT_AGAIN_S)


def config_digest(config: Config) -> str:
    """Of what is in effect, secrets left out."""
    return hashlib.sha256(effective(config).encode()).hexdigest()


async def last_words(base: Base, export: AuditExport | None, refusals: Refusals) -> None:
    """What a gateway that stops still writes down."""
    try:
        await refusals.flush()
        await note_stop(base.ledger, base.clock)
        if export is not None:
            await export.catch_up()
    except GatewayError as error:
        log.error("the audit trail can't be brought to its end: %s", error.code)  # noqa: TRY400 # a fault outside


def open_foreign_accounts(base: Base) -> ForeignAccounts | None:
    """The configuration's OIDC issuer; None: there is none."""
    oidc = base.config.oidc
    if not oidc.enabled:
        return None
    terms = Terms(
        oidc.issuer, oidc.audience, oidc.roles_claim, oidc.roles, oidc.jwks_cache_s, oidc.timeout_s, oidc.token_typ
    )
    return ForeignAccounts(OidcIssuer(terms, base.clock), base.ledger, base.keys, base.clock)


def open_administration(base: Base, delivery: Delivery | None = None) -> Administration:
    """Questions of admins. :param delivery: of the process that delivers; a command beside it has none."""

    def endpoints() -> dict[str, EndpointState]:
        found = {} if delivery is None else delivery.conditions()
        return {name: EndpointState(one.name.lower(), code) for name, (one, code) in found.items()}

    def read_facts(key: UploadKey, file_id: str, sealed: bytes) -> dict[str, str]:
        facts = open_judgement(key, file_id, sealed).facts
        return {} if facts is None else asdict(facts)

    return Administration(
        base.ledger,
        base.ring,
        Views(base.keys.records),
        base.clock,
        read_facts=read_facts,
        endpoints=endpoints,
        account_id=Accounts(base.ledger, base.keys, base.clock).id_of,
    )
