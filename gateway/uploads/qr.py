"""QR sessions: a code opens one upload, once, to one endpoint, and nothing else (CONTRACT 2.5).

Its token is 256 random bits of which only the hash is kept. Marking it used, opening the upload and remembering the
Idempotency-Key are one transaction, so a request that fails uses up nothing and a lost answer is repaired by asking
again with the same key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from gateway.clock import Clock, rfc3339
from gateway.errors import Conflict, Forbidden, Gone, NotFound, TooLarge, TooMany, Unauthorized, Unprocessable
from gateway.identity.principal import ADMIN, Principal
from gateway.keys.columns import Column
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import QrRow, UploadRow
from gateway.protocol.rest import Init, QrWish
from gateway.spool import Sealer
from gateway.states import RECEIVING_STATES
from gateway.uploads.admission import new_id
from gateway.uploads.destinations import Destinations
from gateway.uploads.seen import Opened
from gateway.uploads.submissions import Submissions

#: QR tokens begin with it, so that one in the wrong place is told from rubbish without a look-up.
QR_PREFIX = "rpq_"


@dataclass(frozen=True, slots=True)
class QrTerms:
    """What a code may be, and how many an account may have.

    :param default_s, most_s: seconds that it lives: unless said otherwise, and at most.
    :param max_bytes: of what it opens, unless said otherwise.
    :param counted_codes: of one account (`QrRow.counts_until`).
    """

    default_s: float
    most_s: float
    max_bytes: int = 10 << 30
    counted_codes: int = 1000


@dataclass(frozen=True, slots=True)
class QrCode:
    """A new code; its token is told this once."""

    row: QrRow
    token: str

    def link(self, public_url: str) -> str:
        """The address that the picture holds. The fragment reaches no server and no log."""
        held = {
            "endpoint_id": self.row.endpoint_id,
            "upload_token": self.token,
            "expires_at": rfc3339(self.row.expires_at),
        }
        packed = base64.urlsafe_b64encode(json.dumps(held, separators=(",", ":")).encode()).rstrip(b"=").decode()
        return f"{public_url}/#qr={packed}"


class QrSessions:
    """The acts on QR codes."""

    def __init__(
        self,
        ledger: Ledger,
        records: Sealer,
        submissions: Submissions,
        destinations: Destinations,
        clock: Clock,
        terms: QrTerms,
    ) -> None:
        self._ledger = ledger
        self._records = records
        self._submissions = submissions
        self._destinations = destinations
        self._clock = clock
        self._defaults = terms

    async def create(self, who: Principal, wish: QrWish) -> QrCode:
        """A code for a new upload.

        :raises Unprocessable: unknown endpoint, or it would live too long.
        :raises Forbidden: `endpoint_not_allowed`: the issuer may not send there.
        :raises TooMany: `quota_exceeded`: the account has too many.
        """
        endpoint = await self._destinations.choose(who, wish.endpoint_id)
        return await self._make(who, endpoint.endpoint_id, wish, reopens_id=None)

    async def reopen(self, who: Principal, upload_id: str, ttl_s: float | None) -> QrCode:
        """A code that opens an unfinished upload again, for a device that lost everything.

        :raises NotFound, Conflict: there is no such upload, or it takes no more bytes.
        """
        upload = await self._ledger.read(lambda tx: tx.uploads.get(upload_id))
        if upload is None:
            raise NotFound("there is no such upload")
        if upload.state not in RECEIVING_STATES:
            raise Conflict(f"the upload is {upload.state}", code="upload_completed", state=str(upload.state))
        wish = QrWish(upload.endpoint_id, ttl_s, "", None, None, {})
        return await self._make(who, upload.endpoint_id, wish, reopens_id=upload_id)

    async def _make(self, who: Principal, endpoint_id: str, wish: QrWish, *, reopens_id: str | None) -> QrCode:
        ttl_s = self._defaults.default_s if wish.ttl_s is None else wish.ttl_s
        if ttl_s > self._defaults.most_s:
            raise Unprocessable("ttl_seconds is over tokens.qr_max_ttl", code="invalid_field", field="ttl_seconds")
        now, qr_id, token = self._clock.now(), new_id(), QR_PREFIX + secrets.token_urlsafe(32)
        terms = {"label": wish.label, "expected": dict(wish.expected)}
        row = QrRow(
            qr_id=qr_id,
            token_hash=_hash(token),
            issuer_id=who.account_id,
            endpoint_id=endpoint_id,
            max_files=wish.max_files,
            max_bytes=wish.max_bytes if wish.max_bytes is not None or reopens_id else self._defaults.max_bytes,
            terms_sealed=self._records.seal_json(terms, context=Column.QR_TERMS.of(qr_id)),
            reopens_id=reopens_id,
            created_at=now,
            expires_at=now + ttl_s,
            used_at=None,
            revoked_at=None,
            upload_id=None,
        )

        def act(tx: Transaction) -> None:
            count, first_ends_at = tx.qr_codes.counted_of(who.account_id, now)
            if count >= self._defaults.counted_codes:
                raise TooMany(
                    "this account has made too many QR codes that nobody has used: wait until some are old enough",
                    code="quota_exceeded",
                    limit="limits.qr_codes",
                    retry_after_s=first_ends_at - now,
                )
            tx.qr_codes.insert(row)
            detail = {"qr": qr_id, "endpoint": endpoint_id}
            tx.audit.append("qr.created", at=now, actor=who.actor, upload_id=reopens_id, detail=detail)

        await self._ledger.write(act)
        return QrCode(row, token)

    async def inspect(self, token: str) -> QrRow:
        """What the holder is about to do; uses up nothing. :raises Unauthorized: it can't be used."""
        return await self._ledger.read(lambda tx: self._usable(tx, token))

    async def init(self, token: str, wish: Init, idempotency_key: str | None) -> Opened:
        """Redeem the code: open its upload.

        :raises Unauthorized: unknown, used, expired or revoked; one answer for all.
        :raises Forbidden: another endpoint is named. :raises Unprocessable, TooLarge: over the code's limits.
        """
        row = await self._ledger.read(lambda tx: self._known(tx, token))
        if wish.endpoint_id not in (None, row.endpoint_id):
            raise Forbidden("this QR code is for another endpoint", code="endpoint_not_allowed")
        if row.max_files is not None and wish.total_files > row.max_files:
            raise Unprocessable(
                "total_files is over this QR code's limit",
                code="invalid_field",
                field="total_files",
                limit=row.max_files,
            )
        if row.max_bytes is not None and wish.total_size_bytes > row.max_bytes:
            raise TooLarge("the upload is larger than this QR code allows", code="upload_too_large")
        who = Principal(row.issuer_id)
        ticket = _Redemption(self, row.qr_id, token, self._terms(row)["expected"])
        return await self._submissions.init(who, replace(wish, endpoint_id=row.endpoint_id), idempotency_key, ticket)

    async def page(self, who: Principal, after: str, limit: int) -> dict[str, Any]:
        """The caller's codes (an admin's: everybody's), as JSON values."""
        issuer_id = None if who.role == ADMIN else who.account_id
        rows = await self._ledger.read(lambda tx: tx.qr_codes.page(issuer_id=issuer_id, after=after, limit=limit))
        return {"qr_codes": [self.shown(row) for row in rows], "cursor": rows[-1].qr_id if len(rows) == limit else None}

    def shown(self, row: QrRow) -> dict[str, Any]:
        """A code as its issuer sees it."""
        now = self._clock.now()
        state = (
            "revoked" if row.revoked_at else "used" if row.used_at else "expired" if row.expires_at <= now else "open"
        )
        return {
            "qr_id": row.qr_id,
            "endpoint_id": row.endpoint_id,
            "state": state,
            "label": self._terms(row)["label"],
            "max_files": row.max_files,
            "max_bytes": row.max_bytes,
            "created_at": rfc3339(row.created_at),
            "expires_at": rfc3339(row.expires_at),
            "upload_id": row.upload_id or row.reopens_id,
        }

    async def revoke(self, who: Principal, qr_id: str, *, cancel_upload: bool = False) -> None:
        """End a code; what it opened gets no more tokens. Revoking twice is revoking.

        :param cancel_upload: end what it opened, too, if that isn't over.
        :raises NotFound: not there, or not the caller's.
        """
        now = self._clock.now()

        def act(tx: Transaction) -> str | None:
            row = tx.qr_codes.get(qr_id)
            if row is None or (row.issuer_id != who.account_id and who.role != ADMIN):
                raise NotFound("there is no such QR code")
            if row.revoked_at is None:
                tx.qr_codes.save(replace(row, revoked_at=now))
                tx.audit.append("qr.revoked", at=now, actor=who.actor, detail={"qr": qr_id})
            if row.upload_id is not None:
                tx.tokens.revoke_upload(row.upload_id)
            return row.upload_id

        opened_id = await self._ledger.write(act)
        if cancel_upload and opened_id is not None:
            with suppress(Gone, Conflict):  # it is over, or delivered
                await self._submissions.cancel(who, opened_id, "its QR code was revoked")

    def _terms(self, row: QrRow) -> dict[str, Any]:
        found: dict[str, Any] = self._records.open_json(row.terms_sealed, context=Column.QR_TERMS.of(row.qr_id))
        return found

    def _known(self, tx: Transaction, token: str) -> QrRow:
        row = tx.qr_codes.by_token(_hash(token))
        account = tx.accounts.get(row.issuer_id) if row is not None else None
        if row is None or account is None or account.disabled_at is not None:
            raise _refused()
        return row

    def _usable(self, tx: Transaction, token: str) -> QrRow:
        row = self._known(tx, token)
        if row.used_at is not None or row.revoked_at is not None or row.expires_at <= self._clock.now():
            raise _refused()
        return row


