"""What a ledger promises: one small protocol per aggregate over one transaction.

`write` returns when the transaction is durable (fsync). An act runs in the writer's thread, alone, and may run
again from the start if the batch it shared failed for another's fault: it touches nothing but its transaction.
An act that raises leaves no trace and its error reaches its caller only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from gateway.ledger.base_more import DeliveryRows, QrRows, TokenRows
from gateway.ledger.promises import Recorded, Reserve, Watch
from gateway.ledger.rows import (
    AccountRow,
    AccountSums,
    AuditRow,
    DeliveredRow,
    FileRow,
    JobKind,
    JobRow,
    ReceiptRow,
    ServiceKeyRow,
    Survey,
    UploadRow,
)
from gateway.ledger.stored import ConcatRows, RunRows
from gateway.states import FileState, UploadState

T = TypeVar("T")


class UploadRows(Protocol):
    """Submissions."""

    def insert(self, row: UploadRow) -> None: ...
    def get(self, upload_id: str) -> UploadRow | None: ...
    def save(self, row: UploadRow) -> None: ...

    def expired(self, now: float, limit: int) -> list[UploadRow]:
        """Open or uploading, past their `expires_at`; oldest first."""

    def finished_unerased(
        self, states: Sequence[UploadState], before: float, limit: int, *, since: float = 0.0
    ) -> list[UploadRow]:
        """In one of `states`, since <= `finished_at` <= before, `erased_at` empty, no delivery open; oldest first."""

    def records_older(self, before: float, limit: int) -> list[UploadRow]:
        """Erased, and finished before: their records may go."""

    def page(self, *, states: Sequence[UploadState], after: str, limit: int) -> list[UploadRow]:
        """By upload_id, for the admin's list. Empty `states`: all."""

    def shift_deadlines(self, shift_s: float, not_before: float) -> int:
        """Move `expires_at` of every unfinished upload; none ends before `not_before`. Returns how many."""

    def awaited_bytes(self) -> int:
        """Bytes reserved by uploads that still receive, less those that came, from a counter."""

    def reserved_bytes(self) -> int:
        """Sum over all uploads that aren't erased; kept as a counter, not summed."""

    def sums_of(self, owner_id: str) -> AccountSums:
        """What an account's uploads take together; kept, not summed."""

    def stat_waiting(self, before: float, limit: int) -> list[UploadRow]:
        """Declared `stat`, completed before, neither over nor told to be late; oldest first."""

    def survey(self) -> Survey:
        """What there is, from what is kept: its cost doesn't grow with the ledger."""

    def empty(self, before: float, limit: int) -> list[UploadRow]:
        """Made before, with room set aside, still receiving, and without a byte; oldest first."""

    def wrapped_otherwise(self, kek_id: str, limit: int) -> list[UploadRow]:
        """Uploads whose key is there and wrapped under another KEK than this."""

    def delete(self, upload_id: str) -> None:
        """The record and everything that hangs on it (files, runs, jobs, receipts, tokens)."""


class FileRows(Protocol):
    """DICOM objects."""

    def insert(self, row: FileRow) -> None: ...
    def get(self, file_id: str) -> FileRow | None: ...
    def save(self, row: FileRow) -> None: ...
    def by_client_mac(self, upload_id: str, client_mac: bytes) -> FileRow | None: ...

    def page(self, upload_id: str, *, after: str = "", limit: int = 1_000_000, parts: bool = False) -> list[FileRow]:
        """Files of an upload by file_id, removed ones too. :param parts: with parts of concatenations."""

    def counts(self, upload_id: str) -> dict[FileState, int]:
        """How many rows are in each state, without files that the gateway made, and parts. Kept."""

    def delete(self, file_ids: Sequence[str]) -> None:
        """Drop the rows; their keys are the caller's business."""


class JobRows(Protocol):
    """Work to do."""

    def insert(self, row: JobRow) -> int:
        """`owner_id` and `urgency` are filled in: the upload's."""

    def get(self, job_id: int) -> JobRow | None: ...
    def save(self, row: JobRow) -> None: ...
    def delete(self, job_id: int) -> None: ...

    def claim(
        self, now: float, *, by: str, until: float, kinds: Sequence[JobKind], limit: int, owner_id: str | None = None
    ) -> list[JobRow]:
        """Take due jobs whose lease is free or over: of one account the most urgent first, then oldest due; of all by
        `due_at` alone.
        """

    def owners_due(self, now: float, kind: JobKind) -> list[str]:
        """Accounts of which `claim` finds something; whose job is due longest comes first."""

    def renew(self, job_id: int, by: str, until: float) -> bool:
        """False: the lease is somebody else's now."""

    def of_upload(self, upload_id: str, kind: JobKind | None = None) -> list[JobRow]: ...

    def drop(self, upload_id: str, kind: JobKind, limit: int) -> int:
        """Delete so many jobs of that kind at most. Returns how many."""

    def next_due(self, kinds: Sequence[JobKind]) -> float | None:
        """The earliest moment at which `claim` may find something (due, and lease free or over)."""

    def shift_due(self, shift_s: float, now: float) -> int:
        """Move `due_at` of every free job that is due after `now`; none gets due before it. Returns how many."""

    def page(self, *, after: int, limit: int) -> list[JobRow]: ...


