"""Local accounts: who may log in, and as what.

Promises: a refused login tells nobody whether the name exists: one answer, one duration (one Argon2id run each);
guessing is slowed down per name and per address, and whoever knows the password still gets in from where it worked
before; names are sealed and found by a keyed digest; what changes an account is audited in the same transaction.
Knows no HTTP and no tokens but those that it revokes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.clock import Clock
from gateway.errors import Conflict, NotFound, Unauthorized, Unprocessable
from gateway.identity import wipe as wiping
from gateway.identity.account_rules import (
    MAX_NAME_CHARS,
    Role,
    bad_credentials,
    checked_name,
    checked_role,
    require_another_admin,
)
from gateway.identity.bad_passwords import is_bad
from gateway.identity.passwords import Hashing, Passwords, acceptable
from gateway.identity.refresh_tokens import new_session
from gateway.identity.throttle import LoginGuard, LoginLimits, network_of
from gateway.identity.unicode import composed, too_long_for
from gateway.keys.columns import Column
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import AccountRow, RefreshTokenRow
from gateway.spool.keys import ServiceKeys

#: What another process has ended, this one notices within so long.
REMEMBERED_FOR_S = 1.0
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Account:
    """An account as its administrator sees it."""

    account_id: str
    name: str
    role: Role
    disabled_at: float | None
    created_at: float
    endpoints: tuple[str, ...] = ()  #: it may send to these only; none: to all


#: What becomes of an account's row; None: it stays as it is.
_Change = Callable[[Transaction, AccountRow, float], AccountRow | None]
#: Shared default of `_change`; nobody writes to it.
_NOTHING: Mapping[str, object] = {}


class Accounts:
    """All local accounts."""

    def __init__(
        self,
        ledger: Ledger,
        keys: ServiceKeys,
        clock: Clock,
        *,
        hashing: Hashing | None = None,
        limits: LoginLimits | None = None,
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._clock = clock
        self._passwords = Passwords(hashing or Hashing())
        self._guard = LoginGuard(limits or LoginLimits(), clock)
        self._welcome: dict[tuple[str, str, str], float] = {}  # bearers that were looked up -> until when that holds
        self._ended = 0

    async def add(
        self,
        name: str,
        role: str,
        password: str,
        *,
        endpoints: Sequence[str] = (),
        actor: str = "cli",
        must_change: bool = False,
    ) -> AccountRow:
        """A new account.

        :param endpoints: it may send to these only; none: to all.
        :param must_change: its owner has to set another password before anything else.
        :raises Unprocessable: `invalid_field`: the name, role or password can't be used.
        :raises Conflict: the name is taken.
        """
        name, role = checked_name(name), checked_role(role)
        password_hash = await self._passwords.hash(acceptable(password, name))
        account_id, now = secrets.token_hex(16), self._clock.now()
        row = AccountRow(
            account_id=account_id,
            name_mac=self._name_mac(name),
            name_sealed=self._keys.records.seal(name.encode(), context=Column.ACCOUNT_NAME.of(account_id)),
            role=role,
            password_hash=password_hash,
            disabled_at=None,
            created_at=now,
            endpoints=" ".join(endpoints),
            must_change=must_change,
        )

        def act(tx: Transaction) -> AccountRow:
            if tx.accounts.by_name(row.name_mac) is not None:
                raise Conflict("there is an account of that name already")
            tx.accounts.insert(row)
            detail = {"account_id": account_id, "role": role} | ({"endpoints": row.endpoints} if endpoints else {})
            tx.audit.append("account.added", at=now, actor=actor, detail=detail)
            return row

        return await self._ledger.write(act)

    async def all(self) -> list[Account]:
        """Every account, by name."""
        rows = await self._ledger.read(lambda tx: [row for row in tx.accounts.all() if row.name_sealed])
        return sorted(map(self._shown, rows), key=lambda account: account.name)

    async def disable(self, name: str, *, actor: str = "cli", wipe: bool = False) -> None:
        """Refuse it from now on; its refresh tokens end. Doing it twice changes nothing.

        :param wipe: its devices are told to delete what it left there (`gateway/identity/wipe.py`).
        :raises NotFound: no such account.
        :raises Conflict: it is the last admin.
        """

        def change(tx: Transaction, row: AccountRow, now: float) -> AccountRow | None:
            require_another_admin(tx, row)
            tx.tokens.revoke_account(row.account_id)
            since = now if row.disabled_at is None else row.disabled_at
            disabled = replace(row, disabled_at=since, wipe=row.wipe or wipe)
            return None if disabled == row else disabled

        await self._change(name, "account.disabled", actor, change, {"wipe": True} if wipe else {})

    async def enable(self, name: str, *, actor: str = "cli") -> None:
        """Let it in again. Doing it twice changes nothing. :raises NotFound: no such account."""

        def change(_tx: Transaction, row: AccountRow, _now: float) -> AccountRow | None:
            return None if row.disabled_at is None else replace(row, disabled_at=None, wipe=False)

        await self._change(name, "account.enabled", actor, change)

    async def limit(self, name: str, endpoints: Sequence[str], *, actor: str = "cli") -> None:
        """Let it send to these endpoints only; none: to all. What it has open already goes on.

        :raises NotFound: no such account.
        """

        def change(_tx: Transaction, row: AccountRow, _now: float) -> AccountRow | None:
            limited = replace(row, endpoints=" ".join(endpoints))
            return None if limited == row else limited

        await self._change(name, "account.limited", actor, change, {"endpoints": " ".join(endpoints) or "all"})

    async def set_role(self, name: str, role: str, *, actor: str = "cli") -> None:
        """Give it another role; its sessions end, for tokens say the former one.

        :raises NotFound: no such account.
        :raises Unprocessable: `invalid_field`: there is no such role, or an OIDC issuer gives this account its.
        :raises Conflict: it is the last admin.
        """
        wanted = checked_role(role)

        def change(tx: Transaction, row: AccountRow, _now: float) -> AccountRow | None:
            if not row.password_hash:
                raise Unprocessable("an OIDC issuer gives its people their roles", code="invalid_field", field="name")
            if row.role == wanted:
                return None
            require_another_admin(tx, row)
            tx.tokens.revoke_account(row.account_id)
            return replace(row, role=wanted)

        await self._change(name, "account.role_changed", actor, change, {"role": str(wanted)})

    async def delete(self, name: str, *, actor: str = "cli") -> None:
        """End it for good: nobody knows its name any more, which may be given anew. What it sent stays, as its id's.

        :raises NotFound: no such account.
        :raises Conflict: it is the last admin.
        """

        def change(tx: Transaction, row: AccountRow, now: float) -> AccountRow:
            require_another_admin(tx, row)
            tx.tokens.revoke_account(row.account_id)
            return replace(
                row,
                name_mac=secrets.token_bytes(32),
                name_sealed=b"",
                password_hash="",
                disabled_at=row.disabled_at or now,
            )

        await self._change(name, "account.deleted", actor, change)

    async def set_password(self, name: str, password: str, *, actor: str = "cli", must_change: bool = False) -> None:
        """Give it another password; its refresh tokens end.

        :param must_change: its owner has to set another one before anything else.
        :raises NotFound: no such account.
        :raises Unprocessable: `invalid_field`: the password can't be used.
        """
        password_hash = await self._passwords.hash(acceptable(password, name))

        def change(tx: Transaction, row: AccountRow, _now: float) -> AccountRow:
            if not row.password_hash:
                raise Unprocessable("an OIDC issuer's people have no password here", code="invalid_field", field="name")
            tx.tokens.revoke_account(row.account_id)
            return replace(row, password_hash=password_hash, must_change=must_change)

        await self._change(name, "password.changed", actor, change)

    async def change_password(
        self, account_id: str, password: str, new_password: str, address: str, *, session_id: str
    ) -> None:
        """Its owner gives it another password: its other logins end, its uploads go on.

        :param password: the present one.
        :param session_id: the login that stays.
        :raises Unauthorized: `bad_credentials`: that isn't the present one.
        :raises Unprocessable: `invalid_field`: the new one can't be used.
        :raises TooMany: as `login`.
        """
        row = await self.active(account_id)
        if not row.password_hash:
            raise Unprocessable("an OIDC issuer's people have no password here", code="invalid_field", field="password")
        if acceptable(new_password, self._shown(row).name, field="new_password") == password:
            raise Unprocessable("that is the present password", code="invalid_field", field="new_password")
        row = await self._proven(row.name_mac, password, address)
        password_hash, now = await self._passwords.hash(new_password), self._clock.now()

        def act(tx: Transaction) -> None:
            present = tx.accounts.get(account_id)
            if present is None or present.disabled_at is not None or present.password_hash != row.password_hash:
                raise bad_credentials()
            tx.accounts.save(replace(present, password_hash=password_hash, must_change=False))
            tx.tokens.revoke_sessions(account_id, but=session_id)
            detail = {"account_id": account_id}
            tx.audit.append("password.changed", at=now, actor=f"account:{account_id}", detail=detail)

        await self._ledger.write(act)
        self.forget_bearers()

    async def login(self, name: str, password: str, address: str) -> AccountRow:
        """The account of that name and password.

        :param address: of the client, as the proxies tell it.
        :raises Unauthorized: `bad_credentials`: no such name, another password, or disabled.
        :raises TooMany: too many failures lately, too many logins at once, or in a minute; with `retry_after_s`.
        :returns: with `must_change` where another password has to be set before anything else.
        """
        return await self._entered(await self._proven(self._name_mac(name), password, address), password)

    def keyed(self, name: str) -> str:
        """What the audit trail calls whoever gave this name, whether there is such an account or not."""
        return self._name_mac(name)[:8].hex()

    async def id_of(self, said: str) -> str:
        """The account of that name or id. :raises Unprocessable: `invalid_field`: there is none."""
        row = await self._ledger.read(lambda tx: tx.accounts.by_name(self._name_mac(said)) or tx.accounts.get(said))
        if row is None:
            raise Unprocessable("there is no such account", code="invalid_field", field="account")
        return row.account_id

    async def active(self, account_id: str) -> AccountRow:
        """The account, if it is there and not disabled. :raises Unauthorized: otherwise."""
        row = await self._ledger.read(lambda tx: tx.accounts.get(account_id))
        if row is None or row.disabled_at is not None:
            raise Unauthorized("the account is not active")
        return row

    async def check_bearer(self, account_id: str, session_id: str = "", upload_id: str | None = None) -> None:
        """Is the bearer of a good token still welcome? Asked at each request, and remembered for a second.

        :param session_id: of an access token that came with a session; it ends with that.
        :param upload_id: of an upload token.
        :raises Unauthorized: the account is disabled or gone, the session was ended, or its device shall delete what
            it has (`device_wipe`).
        """
        who, now = (account_id, session_id, upload_id or ""), self._clock.monotonic()
        if now < self._welcome.get(who, 0.0):
            return

        def look(tx: Transaction) -> tuple[AccountRow | None, bool]:
            wiping.check(tx, account_id, upload_id)
            return tx.accounts.get(account_id), not session_id or tx.tokens.family_lives(session_id)

        ended = self._ended
        row, lives = await self._ledger.read(look)
        if row is None or row.disabled_at is not None:
            raise Unauthorized("the account is not active")
        if not lives:
            raise Unauthorized("this session was ended: log in again")
        if len(self._welcome) >= REMEMBERED:
            self._welcome.clear()
        if ended == self._ended:
            self._welcome[who] = now + REMEMBERED_FOR_S

    def forget_bearers(self) -> None:
        """Something was ended: ask the ledger about everybody again."""
        self._welcome.clear()
        self._ended += 1

    async def service_session(self, name: str, ttl_s: float, *, actor: str = "cli") -> tuple[AccountRow, str]:
        """The account of that name, and a session for a service token of it. :raises NotFound: none that is active."""
        mac, now = self._name_mac(name), self._clock.now()

        def act(tx: Transaction) -> tuple[AccountRow, str]:
            row = tx.accounts.by_name(mac)
            if row is None or row.disabled_at is not None:
                raise NotFound("there is no active account of that name")
            session_id = new_session()
            # Its hash is of nothing: the row renews nothing, it is only there or not.
            token = RefreshTokenRow(
                secrets.token_bytes(32),
                session_id,
                None,
                row.account_id,
                None,
                spent=False,
                issued_at=now,
                expires_at=now + ttl_s,
            )
            tx.tokens.insert(token)
            detail = {"account_id": row.account_id, "kind": "service", "ttl_s": round(ttl_s)}
            tx.audit.append("token.issued", at=now, actor=actor, detail=detail)
            return row, session_id

        return await self._ledger.write(act)

    async def revoke_tokens(self, name: str, *, actor: str = "cli") -> None:
        """End every session of it, service tokens too. :raises NotFound: no such account."""

        def change(tx: Transaction, row: AccountRow, _now: float) -> AccountRow:
            tx.tokens.revoke_account(row.account_id)
            return row

        await self._change(name, "token.revoked", actor, change)

    async def _proven(self, mac: bytes, password: str, address: str) -> AccountRow:
        self._guard.check(mac, address)
        async with self._passwords.turn(network_of(address), mac):
            self._guard.check(mac, address)  # others may have failed while this one waited
            row = await self._ledger.read(lambda tx: tx.accounts.by_name(mac))
            fits = await self._passwords.fits(None if row is None else row.password_hash or None, password)
            if row is None or not fits or row.disabled_at is not None:
                self._guard.failed(mac, address)
                raise bad_credentials()
            self._guard.succeeded(mac, address)
            return row

    async def _entered(self, row: AccountRow, password: str) -> AccountRow:
        """Write the login down; renew a hash that was made at another cost."""
        renewed = None if self._passwords.is_current(row.password_hash) else await self._passwords.hash(password)
        now, bad = self._clock.now(), is_bad(password, self._shown(row).name)

        def act(tx: Transaction) -> AccountRow:
            present = tx.accounts.get(row.account_id)
            if present is None or present.disabled_at is not None or present.password_hash != row.password_hash:
                raise bad_credentials()
            if renewed is not None:
                present = replace(present, password_hash=renewed)
                tx.accounts.save(present)
            tx.audit.append("login", at=now, actor=f"account:{row.account_id}")
            return replace(present, must_change=present.must_change or bad)

        return await self._ledger.write(act)

    async def _change(
        self, name: str, event: str, actor: str, change: _Change, said: Mapping[str, object] = _NOTHING
    ) -> None:
        mac, now = self._name_mac(name), self._clock.now()

        def act(tx: Transaction) -> None:
            row = tx.accounts.by_name(mac)
            if row is None:
                raise NotFound("there is no account of that name")
            changed = change(tx, row, now)
            if changed is not None:
                tx.accounts.save(changed)
                tx.audit.append(event, at=now, actor=actor, detail={"account_id": row.account_id, **said})

        await self._ledger.write(act)
        self.forget_bearers()

    def _shown(self, row: AccountRow) -> Account:
        name = self._keys.records.open(row.name_sealed, context=Column.ACCOUNT_NAME.of(row.account_id)).decode()
        endpoints = tuple(row.endpoints.split())
        return Account(row.account_id, name, Role(row.role), row.disabled_at, row.created_at, endpoints)

    def _name_mac(self, name: str) -> bytes:
        known = name if too_long_for(name, MAX_NAME_CHARS) else composed(name)
        return self._keys.index_mac(b"account|" + known.encode("utf-8", "surrogatepass"))
