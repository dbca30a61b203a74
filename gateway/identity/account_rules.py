"""What an account may be called, which roles there are, and that one admin stays."""

from __future__ import annotations

from enum import StrEnum

from gateway.errors import Conflict, Unauthorized, Unprocessable
from gateway.identity.unicode import composed, too_long_for
from gateway.ledger.base import Transaction
from gateway.ledger.rows import AccountRow

MAX_NAME_CHARS = 128
#: Names of accounts that an OIDC issuer vouches for begin with it; no local account's does.
FOREIGN = "oidc:"


class Role(StrEnum):
    """CONTRACT 2.1."""

    UPLOADER = "uploader"
    ISSUER = "issuer"
    ADMIN = "admin"


def checked_name(name: str) -> str:
    """In its composed form. :raises Unprocessable: `invalid_field`."""
    name = "" if too_long_for(name, MAX_NAME_CHARS) else composed(name)
    if not 1 <= len(name) <= MAX_NAME_CHARS or name != name.strip() or not name.isprintable():
        raise Unprocessable(
            f"a name has 1 to {MAX_NAME_CHARS} printable characters and no space at its ends",
            code="invalid_field",
            field="name",
        )
    if name.startswith(FOREIGN):
        raise Unprocessable(f"a local account's name doesn't begin with {FOREIGN}", code="invalid_field", field="name")
    return name


def checked_role(role: str) -> Role:
    """:raises Unprocessable: `invalid_field`: there is no such role."""
    try:
        return Role(role)
    except ValueError:
        raise Unprocessable(f"a role is one of {', '.join(Role)}", code="invalid_field", field="role") from None


def require_another_admin(tx: Transaction, row: AccountRow) -> None:
    """:raises Conflict: nobody else could administer the gateway."""
    if row.role != Role.ADMIN or row.disabled_at is not None:
        return
    others = (one for one in tx.accounts.all() if one.account_id != row.account_id and one.disabled_at is None)
    if not any(one.role == Role.ADMIN for one in others):
        raise Conflict("this is the last admin: make another one first, by `relaypacs user add NAME --role admin`")


def bad_credentials() -> Unauthorized:
    """One answer, whatever was wrong."""
    return Unauthorized("the name or the password is wrong", code="bad_credentials")