class ReceiptRows(Protocol):
    """Proofs, and the index of what was delivered."""

    def insert(self, row: ReceiptRow) -> None: ...
    def get(self, receipt_id: str) -> ReceiptRow | None: ...
    def delivered(self, instance_mac: bytes) -> DeliveredRow | None: ...
    def note_delivered(self, row: DeliveredRow) -> None: ...

    def forget_delivered(self, upload_id: str, limit: int) -> int:
        """Drop so many of the notes that hang on the upload's receipts at most. Returns how many."""


class AccountRows(Protocol):
    """Local accounts."""

    def insert(self, row: AccountRow) -> None:
        """:raises Conflict: the name is taken."""

    def get(self, account_id: str) -> AccountRow | None: ...
    def by_name(self, name_mac: bytes) -> AccountRow | None: ...
    def save(self, row: AccountRow) -> None: ...
    def all(self) -> list[AccountRow]: ...


class AuditRows(Protocol):
    """The chained trail."""

    def append(
        self, event: str, *, at: float, actor: str, upload_id: str | None = None, detail: Mapping[str, object] = {}
    ) -> AuditRow:
        """Chain an event to the head, in this transaction; wakes `AUDIT`."""

    def after(self, number: int, limit: int) -> list[AuditRow]: ...

    def head(self) -> tuple[int, bytes]:
        """Number and MAC of the last event; (0, b"") before the first."""

    def prune(self, up_to: int) -> int:
        """Delete events up to that number, but never the last one, and note the head that the rest follows.

        Returns how many.
        """

    def pruned(self) -> tuple[int, bytes, bytes]:
        """Number, MAC and seal (`chain.seal`, purpose `PRUNED`) of the last deleted event; (0, b"", b""): none."""


class KeyRows(Protocol):
    """Wrapped keys, in a narrow table of their own so that a deleted one leaves nothing in the file."""

    def insert(self, wrapped: bytes) -> int: ...
    def get(self, key_id: int) -> bytes | None: ...
    def replace(self, key_id: int, wrapped: bytes) -> None: ...
    def delete(self, key_ids: Sequence[int]) -> None: ...
    def service(self) -> list[ServiceKeyRow]: ...
    def insert_service(self, row: ServiceKeyRow) -> None: ...
    def kek_ids(self) -> set[str]:
        """Every KEK that some row still needs."""


class SettingRows(Protocol):
    """A few facts of the gateway itself."""

    def get(self, name: str) -> str | None: ...
    def put(self, name: str, value: str) -> None: ...


class Transaction(Protocol):
    """All aggregates, in one transaction."""

    @property
    def uploads(self) -> UploadRows: ...
    @property
    def files(self) -> FileRows: ...
    @property
    def runs(self) -> RunRows: ...
    @property
    def concats(self) -> ConcatRows: ...
    @property
    def jobs(self) -> JobRows: ...
    @property
    def deliveries(self) -> DeliveryRows: ...
    @property
    def receipts(self) -> ReceiptRows: ...
    @property
    def tokens(self) -> TokenRows: ...
    @property
    def qr_codes(self) -> QrRows: ...
    @property
    def accounts(self) -> AccountRows: ...
    @property
    def audit(self) -> AuditRows: ...
    @property
    def keys(self) -> KeyRows: ...
    @property
    def settings(self) -> SettingRows: ...

    def wake(self, topic: str) -> None:
        """After the commit, wake whoever watches `topic` (an upload_id, or one of the topics below)."""


JOBS = "jobs"  #: topic: a job was written or became due
PURGE = "purge"  #: topic: something may be erased
AUDIT = "audit"  #: topic: the trail grew


class Ledger(Protocol):
    """The ledger itself."""

    @property
    def reserve(self) -> Reserve:
        """What is left when its room is used up."""

    def time_commits(self, note: Callable[[float], None]) -> None:
        """From now on `note` gets the seconds of each commit, in the thread that writes."""

    def use_audit_key(self, key: bytes) -> None:
        """Chain and check the trail with this key from now on: it lies in the ledger itself, sealed."""

    async def write(self, act: Callable[[Transaction], T]) -> T:
        """Run `act` in a transaction; return when it is durable.

        :raises GatewayError: whatever `act` raised; nothing was written.
        :raises SpoolFull: the ledger's disk is full.
        """

    def record(self, group: Sequence[Recorded]) -> None:
        """`write` for many at once, from any thread: their acts share transactions, and the loop hears once of each."""

    async def read(self, act: Callable[[Transaction], T]) -> T:
        """Run `act` on a snapshot.

        :raises ReadOnly: it tried to write.
        """

    def watch(self, topic: str) -> AbstractContextManager[Watch]:
        """Register first, look second, wait third: nothing committed in between is missed."""

    @property
    def scrub_due(self) -> bool:
        """This process has deleted or replaced keys since its last scrub: they may be in the files still."""

    async def scrub(self) -> bool:
        """Make sure that deleted rows are gone from the files (SQLite: WAL too). False: a reader was in the way."""

    async def close(self) -> None:
        """Finish what is queued and let go."""
