"""Where who may send (CONTRACT 2.1): the endpoints of the configuration, or those of them that an account is limited to.

An account that is limited to endpoints which the configuration doesn't have any more may send nowhere: a limit is never
lifted by an endpoint's end. Uploads that are open already go on. Knows no HTTP and no PACS.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gateway.errors import Forbidden, Unprocessable
from gateway.identity.principal import Principal
from gateway.ledger.base import Ledger
from gateway.ledger.rows import AccountRow


@dataclass(frozen=True, slots=True)
class Destination:
    """What those who open uploads must know of a PACS."""

    endpoint_id: str
    takes_notes: bool


class Destinations:
    """All endpoints, and who may send to which.

    :param default: the one that is meant where none is named; None: one must be named.
    :param routed: where routes may lead instead.
    """

    def __init__(
        self,
        ledger: Ledger,
        endpoints: Mapping[str, Destination],
        default: str | None,
        routed: Collection[str] = (),
    ) -> None:
        self._ledger = ledger
        self._endpoints = endpoints
        self._default = default
        self._routed = routed

    async def take_notes(self, who: Principal, endpoint: Destination, *, by_qr: bool) -> bool:
        """Whether there is an endpoint that takes clinical notes among those that an upload to this one may reach.

        :param by_qr: by a QR code, which leads to its endpoint alone.
        """
        if endpoint.takes_notes or by_qr or not self._routed:
            return endpoint.takes_notes
        allowed = await self.allowed(who)
        return any(self._endpoints[name].takes_notes for name in allowed if name in self._routed)

    async def allowed(self, who: Principal) -> list[str]:
        """Ids of the endpoints that `who` may send to, in the configuration's order."""
        row = await self._ledger.read(lambda tx: tx.accounts.get(who.account_id))
        limit = limit_of(row)
        return [name for name in self._endpoints if limit is None or name in limit]

    async def choose(self, who: Principal, endpoint_id: str | None) -> Destination:
        """The endpoint of that name; where none is named the default, or the only one that `who` may send to.

        :raises Unprocessable: `unknown_endpoint`: there is none of that name, or one must be named.
        :raises Forbidden: `endpoint_not_allowed`.
        """
        allowed = await self.allowed(who)
        name = endpoint_id
        if name is None:
            name = allowed[0] if len(allowed) == 1 else self._default
        if name is None or name not in self._endpoints:
            raise Unprocessable("there is no such endpoint", code="unknown_endpoint", field="endpoint_id")
        if name not in allowed:
            raise Forbidden("this account may not send to this endpoint", code="endpoint_not_allowed")
        return self._endpoints[name]


def limit_of(row: AccountRow | None) -> frozenset[str] | None:
    """What an account is limited to; None: it isn't, or nobody's account it is (the command line)."""
    return frozenset(row.endpoints.split()) if row is not None and row.endpoints else None
