"""Delivery as the rest of the gateway sees it: handlers for the workers, and acts for those who cancel or decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.clock import Clock
from gateway.delivery.arrivals import Arrivals
from gateway.delivery.attempt import Announce, DeliveryRules, Tools
from gateway.delivery.breaker import Condition
from gateway.delivery.check import MOST_AT_ONCE, Checks
from gateway.delivery.deliver import Deliver
from gateway.delivery.endpoint import Asked, EndpointTarget, WorkingEndpoint, hasten
from gateway.delivery.finish import release, retry
from gateway.delivery.routes import DeliveryRoute
from gateway.delivery.streams import Streams
from gateway.jobs.workers import Handler
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import JobKind, UploadRow
from gateway.receipts.document import Signer
from gateway.spool import KeyRing, ServiceKeys, Spool
from hooks.contract import Check

#: Uploads under way; what they ask of one endpoint is bounded by its connections.
UPLOADS_AT_ONCE = 8


class Delivery:
    """Brings uploads into their PACS.

    :param targets: by endpoint_id.
    :param check: judges instances; called from several threads at once.
    :param announce: writes messages on what becomes of an upload.
    :param asked: hears of each request to a PACS.
    :param routes: rules that lead uploads elsewhere, in their order.
    :ivar arrivals: judges small files while they are stored.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        spool: Spool,
        ring: KeyRing,
        keys: ServiceKeys,
        targets: Mapping[str, EndpointTarget],
        check: Check,
        signer: Signer,
        clock: Clock,
        settings: DeliveryRules | None = None,
        asked: Asked = lambda _endpoint_id, _result, _seconds: None,
        announce: Announce = lambda _tx, _upload, _event, _now: None,
        routes: Sequence[DeliveryRoute] = (),
    ) -> None:
        settings = settings or DeliveryRules()
        self._tools = Tools(ledger, spool, ring, keys, signer, clock, settings, announce)
        streams = Streams([name for name, one in targets.items() if one.streams], routed=bool(routes))
        self._checks = Checks(ledger, spool, ring, keys, check, clock, settings.checks, streams)
        self.arrivals = Arrivals(check, keys, streams)
        self._endpoints = {
            endpoint_id: WorkingEndpoint(endpoint_id, config, ledger, clock, settings.backoff, settings.probe_s, asked)
            for endpoint_id, config in targets.items()
        }
        self._deliver = Deliver(self._tools, self._checks, self._endpoints, routes, streams)

    def handlers(self) -> Mapping[JobKind, Handler]:
        """For `Workers`; jobs of kind COMPLETE are somebody else's."""
        return {JobKind.CHECK: self._checks, JobKind.DELIVER: self._deliver}

    def concurrency(self) -> Mapping[JobKind, int]:
        """For `Workers`. Jobs at once, not threads: files that wait for a check together share its transactions."""
        return {JobKind.CHECK: self._tools.settings.checks * MOST_AT_ONCE, JobKind.DELIVER: UPLOADS_AT_ONCE}

    async def begin(self) -> None:
        """Before the workers start: what waits for an endpoint is tried at once, somebody may have mended it."""
        await hasten(self._tools.ledger, self._tools.clock.now())

    def drain(self) -> None:
        """Begin no new request to a PACS; end those under way at their next MiB. Then stop the workers."""
        self._deliver.drain()

    def conditions(self) -> dict[str, tuple[Condition, str]]:
        """How each endpoint is, and the code of why."""
        return {name: (one.breaker.condition, one.breaker.code) for name, one in self._endpoints.items()}

    async def settle_cancelled(self, upload_id: str) -> None:
        """For whoever has cancelled an upload that may be under way: a receipt for what the PACS took, and the warning
        `partial_left_in_pacs`.
        """
        await self._tools.settling.end(upload_id)

    def release(self, tx: Transaction, upload: UploadRow, *, actor: str, reason: str) -> None:
        """Let a held upload go. :raises Conflict, Gone: it isn't held."""
        release(tx, upload, actor=actor, reason=reason, clock=self._tools.clock, keys=self._tools.keys)

    async def retry(self, upload_id: str, *, actor: str, reason: str) -> int:
        """Send failed files once more; how many.

        :raises NotFound, Conflict, Gone: there is no such upload, nothing of it failed, or it is erased.
        """
        tools = self._tools
        return await retry(tools.ledger, upload_id, actor=actor, reason=reason, clock=tools.clock, keys=tools.keys)
