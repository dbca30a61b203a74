"""The composition root: the only module that knows everyone."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from gateway import __version__
from gateway.assembly import limits
from gateway.assembly.base import Base, make_folder, open_base
from gateway.assembly.parts import PARTS, Parts
from gateway.assembly.probes import probes
from gateway.assembly.routes import routes_of
from gateway.assembly.targets import committing, listen
from gateway.assembly.telling import Telling, open_scrape, open_telling
from gateway.assembly.upkeep import (
    config_digest,
    last_words,
    open_administration,
    open_export,
    open_foreign_accounts,
    open_retention,
    timers,
)
from gateway.audit.events import Refusals, note_start
from gateway.clock import Clock
from gateway.config import Config
from gateway.config.endpoints import EndpointSection
from gateway.delivery.attempt import DeliveryRules
from gateway.delivery.cancelled import Settling
from gateway.delivery.endpoint import EndpointTarget
from gateway.delivery.service import Delivery
from gateway.errors import ConfigError, NotFound
from gateway.identity.accounts import Accounts
from gateway.identity.tokens import TokenMint
from gateway.identity.wipe import Wiping
from gateway.jobs.backoff import Backoff
from gateway.jobs.workers import Again, Done, Handler, Workers
from gateway.keys import rotation
from gateway.ledger.base import Transaction
from gateway.ledger.rows import JobKind, JobRow, UploadRow
from gateway.owners import leave_to_owner, why_not
from gateway.receipts import keys as receipt_keys
from gateway.receipts.document import Signer
from gateway.uploads.admission import Limits, new_id
from gateway.uploads.body import Buffered
from gateway.uploads.cancellation import Settle
from gateway.uploads.chunks import Chunks
from gateway.uploads.completion import GATEWAY, Timing
from gateway.uploads.destinations import Destination, Destinations
from gateway.uploads.intake import Intake, raise_fence
from gateway.uploads.leases import Leases
from gateway.uploads.pipeline import Pipeline
from gateway.uploads.qr import QrSessions, QrTerms
from gateway.uploads.sharing import Sharing
from gateway.uploads.submissions import Submissions
from gateway.uploads.tail import Files
from gateway.uploads.tails import Tails
from gateway.uploads.threads import Threads
from gateway.uploads.views import Views
from gateway.web.services import Services
from gateway.web.shares import Shares

#: Threads that seal, write and sync; and those that seal and write small appends. What these do is Python's, or the
#: processor's: more of them take Python's lock from each other.
SPOOL_THREADS, SEALERS = 8, 2


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway, but for its listening."""

    base: Base
    intake: Intake
    services: Services
    delivery: Delivery
    workers: Workers
    telling: Telling


