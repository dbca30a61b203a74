"""Opaque tokens that renew the signed ones of `tokens`: of an account, or of one upload.

Promises: a lost answer never locks a client out; a refresh token that two parties use ends its whole family. They are
256 random bits; only their SHA-256 is kept. Knows nothing of HTTP and of passwords.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import Forbidden, Unauthorized
from gateway.identity.tokens import MAX_TOKEN_CHARS
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import RefreshTokenRow, UploadRow

#: Refresh tokens begin with it, so that one in the wrong place is told from rubbish without a look-up.
REFRESH_PREFIX = "rpr_"
#: How long a refresh token of an account may lie unused; each rotation starts it anew.
ACCOUNT_REFRESH_TTL_S = 12 * 3600.0
#: What is written as the end of a refresh token that lives as long as its upload. An outage of the gateway moves the
#: uploads' deadlines, so the upload's own row decides, and deleting that row deletes the token.
_WITH_ITS_UPLOAD_S = 10 * 366 * 86400.0


@dataclass(frozen=True, slots=True)
class Rotated:
    """A refresh token was good; `token` is its successor."""

    row: RefreshTokenRow  #: of the token that was used
    token: str


@dataclass(frozen=True, slots=True)
class Reused:
    """A refresh token was used after its successor: the family is revoked.

    A value, not an error: an error would undo the transaction, and the revocation with it.
    """

    row: RefreshTokenRow


def new_session() -> str:
    """An id for a family of refresh tokens, for those who must know it before."""
    return secrets.token_hex(16)


def issue(
    tx: Transaction,
    *,
    account_id: str,
    now: float,
    upload_id: str | None = None,
    expires_at: float | None = None,
    session_id: str | None = None,
) -> str:
    """The first refresh token of a new family.

    :param upload_id: the upload whose tokens it renews; None: it renews access tokens.
    :param expires_at: unix seconds, for account tokens only; default `now` + ACCOUNT_REFRESH_TTL_S. A token of an
        upload lives as long as the upload, whatever is given.
    :param session_id: the family's id (`new_session`).
    """
    family_id = session_id or new_session()
    return _insert(tx, family_id, None, account_id, upload_id, now, _end(upload_id, now, expires_at))


def rotate(tx: Transaction, token: str, *, now: float, expires_at: float | None = None) -> Rotated | Reused:
    """Exchange a refresh token for its successor (CONTRACT 2.2).

    It may be repeated, each time for another successor, until one of them is first used. Who may use it, and whether
    its upload still lives, is the caller's question: see `refresh`.

    :param expires_at: unix seconds, end of the successor, as for `issue`.
    :raises Unauthorized: unknown (`unauthorized`) or past its time (`token_expired`); nothing is written.
    """
    row = _live_row(tx, token, now)
    if row.spent:
        tx.tokens.revoke_family(row.family_id)
        _note(tx, "token.reused", row, now)
        return Reused(row)
    tx.tokens.spend_kin(row)
    ends_at = _end(row.upload_id, now, expires_at)
    _note(tx, "token.refreshed", row, now)
    return Rotated(row, _insert(tx, row.family_id, row.token_hash, row.account_id, row.upload_id, now, ends_at))


#: Looks at a refresh token's row before it is rotated; refuses by raising.
Check = Callable[[Transaction, RefreshTokenRow], None]


async def refresh(ledger: Ledger, token: str, *, now: float, check: Check, expires_at: float | None = None) -> Rotated:
    """Rotate a refresh token in a transaction of its own.

    :param check: who may use it: `for_account()`, `for_upload(...)` or both with the caller's own questions
        (is the account active). What it raises is raised; then nothing is rotated.
    :raises Unauthorized: `unauthorized`, `token_expired`, or `token_reused`: the family is revoked and stays so.
    """

    def act(tx: Transaction) -> Rotated | Reused:
        row = _live_row(tx, token, now)
        if not row.spent:
            check(tx, row)
        return rotate(tx, token, now=now, expires_at=expires_at)

    match await ledger.write(act):
        case Rotated() as rotated:
            return rotated
        case Reused():
            raise Unauthorized("this refresh token was renewed before: log in again", code="token_reused")


def for_account() -> Check:
    """Only refresh tokens of an account, whose account is active."""

    def check(tx: Transaction, row: RefreshTokenRow) -> None:
        if row.upload_id is not None:
            raise Forbidden("this refresh token belongs to an upload", code="wrong_token_kind")
        _active(tx, row)

    return check


def for_upload(upload_id: str, raise_if_dead: Callable[[UploadRow], None]) -> Check:
    """Only refresh tokens of that upload, whose account is active.

    :param raise_if_dead: of a dead upload it renews nothing any more, and its bearer hears why.
    """

    def check(tx: Transaction, row: RefreshTokenRow) -> None:
        if row.upload_id is None:
            raise Forbidden("this refresh token belongs to an account", code="wrong_token_kind")
        if row.upload_id != upload_id:
            raise Forbidden("this refresh token belongs to another upload")
        _active(tx, row)
        if (upload := tx.uploads.get(upload_id)) is not None:
            raise_if_dead(upload)

    return check


async def revoke(ledger: Ledger, token: str, *, now: float) -> None:
    """End the family of a refresh token (logging out). An unknown one is no error: it is over either way."""

    def act(tx: Transaction) -> None:
        if (row := tx.tokens.get(_hash(token))) is not None:
            tx.tokens.revoke_family(row.family_id)
            _note(tx, "logout", row, now)

    await ledger.write(act)


async def end_session(ledger: Ledger, session_id: str, *, now: float, actor: str) -> None:
    """End one family by its id (logging out with an access token). Without one, whoever vouched for it ends it."""

    def act(tx: Transaction) -> None:
        if session_id:
            tx.tokens.revoke_family(session_id)
        tx.audit.append("logout", at=now, actor=actor)

    await ledger.write(act)


def _note(tx: Transaction, event: str, row: RefreshTokenRow, now: float) -> None:
    tx.audit.append(event, at=now, actor=f"account:{row.account_id}", upload_id=row.upload_id)


def _active(tx: Transaction, row: RefreshTokenRow) -> None:
    account = tx.accounts.get(row.account_id)
    if account is None or account.disabled_at is not None:
        raise Unauthorized("the account is not active")


def _live_row(tx: Transaction, token: str, now: float) -> RefreshTokenRow:
    row = tx.tokens.get(_hash(token)) if len(token) <= MAX_TOKEN_CHARS else None
    if row is None:
        raise Unauthorized("a valid token is needed")
    if row.upload_id is None and row.expires_at <= now:
        raise Unauthorized("the refresh token is past its time: log in again", code="token_expired")
    return row


def _end(upload_id: str | None, now: float, expires_at: float | None) -> float:
    if upload_id is not None:
        return now + _WITH_ITS_UPLOAD_S
    return now + ACCOUNT_REFRESH_TTL_S if expires_at is None else expires_at


def _insert(
    tx: Transaction,
    family_id: str,
    parent_hash: bytes | None,
    account_id: str,
    upload_id: str | None,
    now: float,
    expires_at: float,
) -> str:
    token = REFRESH_PREFIX + secrets.token_urlsafe(32)
    row = RefreshTokenRow(
        token_hash=_hash(token),
        family_id=family_id,
        parent_hash=parent_hash,
        account_id=account_id,
        upload_id=upload_id,
        spent=False,
        issued_at=now,
        expires_at=expires_at,
    )
    tx.tokens.insert(row)
    return token


def _hash(token: str) -> bytes:
    # A token has 256 random bits: it needs no salt and no slow hash.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
