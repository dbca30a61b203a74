"""Jobs, receipts, tokens and accounts in SQLite. Every query is a look-up in an index made for it (schema/*.sql)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from gateway.ledger.rows import (
    AccountRow,
    DeliveredRow,
    IdempotencyRow,
    JobKind,
    JobRow,
    ReceiptRow,
    RefreshTokenRow,
)
from gateway.ledger.sqlite.rows import Rows


class SqliteJobs:
    """Work to do. A leased job and a free one stand in different indexes: each has its own look-up."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows = Rows(db, "jobs", JobRow, ("job_id",), serial=True)

    def insert(self, row: JobRow) -> int:
        """Returns the new job_id; none is ever given twice.

        :raises Conflict: the upload is gone.
        """
        return self._rows.insert(row)

    def get(self, job_id: int) -> JobRow | None:
        """The job."""
        return self._rows.get(job_id)

    def save(self, row: JobRow) -> None:
        """:raises NotFound: there is no such job any more."""
        self._rows.save(row)

    def delete(self, job_id: int) -> None:
        """The work is done, or nobody wants it any more."""
        self._db.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,))

    def claim(self, now: float, *, by: str, until: float, kinds: Sequence[JobKind], limit: int) -> list[JobRow]:
        """Take due jobs whose lease is free or over (`lease_until` <= now); oldest due first."""
        due: list[JobRow] = []
        for kind in set(kinds):
            due += self._rows.where(
                "kind = ? AND lease_until IS NULL AND due_at <= ? ORDER BY due_at LIMIT ?", (kind, now, limit)
            )
            # As many as a dead process held: no limit, to have the oldest among them.
            due += self._rows.where("kind = ? AND lease_until <= ? AND +due_at <= ?", (kind, now, now))
        taken = sorted(due, key=attrgetter("due_at", "job_id"))[:limit]
        self._db.executemany(
            "UPDATE jobs SET lease_by = ?, lease_until = ? WHERE job_id = ?", ((by, until, row.job_id) for row in taken)
        )
        return [replace(row, lease_by=by, lease_until=until) for row in taken]

    def renew(self, job_id: int, by: str, until: float) -> bool:
        """False: the lease is somebody else's now."""
        return bool(
            self._db.execute(
                "UPDATE jobs SET lease_until = ? WHERE job_id = ? AND lease_by = ?", (until, job_id, by)
            ).rowcount
        )

    def of_upload(self, upload_id: str, kind: JobKind | None = None) -> list[JobRow]:
        """The upload's jobs, of one kind or all; by job_id."""
        if kind is None:
            return self._rows.where("upload_id = ? ORDER BY job_id", (upload_id,))
        return self._rows.where("upload_id = ? AND kind = ? ORDER BY job_id", (upload_id, kind))

    def next_due(self, kinds: Sequence[JobKind]) -> float | None:
        """The earliest moment at which `claim` may find something (due, and lease free or over)."""
        moments = []
        for kind in set(kinds):
            for sql in (
                "SELECT min(due_at) FROM jobs WHERE kind = ? AND lease_until IS NULL",
                "SELECT min(max(due_at, lease_until)) FROM jobs WHERE kind = ? AND lease_until IS NOT NULL",
            ):
                moments += [moment for (moment,) in self._db.execute(sql, (kind,)) if moment is not None]
        return min(moments, default=None)

    def shift_due(self, shift_s: float, now: float) -> int:
        """Move `due_at` of every free job that is due after `now`; none gets due before it. Returns how many."""
        query = "UPDATE jobs SET due_at = max(due_at + ?, ?) WHERE kind = ? AND lease_until IS NULL AND due_at > ?"
        return sum(self._db.execute(query, (float(shift_s), float(now), kind, float(now))).rowcount for kind in JobKind)

    def page(self, *, after: int, limit: int) -> list[JobRow]:
        """By job_id, those behind `after`."""
        return self._rows.where("job_id > ? ORDER BY job_id LIMIT ?", (after, limit))


