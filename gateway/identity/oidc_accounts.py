"""Accounts of people whom an OpenID Connect issuer knows: made at their first sight, so that they can be disabled here.

Promises: an account is the issuer's and the subject's, whatever name they have; both are kept as a keyed digest only,
the name for `user list` sealed; the role is the token's.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from gateway.clock import Clock
from gateway.identity.account_rules import FOREIGN, MAX_NAME_CHARS, Role
from gateway.identity.oidc import ForeignClaims, OidcIssuer
from gateway.identity.tokens import AccessClaims
from gateway.keys.columns import Column
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import AccountRow
from gateway.spool.keys import ServiceKeys

ACTOR = "oidc"
_REMEMBERED = 10_000


class ForeignAccounts:
    """One issuer's people."""

    def __init__(self, issuer: OidcIssuer, ledger: Ledger, keys: ServiceKeys, clock: Clock) -> None:
        self._issuer = issuer
        self._ledger = ledger
        self._keys = keys
        self._clock = clock
        self._seen: OrderedDict[ForeignClaims, str] = OrderedDict()

    def may_be(self, token: str) -> bool:
        """Whether a token looks like the issuer's and not like one of ours; nothing is believed yet."""
        return self._issuer.may_be(token)

    async def read(self, token: str) -> AccessClaims:
        """What the token says, in our words. A token that comes for the first time is a login.

        :raises Unauthorized, Forbidden, Unavailable: as `OidcIssuer.read`.
        """
        found = await self._issuer.read(token)
        account_id = self._seen.get(found)
        if account_id is None:
            account_id = self._account_id(found.subject)
            await self._ledger.write(lambda tx: self._enter(tx, account_id, found))
            self._seen[found] = account_id
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return AccessClaims(account_id, found.role, "", found.expires_at)

    def _enter(self, tx: Transaction, account_id: str, found: ForeignClaims) -> None:
        row, role, now = tx.accounts.get(account_id), Role(found.role), self._clock.now()
        event = ""
        if row is None:
            name = "".join(letter for letter in found.name[:MAX_NAME_CHARS] if letter.isprintable())
            shown = f"{FOREIGN}{name}#{account_id[:8]}".encode()
            sealed = self._keys.records.seal(shown, context=Column.ACCOUNT_NAME.of(account_id))
            mac = self._keys.index_mac(b"account|" + shown)
            tx.accounts.insert(AccountRow(account_id, mac, sealed, role, "", None, now))
            event = "account.added"
        elif row.role != role:
            tx.accounts.save(replace(row, role=role))
            event = "account.role_changed"
        if event:
            tx.audit.append(event, at=now, actor=ACTOR, detail={"account_id": account_id, "role": str(role)})
        if row is None or row.disabled_at is None:
            tx.audit.append("login", at=now, actor=f"account:{account_id}", detail={"by": ACTOR})

    def _account_id(self, subject: str) -> str:
        said = f"oidc|{self._issuer.issuer}|{subject}".encode("utf-8", "surrogatepass")
        return self._keys.index_mac(said)[:16].hex()
