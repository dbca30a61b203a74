"""Who asks, as the tokens say it. No look-up is needed to compare."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import NotFound
from gateway.ledger.rows import UploadRow

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """The bearer of a good token.

    :param account_id: the account that the token goes back to.
    :param role: of an access token; empty for an upload token.
    :param upload_id: the one upload that an upload token opens; None for an access token.
    :param named: how the audit trail names whoever has no account: the command line.
    """

    account_id: str
    role: str = ""
    upload_id: str | None = None
    named: str = ""

    @property
    def actor(self) -> str:
        """As the audit trail names it."""
        if self.named:
            return self.named
        return f"account:{self.account_id}" if self.upload_id is None else f"upload:{self.upload_id}"

    def may_write(self, upload: UploadRow) -> bool:
        """It may add bytes to this upload."""
        if self.upload_id is not None:
            return self.upload_id == upload.upload_id
        return self.account_id == upload.owner_id

    def may_see(self, upload: UploadRow) -> bool:
        """It may ask how this upload fares."""
        return self.may_write(upload) or (self.upload_id is None and self.role == ADMIN)

    def may_read_names(self, upload: UploadRow) -> bool:
        """What the uploader called its files is its own: nobody else reads it, the issuer of its QR code no more."""
        if self.upload_id is not None:
            return self.upload_id == upload.upload_id
        return self.account_id == upload.owner_id and not upload.by_qr


def visible(upload: UploadRow | None, allowed: bool) -> UploadRow:
    """:raises NotFound: not there, or not the caller's; nobody can tell which."""
    if upload is None or not allowed:
        raise NotFound("there is no such upload")
    return upload