@asynccontextmanager
async def open_gateway(config: Config, clock: Clock, parts: Parts = PARTS) -> AsyncIterator[Gateway]:
    """Everything that `serve` runs: acts, workers, purge, export.

    :raises ConfigError: see `open_base`, or another gateway serves this ledger.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(alone(config.database.path))
        await asyncio.to_thread(parts.migrate_ledger, config.database.path)
        base = await stack.enter_async_context(open_base(config, clock, parts))
        await rotation.serve(base.ledger, base.ring, clock, GATEWAY)
        await receipt_keys.note_key(base.ledger, Signer(base.keys.receipt_seed))
        await asyncio.to_thread(base.ledger.reserve.hold)
        telling = await open_telling(base)
        intake = _intake(base, session_id := new_id())
        await base.ledger.write(lambda tx: tx.runs.close_sessions(but=session_id))
        stack.push_async_callback(intake.sharing.close)
        stack.callback(intake.pipeline.close_threads)
        stack.callback(intake.tails.close_all)
        delivery = _delivery(base, parts, stack, telling)
        services = _services(base, intake, delivery, parts, telling)
        stack.callback(services.chunks.writers.close_all)
        workers = _workers(base, services.submissions, delivery, telling)
        gateway = Gateway(base, intake, services, delivery, workers, telling)
        if parts.acts_alone:
            await _begin(gateway, stack)
        yield gateway


async def _begin(gateway: Gateway, stack: AsyncExitStack) -> None:
    """From here on what is due is done by itself, until the stack ends."""
    base, delivery = gateway.base, gateway.delivery
    export, refusals = open_export(base), gateway.services.refusals
    if base.config.audit.file is not None:
        make_folder(base.config.audit.file.parent)
    await note_start(base.ledger, base.clock, version=__version__, config_sha256=config_digest(base.config))
    stack.push_async_callback(last_words, base, export, refusals)
    work_of_others = timers(base, open_retention(base, gateway.intake), export)
    for work in (*work_of_others, refusals.run(), *gateway.telling.timers()):
        stack.push_async_callback(_ended, asyncio.create_task(work))
    await delivery.begin()
    gateway.intake.sharing.judge_by(delivery.arrivals)
    stack.callback(gateway.intake.sharing.judge_by, None)
    await gateway.workers.start()
    stack.push_async_callback(gateway.workers.stop)
    stack.callback(delivery.drain)


def is_served(database: Path) -> bool:
    """Whether a gateway runs on this ledger just now."""
    try:
        with alone(database):
            return False
    except ConfigError:
        return True


@contextlib.contextmanager
def alone(database: Path) -> Iterator[None]:
    """One gateway per ledger. :raises ConfigError: another one runs."""
    make_folder(database.parent)
    lock = database.with_name(database.name + ".serving")
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        leave_to_owner(lock)
    except OSError as error:
        raise ConfigError(f"{lock} can't be opened ({why_not(lock, error)})") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError("another gateway serves this database: stop it, or name another one") from None
        yield
    finally:
        os.close(handle)


def _intake(base: Base, session_id: str) -> Intake:
    """:param session_id: of this process."""
    config = base.config
    sharing = Sharing(base.ledger, base.spool, session_id)
    return Intake(
        ledger=base.ledger,
        spool=base.spool,
        ring=base.ring,
        keys=base.keys,
        leases=Leases(base.clock, partial(raise_fence, base.ledger)),
        sharing=sharing,
        tails=Tails(limits.kept_tails()),
        pipeline=Pipeline(
            Threads(SPOOL_THREADS),
            Buffered(config.server.max_buffered_bytes),
            config.server.body_idle_timeout_s,
            sharing,
            base.ledger.reserve,
            Threads(SEALERS),
        ),
        clock=base.clock,
        limits=Limits(
            chunk_size=config.uploads.chunk_size_bytes,
            max_file_size=min(config.uploads.max_file_size_bytes, config.uploads.max_upload_size_bytes),
            max_upload_size=config.uploads.max_upload_size_bytes,
            max_files=config.uploads.max_files,
            spool_max_bytes=config.spool.max_bytes,
            open_uploads=config.limits.open_uploads,
            reserved_share=config.limits.reserved_share,
        ),
        timing=Timing(config.uploads.expires_s, config.uploads.autocomplete_s),
    )


def _takes_notes(endpoint: EndpointSection) -> bool:
    return endpoint.notes != "none"


def _delivery(base: Base, parts: Parts, stack: AsyncExitStack, telling: Telling) -> Delivery:
    config = base.config
    check = parts.make_check(config.validation)
    stack.callback(check.close)
    targets: dict[str, EndpointTarget] = {}
    for name, endpoint in config.endpoints.items():
        target = parts.make_target(endpoint, config.delivery.connections)
        stack.callback(target.close)
        targets[name] = EndpointTarget(
            target,
            identity=endpoint.identity,
            if_unknown=endpoint.if_unknown,
            verify=endpoint.verify,
            verify_for_s=endpoint.verify_for_s,
            takes_notes=endpoint.notes == "sr",
            tells_notes=endpoint.notes == "webhook",
            connections=endpoint.associations if endpoint.kind == "dimse" else config.delivery.connections,
            batch_instances=config.delivery.batch_instances,
            batch_bytes=config.delivery.batch_bytes,
            committing=committing(endpoint, target),
            streams=endpoint.mode == "stream",
        )
    if parts.acts_alone:
        stack.callback(listen(config, [one.target for one in targets.values()]))
    return Delivery(
        ledger=base.ledger,
        spool=base.spool,
        ring=base.ring,
        keys=base.keys,
        targets=targets,
        check=check,
        signer=Signer(base.keys.receipt_seed),
        clock=base.clock,
        settings=DeliveryRules(
            retry_for_s=config.delivery.retry_for_s,
            backoff=Backoff(config.delivery.retry_base_s),
            study_mismatch=config.validation.study_mismatch,
            checks=config.validation.workers,
        ),
        asked=telling.metrics.asked,
        announce=telling.announcer,
        routes=routes_of(config),
    )


def _workers(base: Base, submissions: Submissions, delivery: Delivery, telling: Telling) -> Workers:
    async def autocomplete(job: JobRow) -> Done | Again:
        again_at = await submissions.autocomplete(job)
        return Done() if again_at is None else Again(again_at, "account_disabled", counts=False)

    handlers: dict[JobKind, Handler] = {
        **delivery.handlers(),
        JobKind.COMPLETE: autocomplete,
        JobKind.TELL: telling.messenger,
    }
    concurrency = {**delivery.concurrency(), JobKind.COMPLETE: 4, JobKind.TELL: 4}
    backoff = Backoff(base.config.delivery.retry_base_s)
    return Workers(base.ledger, handlers, base.clock, concurrency=concurrency, backoff=backoff)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _destinations(base: Base) -> Destinations:
    endpoints = {name: Destination(name, _takes_notes(one)) for name, one in base.config.endpoints.items()}
    default = base.config.default_endpoint
    routed = frozenset[str]().union(*(route.reach for route in routes_of(base.config)))
    return Destinations(base.ledger, endpoints, default.endpoint_id if default is not None else None, routed)


def _submissions(base: Base, intake: Intake, settle_cancelled: Settle) -> Submissions:
    return Submissions(intake, Views(base.keys.records), _destinations(base), settle_cancelled)


@contextlib.contextmanager
def open_submissions(base: Base) -> Iterator[Submissions]:
    """Acts on whole uploads, for a command beside the process that takes them."""
    intake = _intake(base, new_id())
    settling = Settling(base.ledger, base.keys, Signer(base.keys.receipt_seed), base.clock)
    try:
        yield _submissions(base, intake, settling.end)
    finally:
        intake.pipeline.close_threads()


async def _nothing_to_settle(_upload_id: str) -> None:
    pass


def open_qr(base: Base, submissions: Submissions | None = None) -> QrSessions:
    """QR sessions. :param submissions: of the process that takes uploads; a command beside it only makes codes."""
    tokens, most = base.config.tokens, base.config.limits
    terms = QrTerms(tokens.qr_ttl_s, tokens.qr_max_ttl_s, most.qr_max_bytes, most.qr_codes)
    known = submissions or _submissions(base, _intake(base, new_id()), _nothing_to_settle)
    return QrSessions(base.ledger, base.keys.records, known, _destinations(base), base.clock, terms)


def _services(base: Base, intake: Intake, delivery: Delivery, parts: Parts, telling: Telling) -> Services:
    config, token = base.config, base.config.metrics.token
    records = Views(base.keys.records)
    submissions, former = _submissions(base, intake, delivery.settle_cancelled), config.tokens.previous_secret
    return Services(
        clock=base.clock,
        ledger=base.ledger,
        mint=TokenMint(
            config.tokens.secret.reveal().encode(),
            base.clock,
            access_ttl_s=config.tokens.access_ttl_s,
            upload_ttl_s=config.tokens.upload_ttl_s,
            former_secret=former.reveal().encode() if former is not None else None,
        ),
        oidc=open_foreign_accounts(base),
        accounts=Accounts(
            base.ledger,
            base.keys,
            base.clock,
            hashing=parts.hashing,
            limits=parts.login_limits or limits.login_limits(config),
        ),
        uploads=Files(intake),
        chunks=Chunks(intake, segments=limits.kept_chunk_segments()),
        submissions=submissions,
        qr=open_qr(base, submissions),
        public_url=config.server.public_url,
        hosts=None if config.server.public_url_is_made else config.server.hosts,
        records=records,
        destinations=_destinations(base),
        endpoints={name: _shown(one, config) for name, one in config.endpoints.items()},
        endpoint_states=lambda: {name: str(one.name.lower()) for name, (one, _) in delivery.conditions().items()},
        jwks=partial(receipt_keys.jwks, base.ledger, Signer(base.keys.receipt_seed)),
        probes=probes(base, intake),
        metrics=telling.metrics,
        scrape=open_scrape(base, telling, delivery),
        metrics_token=None if token is None else token.reveal().encode(),
        metrics_apart=bool(config.metrics.port),
        release=_admin_act(base, delivery.release),
        retry=_retry_by(delivery),
        refusals=Refusals(base.ledger, base.clock),
        administration=open_administration(base, delivery),
        wiping=Wiping(base.ledger, base.clock),
        app_terms={
            "local_ttl_seconds": round(config.app.local_ttl_s),
            "privacy_contact": config.app.privacy_contact,
        },
        max_file_size=intake.limits.max_file_size,
        chunk_size=intake.limits.chunk_size,
        json_timeout_s=config.limits.json_timeout_s,
        room_again_s=limits.room_again_s(config),
        shares=Shares(config.server.max_buffered_bytes),
        connections=limits.connection_limits(config),
        cors_origins=config.server.cors_origins,
        trusted_proxies=config.server.trusted_proxies,
        proxies_pass_interim=config.server.proxies_pass_interim,
    )


def _shown(endpoint: EndpointSection, config: Config) -> Mapping[str, object]:
    """An endpoint as `GET /endpoints` tells it."""
    return {
        "endpoint_id": endpoint.endpoint_id,
        "display_name": endpoint.display_name or endpoint.endpoint_id,
        "contact": endpoint.contact,
        "default": endpoint.default,
        "takes_notes": _takes_notes(endpoint),
        "limits": limits.told(config),
        "notice": config.app.notice,
    }


class _AdminAct(Protocol):
    def __call__(self, tx: Transaction, upload: UploadRow, *, actor: str, reason: str) -> object: ...


def _retry_by(delivery: Delivery) -> Callable[[str, str, str], Awaitable[None]]:
    async def run(upload_id: str, actor: str, reason: str) -> None:
        await delivery.retry(upload_id, actor=actor, reason=reason)

    return run


def _admin_act(base: Base, act: _AdminAct) -> Callable[[str, str, str], Awaitable[None]]:
    async def run(upload_id: str, actor: str, reason: str) -> None:
        def write(tx: Transaction) -> None:
            upload = tx.uploads.get(upload_id)
            if upload is None:
                raise NotFound("there is no such upload")
            act(tx, upload, actor=actor, reason=reason)

        await base.ledger.write(write)

    return run