class SqliteReceipts:
    """Proofs, and the index of what was delivered."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._rows = Rows(db, "receipts", ReceiptRow, ("receipt_id",))
        self._delivered = Rows(db, "delivered", DeliveredRow, ("instance_mac",))

    def insert(self, row: ReceiptRow) -> None:
        """:raises Conflict: the id is taken, or the upload is gone."""
        self._rows.insert(row)

    def get(self, receipt_id: str) -> ReceiptRow | None:
        """The receipt."""
        return self._rows.get(receipt_id)

    def delivered(self, instance_mac: bytes) -> DeliveredRow | None:
        """What was last delivered under that UID to that endpoint; forgotten with its receipt."""
        return self._delivered.get(instance_mac)

    def note_delivered(self, row: DeliveredRow) -> None:
        """Insert or replace; the receipt may be written later."""
        self._delivered.put(row)


class SqliteTokens:
    """Refresh tokens and idempotency keys."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows = Rows(db, "refresh_tokens", RefreshTokenRow, ("token_hash",))
        self._answers = Rows(db, "idempotency", IdempotencyRow, ("principal", "key_mac"))

    def insert(self, row: RefreshTokenRow) -> None:
        """:raises Conflict: the hash is taken, or the upload is gone."""
        self._rows.insert(row)

    def get(self, token_hash: bytes) -> RefreshTokenRow | None:
        """The token; None when it was revoked or has expired and was cleared away."""
        return self._rows.get(token_hash)

    def spend_kin(self, row: RefreshTokenRow) -> None:
        """`row` is being used: its parent and its siblings are spent from now on."""
        if row.parent_hash is None:
            return
        self._db.execute("UPDATE refresh_tokens SET spent = 1 WHERE token_hash = ?", (row.parent_hash,))
        self._db.execute(
            "UPDATE refresh_tokens SET spent = 1 WHERE parent_hash = ? AND +token_hash <> ?",
            (row.parent_hash, row.token_hash),
        )

    def family_lives(self, family_id: str) -> bool:
        """Whether it has a token still."""
        return self._rows.one("family_id = ? LIMIT 1", (family_id,)) is not None

    def revoke_family(self, family_id: str) -> None:
        """Drop every token of the family."""
        self._db.execute("DELETE FROM refresh_tokens WHERE family_id = ?", (family_id,))

    def revoke_account(self, account_id: str) -> None:
        """Drop every token of the account."""
        self._db.execute("DELETE FROM refresh_tokens WHERE account_id = ?", (account_id,))

    def delete_expired(self, now: float, limit: int) -> int:
        """Drop refresh tokens and idempotency keys past their time (`expires_at` <= now), `limit` of each at most."""
        tokens = self._db.execute(
            "DELETE FROM refresh_tokens WHERE token_hash IN"
            " (SELECT token_hash FROM refresh_tokens WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
            (now, limit),
        ).rowcount
        answers = self._db.execute(
            "DELETE FROM idempotency WHERE (principal, key_mac) IN"
            " (SELECT principal, key_mac FROM idempotency WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
            (now, limit),
        ).rowcount
        return tokens + answers

    def idempotency(self, principal: str, key_mac: bytes) -> IdempotencyRow | None:
        """The answer under that key; may be past its time until it is cleared away."""
        return self._answers.get(principal, key_mac)

    def remember(self, row: IdempotencyRow) -> None:
        """Insert or replace.

        :raises Conflict: the upload is gone.
        """
        self._answers.put(row)


class SqliteAccounts:
    """Local accounts."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._rows = Rows(db, "accounts", AccountRow, ("account_id",))

    def insert(self, row: AccountRow) -> None:
        """:raises Conflict: the name is taken."""
        self._rows.insert(row)

    def get(self, account_id: str) -> AccountRow | None:
        """The account."""
        return self._rows.get(account_id)

    def by_name(self, name_mac: bytes) -> AccountRow | None:
        """The account of that name."""
        return self._rows.one("name_mac = ?", (name_mac,))

    def save(self, row: AccountRow) -> None:
        """:raises NotFound: there is no such account."""
        self._rows.save(row)

    def all(self) -> list[AccountRow]:
        """Every account, oldest first. There are as many as people, so this one is a walk."""
        return self._rows.where("1 ORDER BY created_at, account_id", ())