@dataclass(frozen=True, slots=True)
class _Redemption:
    """The ticket that `Submissions.init` is given."""

    sessions: QrSessions
    qr_id: str
    token: str
    expected: Mapping[str, str]

    @property
    def principal(self) -> str:
        """Whose Idempotency-Keys they are."""
        return f"qr:{self.qr_id}"

    def check(self, tx: Transaction) -> None:
        """:raises Unauthorized: it was revoked: what it opened gets no more tokens either."""
        row = tx.qr_codes.get(self.qr_id)
        if row is None or row.revoked_at is not None:
            raise _refused()

    def admit(self, tx: Transaction) -> UploadRow | None:
        """The upload that is opened again; None: a new one is to be made. :raises Unauthorized: it can't be used."""
        row = self.sessions._usable(tx, self.token)  # noqa: SLF001 - one class in two parts
        if row.reopens_id is None:
            return None
        upload = tx.uploads.get(row.reopens_id)
        if upload is None or upload.state not in RECEIVING_STATES:
            raise _refused()
        return upload

    def redeemed(self, tx: Transaction, upload: UploadRow, now: float) -> None:
        """Mark the code used."""
        row = self.sessions._usable(tx, self.token)  # noqa: SLF001 - one class in two parts
        tx.qr_codes.save(replace(row, used_at=now, upload_id=upload.upload_id))
        if not upload.by_qr:
            tx.uploads.save(replace(upload, by_qr=True))
        tx.audit.append(
            "qr.redeemed", at=now, actor=self.principal, upload_id=upload.upload_id, detail={"qr": self.qr_id}
        )


def _refused() -> Unauthorized:
    return Unauthorized("this QR code can't be used: ask for a new one")


def _hash(token: str) -> bytes:
    # A token has 256 random bits: it needs no salt and no slow hash.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
